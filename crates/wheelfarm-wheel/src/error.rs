//! What can be wrong with an archive.

use std::io;

use crate::names::NameProblem;

/// A wheel that cannot be read or written, and why.
#[derive(Debug, thiserror::Error)]
#[error("{wheel}: {problem}")]
pub struct WheelError {
    /// The wheel's file name.
    pub wheel: String,
    /// What is wrong with it.
    #[source]
    pub problem: WheelProblem,
}

/// The reason in a [`WheelError`].
#[derive(Debug, thiserror::Error)]
pub enum WheelProblem {
    /// The file cannot be read; the message names its path.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The file's name is no wheel file name.
    #[error("{0}")]
    Filename(#[from] wheelfarm_types::FilenameError),
    /// The zip structure is broken, or two readers would see different contents.
    #[error("not a sound zip archive: {0}")]
    Zip(String),
    /// More bytes or entries than allowed.
    #[error("{what} is {actual}, more than the {limit} allowed")]
    TooLarge {
        /// What was measured.
        what: String,
        /// What it declares, in bytes or entries.
        actual: u64,
        /// What is allowed.
        limit: u64,
    },
    /// An entry's name is not allowed in a wheel.
    #[error("entry `{name}`: {reason}")]
    Name {
        /// The name, escaped.
        name: String,
        /// What is wrong with it.
        reason: NameProblem,
    },
    /// An entry is encrypted.
    #[error("entry `{0}` is encrypted")]
    Encrypted(String),
    /// A member cannot be inflated, or its checksum is wrong.
    #[error("entry `{name}` is damaged: {reason}")]
    Damaged {
        /// The entry.
        name: String,
        /// What the decoder says.
        reason: String,
    },
    /// There is no such member.
    #[error("there is no `{0}` in it")]
    Missing(String),
    /// Not exactly one `.dist-info` directory that fits the file name.
    #[error("{0}")]
    DistInfo(String),
    /// A metadata file does not parse.
    #[error("`{file}`: {reason}")]
    Metadata {
        /// The member.
        file: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The content of a member that is being written could not be made.
    #[error("entry `{name}`: {source}")]
    Content {
        /// The member.
        name: String,
        /// What its maker says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A symbolic link points at nothing in the archive.
    #[error("symbolic link `{name}` points to `{target}`, which is not a file in the wheel")]
    Link {
        /// The link.
        name: String,
        /// Where it points.
        target: String,
    },
}

impl WheelProblem {
    /// The error about `wheel`.
    pub(crate) fn of(self, wheel: &impl ToString) -> WheelError {
        WheelError {
            wheel: wheel.to_string(),
            problem: self,
        }
    }
}
