//! Unpacks images, and puts them into place when they are whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::LogSink;
use wheelfarm_types::Digest;

use super::record::ImageRecord;
use super::{RECORD, ROOT, image_directory};
use crate::error::{Result, cancelled, io};
use crate::input_file::{Content, InputFile};
use crate::sandbox::Shared;
use crate::sandbox::launch::{Unpack, Work};
use crate::sandbox::place::{MAKING, Place};

/// What a layer is called while it is unpacked.
const ARCHIVE: &str = "layer";
/// What says how large it was.
const SUMMARY: &str = "size";

/// Where a layer is.
pub(super) enum Layer {
    /// In a file on this machine, which may be moved away.
    Made(PathBuf),
    /// In the store.
    Stored(Digest),
}

impl Shared {
    /// Makes the image of `record` from its layers, the lowest first, and puts it into place. What the layers unpack to
    /// must have the digests that `record` says; how large that is, it need not know yet.
    pub(super) async fn put_image(
        self: &Arc<Self>,
        record: ImageRecord,
        layers: Vec<Layer>,
        progress: &LogSink,
        cancel: &CancellationToken,
    ) -> Result<ImageRecord> {
        let place = Place::new(Arc::clone(self), MAKING)?;
        let made = make(&place, record, layers, progress, cancel).await;
        place.close().await;
        made
    }
}

async fn make(
    place: &Place,
    mut record: ImageRecord,
    layers: Vec<Layer>,
    progress: &LogSink,
    cancel: &CancellationToken,
) -> Result<ImageRecord> {
    let shared = &place.shared;
    let image = place.directory("image")?;
    let count = layers.len();
    record.size = 0;
    for (number, (layer, digest)) in layers.into_iter().zip(&record.layers).enumerate() {
        if count > 1 {
            progress(&format!("unpacking layer {} of {count}", number + 1));
        }
        let unpack = Unpack {
            archive: bring(place, layer, cancel).await?,
            into: image.join(ROOT),
            // What the lowest layer removes is not there.
            whiteouts: count > 1,
            digest: digest.strip_prefix("sha256:").map(str::to_owned),
            summary: Some(place.join(SUMMARY)),
        };
        let work = Work::Unpack(unpack);
        let unpacked = shared.work(&work, cancel).await;
        unpacked.map_err(|mut error| {
            error.message = format!(
                "the layer {digest} of the image {}: {}",
                record.id, error.message
            );
            error
        })?;
        record.size += read_size(&shared.absolute(&place.join(SUMMARY)))?;
        shared.remove(&place.join(ARCHIVE)).await;
    }
    let failed = "write what an image is";
    let text = serde_json::to_vec_pretty(&record);
    let text = text.map_err(|error| io(failed)(std::io::Error::other(error)))?;
    let directory = shared.absolute(&image);
    fs_err::write(directory.join(RECORD), text).map_err(io(failed))?;
    shared.settle(&image, &image_directory(&record.id)?).await?;
    Ok(record)
}

/// Puts a layer where the launcher can read it. Returns its path, relative to the sandbox's directory.
async fn bring(place: &Place, layer: Layer, cancel: &CancellationToken) -> Result<PathBuf> {
    let shared = &place.shared;
    let archive = place.join(ARCHIVE);
    match layer {
        Layer::Stored(digest) => {
            let file = InputFile {
                path: ARCHIVE.to_owned(),
                content: Content::Stored(digest),
                executable: false,
            };
            let what = "reading the layers of an image";
            shared.write(&place.path, vec![file], what, cancel).await?;
        }
        Layer::Made(from) => {
            let to = shared.absolute(&archive);
            if fs_err::rename(&from, &to).is_err() {
                // It lies on another file system.
                let copy = tokio::fs::copy(from, &to);
                let copied = cancel.run_until_cancelled(copy).await;
                let copied = copied.ok_or_else(|| cancelled("copying a file system"))?;
                copied.map_err(io("copy the file system that mmdebstrap made"))?;
            }
            shared.give(&to)?;
        }
    }
    Ok(archive)
}

fn read_size(summary: &Path) -> Result<u64> {
    let failed = "read how large an image is";
    let text = fs_err::read_to_string(summary).map_err(io(failed))?;
    let size = text.trim().parse();
    size.map_err(|error| io(failed)(std::io::Error::other(error)))
}
