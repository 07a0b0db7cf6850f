//! Where things lie, and what the machine says: the only place here that reads environment variables.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Context, Result};

/// An environment variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether tests may use Docker: `WHEELFARM_TEST_DOCKER=1`, as `cargo xtask test` sets it.
pub fn docker_is_allowed() -> bool {
    variable("WHEELFARM_TEST_DOCKER").is_some_and(|value| value != "0")
}

/// The top directory of the repository.
pub fn repository() -> &'static Path {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests)
}

/// The directory of the running program's profile: `target/debug`. Test programs lie one lower, in `deps`.
fn profile_directory() -> Result<PathBuf> {
    let program = std::env::current_exe().context("the running program has no path")?;
    let directory = program
        .parent()
        .context("the running program lies nowhere")?;
    let in_deps = directory.file_name().is_some_and(|name| name == "deps");
    let directory = if in_deps {
        directory.parent().unwrap_or(directory)
    } else {
        directory
    };
    Ok(directory.to_owned())
}

/// Cargo's target directory.
pub fn target_directory() -> Result<PathBuf> {
    let profile = profile_directory()?;
    Ok(profile.parent().unwrap_or(&profile).to_owned())
}

/// The `wheelfarm` to test: `WHEELFARM_BIN`, else the one beside the running program.
pub fn binary() -> Result<PathBuf> {
    let path = match variable("WHEELFARM_BIN") {
        Some(path) => PathBuf::from(path),
        None => profile_directory()?.join("wheelfarm"),
    };
    let path = fs_err::canonicalize(path);
    path.context("build it first (`cargo build`), or name it with WHEELFARM_BIN")
}

/// The name that wheels and images have for this machine: `x86_64`.
pub fn architecture() -> &'static str {
    std::env::consts::ARCH
}

/// Whether this process may mount file systems and change users.
pub fn is_root() -> bool {
    let output = std::process::Command::new("id").arg("-u").output();
    output.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// A directory for what outlives a run because it is dear to make: `target/tests`.
pub fn kept_directory() -> Result<PathBuf> {
    let directory = target_directory()?.join("tests");
    fs_err::create_dir_all(&directory)?;
    Ok(directory)
}

/// A directory that is empty when the process first asks for it. One process at a time has it; what the last one
/// left is removed first.
pub fn scratch_directory() -> Result<&'static Path> {
    static SCRATCH: LazyLock<Result<(PathBuf, File), String>> =
        LazyLock::new(|| take_scratch().map_err(|error| format!("{error:#}")));
    match &*SCRATCH {
        Ok((path, _lock)) => Ok(path),
        Err(message) => anyhow::bail!("{message}"),
    }
}

fn take_scratch() -> Result<(PathBuf, File)> {
    let kept = kept_directory()?;
    let lock = fs_err::File::create(kept.join("lock"))?.into_parts().0;
    lock.lock()
        .context("the lock of the tests' directory cannot be had")?;
    let scratch = kept.join("scratch");
    if scratch.exists() {
        fs_err::remove_dir_all(&scratch)?;
    }
    fs_err::create_dir_all(&scratch)?;
    Ok((scratch, lock))
}
