//! The wheels: made up, the same in every run, valid, and kept.

use std::path::{Path, PathBuf};

use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_types::WheelFilename;
use wheelfarm_wheel::WheelWriter;

/// Projects with two versions each: what most pages are like. The first thirty of them are what is installed.
pub(super) const SMALL_PROJECTS: usize = 100;
/// Packages that are installed together: [`APP`] and what it requires.
pub(super) const INSTALLED: usize = 30;
/// The project that requires the others.
pub(super) const APP: &str = "wf-app";
/// The project with many versions.
pub(super) const MANY: &str = "wf-manyver";
/// How many.
pub(super) const VERSIONS: usize = 500;
/// The project with a wheel of 1 MB, and the one with a wheel of 100 MB.
pub(super) const LARGE: [(&str, usize); 2] = [("wf-large", 1_000_000), ("wf-huge", 100_000_000)];
/// Bytes of a small wheel's module: they do not compress.
const SMALL: usize = 10_000;
/// Raised when the wheels change, so that kept ones are made again.
const EDITION: &str = "2";

/// The made-up wheels in a directory.
#[derive(Debug, Clone)]
pub(super) struct Corpus {
    /// Where they lie, flat.
    pub(super) wheels: PathBuf,
}

/// A wheel that is made up.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) filename: String,
    pub(super) metadata: String,
    pub(super) bytes: Vec<u8>,
}

impl Corpus {
    /// Makes all wheels, unless they are there.
    pub(super) fn make(directory: &Path) -> Result<Self> {
        let wheels = directory.join("wheels");
        let done = directory.join("wheels.done");
        let corpus = Self { wheels };
        if fs_err::read_to_string(&done).is_ok_and(|edition| edition == EDITION) {
            return Ok(corpus);
        }
        eprintln!("making wheels in {}", corpus.wheels.display());
        if corpus.wheels.exists() {
            fs_err::remove_dir_all(&corpus.wheels)?;
        }
        fs_err::create_dir_all(&corpus.wheels)?;
        for number in 0..SMALL_PROJECTS {
            for version in ["1.0", "1.1"] {
                corpus.add(&small_project(number), version, &[], SMALL)?;
            }
        }
        let requires: Vec<_> = (0..INSTALLED - 1).map(small_project).collect();
        corpus.add(APP, "1.0", &requires, SMALL)?;
        for version in 0..VERSIONS {
            corpus.add(MANY, &format!("1.{version}"), &[], 100)?;
        }
        for (project, size) in LARGE {
            corpus.add(project, "1.0", &[], size)?;
        }
        fs_err::write(done, EDITION)?;
        Ok(corpus)
    }

    fn add(&self, project: &str, version: &str, requires: &[String], size: usize) -> Result<()> {
        let made = wheel(project, version, requires, size)?;
        fs_err::write(self.wheels.join(&made.filename), made.bytes)?;
        Ok(())
    }

    /// Names of all wheels, in order.
    pub(super) fn filenames(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs_err::read_dir(&self.wheels)? {
            let name = entry?.file_name().into_string();
            names.push(name.ok().context("a wheel's name is plain")?);
        }
        names.sort();
        Ok(names)
    }

    /// A wheel of it.
    pub(super) fn path(&self, filename: &str) -> PathBuf {
        self.wheels.join(filename)
    }
}

/// The name of a small project.
pub(super) fn small_project(number: usize) -> String {
    format!("wf-small-{number:03}")
}

/// The name of a pure wheel.
pub(super) fn filename(project: &str, version: &str) -> String {
    format!("{}-{version}-py3-none-any.whl", project.replace('-', "_"))
}

/// Makes a wheel with one module of `size` bytes.
pub(super) fn wheel(
    project: &str,
    version: &str,
    requires: &[String],
    size: usize,
) -> Result<Made> {
    let filename = filename(project, version);
    let parsed: WheelFilename = filename.parse()?;
    let module = parsed.name.clone();
    let mut writer = WheelWriter::new(parsed);
    let metadata = metadata(project, version, requires);
    let info = writer.dist_info().to_owned();
    let tags = "Wheel-Version: 1.0\nGenerator: made up\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    writer.insert(&format!("{info}/METADATA"), metadata.clone(), false)?;
    writer.insert(&format!("{info}/WHEEL"), tags, false)?;
    writer.insert(&format!("{module}/__init__.py"), "", false)?;
    let seed = filename.bytes().fold(1, |seed: u64, byte| {
        seed.wrapping_mul(31).wrapping_add(byte.into())
    });
    writer.insert(&format!("{module}/data.bin"), noise(size, seed), false)?;
    Ok(Made {
        filename,
        metadata,
        bytes: writer.finish()?,
    })
}

fn metadata(project: &str, version: &str, requires: &[String]) -> String {
    let mut text = format!(
        "Metadata-Version: 2.1\nName: {project}\nVersion: {version}\nSummary: made up to be measured\nRequires-Python: >=3.8\n"
    );
    for requirement in requires {
        text.push_str("Requires-Dist: ");
        text.push_str(requirement);
        text.push('\n');
    }
    text.push('\n');
    text.push_str(&"A description, as there is one in real wheels.\n".repeat(8));
    text
}

/// Bytes that do not compress, the same for the same `seed` (xorshift64*).
fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        let number = state.wrapping_mul(0x2545_f491_4f6c_dd1d);
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}
