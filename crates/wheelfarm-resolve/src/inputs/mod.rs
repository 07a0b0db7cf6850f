//! What a user asks for: arguments and files, read into values. No network, and nothing of a package is run.

mod formats;
mod hashes;
mod lines;
mod options;
mod pylock;
mod pyproject;
mod requirements;
mod wish;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

pub use formats::Formats;
pub use hashes::Hashes;
pub use lines::Variables;
pub(crate) use lines::input_error;
pub use pylock::{InputLock, InputPackage};
pub(crate) use wish::ARCHIVES;
pub use wish::{Place, SourceWish, Wish, percent_decoded};

use wheelfarm_types::{ProjectName, PythonVersion, Requirement};

use crate::ResolveError;
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
    /// Locks.
    pub locks: Vec<InputLock>,
    /// `uv.lock` files: uv alone can read them.
    pub uv_locks: Vec<PathBuf>,
    /// What is wanted of those.
    pub choice: Choice,
    /// Which Pythons the files are for.
    pub pythons: Vec<RequiresPython>,
    /// Which files may be used.
    pub hashes: Hashes,
    /// What is always or never built.
    pub formats: Formats,
    /// Which indexes are asked.
    pub index: IndexOptions,
    /// Whether versions that are not final are taken.
    pub prereleases: bool,
}

/// Which Pythons a file is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiresPython {
    /// The file.
    pub file: String,
    /// Version specifiers.
    pub specifiers: String,
}

/// What is wanted of files that offer a choice.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Extras.
    pub extras: Vec<ProjectName>,
    /// All of them.
    pub all_extras: bool,
    /// Dependency groups ([PEP 735](https://peps.python.org/pep-0735/)).
    pub groups: Vec<ProjectName>,
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
    /// What is wanted of files that offer a choice.
    pub choice: &'a Choice,
}

/// Files of other tools, which are not read, and what to do instead.
const OTHERS: [(&str, &str); 8] = [
    (
        "poetry.lock",
        "`poetry export --format pylock.toml`, or `poetry export`, writes a file that is",
    ),
    (
        "pdm.lock",
        "`pdm export -f pylock -o pylock.toml` writes a file that is",
    ),
    (
        "Pipfile",
        "`pipenv requirements --hash > requirements.txt` writes a file that is",
    ),
    (
        "Pipfile.lock",
        "`pipenv requirements --hash > requirements.txt` writes a file that is",
    ),
    (
        "environment.yml",
        "list what comes from the Python package index in a requirements file",
    ),
    (
        "setup.py",
        "name its directory: `wheelfarm build ./DIRECTORY`",
    ),
    (
        "setup.cfg",
        "name its directory: `wheelfarm build ./DIRECTORY`",
    ),
    (
        "wheelfarm.toml",
        "it is the configuration: name it with `--config`",
    ),
];

impl Reader<'_> {
    /// Reads the file at `path` into `inputs`: what it is, its name says.
    pub fn read(&self, path: &Path, inputs: &mut Inputs) -> Result<(), ResolveError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some((_, hint)) = OTHERS.iter().find(|(other, _)| *other == name) {
            let message = format!(
                "`{}` is not a file that is read for requirements",
                path.display()
            );
            return Err(input_error(message).hint(*hint));
        }
        if name == "pyproject.toml" {
            return pyproject::read(path, self.choice, inputs);
        }
        if name == "uv.lock" {
            // Said now, not when uv is at hand.
            text_of(path)?;
            text_of(&path.with_file_name("pyproject.toml"))?;
            inputs.uv_locks.push(path.to_owned());
            inputs.choice = self.choice.clone();
            return Ok(());
        }
        let toml = path
            .extension()
            .is_some_and(|extension| extension == "toml");
        if toml && (name == "pylock.toml" || name.starts_with("pylock.")) {
            let lock = InputLock::parse(&text_of(path)?, path, self.choice)?;
            inputs.locks.push(lock);
            return Ok(());
        }
        if toml || name.ends_with(".lock") {
            let message = format!(
                "`{}` is not named like a file that is read for requirements",
                path.display()
            );
            return Err(input_error(message)
                .hint("pyproject.toml, uv.lock, pylock.toml and pylock.NAME.toml are, and requirements files of other names"));
        }
        requirements::read(self, path, Role::Requirements, inputs)
    }

    /// Reads the constraints file at `path` into `inputs`.
    pub fn read_constraints(&self, path: &Path, inputs: &mut Inputs) -> Result<(), ResolveError> {
        requirements::read(self, path, Role::Constraints, inputs)
    }
}

/// Whether the file at `path` is, by its name, something else than a requirements file.
fn is_other(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    OTHERS.iter().any(|(other, _)| *other == name)
        || [".toml", ".lock"]
            .iter()
            .any(|ending| name.ends_with(ending))
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

impl RequiresPython {
    /// An error if the file is not for `python`.
    pub fn check(&self, python: PythonVersion) -> Result<(), ResolveError> {
        let Self { file, specifiers } = self;
        match python.is_allowed_by(specifiers) {
            Some(true) => Ok(()),
            Some(false) => Err(input_error(format!(
                "`{file}` is for Python {specifiers}, not for {python}"
            ))
            .hint("name Pythons that it is for, with `--python`")),
            None => Err(input_error(format!(
                "`{specifiers}` in `{file}` is not a set of versions (PEP 440)"
            ))),
        }
    }
}

impl Inputs {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
            && self.sources.is_empty()
            && self.locks.is_empty()
            && self.uv_locks.is_empty()
    }

    /// Whether files were read that an extra or group can be chosen from.
    pub fn offer_a_choice(&self) -> bool {
        !(self.pythons.is_empty() && self.locks.is_empty() && self.uv_locks.is_empty())
    }

    /// Adds `wish`.
    pub fn add(&mut self, wish: Wish) {
        match wish {
            Wish::Project(requirement) => self.requirements.push(requirement),
            Wish::Source(source) => self.sources.push(source),
        }
    }
}
