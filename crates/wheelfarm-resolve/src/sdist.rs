//! Reading the few files of a source distribution that planning needs: `pyproject.toml` above all.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::path::Path;
use std::rc::Rc;

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use wheelfarm_types::{Requirement, SdistFilename};

use crate::members::Members;
use crate::{ResolveError, ResolveErrorKind};

/// What a source distribution says of how it is built ([PEP 518](https://peps.python.org/pep-0518/),
/// [PEP 517](https://peps.python.org/pep-0517/)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BuildSystem {
    /// `build-system.requires`.
    pub requires: Vec<Requirement>,
    /// `build-system.build-backend`: `module` or `module:object`.
    pub backend: String,
    /// `build-system.backend-path`: directories of the source distribution that hold the back end.
    pub backend_path: Vec<String>,
}

/// The back end of projects that name none (PEP 517).
const LEGACY_BACKEND: &str = "setuptools.build_meta:__legacy__";

/// Entries and unpacked bytes of a source distribution, at most: a bound for archives made to be endless.
const ENTRY_LIMIT: usize = 500_000;
const UNPACKED_LIMIT: u64 = 8 << 30;
/// Bytes of headers and padding between the contents of two entries.
const HEADER_LIMIT: u64 = 1 << 20;
const FILE_LIMIT: u64 = 4 << 20;

#[derive(Deserialize)]
struct PyProject {
    #[serde(rename = "build-system")]
    build_system: Option<RawBuildSystem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawBuildSystem {
    requires: Vec<String>,
    build_backend: Option<String>,
    #[serde(default)]
    backend_path: Vec<String>,
}

/// What `bytes`, a source distribution called `filename`, says of how it is built; the default of PEP 517
/// (setuptools) where it says nothing. `subdirectory` is where the project is, if not at the top.
pub fn build_system(
    filename: &SdistFilename,
    bytes: &[u8],
    subdirectory: Option<&str>,
) -> Result<BuildSystem, ResolveError> {
    let error = |message: String| ResolveError::new(ResolveErrorKind::Source, message);
    let names = ["pyproject.toml", "setup.py"];
    let mut files = top_files(filename.extension() == ".zip", bytes, subdirectory, &names)
        .map_err(|e| {
            error(format!(
                "`{filename}` is not a readable source distribution: {e}"
            ))
        })?;
    if files.is_empty() {
        return Err(error(format!(
            "`{filename}` is not a Python source distribution: its top directory has neither pyproject.toml nor setup.py"
        )));
    }
    let text = files.remove("pyproject.toml").unwrap_or_default();
    let pyproject: PyProject = toml::from_str(&text).map_err(|e| {
        error(format!(
            "pyproject.toml in `{filename}` cannot be used: {e}"
        ))
    })?;
    let system = pyproject.build_system.unwrap_or_else(|| RawBuildSystem {
        // PEP 517: without a build-system table, setuptools.
        requires: vec!["setuptools>=40.8.0".to_owned()],
        build_backend: None,
        backend_path: Vec::new(),
    });
    let requires = system
        .requires
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .map_err(|e| error(format!("build-system.requires in `{filename}`: {e}")))?;
    Ok(BuildSystem {
        requires,
        backend: system
            .build_backend
            .unwrap_or_else(|| LEGACY_BACKEND.to_owned()),
        backend_path: system.backend_path,
    })
}

/// The text of those of the files `names` that are in the archive's one directory, or in its `subdirectory`.
pub(crate) fn top_files(
    is_zip: bool,
    bytes: &[u8],
    subdirectory: Option<&str>,
    names: &[&str],
) -> std::io::Result<BTreeMap<String, String>> {
    let mut wanted = Wanted {
        subdirectory: subdirectory.unwrap_or_default(),
        names,
        found: BTreeMap::new(),
    };
    if is_zip {
        read_zip(std::io::Cursor::new(bytes), &mut wanted)?;
    } else {
        read_tar(bytes, &mut wanted)?;
    }
    Ok(wanted.found)
}

/// The text of those of the files `names` that are in the one directory of a source distribution, which is read to its
/// end: an error if it is no sound archive, or if something in it leads out of its directory. What is cut off at 4 MiB
/// has that size.
pub fn checked_files(
    is_zip: bool,
    mut archive: impl Read + Seek,
    names: &[&str],
) -> std::io::Result<BTreeMap<String, String>> {
    let mut wanted = Wanted {
        subdirectory: "",
        names,
        found: BTreeMap::new(),
    };
    if is_zip {
        read_zip(archive, &mut wanted)?;
        return Ok(wanted.found);
    }
    let mut reader = GzDecoder::new(std::io::BufReader::new(&mut archive));
    read_entries(&mut reader, &mut wanted)?;
    // What follows the last entry: padding, and the checksum of all.
    let rest = std::io::copy(
        &mut reader.by_ref().take(HEADER_LIMIT + 1),
        &mut std::io::sink(),
    )?;
    if rest > HEADER_LIMIT {
        return Err(std::io::Error::other("there is something behind its end"));
    }
    Ok(wanted.found)
}

fn read_tar(packed: impl Read, wanted: &mut Wanted<'_>) -> std::io::Result<()> {
    read_entries(GzDecoder::new(packed), wanted)
}

fn read_entries(reader: impl Read, wanted: &mut Wanted<'_>) -> std::io::Result<()> {
    let budget = Rc::new(Cell::new(HEADER_LIMIT));
    let mut archive = tar::Archive::new(Budgeted {
        reader,
        budget: Rc::clone(&budget),
    });
    let mut members = Members::new(ENTRY_LIMIT, UNPACKED_LIMIT);
    for entry in archive.entries()? {
        let entry = entry?;
        let kind = entry.header().entry_type();
        let path = entry.path()?.into_owned();
        let link = entry.link_name()?;
        members
            .entry(&path, kind, link.as_deref(), entry.size())
            .map_err(std::io::Error::other)?;
        budget.set(entry.size().saturating_add(HEADER_LIMIT));
        if kind.is_file() {
            wanted.note(path.to_string_lossy().trim_start_matches("./"), entry)?;
        }
    }
    Ok(())
}

fn read_zip(packed: impl Read + Seek, wanted: &mut Wanted<'_>) -> std::io::Result<()> {
    let mut archive = zip::ZipArchive::new(packed)?;
    let mut members = Members::new(ENTRY_LIMIT, UNPACKED_LIMIT);
    for index in 0..archive.len() {
        let entry = archive.by_index(index)?;
        let path = entry.name()?.into_owned();
        members
            .member(Path::new(&path), entry.size())
            .map_err(std::io::Error::other)?;
        if entry.is_file() {
            wanted.note(&path, entry)?;
        }
    }
    Ok(())
}

/// Reads so many bytes. A tar file's long names and extended headers are held in memory whole, whatever size they
/// claim; nothing else stands between two entries.
struct Budgeted<R> {
    reader: R,
    budget: Rc<Cell<u64>>,
}

impl<R: Read> Read for Budgeted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let budget = self.budget.get();
        if budget == 0 && !buffer.is_empty() {
            return Err(std::io::Error::other("the name of an entry is too long"));
        }
        let most = usize::try_from(budget).map_or(buffer.len(), |most| most.min(buffer.len()));
        let read = self
            .reader
            .read(buffer.get_mut(..most).unwrap_or_default())?;
        self.budget
            .set(budget.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX)));
        Ok(read)
    }
}

struct Wanted<'a> {
    subdirectory: &'a str,
    names: &'a [&'a str],
    found: BTreeMap<String, String>,
}

impl Wanted<'_> {
    /// Notes the entry `path` if it is one of the files that matter; the first of a name counts.
    fn note(&mut self, path: &str, content: impl Read) -> std::io::Result<()> {
        let inner = path.split_once('/').map(|(_, inner)| inner);
        let name = match (inner, self.subdirectory) {
            (Some(inner), "") => Some(inner),
            (Some(inner), subdirectory) => inner
                .strip_prefix(subdirectory)
                .and_then(|inner| inner.strip_prefix('/')),
            (None, _) => None,
        };
        let name = name.filter(|name| self.names.contains(name));
        if let Some(name) = name.filter(|name| !self.found.contains_key(*name)) {
            let mut text = Vec::new();
            content.take(FILE_LIMIT).read_to_end(&mut text)?;
            let text = String::from_utf8_lossy(&text).into_owned();
            self.found.insert(name.to_owned(), text);
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;

    /// A `.tar.gz` of `files`.
    pub(crate) fn archive(files: &[(&str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    }

    fn sdist(files: &[(&str, &str)]) -> Result<BuildSystem, ResolveError> {
        build_system(&"x-1.tar.gz".parse().unwrap(), &archive(files), None)
    }

    fn requires(system: &BuildSystem) -> Vec<&str> {
        system.requires.iter().map(Requirement::as_str).collect()
    }

    #[test]
    fn the_top_pyproject_is_read() {
        let system = sdist(&[
            ("x-1/tests/pyproject.toml", "broken ["),
            (
                "x-1/pyproject.toml",
                "[build-system]\nrequires = [\"flit_core>=3\"]",
            ),
        ])
        .unwrap();
        assert_eq!(requires(&system), ["flit_core>=3"]);
    }

    #[test]
    fn setuptools_is_the_default() {
        assert_eq!(
            requires(&sdist(&[("x-1/setup.py", "")]).unwrap()),
            ["setuptools>=40.8.0"]
        );
        let system = sdist(&[("x-1/pyproject.toml", "[project]\nname = \"x\"")]).unwrap();
        assert_eq!(requires(&system), ["setuptools>=40.8.0"]);
    }

    #[test]
    fn what_is_no_package_is_an_error_that_names_it() {
        for files in [
            &[("x-1/README", "")][..],
            &[("x-1/pyproject.toml", "[build-system]\nrequires = [\"!\"]")],
        ] {
            let error = sdist(files).unwrap_err();
            assert!(error.to_string().contains("x-1.tar.gz"), "{error}");
        }
        let error = build_system(&"x-1.tar.gz".parse().unwrap(), b"no archive", None).unwrap_err();
        assert_eq!(error.kind(), ResolveErrorKind::Source);
    }

    #[test]
    fn what_comes_after_the_first_files_counts_too() {
        let long = "x-1/".to_owned() + &"n".repeat(200);
        assert!(sdist(&[("x-1/pyproject.toml", ""), (&long, "")]).is_ok());
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_size(0);
        builder
            .append_data(&mut header, "x-1/setup.py", std::io::empty())
            .unwrap();
        header.set_entry_type(tar::EntryType::Symlink);
        builder
            .append_link(&mut header, "x-1/link", "../../etc")
            .unwrap();
        let bytes = builder.into_inner().unwrap().finish().unwrap();
        let error = build_system(&"x-1.tar.gz".parse().unwrap(), &bytes, None).unwrap_err();
        assert!(error.to_string().contains("x-1/link"), "{error}");
    }

    #[test]
    fn endless_names_are_refused() {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::GNULongName);
        header.set_size(4 * HEADER_LIMIT);
        header.set_cksum();
        let name = std::io::repeat(b'n').take(4 * HEADER_LIMIT);
        builder.append(&header, name).unwrap();
        let bytes = builder.into_inner().unwrap().finish().unwrap();
        let error = build_system(&"x-1.tar.gz".parse().unwrap(), &bytes, None).unwrap_err();
        assert!(error.to_string().contains("too long"), "{error}");
    }

    #[test]
    fn zip_sdists_are_read() {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        writer
            .start_file("x-1/setup.py", zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(b"pass").unwrap();
        let bytes = writer.finish().unwrap().into_inner();
        let system = build_system(&"x-1.zip".parse().unwrap(), &bytes, None).unwrap();
        assert_eq!(requires(&system), ["setuptools>=40.8.0"]);
    }
}
