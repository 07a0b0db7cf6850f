//! Pythons that are compiled for an image: kept in the store as a tree of files, which is mounted where it belongs.
//!
//! So an image has as many Pythons as were compiled for it, its environments serve all of them, and another Python
//! changes neither the image nor anything that was built for the others.

mod compile;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wheelfarm_store::{Created, Store, StoreError};
use wheelfarm_types::{Arch, Digest, PythonVersion};

use crate::catalogue::{BuilderImage, Catalogue};
use crate::records::{PinnedFile, kind};

pub use compile::{Compiler, PythonSource};

/// Everything that can change the files of a compiled Python, but for updates of the packages of one release of the
/// distribution. The digest of its canonical JSON is its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PythonInputs {
    /// Which meaning of the other members this is.
    pub schema: u32,
    /// Python.
    pub python: PythonVersion,
    /// The architecture.
    pub arch: Arch,
    /// Its source archive.
    pub source: PinnedFile,
    /// What the builder image is: see [`crate::catalogue::ImageFacts`].
    pub image_content: Digest,
    /// System packages that it is compiled with.
    pub packages: Vec<String>,
    /// The scripts that do it.
    pub scripts: Digest,
}

/// A compiled Python.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PythonRecord {
    /// What it was made from.
    pub inputs: PythonInputs,
    /// `3.13.5`: what it says of itself.
    pub release: String,
    /// Its files: a `.tar.gz` of what is below [`crate::catalogue::python_prefix`].
    pub tree: Digest,
    /// What the compilation printed.
    pub log: Digest,
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The Pythons that were compiled for an image: the newest entry of its series holds all.
type Known = BTreeMap<PythonVersion, Tree>;

/// The files of a compiled Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Tree {
    tree: Digest,
}

/// Adds to every image of `catalogue` the Pythons that were compiled for it with `store`.
pub async fn add_compiled(catalogue: &mut Catalogue, store: &Store) -> Result<(), StoreError> {
    for image in catalogue.images_mut() {
        if image.compilable.is_empty() {
            continue;
        }
        let known = store.latest::<Known>(kind::PYTHON, &series(image)).await?;
        for (python, Tree { tree }) in known.map(|(_, known)| known).unwrap_or_default() {
            // One that was lost is no Python of the image until it is compiled again.
            if store.contains(&tree).await? {
                image.add_compiled(python, tree);
            }
        }
    }
    Ok(())
}

/// Files that `image` has `python`, whose files are `tree`.
async fn remember(
    store: &Store,
    image: &BuilderImage,
    python: PythonVersion,
    tree: Digest,
) -> Result<(), StoreError> {
    let series = series(image);
    loop {
        let latest = store.latest::<Known>(kind::PYTHON, &series).await?;
        let (number, mut known) = latest.unwrap_or_default();
        if known.insert(python, Tree { tree }) == Some(Tree { tree }) {
            return Ok(());
        }
        // Another process may have added one in between.
        if store
            .append(kind::PYTHON, &series, number + 1, &known)
            .await?
            == Created::New
        {
            return Ok(());
        }
    }
}

fn series(image: &BuilderImage) -> Digest {
    crate::key::canonical_digest(&(&image.name, image.target.arch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_image_has_what_was_compiled_for_it_and_is_still_stored() {
        let store = Store::open("memory:").await.unwrap();
        let pythons = async || {
            let mut catalogue = Catalogue::builtin(Arch::X86_64);
            add_compiled(&mut catalogue, &store).await.unwrap();
            let names = |name| {
                let image: &BuilderImage = catalogue.get(name).unwrap();
                let names: Vec<_> = image.pythons.iter().map(ToString::to_string).collect();
                names.join(" ")
            };
            (names("debian-11"), names("debian-12"))
        };
        let catalogue = Catalogue::builtin(Arch::X86_64);
        let image = catalogue.get("debian-11").unwrap();
        for python in ["3.13", "3.11", "3.13"] {
            let tree = store.put(python.into()).await.unwrap();
            remember(&store, image, python.parse().unwrap(), tree)
                .await
                .unwrap();
        }
        let lost = Digest::of("lost");
        remember(&store, image, "3.14".parse().unwrap(), lost)
            .await
            .unwrap();
        let expected = ("3.9 3.11 3.13".to_owned(), "3.11".to_owned());
        assert_eq!(pythons().await, expected);
    }
}
