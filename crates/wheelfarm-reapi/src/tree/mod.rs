//! Trees of files, as inputs and outputs of actions are given: `Directory` messages that name each other by digest.

mod builder;
mod listing;
mod path;

use std::collections::{BTreeMap, BTreeSet};

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bytes::Bytes;
use prost::Message;

use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, error};

pub use builder::TreeBuilder;
pub use listing::{Listing, TreeFile};

/// A tree of files: all its directories, each as the message that its digest is of (`Directory` in
/// `remote_execution.proto`). Contents of files are named, not held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// The directory at the top.
    pub root: BlobDigest,
    /// All directories, that one as well, by digest.
    pub directories: BTreeMap<BlobDigest, Bytes>,
}

/// How much of a tree that others made is looked at.
#[derive(Debug, Clone, Copy)]
pub struct TreeLimits {
    /// Length of the message, in bytes.
    pub bytes: usize,
    /// Files, directories and links, each as often as there is a path to it.
    pub entries: usize,
    /// Directories inside of each other.
    pub depth: usize,
}

impl Default for TreeLimits {
    /// Ample for any root file system.
    fn default() -> Self {
        Self {
            bytes: 256 << 20,
            entries: 2_000_000,
            depth: 200,
        }
    }
}

/// `Tree` in `remote_execution.proto`, with directories left as they are: only these bytes have their digests.
#[derive(Clone, PartialEq, Message)]
struct Whole {
    #[prost(bytes = "bytes", optional, tag = "1")]
    root: Option<Bytes>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    children: Vec<Bytes>,
}

impl Tree {
    /// The tree as a `Tree` message.
    pub fn encode(&self) -> Bytes {
        let children = self
            .directories
            .iter()
            .filter(|(digest, _)| **digest != self.root);
        Whole {
            root: self.directories.get(&self.root).cloned(),
            children: children.map(|(_, directory)| directory.clone()).collect(),
        }
        .encode_to_vec()
        .into()
    }

    /// Reads a `Tree` message. What is in its directories is looked at only when it is listed.
    pub fn decode(bytes: Bytes, limits: &TreeLimits) -> Result<Self, Error> {
        if bytes.len() > limits.bytes {
            return Err(error(
                ErrorKind::TooLarge,
                format!(
                    "a tree of files has {} bytes, and {} are allowed",
                    bytes.len(),
                    limits.bytes
                ),
            ));
        }
        let message = Whole::decode(bytes)
            .map_err(|_| error(ErrorKind::Corrupt, "a tree of files cannot be read"))?;
        // Left out means empty: that is how protobuf writes it.
        let root = message.root.unwrap_or_default();
        let root_digest = BlobDigest::of(&root);
        let mut directories = BTreeMap::from([(root_digest, root)]);
        for child in message.children {
            directories.insert(BlobDigest::of(&child), child);
        }
        Ok(Self {
            root: root_digest,
            directories,
        })
    }

    /// Digests of everything that has to be in storage for this tree: directories, then files, each once.
    pub fn blobs(&self) -> Result<Vec<BlobDigest>, Error> {
        let mut files = BTreeSet::new();
        for digest in self.directories.keys() {
            for file in &self.directory(digest)?.files {
                files.insert(node(file.digest.as_ref(), &file.name)?);
            }
        }
        Ok(self.directories.keys().copied().chain(files).collect())
    }

    /// One of its directories.
    fn directory(&self, digest: &BlobDigest) -> Result<proto::Directory, Error> {
        let bytes = self.directories.get(digest).ok_or_else(|| {
            error(
                ErrorKind::Corrupt,
                format!("a tree of files is incomplete: it has no directory {digest}"),
            )
        })?;
        proto::Directory::decode(bytes.as_ref()).map_err(|_| {
            error(
                ErrorKind::Corrupt,
                format!("a tree of files cannot be read: {digest} is no directory"),
            )
        })
    }
}

/// The digest of a node with this name.
fn node(digest: Option<&proto::Digest>, name: &str) -> Result<BlobDigest, Error> {
    BlobDigest::try_from(digest.unwrap_or(&proto::Digest::default())).map_err(|bad| {
        error(
            ErrorKind::Corrupt,
            format!(
                "a tree of files has a bad digest at `{}`: {bad}",
                crate::error::bounded(name)
            ),
        )
    })
}
