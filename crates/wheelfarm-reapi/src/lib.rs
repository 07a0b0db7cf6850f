//! A client of the Remote Execution API (REAPI), version 2: content-addressable storage, action cache, execution.
//!
//! Knows nothing of wheels, images and Docker. The API is `remote_execution.proto` of
//! <https://github.com/bazelbuild/remote-apis>.
//!
//! What a server says is not trusted: sizes are looked at before anything is allocated, digests before anything is
//! handed out, and nothing waits for ever.

mod action;
mod calls;
mod capabilities;
mod client;
mod compress;
mod content;
mod digest;
mod download;
mod endpoint;
mod error;
mod execute;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
mod lanes;
mod missing;
mod patience;
mod result;
mod settings;
#[cfg(test)]
mod tests;
mod tree;
mod upload;
mod violations;

pub use action::{CommandSpec, EncodedAction, action};
pub use capabilities::Capabilities;
pub use client::Client;
pub use content::{Content, Source};
pub use digest::{BlobDigest, BlobDigestError};
pub use error::{Error, ErrorKind};
pub use execute::{ExecuteOptions, Executed, Progress};
pub use result::{ActionResult, Metadata, Output, OutputDirectory, OutputFile};
pub use settings::{Identity, Settings, Tls};
pub use tree::{Listing, Tree, TreeBuilder, TreeFile, TreeLimits};
pub use upload::Uploaded;
