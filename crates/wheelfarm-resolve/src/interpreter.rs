//! The stand-in interpreter that uv gets for resolving.
//!
//! uv asks an interpreter about itself before it resolves, and would run it to build metadata of source
//! distributions that do not state theirs: their code, on this machine. So uv gets a script that answers the
//! question for the Python we resolve for and refuses everything else. No Python is needed here at all.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use wheelfarm_types::{Arch, Libc, PythonVersion, Target};

use crate::ResolveError;

/// What the script prints when uv wants it to run code; [`crate::compile`] looks for it.
pub(crate) const REFUSAL: &str = "wheelfarm-refuses-to-run-code-here";

/// Writes the stand-in for `python` on `target` under `directory` and returns its path.
pub(crate) fn stand_in(
    directory: &Path,
    python: PythonVersion,
    target: Target,
) -> Result<PathBuf, ResolveError> {
    let prefix = directory.join(format!("{}-{target}", python.abi_tag()));
    let executable = executable_in(&prefix, python);
    stand_in_of(directory, &prefix, &executable, python, target)
}

/// Writes a stand-in under `directory`, which is anywhere, for an interpreter in `prefix` that is called as
/// `executable`; returns the stand-in's path.
pub(crate) fn stand_in_of(
    directory: &Path,
    prefix: &Path,
    executable: &Path,
    python: PythonVersion,
    target: Target,
) -> Result<PathBuf, ResolveError> {
    let description = description(prefix, executable, python, target);
    let prefix = directory.join(format!("{}-{target}", python.abi_tag()));
    let executable = executable_in(&prefix, python);
    // A quoted here-document: the shell expands nothing in it.
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n*get_interpreter_info*) cat <<'END'\n{description}\nEND\n;;\n*) echo {REFUSAL} >&2; exit 1;;\nesac\n"
    );
    if fs_err::read_to_string(&executable).is_ok_and(|present| present == script) {
        return Ok(executable);
    }
    fs_err::create_dir_all(prefix.join("bin"))?;
    let temporary = tempfile::NamedTempFile::new_in(&prefix)?;
    fs_err::write(temporary.path(), &script)?;
    fs_err::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o755))?;
    temporary
        .persist(&executable)
        .map_err(|error| error.error)?;
    Ok(executable)
}

fn executable_in(prefix: &Path, python: PythonVersion) -> PathBuf {
    prefix
        .join("bin")
        .join(format!("python{}", python.release()))
}

/// The directory below `lib` in which a Python has its packages: `python3.11`, `python3.13t`.
pub(crate) fn library_directory(python: PythonVersion) -> String {
    let threads = if python.free_threaded { "t" } else { "" };
    format!("python{}{threads}", python.release())
}

/// What uv's `get_interpreter_info` prints for a CPython in `prefix`, in the form of the pinned uv.
fn description(
    prefix: &Path,
    executable: &Path,
    python: PythonVersion,
    target: Target,
) -> serde_json::Value {
    let arch = target.arch;
    let (os, major, minor) = match target.libc {
        Libc::Glibc { major, minor } => ("manylinux", major, minor),
        Libc::Musl { major, minor } => ("musllinux", major, minor),
    };
    let release = python.release();
    let full = format!("{release}.0");
    let library = library_directory(python);
    let lib = prefix.join("lib").join(&library);
    let site_packages = lib.join("site-packages");
    let include = format!("include/{library}");
    let relative_site_packages = format!("lib/{library}/site-packages");
    let scheme = serde_json::json!({
        "platlib": site_packages, "purelib": site_packages, "include": prefix.join(&include),
        "scripts": prefix.join("bin"), "data": prefix,
    });
    serde_json::json!({
        "result": "success",
        "markers": {
            "implementation_name": "cpython", "implementation_version": full, "os_name": "posix",
            "platform_machine": arch.as_str(), "platform_python_implementation": "CPython",
            "platform_release": "", "platform_system": "Linux", "platform_version": "",
            "python_full_version": full, "python_version": release, "sys_platform": "linux",
        },
        "sys_base_prefix": prefix, "sys_base_exec_prefix": prefix, "sys_prefix": prefix,
        "sys_base_executable": executable, "sys_executable": executable,
        "sys_path": [lib, site_packages], "site_packages": [site_packages], "stdlib": lib,
        "extension_suffixes": [".abi3.so", ".so"],
        "standalone": false,
        "scheme": scheme,
        "virtualenv": {
            "purelib": relative_site_packages, "platlib": relative_site_packages,
            "include": include, "scripts": "bin", "data": "",
        },
        "os": {"name": os, "major": major, "minor": minor},
        "arch": arch.as_str(),
        "cpu_info": {"detected": {"kind": "flags", "flags": ""}},
        "manylinux_compatible": true,
        "gil_disabled": python.free_threaded,
        "debug_enabled": false,
        "pointer_size": if matches!(arch, Arch::I686 | Arch::Armv6l | Arch::Armv7l) { "32" } else { "64" },
    })
}
