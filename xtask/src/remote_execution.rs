//! The images that a cluster of Remote Execution is made of: `images/remote-execution`.

use std::path::Path;
use std::process::Command;

use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::environment::repository;
use wheelfarm_tests::process::run;
use wheelfarm_tests::remote_execution::{BUILDBOX, BUILDGRID, POSTGRES};

use crate::{bases, runtime};

const FORKY: &str = "wheelfarm/debian-slim:forky";

/// What a server on one node needs. Where nothing changed it takes a second.
pub(crate) fn buildbox(wheelfarm: &Path) -> Result<()> {
    bases::missing(wheelfarm, &[FORKY])?;
    build(BUILDBOX, "buildbox", FORKY)
}

/// What a cluster needs, database included.
pub(crate) fn all(wheelfarm: &Path) -> Result<()> {
    buildbox(wheelfarm)?;
    bases::missing(wheelfarm, &[POSTGRES])?;
    // The packages come from the machine's index, by its certificates.
    build(BUILDGRID, "buildgrid", &runtime::usual_base(wheelfarm)?)
}

fn build(tag: &str, name: &str, base: &str) -> Result<()> {
    eprintln!("building {tag}");
    let directory = repository().join("images/remote-execution").join(name);
    let mut command = Command::new("docker");
    command
        // The builder that every engine has. The other one would take other lines from its cache.
        .env("DOCKER_BUILDKIT", "0")
        .args(["build", "--network", "host", "--quiet", "--tag", tag])
        .args(["--build-arg", &format!("BASE={base}")])
        .arg(directory);
    run(&mut command).with_context(|| format!("{tag} could not be built"))?;
    Ok(())
}
