//! Names of images: a small file for each, which is replaced as a whole when the name comes to mean another image.

use std::io::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use wheelfarm_types::Digest;

use crate::error::{Result, io};
use crate::sandbox::Shared;

/// Below it lie the names.
const NAMES: &str = "names";
const SUFFIX: &str = ".json";

/// A name, and what it means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Name {
    /// `wheelfarm/debian-12:x86_64`, or the reference by which the image was pulled.
    pub(super) name: String,
    /// The image's id.
    pub(super) image: String,
}

impl Shared {
    /// What `name` means, if it means anything.
    pub(super) fn name(&self, name: &str) -> Result<Option<Name>> {
        match fs_err::read(self.name_file(name)) {
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io("read the name of an image")(error)),
        }
    }

    /// All names, those that were given last first. One that cannot be read means nothing.
    pub(super) fn names(&self) -> Result<Vec<Name>> {
        let failed = "list the names of images";
        let entries = match fs_err::read_dir(self.directory.join(NAMES)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(io(failed)(error)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let path = entry.map_err(io(failed))?.path();
            if !path.to_string_lossy().ends_with(SUFFIX) {
                continue;
            }
            // Another process may have replaced it just now.
            let (Ok(text), Ok(meta)) = (fs_err::read(&path), fs_err::metadata(&path)) else {
                continue;
            };
            if let Ok(name) = serde_json::from_slice::<Name>(&text) {
                names.push((meta.modified().ok(), name));
            }
        }
        names.sort_by(|(one, _), (two, _)| two.cmp(one));
        Ok(names.into_iter().map(|(_, name)| name).collect())
    }

    /// Lets `name` mean `image`.
    pub(super) fn give_name(&self, name: &str, image: &str) -> Result<()> {
        let failed = "give an image its name";
        let given = Name {
            name: name.to_owned(),
            image: image.to_owned(),
        };
        let directory = self.directory.join(NAMES);
        fs_err::create_dir_all(&directory).map_err(io(failed))?;
        let mut file = tempfile::NamedTempFile::new_in(&directory).map_err(io(failed))?;
        let text = serde_json::to_vec_pretty(&given)
            .map_err(|error| io(failed)(std::io::Error::other(error)))?;
        file.write_all(&text).map_err(io(failed))?;
        let persisted = file.persist(self.name_file(name));
        persisted.map_err(|error| io(failed)(error.error))?;
        Ok(())
    }

    fn name_file(&self, name: &str) -> PathBuf {
        let file = format!("{}{SUFFIX}", Digest::of(name));
        self.directory.join(NAMES).join(file)
    }
}
