//! File systems as trees of the Remote Execution API: directories are messages, files are blobs, and both have digests.
//!
//! ```text
//!   tar stream of an image ──┐ Spool: a file without a name
//!   .tar.gz of a tree ───────┴─> read: hashed as it comes ──> places ──> Tree + where each blob lies in the file
//! ```
//!
//! A `Directory` (REAPI v2) holds names, an executable bit and the targets of links. It has no owners, times, special
//! bits, hard links or devices: a hard link becomes a file with the same digest, devices and pipes are left out.

mod places;
mod read;
mod source;
mod spool;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;
use fs_err::File;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};
use wheelfarm_reapi::{BlobDigest, Content, Tree, TreeBuilder};

use self::read::{Contents, Node, Nodes};
use self::spool::Spool;
use crate::error::{Result, cancelled, error, hinted};

/// What compressed files begin with: RFC 1952, section 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What of a file system has no place in a tree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Devices, pipes and sockets.
    pub special: usize,
    /// Files and links whose names or targets are no UTF-8.
    pub unnameable: usize,
}

/// A file system as a tree, with the bytes of its files: [`wheelfarm_reapi::Source`] reads them where they lie, so that
/// nothing is held, and what the other side has is not read again.
pub struct RootImage {
    tree: Tree,
    /// The environment that the image sets: `NAME=value`.
    environment: Vec<String>,
    left_out: LeftOut,
    file: Arc<File>,
    offsets: HashMap<BlobDigest, u64>,
}

impl fmt::Debug for RootImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RootImage({})", self.tree.root)
    }
}

impl RootImage {
    /// Its directories.
    pub fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The environment that the image sets: `NAME=value`. None of a stored tree.
    pub fn environment(&self) -> &[String] {
        &self.environment
    }

    /// What was left out.
    pub fn left_out(&self) -> LeftOut {
        self.left_out
    }

    /// Everything that has to be in the storage for an action to see this tree: its directories, and its files, each
    /// once, sorted.
    pub fn blobs(self: &Arc<Self>) -> Vec<(BlobDigest, Content)> {
        let directories = self.tree.directories.iter();
        let directories =
            directories.map(|(digest, bytes)| (*digest, Content::Given(bytes.clone())));
        let mut files: Vec<_> = self.offsets.keys().copied().collect();
        files.sort_unstable();
        let files = files
            .into_iter()
            .map(|digest| (digest, Content::From(Arc::clone(self) as _)));
        directories.chain(files).collect()
    }

    /// The root of an image out of the tar stream of a container's file system. Blocks.
    pub(crate) fn of_container(
        stream: impl Read,
        environment: Vec<String>,
        directory: &Path,
        cancel: &CancellationToken,
    ) -> Result<Self, Failure> {
        let root = Self::make(stream, directory, cancel, places::settle)?;
        Ok(Self {
            environment,
            ..root
        })
    }

    fn make(
        stream: impl Read,
        directory: &Path,
        cancel: &CancellationToken,
        settle: impl FnOnce(&mut Contents, &Spool) -> io::Result<()>,
    ) -> Result<Self, Failure> {
        let spool = Spool::new(directory, cancel.clone()).map_err(Failure::Spool)?;
        let mut contents = read::read(stream, &spool).map_err(|reason| {
            let failure = spool.failure().map(Failure::Spool);
            failure.unwrap_or(Failure::Archive(reason))
        })?;
        settle(&mut contents, &spool).map_err(Failure::Spool)?;
        contents.drop_special();
        let tree = tree(&contents.nodes).map_err(|error| Failure::Archive(error.to_string()))?;
        Ok(Self {
            tree,
            environment: Vec::new(),
            left_out: contents.left_out,
            file: Arc::new(spool.finish().map_err(Failure::Spool)?),
            offsets: contents.used(),
        })
    }
}

/// Why there is no tree.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What is wrong with the archive.
    Archive(String),
    /// The file beside it could not be written.
    Spool(io::Error),
}

impl Failure {
    /// What is told of it: `what` is the file system, `directory` where the file is.
    pub(crate) fn told(
        self,
        what: &str,
        directory: &Path,
        kind: ExecutorErrorKind,
        cancel: &CancellationToken,
    ) -> ExecutorError {
        match self {
            _ if cancel.is_cancelled() => cancelled(format!("reading {what}")),
            Self::Archive(reason) => hinted(
                kind,
                format!("{what} cannot be used: {reason}"),
                "Look whether it is the one that was meant.",
            ),
            Self::Spool(source) => hinted(
                ExecutorErrorKind::Engine,
                format!(
                    "{what} could not be kept in {}: {source}",
                    directory.display()
                ),
                "It needs as much room there as the image has when it is unpacked; see `df -h`.",
            ),
        }
    }
}

impl Contents {
    /// Removes what no tree can hold.
    fn drop_special(&mut self) {
        let before = self.nodes.len();
        self.nodes.retain(|_, node| *node != Node::Special);
        self.left_out.special += before - self.nodes.len();
    }

    /// Where the files lie that are still there.
    fn used(&self) -> HashMap<BlobDigest, u64> {
        let digests = self.nodes.values().filter_map(|node| match node {
            Node::File { digest, .. } => Some(digest),
            _ => None,
        });
        digests
            .filter_map(|digest| Some((*digest, *self.offsets.get(digest)?)))
            .collect()
    }
}

fn tree(nodes: &Nodes) -> Result<Tree, wheelfarm_reapi::Error> {
    let mut builder = TreeBuilder::new();
    for (path, node) in nodes {
        match node {
            Node::Directory => builder.directory(path)?,
            Node::File { digest, executable } => {
                builder.file(path, *digest, *executable)?;
            }
            Node::Link(target) => builder.symlink(path, target)?,
            Node::Special => {}
        }
    }
    builder.finish()
}

/// The files of a stored tar file, which may be compressed with gzip, as a tree; `spool` is a directory with room for
/// them. What it has is what unpacking would make.
pub async fn tree_of_archive(
    archive: impl Read + Send + 'static,
    spool: &Path,
    cancel: &CancellationToken,
) -> Result<RootImage> {
    let directory = spool.to_owned();
    let token = cancel.child_token();
    let _cancelled_on_drop = token.clone().drop_guard();
    let made = tokio::task::spawn_blocking(move || {
        let stream = plain(archive).map_err(|error| Failure::Archive(error.to_string()))?;
        RootImage::make(stream, &directory, &token, |_, _| Ok(()))
    });
    let made = made.await.map_err(|source| {
        let message = format!("reading a stored tree of files broke off: {source}");
        error(ExecutorErrorKind::Engine, message)
    })?;
    let what = "the stored tree of files";
    made.map_err(|failure| failure.told(what, spool, ExecutorErrorKind::Store, cancel))
}

/// `archive` without its compression, if it has one.
fn plain(archive: impl Read + Send + 'static) -> io::Result<Box<dyn Read + Send>> {
    let mut archive = BufReader::with_capacity(1 << 20, archive);
    let mut start = Vec::with_capacity(GZIP.len());
    (&mut archive)
        .take(GZIP.len() as u64)
        .read_to_end(&mut start)?;
    let compressed = start == GZIP;
    let archive = Cursor::new(start).chain(archive);
    Ok(if compressed {
        Box::new(MultiGzDecoder::new(archive))
    } else {
        Box::new(archive)
    })
}

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
