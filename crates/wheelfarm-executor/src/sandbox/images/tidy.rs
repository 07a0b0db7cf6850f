//! Images that have lost their name, since it means a newer one.
//!
//! Such an image goes when the next one is made or pulled and nothing uses it: no environment stands on it, and no
//! container of any process runs in it, which would hold a lock on its record. Else it stays until then.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::{IMAGES, RECORD, image_directory};
use crate::error::Result;
use crate::sandbox::Shared;
use crate::sandbox::place::{MAKING, Place};

impl Shared {
    /// Removes images that have no name and that nothing uses. What cannot be removed stays: it is no reason to fail work
    /// that is done.
    pub(super) async fn tidy_images(self: &Arc<Self>) {
        let Ok(place) = Place::new(Arc::clone(self), MAKING) else {
            return;
        };
        // Where something cannot be read, nobody knows what is unused: all of it stays.
        if let Ok(unused) = self.unused_images() {
            for image in unused {
                let path = Path::new(IMAGES).join(image);
                self.take_away(&path, RECORD, &place).ok();
            }
        }
        place.close().await;
    }

    /// The directories of images that have no name and no environment.
    fn unused_images(&self) -> Result<Vec<String>> {
        let named = self.names()?.into_iter().map(|name| name.image);
        let used: Result<BTreeSet<_>> = named
            .chain(self.bases()?)
            .map(|id| image_directory(&id))
            .collect();
        let used = used?;
        let mut images = self.names_in(IMAGES)?;
        images.retain(|image| !used.contains(&Path::new(IMAGES).join(image)));
        Ok(images)
    }
}
