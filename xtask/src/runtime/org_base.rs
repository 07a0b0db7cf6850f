//! Two Pythons of an organisation in one base, and an update of a library that some of its wheels carry.

use std::path::Path;

use wheelfarm_tests::anyhow::{Context, Result, ensure};

use super::age::age;
use super::docker::{Build, Builder, Cache, docker};
use super::example::Row;
use super::image::{self, Figures, Pip};
use super::service::Service;
use super::workshop::Workshop;
use crate::images;

const NAME: &str = "org-base";
const SYSTEM: &str = "wheelfarm/example-org-base-system";
const BASE: &str = "wheelfarm/example-org-base";
const APP: &str = "wheelfarm/example-org-base-app";
const PYTHONS: [&str; 2] = ["3.11", "3.13"];
/// The library that was updated: its package, and the version in Debian 11 before any security update.
const UPDATED: (&str, &str) = ("libssl1.1", "1.1.1w-0+deb11u1");
/// How many layers of [`BASE`] are wheels: the topmost.
const WHEEL_LAYERS: usize = 2;

/// Builds it, runs an application with either Python, and goes through an update of libssl.
pub(super) fn check(wheelfarm: &Path) -> Result<()> {
    let workshop = workshop(wheelfarm)?;
    workshop.wheelfarm("build")?;
    pythons(&workshop)?;
    virtual_environments(&workshop)?;
    system(&workshop)?;
    base(&workshop, Builder::BuildKit)?;
    image::check(BASE, Pip::Absent)?;
    base(&workshop, Builder::Classic)?;
    image::check(BASE, Pip::Absent)?;
    for python in PYTHONS {
        app(&workshop, python)?;
        image::check(APP, Pip::Absent)?;
        let service = Service::start(APP, &[])?;
        let about = service.get("/")?;
        ensure!(
            about.contains(&format!("\"python\": \"{python}."))
                && about.contains("\"libyaml\": true"),
            "{about}"
        );
        service.stop()?;
    }
    update(&workshop)
}

/// The sizes of the base, and of what the system alone has.
pub(super) fn measure(_: &Path) -> Result<Vec<Row>> {
    let row = |name: &str, image| -> Result<Row> {
        Ok(Row {
            name: name.to_owned(),
            figures: Figures::of(image)?,
            times: None,
            cold_start: None,
        })
    };
    Ok(vec![
        row("org-base, two Pythons and their packages", BASE)?,
        row("its system alone", SYSTEM)?,
    ])
}

/// A copy of the example with a store that has both Pythons. Compiling them takes minutes, so they are kept between runs.
fn workshop(wheelfarm: &Path) -> Result<Workshop> {
    let store = images::pythons(wheelfarm, "debian-11", &PYTHONS)?;
    Workshop::with_store(wheelfarm, NAME, NAME, &store)
}

fn pythons(workshop: &Workshop) -> Result<()> {
    fs_err::create_dir_all(workshop.directory.join("pythons"))?;
    for python in PYTHONS {
        workshop.wheelfarm(&format!(
            "export --python {python} --python-tree pythons/{python}"
        ))?;
    }
    Ok(())
}

fn virtual_environments(workshop: &Workshop) -> Result<()> {
    for python in PYTHONS {
        let directory = workshop.directory.join("venvs").join(python);
        if directory.exists() {
            fs_err::remove_dir_all(directory)?;
        }
        workshop.wheelfarm(&format!(
            "export --python {python} --bytecode --venv venvs/{python} --prefix /opt/myorg/venv{python} --interpreter /opt/myorg/python{python}/bin/python{python}"
        ))?;
    }
    Ok(())
}

/// The stage with the system, and no Python.
fn system(workshop: &Workshop) -> Result<()> {
    let directory = workshop.directory.to_str().context("a path in UTF-8")?;
    let argument = "BASE=wheelfarm/debian-slim:11";
    docker(&[
        "build",
        "--quiet",
        "--target",
        "system",
        "--build-arg",
        argument,
        "--tag",
        SYSTEM,
        directory,
    ])?;
    Ok(())
}

fn base(workshop: &Workshop, builder: Builder) -> Result<()> {
    let build = Build {
        context: &workshop.directory,
        dockerfile: "Dockerfile",
        tag: BASE,
        arguments: &[("BASE", "wheelfarm/debian-slim:11")],
    };
    build.run(builder, Cache::Warm)?;
    Ok(())
}

fn app(workshop: &Workshop, python: &str) -> Result<()> {
    let build = Build {
        context: &workshop.directory,
        dockerfile: "Dockerfile.app",
        tag: APP,
        arguments: &[("ORG", BASE), ("SYSTEM", SYSTEM), ("PYTHON", python)],
    };
    build.run(Builder::Classic, Cache::Warm)?;
    Ok(())
}

/// As if libssl had been updated since: only wheels with it are built anew, and only layers of wheels change.
fn update(workshop: &Workshop) -> Result<()> {
    let before = layers()?;
    let (package, old) = UPDATED;
    age(&workshop.store(), package, old)?;
    let (_, told) = workshop.command("refresh", &[1])?;
    let stale: Vec<_> = told
        .lines()
        .filter(|line| line.starts_with("stale "))
        .collect();
    ensure!(
        stale.len() == PYTHONS.len()
            && stale
                .iter()
                .all(|line| line.contains(" psycopg2 ") && line.contains(package)),
        "{told}"
    );
    let (_, told) = workshop.command("refresh --rebuild", &[])?;
    let rebuilt = told.lines().filter(|line| line.starts_with("rebuilt "));
    ensure!(rebuilt.count() == PYTHONS.len(), "{told}");
    let (_, plan) = workshop.command("plan", &[])?;
    ensure!(plan.contains(" 0 to build"), "{plan}");

    virtual_environments(workshop)?;
    base(workshop, Builder::Classic)?;
    let after = layers()?;
    let same = before
        .iter()
        .zip(&after)
        .take_while(|(before, after)| before == after)
        .count();
    ensure!(
        before.len() == after.len() && same == before.len() - WHEEL_LAYERS,
        "of {} layers, the first {same} are as they were",
        before.len()
    );
    Ok(())
}

fn layers() -> Result<Vec<String>> {
    let format = "{{range .RootFS.Layers}}{{println .}}{{end}}";
    let layers = docker(&["image", "inspect", "--format", format, BASE])?;
    Ok(layers.split_whitespace().map(str::to_owned).collect())
}
