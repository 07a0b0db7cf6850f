//! A compiled Python as a directory, for final stages that have none of that version.

use std::io;
use std::path::Path;

use wheelfarm_store::Store;
use wheelfarm_types::Digest;

use crate::WheelhouseError;

/// Writes the files of the compiled Python `tree` to `directory`, which must not be there yet or be empty, whole or not at
/// all.
pub async fn write_python(
    store: &Store,
    tree: &Digest,
    directory: &Path,
) -> Result<(), WheelhouseError> {
    let archive = store.file(tree).await?;
    let directory = directory.to_owned();
    let write = move || {
        if let Ok(mut entries) = fs_err::read_dir(&directory)
            && entries.next().is_some()
        {
            let text = format!("{} is there and not empty", directory.display());
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, text));
        }
        let parent = directory
            .parent()
            .filter(|path| !path.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        fs_err::create_dir_all(parent)?;
        let work = tempfile::Builder::new()
            .prefix(".wheelfarm-")
            .tempdir_in(parent)?;
        let whole = work.path().join("tree");
        // Readable for all, unlike the temporary directory.
        fs_err::create_dir(&whole)?;
        // Entries that would leave the directory are refused.
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(archive));
        archive.set_preserve_permissions(true);
        archive.unpack(&whole)?;
        fs_err::rename(&whole, &directory)
    };
    let written = tokio::task::spawn_blocking(write).await;
    Ok(written.map_err(io::Error::other)??)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A tree with one file that is a program.
    fn tree() -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(6);
        let name = "bin/python3.13";
        builder
            .append_data(&mut header, name, &b"python"[..])
            .unwrap();
        let tar = builder.into_inner().unwrap();
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(&tar).unwrap();
        gz.finish().unwrap()
    }

    #[tokio::test]
    async fn a_python_is_written_whole_or_not_at_all() {
        let store = Store::open("memory:").await.unwrap();
        let whole = tree();
        let cut = store.put(whole[..60].to_vec().into()).await.unwrap();
        let whole = store.put(whole.into()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("opt/python");
        write_python(&store, &cut, &at).await.unwrap_err();
        assert!(!at.exists());
        write_python(&store, &whole, &at).await.unwrap();
        let program = at.join("bin/python3.13");
        assert_eq!(fs_err::read(&program).unwrap(), b"python");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs_err::metadata(program).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o755);
        let error = write_python(&store, &whole, &at).await.unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
        let left = fs_err::read_dir(folder.path().join("opt")).unwrap();
        assert_eq!(left.count(), 1, "nothing of what failed is left");
    }
}
