//! The forms of an image: a layout in a directory, or one tar file.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;

use tar::EntryType;
use wheelfarm_store::Store;

use super::layer::header;
use super::{WheelhouseImage, blob};
use crate::atomic::{AtomicFile, write_atomic};
use crate::wheelhouse::{WheelhouseError, has_digest};

/// The file that tells a layout.
const MARK: &str = "oci-layout";

impl WheelhouseImage {
    /// Writes the image as an OCI layout into `directory`. One that is there is replaced: blobs that this image does
    /// not have are removed, those that it has are left alone. A directory with anything else in it is refused.
    pub async fn write_layout(
        &self,
        store: &Store,
        directory: &Path,
    ) -> Result<(), WheelhouseError> {
        let is_layout = directory.join(MARK).exists();
        let blobs = directory.join("blobs/sha256");
        if !is_layout && directory.exists() && fs_err::read_dir(directory)?.next().is_some() {
            let message = format!("{} has other files than an image", directory.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, message).into());
        }
        fs_err::create_dir_all(&blobs)?;
        // First, so that a run after one that was killed knows the directory for its own.
        if let Some(mark) = self.files.get(MARK) {
            write_atomic(&directory.join(MARK), mark)?;
        }
        for layer in &self.layers {
            let path = directory.join(blob(&layer.digest));
            if !has_digest(&path, layer.size, &layer.digest)? {
                let mut file = AtomicFile::create(&path)?;
                layer.write(store, file.writer()).await?;
                file.commit()?;
            }
        }
        // Names before what they name would be a layout that nobody can read.
        for (path, bytes) in &self.files {
            write_atomic(&directory.join(path), bytes)?;
        }
        let known: BTreeSet<_> = self.paths().collect();
        for entry in fs_err::read_dir(blobs)? {
            let entry = entry?;
            let path = format!("blobs/sha256/{}", entry.file_name().to_string_lossy());
            if !known.contains(&path) {
                fs_err::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    /// Writes the image as a tar file of its layout, which `docker load`, `podman load` and `skopeo` read.
    pub async fn write_tar(
        &self,
        store: &Store,
        out: &mut impl Write,
    ) -> Result<(), WheelhouseError> {
        let mut builder = tar::Builder::new(out);
        for directory in ["blobs/", "blobs/sha256/"] {
            let mut entry = header(EntryType::Directory, 0, 0o755);
            builder.append_data(&mut entry, directory, io::empty())?;
        }
        for layer in &self.layers {
            let mut entry = header(EntryType::Regular, layer.size, 0o644);
            let mut entry = entry_at(&mut builder, &mut entry, &blob(&layer.digest))?;
            layer.write(store, &mut entry).await?;
            let padding = layer.size.next_multiple_of(512) - layer.size;
            io::copy(&mut io::Read::take(io::repeat(0), padding), &mut entry)?;
        }
        for (path, bytes) in &self.files {
            let mut entry = header(EntryType::Regular, bytes.len() as u64, 0o644);
            builder.append_data(&mut entry, path, bytes.as_ref())?;
        }
        builder.into_inner()?.flush()?;
        Ok(())
    }

    /// The paths of all files.
    fn paths(&self) -> impl Iterator<Item = String> {
        let layers = self.layers.iter().map(|layer| blob(&layer.digest));
        layers.chain(self.files.keys().cloned())
    }
}

/// Where the content of an entry at `path`, which is short, is written to.
fn entry_at<'a, W: Write>(
    builder: &'a mut tar::Builder<W>,
    header: &mut tar::Header,
    path: &str,
) -> io::Result<&'a mut W> {
    header.set_path(path)?;
    header.set_cksum();
    let out = builder.get_mut();
    out.write_all(header.as_bytes())?;
    Ok(out)
}
