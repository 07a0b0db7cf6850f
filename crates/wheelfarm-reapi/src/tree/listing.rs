//! What is in a tree that others made.

use std::collections::HashSet;

use super::{Tree, TreeLimits, node, path};
use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, error};

/// A file in a [`Listing`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Relative to the tree's root.
    pub path: String,
    /// Its content.
    pub digest: BlobDigest,
    /// Whether it may be executed.
    pub executable: bool,
}

/// All that is in a tree, by path. No path is absolute or leads out of the tree, and none is there twice.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Its files.
    pub files: Vec<TreeFile>,
    /// Its directories, without the root. Parents come before what is in them.
    pub directories: Vec<String>,
    /// Paths and targets of its symbolic links. Targets may be anything: whoever creates these must not follow them.
    pub symlinks: Vec<(String, String)>,
}

impl Tree {
    /// Lists all that is in the tree. Fails for one that is incomplete, larger than `limits`, or has names that are
    /// none.
    pub fn files(&self, limits: &TreeLimits) -> Result<Listing, Error> {
        let mut listing = Listing::default();
        let mut entries = 0;
        // Directories that are still to be looked at. A directory that contains itself cannot be: its digest would be
        // part of what it is of. The limit of depth holds for one that claims it.
        let mut open = vec![(String::new(), self.root, 1)];
        while let Some((prefix, digest, depth)) = open.pop() {
            if depth > limits.depth {
                return Err(error(
                    ErrorKind::TooLarge,
                    format!(
                        "a tree of files is deeper than {} directories",
                        limits.depth
                    ),
                ));
            }
            let directory = self.directory(&digest)?;
            entries +=
                directory.files.len() + directory.directories.len() + directory.symlinks.len();
            if entries > limits.entries {
                return Err(error(
                    ErrorKind::TooLarge,
                    format!("a tree of files has more than {} entries", limits.entries),
                ));
            }
            let mut names = HashSet::new();
            let mut name = |name: &str| {
                path::check(name)?;
                if !names.insert(name.to_owned()) {
                    return Err(error(
                        ErrorKind::Corrupt,
                        format!("a tree of files has `{prefix}{name}` twice"),
                    ));
                }
                Ok(format!("{prefix}{name}"))
            };
            for file in directory.files {
                listing.files.push(TreeFile {
                    path: name(&file.name)?,
                    digest: node(file.digest.as_ref(), &file.name)?,
                    executable: file.is_executable,
                });
            }
            for link in directory.symlinks {
                listing.symlinks.push((name(&link.name)?, link.target));
            }
            for child in directory.directories {
                let path = name(&child.name)?;
                let digest = node(child.digest.as_ref(), &child.name)?;
                open.push((format!("{path}/"), digest, depth + 1));
                listing.directories.push(path);
            }
        }
        listing
            .files
            .sort_unstable_by(|one, other| one.path.cmp(&other.path));
        listing.directories.sort_unstable();
        listing.symlinks.sort_unstable();
        Ok(listing)
    }
}
