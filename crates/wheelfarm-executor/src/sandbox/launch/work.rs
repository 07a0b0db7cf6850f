//! What a launcher is told to do. All paths are relative to the sandbox's directory, unless they are inside containers.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One piece of work.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Work {
    /// Runs a container to its end.
    Container(Box<Container>),
    /// Unpacks an archive with the owners that it names.
    Unpack(Unpack),
    /// Removes files and directories, whoever inside the sandbox owns them. What is not there is no error.
    Remove {
        /// What to remove.
        paths: Vec<PathBuf>,
    },
    /// Nothing but namespaces and a trial overlay at this place: tells whether the machine allows them.
    Trial {
        /// An empty directory of its own.
        place: PathBuf,
    },
}

/// A container: what it consists of and what it may do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Container {
    /// Letters, digits and `-`; unique on the machine.
    pub(crate) name: String,
    /// A directory of its own: bundle, mount points and the overlay's work directory lie in it.
    pub(crate) place: PathBuf,
    /// The read-only layers of the root, topmost first.
    pub(crate) layers: Vec<PathBuf>,
    /// Where changes of the root go. Without it the root is read-only.
    pub(crate) upper: Option<PathBuf>,
    /// Files and directories from outside.
    pub(crate) binds: Vec<Bind>,
    /// Directories in memory.
    pub(crate) tmpfs: Vec<Tmpfs>,
    /// Small files bound read-only over the root: path and content.
    pub(crate) files: Vec<(String, String)>,
    /// Program and arguments, the image's entry point included.
    pub(crate) command: Vec<String>,
    /// `NAME=value` each, the image's own included: there is nothing else.
    pub(crate) environment: Vec<String>,
    /// The working directory.
    pub(crate) directory: String,
    /// User and group. 0 has the capabilities that package managers need, others have none.
    pub(crate) user: u32,
    /// Whether it may use the network.
    pub(crate) network: bool,
    /// Bounds of what it may use; none for trusted work like the installation of packages.
    pub(crate) limits: Option<Bounds>,
}

/// A file or directory from outside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bind {
    /// Where it is.
    pub(crate) source: PathBuf,
    /// Where the container sees it.
    pub(crate) target: String,
    /// Whether it cannot be written to.
    pub(crate) read_only: bool,
}

/// A directory in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Tmpfs {
    /// Where it is.
    pub(crate) target: String,
    /// How much fits, in bytes.
    pub(crate) size: u64,
    /// Its permissions.
    pub(crate) mode: u32,
    /// Who owns it, as the container sees users.
    pub(crate) user: u32,
}

/// Bounds of a container.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Bounds {
    /// Processor cores.
    pub(crate) cores: f64,
    /// Memory in bytes, what lies in tmpfs included; there is no swap.
    pub(crate) memory: u64,
    /// Processes and threads.
    pub(crate) pids: i64,
}

/// An archive to unpack.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Unpack {
    /// The archive.
    pub(crate) archive: PathBuf,
    /// The directory that it is unpacked into.
    pub(crate) into: PathBuf,
    /// Whether `.wh.` files remove what lower layers put there.
    pub(crate) whiteouts: bool,
    /// The SHA-256 that the uncompressed archive must have, in hexadecimal digits; not checked if `None`.
    pub(crate) digest: Option<String>,
    /// A file to write the number of unpacked bytes to.
    pub(crate) summary: Option<PathBuf>,
}
