//! Why an audit could not look.

use std::io;

use wheelfarm_wheel::WheelError;

/// An audit that could not be made. What an audit finds is in its report.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The wheel cannot be read.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// The library root cannot be read; the message names the path.
    #[error("the library root cannot be read: {0}")]
    Root(#[source] io::Error),
    /// A file of the library root is not what it should be.
    #[error("{path}: {reason}")]
    RootFile {
        /// Path of the file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such library in the root.
    #[error("there is no file `{0}` in the library root")]
    NoLibrary(String),
    /// An exclusion pattern does not parse.
    #[error("`{pattern}` is not a pattern of library names: {reason}")]
    Exclude {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The policy data contradict themselves.
    #[error("policy `{policy}`: {reason}")]
    Policy {
        /// The policy.
        policy: String,
        /// What is wrong with it.
        reason: String,
    },
}
