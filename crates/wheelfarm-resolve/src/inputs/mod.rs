//! What a user asks for: arguments and files, read into values. No network, and nothing of a package is run.

mod formats;
mod hashes;
mod lines;
mod options;
mod requirements;
mod wish;

#[cfg(test)]
mod tests;

use std::path::Path;

pub use formats::Formats;
pub use hashes::Hashes;
pub use lines::Variables;
use wheelfarm_types::Requirement;
pub use wish::{Place, SourceWish, Wish};

use crate::ResolveError;
use lines::input_error;
use requirements::Role;

/// No input file is larger, in bytes.
const SIZE_LIMIT: u64 = 64 << 20;

/// What all arguments and files ask for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Inputs {
    /// Projects to be found on an index.
    pub requirements: Vec<Requirement>,
    /// What else must hold of versions that are chosen.
    pub constraints: Vec<Requirement>,
    /// Sources that are on no index.
    pub sources: Vec<SourceWish>,
    /// Which files may be used.
    pub hashes: Hashes,
    /// What is always or never built.
    pub formats: Formats,
    /// Which indexes are asked.
    pub index: IndexOptions,
    /// Whether versions that are not final are taken.
    pub prereleases: bool,
}

/// Index options of requirements files. As for pip, they count more than arguments and configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexOptions {
    /// `--index-url`; it may hold credentials, as those below.
    pub index_url: Option<String>,
    /// `--extra-index-url`, in order.
    pub extra_index_urls: Vec<String>,
    /// `--find-links`: addresses and absolute paths.
    pub find_links: Vec<String>,
    /// `--no-index`.
    pub no_index: bool,
    /// `--trusted-host`.
    pub trusted_hosts: Vec<String>,
}

/// Reads files into [`Inputs`].
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    /// Values of `${NAME}` in requirements files.
    pub variables: Variables<'a>,
}

impl Reader<'_> {
    /// Reads the file at `path` into `inputs`: what it is, its name says.
    pub fn read(&self, path: &Path, inputs: &mut Inputs) -> Result<(), ResolveError> {
        requirements::read(self, path, Role::Requirements, inputs)
    }

    /// Reads the constraints file at `path` into `inputs`.
    pub fn read_constraints(&self, path: &Path, inputs: &mut Inputs) -> Result<(), ResolveError> {
        requirements::read(self, path, Role::Constraints, inputs)
    }
}

/// The text of an input file.
fn text_of(path: &Path) -> Result<String, ResolveError> {
    let name = path.display();
    // `fs_err` puts the path into the message.
    let unreadable =
        |e: std::io::Error| input_error(format!("requirements could not be read: {e}"));
    let size = fs_err::metadata(path).map_err(unreadable)?.len();
    if size > SIZE_LIMIT {
        return Err(input_error(format!(
            "`{name}` is no requirements file: it has {size} bytes"
        )));
    }
    let bytes = fs_err::read(path).map_err(unreadable)?;
    String::from_utf8(bytes).map_err(|_| input_error(format!("`{name}` is not UTF-8 text")))
}

impl Inputs {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty() && self.sources.is_empty()
    }

    /// Adds `wish`.
    pub fn add(&mut self, wish: Wish) {
        match wish {
            Wish::Project(requirement) => self.requirements.push(requirement),
            Wish::Source(source) => self.sources.push(source),
        }
    }
}
