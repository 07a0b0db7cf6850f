//! Builder images, made through the program itself.

use std::path::Path;
use std::process::Command;

use wheelfarm_tests::anyhow::{Result, bail};
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::environment::{architecture, target_directory};

use crate::bases;
use crate::steps::{cargo, show};

const NAMES: [&str; 4] = ["debian-11", "debian-12", "debian-12-musl", "debian-13"];

/// `cargo xtask images [--again]`: builder images that are missing, and bases of final stages.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let again = match arguments.as_slice() {
        [] => false,
        ["--again"] => true,
        _ => bail!("usage: cargo xtask images [--again]"),
    };
    show(&mut cargo("build --package wheelfarm --locked"))?;
    let wheelfarm = target_directory()?.join("debug/wheelfarm");
    build_missing(&wheelfarm)?;
    bases::build(&wheelfarm, again)
}

/// Makes the images that the engine does not have yet, with the bare runtimes that go with them.
pub(crate) fn build_missing(wheelfarm: &Path) -> Result<()> {
    let engine = Engine::connect()?;
    let mut missing = Vec::new();
    for name in NAMES {
        let arch = architecture();
        let builder = engine.has_image(&format!("wheelfarm/{name}:{arch}"))?;
        let runtime = engine.has_image(&format!("wheelfarm/{name}-runtime:{arch}"))?;
        if builder && runtime {
            eprintln!("{name} is here");
        } else {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    show(
        Command::new(wheelfarm)
            .args(["images", "build"])
            .args(missing),
    )
}
