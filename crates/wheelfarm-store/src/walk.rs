//! All files below a directory, while others add and remove some.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

/// Calls `look` with every file below `root`. One that another process removes in between is passed over.
pub(crate) fn files_below(
    root: &Path,
    mut look: impl FnMut(PathBuf, &Metadata) -> io::Result<()>,
) -> io::Result<()> {
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(&folder)? {
            let entry = entry?;
            let Ok(metadata) = entry.metadata() else {
                continue;
            };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                look(entry.path(), &metadata)?;
            }
        }
    }
    Ok(())
}
