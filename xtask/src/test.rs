//! Everything that must pass before a change is taken.

use std::process::Command;

use wheelfarm_tests::anyhow::{Result, bail};
use wheelfarm_tests::environment::{is_root, target_directory};

use crate::engines::Podmen;
use crate::steps::{Steps, cargo, show};
use crate::{bases, images, packages, remote_execution, runtime};

/// Integration tests at a time: they wait for the engine more than they compute.
const THREADS: &str = "2";

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let all = match arguments.as_slice() {
        [] => false,
        ["--full"] => true,
        _ => bail!("usage: cargo xtask test [--full]"),
    };
    let mut steps = Steps::default();
    steps.step("what must be installed", packages::install)?;
    steps.step("formatting", || show(&mut cargo("fmt --all --check")))?;
    steps.step("lints", || {
        show(&mut cargo(
            "clippy --workspace --all-targets --locked -- -D warnings",
        ))
    })?;
    if cargo("deny --version")
        .output()
        .is_ok_and(|output| output.status.success())
    {
        steps.step("licences and advisories", || show(&mut cargo("deny check")))?;
    } else {
        steps.skip("licences and advisories", "cargo-deny is not installed");
    }
    steps.step("documentation", || {
        let mut doc = cargo("doc --workspace --no-deps --document-private-items --locked");
        show(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    steps.step("the binary", || {
        show(&mut cargo("build --package wheelfarm --locked"))
    })?;
    let wheelfarm = target_directory()?.join("debug/wheelfarm");
    steps.step("builder images and bare runtimes", || {
        images::build_missing(&wheelfarm)
    })?;
    steps.step("images for Remote Execution", || {
        if all {
            remote_execution::all(&wheelfarm)
        } else {
            remote_execution::buildbox(&wheelfarm)
        }
    })?;
    let podmen = if is_root() {
        Some(steps.step("Podman", Podmen::start)?)
    } else {
        steps.skip(
            "Podman",
            "only root can start it as itself and as another user",
        );
        None
    };
    let with_engines = |command: &mut Command| {
        command.env("WHEELFARM_TEST_DOCKER", "1");
        if let Some(podmen) = &podmen {
            podmen.tell(command);
            if !all {
                // The same suite once more, on an engine that shares all code with root's.
                command.env_remove("WHEELFARM_TEST_ROOTLESS_PODMAN");
            }
        }
    };
    steps.step("tests of the crates", || {
        let mut test = cargo("test --workspace --exclude wheelfarm-tests --locked");
        with_engines(&mut test);
        // Images made without it are the same as those that were made with it, should it be set.
        show(test.env_remove("PYTHONDONTWRITEBYTECODE"))
    })?;
    if let Some(podmen) = &podmen {
        steps.step("the sandbox of an ordinary user", || {
            podmen.tests_of_an_ordinary_user(&[])
        })?;
    }
    if all {
        steps.step("bases of final images", || bases::all(&wheelfarm, false))?;
    }
    steps.step("tests of the whole", || {
        let mut test = cargo("test --package wheelfarm-tests --locked -- --test-threads");
        if all {
            test.env("WHEELFARM_TEST_MUSL", "1");
            test.env("WHEELFARM_TEST_CLUSTER", "1");
        }
        with_engines(&mut test);
        show(test.arg(THREADS).env("WHEELFARM_BIN", &wheelfarm))
    })?;
    steps.step("examples of final images", || {
        runtime::check(&wheelfarm, all)
    })?;
    steps.print();
    Ok(())
}
