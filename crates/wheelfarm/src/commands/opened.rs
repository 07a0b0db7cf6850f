//! From the arguments of the inspecting commands to wheels, library roots and audit options.

use std::path::{Path, PathBuf};

use wheelfarm_audit::{AuditError, AuditOptions, LibraryRoot};
use wheelfarm_wheel::{Wheel, WheelError};

use crate::cli::inspect::{AuditArgs, LibraryArgs};
use crate::environment::variable;
use crate::exit::Failure;

/// Search paths of this machine's users, in auditwheel's order.
const LD_PATHS: &str = "LD_LIBRARY_PATH";
const AUDITWHEEL_LD_PATHS: &str = "AUDITWHEEL_LD_LIBRARY_PATH";

/// The root that the arguments name, with the search paths of arguments and environment.
pub(crate) fn library_root(args: &LibraryArgs) -> Result<LibraryRoot, Failure> {
    let root = LibraryRoot::open(&args.root).map_err(|error| match error {
        AuditError::Root(_) => Failure::usage(format!("`--root`: {error}")),
        error => error.into(),
    })?;
    let own = is_own_root(&args.root);
    let extra = variable(AUDITWHEEL_LD_PATHS);
    // It is about programs of this machine, not about those of another root.
    let usual = variable(LD_PATHS).filter(|_| own);
    let lists = match &args.ldpaths {
        Some(paths) => [extra, Some(paths.clone())],
        None => [extra, usual],
    };
    let paths = search_paths(&lists, own)?;
    let root = root.with_ld_paths(paths);
    Ok(if args.ldpaths.is_some() {
        root.without_default_paths()
    } else {
        root
    })
}

/// Whether the root is that of this machine.
pub(crate) fn is_own_root(root: &Path) -> bool {
    fs_err::canonicalize(root).is_ok_and(|root| root == Path::new("/"))
}

/// The directories of colon-separated lists, as paths of the root. Relative ones begin where the program was
/// started, if the root is this machine's, and at the root otherwise.
fn search_paths(lists: &[Option<String>; 2], own: bool) -> Result<Vec<String>, Failure> {
    let mut paths = Vec::new();
    for entry in lists.iter().flatten().flat_map(|list| list.split(':')) {
        if entry.is_empty() {
            continue;
        }
        let path = if own {
            std::path::absolute(entry)
                .map_err(|error| Failure::usage(format!("`{entry}`: {error}")))?
        } else {
            Path::new("/").join(entry)
        };
        paths.push(path.to_string_lossy().into_owned());
    }
    Ok(paths)
}

/// The audit that the arguments ask for.
pub(crate) fn audit_options(args: &AuditArgs) -> AuditOptions {
    AuditOptions {
        exclude: args.libraries.exclude.clone(),
        isa_check: !args.disable_isa_ext_check,
        ..AuditOptions::default()
    }
}

/// Opens a wheel; that there is no such file is another failure than that it is none.
pub(crate) fn wheel(path: &Path) -> Result<Wheel, Failure> {
    if !path.is_file() {
        return Err(Failure::usage(format!(
            "{}: there is no such file",
            path.display()
        )));
    }
    Wheel::open(path).map_err(Failure::from)
}

/// `path` as a path of the root in `root`: files are named by where they are, or by where the root has them.
pub(crate) fn path_in_root(path: &Path, root: &Path) -> Result<String, Failure> {
    let inside = || -> std::io::Result<PathBuf> {
        let (path, root) = (std::path::absolute(path)?, fs_err::canonicalize(root)?);
        Ok(match path.strip_prefix(&root) {
            Ok(rest) => Path::new("/").join(rest),
            Err(_) => path,
        })
    };
    let inside =
        inside().map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?;
    Ok(inside.to_string_lossy().into_owned())
}

impl From<WheelError> for Failure {
    fn from(error: WheelError) -> Self {
        Self::finding(error.to_string())
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Wheel(error) => error.into(),
            AuditError::Exclude { .. } | AuditError::NoLibrary(_) => Self::usage(error.to_string()),
            AuditError::Root(_) => Self::machine(error.to_string()),
            AuditError::RootFile { .. } | AuditError::Policy { .. } => {
                Self::finding(error.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn search_paths_are_absolute_paths_of_the_root() {
        let lists = || [Some("/a::b".to_owned()), Some("/c".to_owned())];
        assert_eq!(search_paths(&lists(), false).unwrap(), ["/a", "/b", "/c"]);
        let own = search_paths(&lists(), true).unwrap();
        assert!(own.iter().all(|path| path.starts_with('/')), "{own:?}");
        assert_ne!(own.get(1).unwrap(), "/b");
    }

    #[test]
    fn files_are_named_by_where_they_are_or_by_where_the_root_has_them() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().canonicalize().unwrap().join("usr/lib/x.so");
        assert_eq!(path_in_root(&file, root.path()).unwrap(), "/usr/lib/x.so");
        let other = Path::new("/usr/lib/x.so");
        assert_eq!(path_in_root(other, root.path()).unwrap(), "/usr/lib/x.so");
    }
}
