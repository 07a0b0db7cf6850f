//! What interrupted writes leave in a directory.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::walk::files_below;

/// Removes spools and unfinished writes (`<name>#<n>`) from before `oldest`, in seconds since 1970, and returns their
/// sizes.
pub(crate) fn remove(store: &Path, oldest: u64, dry_run: bool) -> io::Result<Vec<u64>> {
    let oldest = SystemTime::UNIX_EPOCH + Duration::from_secs(oldest);
    let incoming = store.join("incoming");
    let mut sizes = Vec::new();
    files_below(store, |path, metadata| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let unfinished = name.rsplit_once('#').is_some_and(|(_, number)| {
            !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
        });
        let is_old = metadata.modified().is_ok_and(|modified| modified < oldest);
        if is_old && (unfinished || path.parent() == Some(incoming.as_path())) {
            sizes.push(metadata.len());
            if !dry_run {
                fs_err::remove_file(&path)?;
            }
        }
        Ok(())
    })?;
    Ok(sizes)
}
