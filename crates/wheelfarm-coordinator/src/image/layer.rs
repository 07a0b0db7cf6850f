//! A layer: a tar file of some wheels.

use std::io::{self, Write};

use bytes::Bytes;
use tar::{EntryType, Header};
use wheelfarm_store::Store;
use wheelfarm_types::{Digest, Hasher};

use super::WHEELHOUSE;
use crate::wheelhouse::WheelhouseError;

/// 1980-01-01, in seconds since 1970.
const MODIFIED: u64 = 315_532_800;

/// A layer, whose bytes are made when they are written.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) digest: Digest,
    pub(super) size: u64,
    members: Vec<Member>,
}

/// A file in a layer.
#[derive(Debug)]
pub(super) struct Member {
    path: String,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Stored(Digest),
    Given(Bytes),
}

impl Member {
    /// A file whose content is in the store.
    pub(super) fn stored(path: String, digest: Digest) -> Self {
        let content = Content::Stored(digest);
        Self { path, content }
    }

    /// A file with this text.
    pub(super) fn given(path: String, text: String) -> Self {
        let content = Content::Given(text.into());
        Self { path, content }
    }
}

impl Layer {
    /// The layer of `members`, which are read to know its digest.
    pub(super) async fn new(store: &Store, members: Vec<Member>) -> Result<Self, WheelhouseError> {
        let mut sum = Sum::default();
        write(store, &members, &mut sum).await?;
        Ok(Self {
            digest: sum.hasher.finish(),
            size: sum.size,
            members,
        })
    }

    /// Writes its bytes; one wheel at a time is in memory.
    pub(super) async fn write(
        &self,
        store: &Store,
        out: &mut impl Write,
    ) -> Result<(), WheelhouseError> {
        write(store, &self.members, out).await
    }
}

async fn write(
    store: &Store,
    members: &[Member],
    out: &mut impl Write,
) -> Result<(), WheelhouseError> {
    let mut builder = tar::Builder::new(out);
    let mut directory = header(EntryType::Directory, 0, 0o755);
    builder.append_data(&mut directory, format!("{WHEELHOUSE}/"), io::empty())?;
    for member in members {
        let bytes = match &member.content {
            Content::Stored(digest) => store.get(digest).await?,
            Content::Given(bytes) => bytes.clone(),
        };
        let mut file = header(EntryType::Regular, bytes.len() as u64, 0o644);
        builder.append_data(&mut file, &member.path, bytes.as_ref())?;
    }
    builder.into_inner()?;
    Ok(())
}

/// The header of an entry that is root's and has no time of its own.
pub(super) fn header(kind: EntryType, size: u64, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(mode);
    header.set_mtime(MODIFIED);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Counts and hashes what is written.
#[derive(Debug, Default)]
struct Sum {
    hasher: Hasher,
    size: u64,
}

impl Write for Sum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
