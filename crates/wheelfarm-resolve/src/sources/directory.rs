//! A project's directory as a source: what belongs to it, and what state it is in.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use ignore::WalkBuilder;

use super::git::Git;
use super::pack::Tree;
use crate::ResolveError;
use crate::inputs::input_error;

/// Directories of version control, virtual environments and tools: never part of a source.
const NEVER: [&str; 16] = [
    ".git",
    ".hg",
    ".svn",
    ".bzr",
    "__pycache__",
    ".tox",
    ".nox",
    ".venv",
    ".eggs",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".coverage",
    ".DS_Store",
    ".idea",
];

/// The files of the project in `directory`: all but what Git ignores there, caches, and what is below `exclude`
/// (absolute paths). A file that Git tracks belongs to it even if it is ignored.
pub(super) async fn files(
    directory: &Path,
    exclude: &[PathBuf],
    git: &Git,
) -> Result<Tree, ResolveError> {
    let root = fs_err::canonicalize(directory)?;
    let mut tree = Tree::default();
    let excluded = exclude.to_vec();
    let walk = WalkBuilder::new(&root)
        .standard_filters(false)
        .parents(true)
        .git_ignore(true)
        .git_exclude(true)
        // A copy without `.git` holds the same files.
        .require_git(false)
        .filter_entry(move |entry| !is_left_out(entry.path(), entry.depth() == 0, &excluded))
        .build();
    for entry in walk {
        let entry = entry.map_err(|e| input_error(format!("`{}`: {e}", directory.display())))?;
        if entry.file_type().is_none_or(|kind| kind.is_dir()) {
            continue;
        }
        if let Ok(path) = entry.path().strip_prefix(&root) {
            tree.add(&root, path)?;
        }
    }
    for path in git.tracked(&root).await {
        let place = root.join(&path);
        let left_out = place
            .ancestors()
            .take_while(|part| *part != root)
            .any(|part| is_left_out(part, false, exclude));
        if !left_out && fs_err::symlink_metadata(&place).is_ok_and(|found| !found.is_dir()) {
            tree.add(&root, &path)?;
        }
    }
    if tree.is_empty() {
        return Err(input_error(format!(
            "`{}` holds no files that are part of a source",
            directory.display()
        ))
        .hint("does a .gitignore file there or above exclude all of it?"));
    }
    Ok(tree)
}

/// What is never part of the source in `directory`, as Git's pathspecs.
pub(super) fn left_out(directory: &Path, exclude: &[PathBuf]) -> Vec<String> {
    let root = fs_err::canonicalize(directory).unwrap_or_else(|_| directory.to_owned());
    let named = NEVER.iter().chain(&["*.pyc", "*.egg-info"]);
    let mut specs: Vec<_> = named
        .flat_map(|name| {
            [
                format!(":(exclude,glob)**/{name}"),
                format!(":(exclude,glob)**/{name}/**"),
            ]
        })
        .collect();
    let inside = exclude
        .iter()
        .filter_map(|path| path.strip_prefix(&root).ok());
    specs.extend(inside.map(|path| format!(":(exclude,literal){}", path.display())));
    specs
}

/// All files below `directory` but those of version control.
pub(super) fn all_files(directory: &Path) -> Result<Tree, ResolveError> {
    let mut tree = Tree::default();
    let walk = WalkBuilder::new(directory)
        .standard_filters(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for entry in walk {
        let entry = entry.map_err(|e| input_error(format!("`{}`: {e}", directory.display())))?;
        if entry.file_type().is_none_or(|kind| kind.is_dir()) {
            continue;
        }
        if let Ok(path) = entry.path().strip_prefix(directory) {
            tree.add(directory, path)?;
        }
    }
    Ok(tree)
}

fn is_left_out(path: &Path, is_top: bool, exclude: &[PathBuf]) -> bool {
    if is_top {
        return false;
    }
    let name = path.file_name().unwrap_or_default();
    let bytes = name.as_bytes();
    NEVER.iter().any(|never| name == *never)
        || bytes.ends_with(b".pyc")
        || bytes.ends_with(b".egg-info")
        || exclude.iter().any(|excluded| excluded == path)
        // A virtual environment, or a store of ours.
        || path.join("pyvenv.cfg").exists()
        || path.join("wheelfarm-store.json").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_belongs_to_a_project() {
        let directory = tempfile::tempdir().unwrap();
        let root = fs_err::canonicalize(directory.path()).unwrap();
        let write = |path: &str, text: &str| {
            let path = root.join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text).unwrap();
        };
        write("pyproject.toml", "");
        let git = Git::new("file");
        let before = files(&root, &[], &git).await.unwrap().pack("x").unwrap();
        for (path, text) in [
            (".git/config", ""),
            ("src/__pycache__/a.pyc", ""),
            ("env/pyvenv.cfg", ""),
            ("x.egg-info/PKG-INFO", ""),
            ("wheelhouse/x.whl", ""),
            ("store/wheelfarm-store.json", "{}"),
        ] {
            write(path, text);
        }
        let exclude = [root.join("wheelhouse")];
        let after = files(&root, &exclude, &git)
            .await
            .unwrap()
            .pack("x")
            .unwrap();
        assert_eq!(before, after);
        write("src/.hidden", "");
        let more = files(&root, &exclude, &git)
            .await
            .unwrap()
            .pack("x")
            .unwrap();
        assert_ne!(before, more);
        write(".gitignore", "src\n/.gitignore\n");
        let ignored = files(&root, &exclude, &git)
            .await
            .unwrap()
            .pack("x")
            .unwrap();
        assert_eq!(before, ignored);
        write(".gitignore", "*\n");
        assert!(files(&root, &exclude, &git).await.is_err());
    }
}
