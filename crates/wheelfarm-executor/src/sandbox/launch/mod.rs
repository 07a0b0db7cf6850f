//! Work that is done in namespaces, as a *launcher* does it: a small process of our own program.
//!
//! ```text
//!   us                                      launcher (the same program again, one thread)
//!   one line: Launch            ------->    makes its user namespace
//!                               <-------    ready
//!   ids and control group, then go ---->    becomes its root; mounts, bundle
//!                               <-------    running
//!                               <-------    what the container prints
//!   end of stdin: stop          ------->    kills the runtime, with it everything
//! ```

mod running;
mod work;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

#[allow(
    unused_imports,
    reason = "the executor above it comes with the next change"
)]
pub(crate) use running::{Ended, Running};
#[allow(
    unused_imports,
    reason = "the executor above it comes with the next change"
)]
pub(crate) use work::{Bind, Bounds, Container, Tmpfs, Unpack, Work};

use crate::sandbox::bundle::{Network, Unheld};
use crate::sandbox::machine::Runtime;

/// How to start a launcher: a program that calls [`launcher_main`](crate::sandbox::launcher_main).
#[derive(Debug, Clone)]
pub struct Launcher {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

/// The line that a launcher reads first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// Whether it makes a user namespace.
    pub(crate) namespace: bool,
    /// Whether only one user and one group exist in it.
    pub(crate) single: bool,
    /// What runs containers.
    pub(crate) runtime: Option<Runtime>,
    /// The network of a container.
    pub(crate) network: Network,
    /// What no control group bounds.
    pub(crate) unheld: Unheld,
    /// What to do.
    pub(crate) work: Work,
}

/// What a launcher says: one line each.
pub(crate) mod said {
    /// It waits for its ids and its control group.
    pub(crate) const READY: &str = "ready";
    /// It has a network namespace, and waits for the way out.
    pub(crate) const NETWORK: &str = "network";
    /// All is prepared; what follows comes from the container.
    pub(crate) const RUNNING: &str = "running";
    /// It gave up; the reason follows.
    pub(crate) const FAILED: &str = "failed ";
    /// The answer to the first two.
    pub(crate) const GO: &str = "go";
}
