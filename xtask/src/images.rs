//! Builder images, made through the program itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use wheelfarm_tests::anyhow::{Result, bail};
use wheelfarm_tests::environment::{kept_directory, target_directory};

use crate::executor::Executor;
use crate::steps::{cargo, show};
use crate::{bases, remote_execution};

const NAMES: [&str; 3] = ["debian-11", "debian-12", "debian-13"];

/// `cargo xtask images [--again]`: builder images that are missing, and bases of final stages. `cargo xtask images
/// remote-execution`: what a cluster is made of.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let again = match arguments.as_slice() {
        [] => false,
        ["--again"] => true,
        ["remote-execution"] => return remote_execution::all(&program()?),
        _ => bail!("usage: cargo xtask images [--again | remote-execution]"),
    };
    let wheelfarm = program()?;
    build_missing(&wheelfarm)?;
    bases::all(&wheelfarm, again)
}

/// The program, as it is now.
fn program() -> Result<PathBuf> {
    show(&mut cargo("build --package wheelfarm --locked"))?;
    Ok(target_directory()?.join("debug/wheelfarm"))
}

/// Makes the images that the Docker engine does not have yet, with the bare runtimes that go with them.
pub(crate) fn build_missing(wheelfarm: &Path) -> Result<()> {
    build_missing_of(&Executor::docker()?, wheelfarm)
}

/// Makes the images that `executor` does not have yet, with the bare runtimes that go with them.
pub(crate) fn build_missing_of(executor: &Executor, wheelfarm: &Path) -> Result<()> {
    let mut missing = Vec::new();
    for name in NAMES {
        if executor.has_image(wheelfarm, name)? {
            eprintln!("{name} is here");
        } else {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut build = executor.command(wheelfarm);
    show(build.args(["images", "build"]).args(missing))
}

/// A store with nothing but `versions` of Python, compiled for the builder image `name`. Compiling takes minutes, so it is
/// kept; tests keep theirs beside it.
pub(crate) fn pythons(wheelfarm: &Path, name: &str, versions: &[&str]) -> Result<PathBuf> {
    let versions = versions.join(",");
    let store = kept_directory()?.join(format!("pythons-of-{name}-{versions}"));
    let mut images = Command::new(wheelfarm);
    images.arg("--store").arg(&store);
    show(images.args(["images", "build", name, "--python", &versions]))?;
    Ok(store)
}
