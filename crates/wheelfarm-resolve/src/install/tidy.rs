//! What an installer leaves that differs from run to run, taken away.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};

use crate::ResolveError;

/// What uv keeps for itself: when it saw a wheel's file. It is listed in RECORD.
const CACHE_INFO: &str = "uv_cache.json";
/// The lock file that uv leaves at the top.
const LOCK: &str = ".lock";
/// 1980-01-01, in seconds since 1970: the earliest time that a zip file can hold.
const MODIFIED: i64 = 315_532_800;

/// Puts the tree right: uv's own files go, RECORD files are sorted, and times and modes are set. Files are readable for
/// all, programs can be run by all.
pub(super) fn tidy(tree: &Path) -> Result<(), ResolveError> {
    let lock = tree.join(LOCK);
    if lock.exists() {
        fs_err::remove_file(lock)?;
    }
    tidy_directory(tree)
}

fn tidy_directory(directory: &Path) -> Result<(), ResolveError> {
    let is_metadata = directory
        .extension()
        .is_some_and(|extension| extension == "dist-info");
    if is_metadata {
        tidy_metadata(directory)?;
    }
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            tidy_directory(&path)?;
            continue;
        }
        if kind.is_file() {
            let mode = entry.metadata()?.permissions().mode();
            set_mode(&path, if mode & 0o100 == 0 { 0o644 } else { 0o755 })?;
        }
        set_time(&path)?;
    }
    set_mode(directory, 0o755)?;
    set_time(directory)
}

/// Takes uv's file out of a `.dist-info` directory and its RECORD, and sorts that.
fn tidy_metadata(directory: &Path) -> Result<(), ResolveError> {
    let cache_info = directory.join(CACHE_INFO);
    if cache_info.exists() {
        fs_err::remove_file(cache_info)?;
    }
    let record = directory.join("RECORD");
    if !record.exists() {
        return Ok(());
    }
    let name = directory.file_name().unwrap_or_default().to_string_lossy();
    let text = fs_err::read_to_string(&record)?;
    fs_err::write(&record, tidied(&text, &format!("{name}/{CACHE_INFO},")))?;
    Ok(())
}

/// The lines of a RECORD in order, without the one that begins with `gone`.
fn tidied(record: &str, gone: &str) -> String {
    let mut lines: Vec<_> = record
        .lines()
        .filter(|line| !line.starts_with(gone))
        .collect();
    lines.sort_unstable();
    let mut text = lines.join("\n");
    text.push('\n');
    text
}

fn set_mode(path: &Path, mode: u32) -> Result<(), ResolveError> {
    Ok(fs_err::set_permissions(
        path,
        std::fs::Permissions::from_mode(mode),
    )?)
}

/// Sets the time of a file, a directory or a link itself.
fn set_time(path: &Path) -> Result<(), ResolveError> {
    let time = Timespec {
        tv_sec: MODIFIED,
        tv_nsec: 0,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| {
        let error = std::io::Error::from(error);
        std::io::Error::new(error.kind(), format!("{}: {error}", path.display())).into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_lists_what_is_left_in_order() {
        let record = "b.py,sha256=x,1\nx-1.dist-info/uv_cache.json,sha256=y,2\na.py,,\n";
        let tidied = tidied(record, "x-1.dist-info/uv_cache.json,");
        assert_eq!(tidied, "a.py,,\nb.py,sha256=x,1\n");
    }

    #[test]
    fn times_and_modes_are_set_and_what_uv_left_goes() {
        let folder = tempfile::tempdir().unwrap();
        let info = folder.path().join("x-1.dist-info");
        fs_err::create_dir(&info).unwrap();
        fs_err::write(folder.path().join(".lock"), "").unwrap();
        fs_err::write(info.join("uv_cache.json"), "{}").unwrap();
        fs_err::write(info.join("RECORD"), "x-1.dist-info/uv_cache.json,,\n").unwrap();
        fs_err::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        let program = folder.path().join("program");
        fs_err::write(&program, "").unwrap();
        set_mode(&program, 0o700).unwrap();
        tidy(folder.path()).unwrap();
        assert!(!folder.path().join(".lock").exists());
        assert_eq!(fs_err::read_dir(&info).unwrap().count(), 1);
        for (name, mode) in [
            ("program", 0o755),
            ("x-1.dist-info/RECORD", 0o644),
            ("", 0o755),
        ] {
            let metadata = fs_err::metadata(folder.path().join(name)).unwrap();
            assert_eq!(metadata.permissions().mode() & 0o777, mode, "{name}");
        }
        for name in ["program", "link", "x-1.dist-info"] {
            let metadata = fs_err::symlink_metadata(folder.path().join(name)).unwrap();
            assert_eq!(
                std::os::unix::fs::MetadataExt::mtime(&metadata),
                MODIFIED,
                "{name}"
            );
        }
    }
}
