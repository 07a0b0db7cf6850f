//! A file to upload, and what it says of itself.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use blake2::Blake2b;
use blake2::digest::Digest as _;
use blake2::digest::consts::U32;
use fs_err::File;
use wheelfarm_types::{Digest, Hasher, SdistFilename};
use wheelfarm_wheel::{Metadata, Wheel};

use super::fields::{description, fields};
use super::form::Form;
use crate::exit::Failure;

/// Bytes that are hashed at once.
const CHUNK: usize = 1 << 20;

/// A wheel or source distribution.
#[derive(Debug)]
pub(crate) struct Artifact {
    path: PathBuf,
    name: String,
    project: String,
    version: String,
    size: u64,
    sha256: Digest,
    fields: Vec<(&'static str, String)>,
}

impl Artifact {
    /// Reads what the file at `path` says of itself, and hashes it. Whether that is true is looked at by who takes it.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let shown = path.display();
        if !path.is_file() {
            return Err(Failure::usage(format!("{shown}: there is no such file")));
        }
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| Failure::usage(format!("{shown}: its name is not UTF-8")))?;
        let is_wheel = path.extension().is_some_and(|extension| extension == "whl");
        let text = if is_wheel {
            of_wheel(path)
        } else {
            of_sdist(path, name)
        };
        let bad = |reason: String| Failure::finding(said(path, &reason));
        let text = text.map_err(bad)?;
        let metadata =
            Metadata::parse(&text).map_err(|reason| bad(format!("METADATA: {reason}")))?;
        let hashed = Hashed::read(path).map_err(|error| Failure::machine(error.to_string()))?;
        let pyversion = if is_wheel {
            // Name, version, perhaps a build tag, Python, ABI, platform.
            name.rsplit('-').nth(2).unwrap_or_default().to_owned()
        } else {
            "source".to_owned()
        };
        let kind = if is_wheel { "bdist_wheel" } else { "sdist" };
        let mut all = vec![
            (":action", "file_upload".to_owned()),
            ("protocol_version", "1".to_owned()),
            ("filetype", kind.to_owned()),
            ("pyversion", pyversion),
            ("sha256_digest", hashed.sha256.to_string()),
            ("blake2_256_digest", hashed.blake2),
        ];
        all.extend(fields(&metadata, description(&text)));
        Ok(Self {
            path: path.to_owned(),
            name: name.to_owned(),
            project: metadata.name().to_owned(),
            version: metadata.version().to_owned(),
            size: hashed.size,
            sha256: hashed.sha256,
            fields: all,
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Its file's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The project's name, as it spells it.
    pub(crate) fn project(&self) -> &str {
        &self.project
    }

    /// Its version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// Bytes of it.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Their digest.
    pub(crate) fn sha256(&self) -> &Digest {
        &self.sha256
    }

    /// The form to send.
    pub(super) fn form(&self) -> Form {
        Form::new(
            &self.fields,
            &self.path,
            &self.name,
            self.size,
            &self.sha256,
        )
    }
}

/// What is wrong with the file at `path`: the reason may begin with its name.
pub(super) fn said(path: &Path, reason: &str) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let rest = reason.strip_prefix(&*name).unwrap_or(reason);
    let rest = rest.strip_prefix(": ").unwrap_or(reason);
    format!("{}: {rest}", path.display())
}

fn of_wheel(path: &Path) -> Result<String, String> {
    let wheel = Wheel::open(path).map_err(|error| error.to_string())?;
    // Bounds its size, too.
    wheel.metadata_file().map_err(|error| error.to_string())?;
    let text = wheel.read(&format!("{}/METADATA", wheel.dist_info()));
    let text = text.map_err(|error| error.to_string())?;
    String::from_utf8(text).map_err(|_| "METADATA is not UTF-8".to_owned())
}

fn of_sdist(path: &Path, name: &str) -> Result<String, String> {
    let parsed: SdistFilename = name.parse().map_err(|_| {
        "it is neither a wheel nor a source distribution: its name must end in .whl, .tar.gz or .zip"
            .to_owned()
    })?;
    let file = File::open(path).map_err(|error| error.to_string())?;
    let is_zip = parsed.extension() == ".zip";
    let mut files = wheelfarm_resolve::checked_files(is_zip, file, &["PKG-INFO"])
        .map_err(|error| format!("it is not a sound archive: {error}"))?;
    files.remove("PKG-INFO").ok_or_else(|| {
        "there is no PKG-INFO in its directory: it is no source distribution".to_owned()
    })
}

struct Hashed {
    size: u64,
    sha256: Digest,
    /// In hexadecimal.
    blake2: String,
}

impl Hashed {
    fn read(path: &Path) -> std::io::Result<Self> {
        use std::fmt::Write as _;
        let mut file = File::open(path)?;
        let (mut sha256, mut blake2) = (Hasher::default(), Blake2b::<U32>::default());
        let mut size = 0;
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = file.read(&mut chunk)?;
            let piece = chunk.get(..length).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            sha256.update(piece);
            blake2.update(piece);
            size += piece.len() as u64;
        }
        let blake2 = blake2.finalize();
        let blake2 = blake2.iter().fold(String::new(), |mut text, byte| {
            // Writing to a string cannot fail.
            let _infallible = write!(text, "{byte:02x}");
            text
        });
        Ok(Self {
            size,
            sha256: sha256.finish(),
            blake2,
        })
    }
}
