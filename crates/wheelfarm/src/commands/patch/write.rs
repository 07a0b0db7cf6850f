//! Writing a file as a whole: readers see the old one or the new one, and a program
//! that runs keeps the one it was started from.

use std::io::Write;
use std::path::Path;

use super::Refusal;
use super::words::reason;

/// Puts `bytes` in place of `file`, whose mode stays; links are followed.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> Result<(), Refusal> {
    let refused =
        |error: &std::io::Error| format!("writing '{}': {}", file.display(), reason(error));
    let written = || -> std::io::Result<()> {
        let Ok(target) = fs_err::canonicalize(file) else {
            return swap(file, bytes, None);
        };
        let metadata = fs_err::metadata(&target)?;
        if !metadata.is_file() {
            // A device or a pipe cannot be replaced.
            return fs_err::OpenOptions::new()
                .write(true)
                .open(&target)?
                .write_all(bytes);
        }
        swap(&target, bytes, Some(metadata.permissions()))
    };
    written().map_err(|error| refused(&error))
}

fn swap(
    file: &Path,
    bytes: &[u8],
    permissions: Option<std::fs::Permissions>,
) -> std::io::Result<()> {
    let parent = file
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let mut builder = tempfile::Builder::new();
    builder.prefix(".wheelfarm-patch-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // A new file: what the umask leaves of it.
        builder.permissions(std::fs::Permissions::from_mode(0o777));
    }
    let mut new = builder.tempfile_in(parent.unwrap_or(Path::new(".")))?;
    new.write_all(bytes)?;
    if let Some(permissions) = permissions {
        new.as_file().set_permissions(permissions)?;
    }
    new.persist(file)?;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::replace;

    #[test]
    fn mode_and_link_stay() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        fs_err::write(&file, "old").unwrap();
        let mode = std::fs::Permissions::from_mode(0o555);
        fs_err::set_permissions(&file, mode).unwrap();
        symlink("file", &link).unwrap();
        replace(&link, b"new").unwrap();
        assert_eq!(fs_err::read(&file).unwrap(), b"new");
        assert!(fs_err::symlink_metadata(&link).unwrap().is_symlink());
        let mode = fs_err::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o555);
        let left = fs_err::read_dir(directory.path()).unwrap().count();
        assert_eq!(left, 2, "no temporary file stays");
    }

    #[test]
    fn a_missing_directory_is_named() {
        let error = replace(std::path::Path::new("/absent/file"), b"").unwrap_err();
        assert_eq!(error, "writing '/absent/file': No such file or directory");
    }
}
