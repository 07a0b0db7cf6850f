//! Names that may be in a tree.

use crate::error::{Error, ErrorKind, bounded, error, hinted};

/// Directories inside of each other in a tree that is made here.
const DEEPEST: usize = 200;
/// Bytes in a name: file systems have no longer ones.
const LONGEST: usize = 255;

/// What is wrong with the name of a file or directory, if something is.
pub(super) fn fault(name: &str) -> Option<&'static str> {
    match name {
        "" => Some("is empty"),
        "." | ".." => Some("leads elsewhere"),
        _ if name.contains('/') => Some("has a slash"),
        _ if name.contains('\0') => Some("has a zero byte"),
        _ if name.len() > LONGEST => Some("is too long"),
        _ => None,
    }
}

/// The names of a path that was asked for, and the last of them.
pub(super) fn split(path: &str) -> Result<(Vec<&str>, &str), Error> {
    let invalid = |what: &str| {
        hinted(
            ErrorKind::Invalid,
            format!("`{}` cannot be in a tree of files: {what}", bounded(path)),
            "Paths in a tree are relative, like `dir/file`.",
        )
    };
    if path.starts_with('/') {
        return Err(invalid("it is absolute"));
    }
    let mut names: Vec<&str> = path.split('/').collect();
    for name in &names {
        if let Some(what) = fault(name) {
            return Err(invalid(&format!("a name in it {what}")));
        }
    }
    if names.len() > DEEPEST {
        return Err(invalid("it is too deep"));
    }
    let last = names.pop().unwrap_or_default();
    Ok((names, last))
}

/// A name that a tree of others has.
pub(super) fn check(name: &str) -> Result<(), Error> {
    match fault(name) {
        None => Ok(()),
        Some(what) => Err(error(
            ErrorKind::Corrupt,
            format!(
                "a tree of files has a name that {what}: `{}`",
                bounded(name)
            ),
        )),
    }
}
