//! Which Python a program is, told from its file and what lies beside it.

use wheelfarm_types::PythonVersion;

use super::{FoundPython, libc};
use crate::collect::FREE_THREADED;
use crate::facts::is_libpython;
use crate::{AuditError, ElfFacts, LibraryRoot, Policies};

/// What the interpreter at `path`, which is the file `real`, is; none if it is none, or nothing says which.
pub(super) fn look(
    root: &LibraryRoot,
    path: &str,
    real: &str,
    policies: &Policies,
) -> Result<Option<FoundPython>, AuditError> {
    let Some(facts) = root.library(real, policies)? else {
        return Ok(None);
    };
    let Some(version) = version(root, path, real, &facts) else {
        return Ok(None);
    };
    let arch = facts.arch();
    let interpreter = facts.interpreter.as_deref();
    let libc = match facts.libc(real).filter(|_| interpreter.is_some()) {
        Some(family) => libc::of(root, family, arch, interpreter, policies)?,
        None => None,
    };
    Ok(Some(FoundPython {
        path: real.to_owned(),
        version,
        arch,
        libc,
    }))
}

fn version(root: &LibraryRoot, path: &str, real: &str, facts: &ElfFacts) -> Option<PythonVersion> {
    // The library's name has the ABI in it.
    let library = facts.needed.iter().find(|name| is_libpython(name));
    if let Some(library) = library {
        let name = library.strip_prefix("libpython")?;
        return name.split(".so").next()?.parse().ok();
    }
    // Without what modules call it is none, or none that loads any.
    if facts.python_defined.is_empty() {
        return None;
    }
    let of_name = |path: &str| {
        path.rsplit('/')
            .next()?
            .strip_prefix("python")?
            .parse()
            .ok()
    };
    let version: PythonVersion = of_name(real)
        .or_else(|| of_name(path))
        .or_else(|| of_library_directory(root, real))?;
    // `python3.13` may be another name of `python3.13t`: what the program exports says what it is.
    let mut symbols = facts.python_defined.iter();
    let free_threaded = symbols.any(|symbol| FREE_THREADED.contains(&symbol.as_str()));
    Some(PythonVersion {
        free_threaded,
        ..version
    })
}

/// The version that `<prefix>/lib/python3.11` is for, if there is one such directory.
fn of_library_directory(root: &LibraryRoot, real: &str) -> Option<PythonVersion> {
    let (prefix, _) = real.rsplit_once("/bin/")?;
    let names = root.names(&format!("{prefix}/lib"));
    let mut versions = names
        .iter()
        .filter_map(|name| name.strip_prefix("python")?.parse().ok());
    let version = versions.next()?;
    versions.next().is_none().then_some(version)
}
