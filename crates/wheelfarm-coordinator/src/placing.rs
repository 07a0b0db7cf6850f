//! A wheelhouse out of the store, without wheels going through this process where that can be.
//!
//! Nothing may ever write to the store's files. A copy is made by the kernel; on file systems whose files can share
//! blocks (Btrfs, XFS) it takes neither time nor space, and a write to one of them does not change the other. A hard
//! link takes no space anywhere, but it *is* the store's file, with its owner and mode: `chown -R` or `chmod -R` on a
//! wheelhouse, or a tool that edits a wheel in place, would change the store. Permission bits do not prevent that:
//! who owns the one name owns the other, and root is bound by none of them. So links are for who asks for them, and
//! has to know who will write there.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use wheelfarm_store::Store;

use crate::atomic::{AtomicFile, write_atomic};
use crate::wheelhouse::{
    Delivered, WheelhouseError, digest_of, has_digest, write_locks, write_runtime_packages,
};

/// How a wheel of a store in a directory gets to another directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placing {
    /// As a copy, which shares blocks with the store where the file system can do that.
    Copy,
    /// As the store's own file, which is made read-only, where both are on one file system; else as a copy.
    HardLink,
}

/// Writes `wheels` out of `store` into `directory`, then their locks and what they need where they run, as
/// [`crate::write_wheelhouse`] does. Every wheel is checked; files that are there with the right bytes are left alone.
/// Returns the paths of the locks.
pub async fn place_wheelhouse(
    store: &Store,
    wheels: &[Delivered],
    directory: &Path,
    placing: Placing,
) -> Result<Vec<PathBuf>, WheelhouseError> {
    let files = files(wheels)?;
    fs_err::create_dir_all(directory)?;
    for (name, wheel) in files {
        place(store, wheel, &directory.join(name), placing).await?;
    }
    let locks = write_locks(wheels, directory)?;
    write_runtime_packages(wheels, directory)?;
    Ok(locks)
}

/// The files that `wheels` are, by name: one that several cells have is one file.
pub(crate) fn files(wheels: &[Delivered]) -> Result<BTreeMap<String, &Delivered>, WheelhouseError> {
    let mut files: BTreeMap<String, &Delivered> = BTreeMap::new();
    for wheel in wheels {
        let other = files.insert(wheel.filename.to_string(), wheel);
        if other.is_some_and(|other| other.sha256 != wheel.sha256) {
            return Err(WheelhouseError::TwoContents(wheel.filename.to_string()));
        }
    }
    Ok(files)
}

async fn place(
    store: &Store,
    wheel: &Delivered,
    path: &Path,
    placing: Placing,
) -> Result<(), WheelhouseError> {
    let is_local = store.directory().is_some();
    let blob = is_local.then(|| PathBuf::from(store.locate(&wheel.sha256)));
    let linked = blob.as_deref().is_some_and(|blob| is_one(blob, path));
    if linked == (placing == Placing::HardLink) && has_digest(path, wheel.size, &wheel.sha256)? {
        return Ok(());
    }
    if let Some(blob) = blob {
        let placed = match placing {
            Placing::HardLink => link(&blob, wheel, path)? || copy(&blob, wheel, path)?,
            Placing::Copy => copy(&blob, wheel, path)?,
        };
        if placed {
            return Ok(());
        }
    }
    // The store says what is wrong with a blob, or has it.
    write_atomic(path, &store.get(&wheel.sha256).await?)?;
    Ok(())
}

/// Whether both are names of one file.
fn is_one(one: &Path, other: &Path) -> bool {
    let place = |path| {
        let metadata = fs_err::symlink_metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    };
    place(one).is_some_and(|one| place(other) == Some(one))
}

/// Copies `blob`; whether it could be read and has the wheel's digest.
fn copy(blob: &Path, wheel: &Delivered, path: &Path) -> Result<bool, WheelhouseError> {
    let Ok(source) = fs_err::File::open(blob) else {
        return Ok(false);
    };
    let target = AtomicFile::create(path)?;
    // From file to file: the kernel is asked to copy, or to share blocks.
    io::copy(&mut source.file(), &mut target.file())?;
    let is_right = digest_of(target.temporary())? == wheel.sha256;
    if is_right {
        target.commit()?;
    }
    Ok(is_right)
}

/// Makes `path` a name of `blob`, which is made read-only; whether that could be done and it has the wheel's digest.
fn link(blob: &Path, wheel: &Delivered, path: &Path) -> Result<bool, WheelhouseError> {
    if !has_digest(blob, wheel.size, &wheel.sha256)? {
        return Ok(false);
    }
    let read_only = std::fs::Permissions::from_mode(0o444);
    let linked = fs_err::set_permissions(blob, read_only).and_then(|()| {
        let directory = path.parent().unwrap_or(Path::new("."));
        let mut temporary = tempfile::Builder::new();
        // A link cannot take the place of a file, but a file that is renamed can.
        temporary
            .prefix(".wheelfarm-")
            .make_in(directory, |name| fs_err::hard_link(blob, name))
    });
    match linked {
        Ok(linked) => {
            linked.persist(path).map_err(|error| error.error)?;
            Ok(true)
        }
        // Another file system, or one without links; a store of somebody else.
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use bytes::Bytes;
    use wheelfarm_types::Digest;

    use super::*;

    async fn store_with(bytes: &'static str) -> (tempfile::TempDir, Store, Delivered) {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("store").display().to_string();
        let store = Store::open(&address).await.unwrap();
        let wheel = Delivered {
            cell: "cp311-manylinux_2_36_x86_64".to_owned(),
            python: "3.11".parse().unwrap(),
            project: "x".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            filename: "x-1.0-py3-none-any.whl".parse().unwrap(),
            sha256: store.put(Bytes::from(bytes)).await.unwrap(),
            size: bytes.len() as u64,
            runtime_packages: BTreeSet::new(),
        };
        (folder, store, wheel)
    }

    fn blob(store: &Store, wheel: &Delivered) -> PathBuf {
        PathBuf::from(store.locate(&wheel.sha256))
    }

    #[tokio::test]
    async fn writing_to_the_wheelhouse_never_reaches_the_store() {
        let (folder, store, wheel) = store_with("wheel").await;
        let out = folder.path().join("out");
        let wheels = [wheel.clone()];
        let locks = place_wheelhouse(&store, &wheels, &out, Placing::Copy).await;
        assert_eq!(locks.unwrap().len(), 2);
        let path = out.join("x-1.0-py3-none-any.whl");
        assert!(!is_one(&blob(&store, &wheel), &path));
        fs_err::write(&path, "other").unwrap();
        assert_eq!(store.get(&wheel.sha256).await.unwrap(), "wheel");
        // And what was changed is put right by the next export.
        place_wheelhouse(&store, &wheels, &out, Placing::Copy)
            .await
            .unwrap();
        assert_eq!(fs_err::read_to_string(&path).unwrap(), "wheel");
        assert_eq!(fs_err::read_dir(&out).unwrap().count(), 3);
    }

    #[tokio::test]
    async fn links_are_the_stores_files_and_read_only() {
        let (folder, store, wheel) = store_with("wheel").await;
        let (out, wheels) = (folder.path().join("out"), [wheel.clone()]);
        let path = out.join("x-1.0-py3-none-any.whl");
        for placing in [
            Placing::Copy,
            Placing::HardLink,
            Placing::HardLink,
            Placing::Copy,
        ] {
            place_wheelhouse(&store, &wheels, &out, placing)
                .await
                .unwrap();
            let linked = is_one(&blob(&store, &wheel), &path);
            assert_eq!(linked, placing == Placing::HardLink);
            let mode = fs_err::metadata(&path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, if linked { 0o444 } else { 0o644 });
            assert_eq!(fs_err::read_dir(&out).unwrap().count(), 3);
        }
    }

    #[tokio::test]
    async fn damaged_wheels_are_not_handed_out() {
        let (folder, store, wheel) = store_with("wheel").await;
        fs_err::write(blob(&store, &wheel), "whale").unwrap();
        let out = folder.path().join("out");
        for placing in [Placing::Copy, Placing::HardLink] {
            let error = place_wheelhouse(&store, std::slice::from_ref(&wheel), &out, placing);
            let error = error.await.unwrap_err().to_string();
            assert!(error.contains("verify --repair"), "{error}");
            assert_eq!(fs_err::read_dir(&out).unwrap().count(), 0);
        }
    }

    #[test]
    fn one_name_has_one_content() {
        let wheel = |cell: &str, bytes: &str| Delivered {
            cell: cell.to_owned(),
            python: "3.11".parse().unwrap(),
            project: "x".parse().unwrap(),
            version: "1.0".parse().unwrap(),
            filename: "x-1.0-py3-none-any.whl".parse().unwrap(),
            sha256: Digest::of(bytes),
            size: 1,
            runtime_packages: BTreeSet::new(),
        };
        assert_eq!(files(&[wheel("a", "1"), wheel("b", "1")]).unwrap().len(), 1);
        let error = files(&[wheel("a", "1"), wheel("b", "2")]).unwrap_err();
        assert!(
            error.to_string().contains("x-1.0-py3-none-any.whl"),
            "{error}"
        );
    }
}
