//! Containers of failed actions that are kept to be looked into.
//!
//! No process is left: what is kept is the directory, with the work directory on disk instead of in memory, and what the
//! container was made of, so that it can be entered again.

use std::path::{Path, PathBuf};

use wheelfarm_build::action::{Kept, WORK_DIR};

use crate::error::{Result, error, io};
use crate::sandbox::launch::{Bind, Container, Work};
use crate::sandbox::place::Place;
use crate::sandbox::{Sandbox, Shared};
use wheelfarm_build::action::ExecutorErrorKind;

/// Below it lie the containers that are kept.
const KEPT: &str = "kept";
/// The container, in its directory.
const CONTAINER: &str = "container.json";
/// The work directory, in the container's.
const WORK: &str = "build";

/// A work directory on disk, for a container that may have to be kept.
pub(crate) fn work_directory(place: &Place) -> Result<Bind> {
    place.directory(WORK)?;
    place.make_public(WORK)?;
    Ok(Bind {
        source: place.join(WORK),
        target: WORK_DIR.to_owned(),
        read_only: false,
    })
}

/// Keeps the place of a container that has ended. None if that does not work: then it goes like others.
pub(crate) fn keep(place: &mut Place, work: &Work) -> Option<Kept> {
    let Work::Container(container) = work else {
        return None;
    };
    let target = Path::new(KEPT).join(&place.name);
    let container = moved(container, &place.path, &target);
    let text = serde_json::to_vec(&container).ok()?;
    let shared = &place.shared;
    fs_err::write(shared.absolute(&place.join(CONTAINER)), text).ok()?;
    fs_err::create_dir_all(shared.absolute(Path::new(KEPT))).ok()?;
    fs_err::rename(shared.absolute(&place.path), shared.absolute(&target)).ok()?;
    place.keep();
    let name = &place.name;
    Some(Kept {
        enter: format!("wheelfarm sandbox enter {name}"),
        remove: format!("wheelfarm sandbox remove {name}"),
    })
}

/// `container` after its place was moved.
fn moved(container: &Container, from: &Path, to: &Path) -> Container {
    let mut container = container.clone();
    for bind in &mut container.binds {
        if let Ok(rest) = bind.source.strip_prefix(from) {
            bind.source = to.join(rest);
        }
    }
    to.clone_into(&mut container.place);
    container
}

impl Sandbox {
    /// The names of the containers that are kept.
    pub fn kept(&self) -> Result<Vec<String>> {
        self.shared.names_in(KEPT)
    }

    /// Removes a container that was kept.
    pub async fn remove_kept(&self, name: &str) -> Result<()> {
        let path = self.shared.kept_path(name)?;
        self.shared.remove(&path).await;
        Ok(())
    }
}

impl Shared {
    /// What the kept container `name` is made of.
    pub(crate) fn kept_container(&self, name: &str) -> Result<Container> {
        let file = self.absolute(&self.kept_path(name)?.join(CONTAINER));
        let text = fs_err::read(&file).map_err(io("read what a kept container is"))?;
        serde_json::from_slice(&text).map_err(|source| {
            let message = format!("{} is damaged: {source}", file.display());
            error(ExecutorErrorKind::Engine, message)
        })
    }

    fn kept_path(&self, name: &str) -> Result<PathBuf> {
        let path = Path::new(KEPT).join(name);
        let plain = name
            .chars()
            .all(|char| char.is_ascii_alphanumeric() || char == '-');
        if plain && !name.is_empty() && self.absolute(&path).exists() {
            return Ok(path);
        }
        let message = format!("there is no kept container called `{name}`");
        Err(error(ExecutorErrorKind::Engine, message))
    }
}
