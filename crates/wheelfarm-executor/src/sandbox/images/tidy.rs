//! Images that have lost their name, since it means a newer one.
//!
//! Such an image goes when the next one is made or pulled and nothing uses it: no environment stands on it, and no
//! container of any process runs in it, which would hold a lock on its record. Else it stays until then.

use std::path::Path;
use std::sync::Arc;

use super::{IMAGES, RECORD};
use crate::error::{Result, io};
use crate::sandbox::Shared;
use crate::sandbox::place::{MAKING, Place};

/// Below it lie environments, whose records name the image that they stand on.
const ENVIRONMENTS: &str = "environments";

impl Shared {
    /// Removes images that have no name and that nothing uses. What cannot be removed stays: it is no reason to fail work
    /// that is done.
    pub(super) async fn tidy_images(self: &Arc<Self>) {
        for image in self.names_in(IMAGES).unwrap_or_default() {
            if self.is_unused(&image).unwrap_or(false) {
                self.remove_image(&image).await.ok();
            }
        }
    }

    fn is_unused(&self, image: &str) -> Result<bool> {
        let names = self.names()?;
        if names.iter().any(|name| name.image.ends_with(image)) {
            return Ok(false);
        }
        for environment in self.names_in(ENVIRONMENTS)? {
            let directory = self.directory.join(ENVIRONMENTS).join(environment);
            for entry in fs_err::read_dir(directory).map_err(io("look into an environment"))? {
                let path = entry.map_err(io("look into an environment"))?.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "json")
                {
                    let text = fs_err::read_to_string(path);
                    if text
                        .map_err(io("look into an environment"))?
                        .contains(image)
                    {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }

    async fn remove_image(self: &Arc<Self>, image: &str) -> Result<()> {
        let failed = "remove an image that nothing uses";
        let directory = Path::new(IMAGES).join(image);
        let record = fs_err::File::open(self.directory.join(&directory).join(RECORD));
        // Held until it is out of the way, so that nobody begins to use it.
        let record = record.map_err(io(failed))?;
        if record.file().try_lock().is_err() {
            return Ok(());
        }
        let place = Place::new(Arc::clone(self), MAKING)?;
        let moved = fs_err::rename(
            self.directory.join(directory),
            self.directory.join(place.join(image)),
        );
        place.close().await;
        moved.map_err(io(failed))
    }
}
