//! Files that are put where an action finds them.

use std::collections::BTreeSet;
use std::path::Path;

use bytes::Bytes;
use wheelfarm_build::action::{Action, ExecutorError, ExecutorErrorKind};
use wheelfarm_types::Digest;

use crate::error::{Result, error};

/// 1980-01-01: the earliest time that a zip file can hold, should a build copy a file's time into one.
pub(crate) const MODIFIED: u64 = 315_532_800;

/// A file to put where an action finds it.
pub(crate) struct InputFile {
    /// Relative path there.
    pub(crate) path: String,
    /// Where its bytes come from.
    pub(crate) content: Content,
    /// Whether it is a program.
    pub(crate) executable: bool,
}

/// Where a file's bytes come from.
pub(crate) enum Content {
    Stored(Digest),
    Given(Bytes),
}

/// The inputs of `action`, and `more`.
pub(crate) fn of_action(action: &Action, more: Vec<InputFile>) -> Vec<InputFile> {
    let stored = action.inputs.iter().map(|(path, digest)| InputFile {
        path: path.clone(),
        content: Content::Stored(*digest),
        executable: false,
    });
    more.into_iter().chain(stored).collect()
}

/// Every directory above a file, outermost first, and that no path is empty or given twice.
pub(crate) fn directories(files: &[InputFile]) -> Result<BTreeSet<String>> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for file in files {
        if file.path.is_empty() || !seen.insert(&file.path) {
            return Err(bad_path(&file.path, "it is empty or given twice"));
        }
        let parents = Path::new(&file.path).ancestors().skip(1);
        found.extend(
            parents
                .filter_map(Path::to_str)
                .filter(|parent| !parent.is_empty())
                .map(str::to_owned),
        );
    }
    Ok(found)
}

pub(crate) fn bad_path(path: &str, detail: &str) -> ExecutorError {
    let message = format!("`{path}` cannot be the path of an input: {detail}");
    error(ExecutorErrorKind::Engine, message)
}
