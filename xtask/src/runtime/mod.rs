//! `cargo xtask runtime`: builds, runs and checks the examples of final images, and measures them beside the images
//! that teams usually build.

mod age;
mod compose;
mod compose_flask;
mod database;
mod docker;
mod example;
mod fastapi_postgres;
mod flask_distroless;
mod gunicorn_multistage;
mod image;
mod lint;
mod org_base;
mod service;
mod table;
mod usual;
mod workshop;

use std::path::Path;

use wheelfarm_tests::anyhow::{Context, Result, bail};

use wheelfarm_tests::environment::target_directory;

use self::example::Row;
pub(crate) use self::usual::base as usual_base;
use crate::steps::{cargo, show};
use crate::{bases, images, packages};

struct Kind {
    name: &'static str,
    check: fn(&Path) -> Result<()>,
    measure: fn(&Path) -> Result<Vec<Row>>,
    /// The images that it begins with.
    bases: &'static [&'static str],
    /// Whether it is in the shorter set.
    short: bool,
}

const EXAMPLES: [Kind; 5] = [
    Kind {
        name: "flask-distroless",
        check: flask_distroless::check,
        measure: flask_distroless::measure,
        bases: &["wheelfarm/python-distroless:3.11"],
        short: true,
    },
    Kind {
        name: "fastapi-postgres",
        check: fastapi_postgres::check,
        measure: fastapi_postgres::measure,
        bases: &["wheelfarm/python-slim:3.11", "wheelfarm/postgres:15"],
        short: false,
    },
    Kind {
        name: "gunicorn-multistage",
        check: gunicorn_multistage::check,
        measure: gunicorn_multistage::measure,
        bases: &["wheelfarm/python-slim:3.11", "wheelfarm/python-musl:3.11"],
        short: false,
    },
    Kind {
        name: "org-base",
        check: org_base::check,
        measure: org_base::measure,
        bases: &["wheelfarm/debian-slim:11"],
        short: false,
    },
    Kind {
        name: "compose-flask",
        check: compose_flask::check,
        measure: compose_flask::measure,
        bases: &[
            "wheelfarm/python-slim:3.11",
            "wheelfarm/python-distroless:3.11",
            "wheelfarm/postgres:15",
        ],
        short: false,
    },
];

/// `cargo xtask runtime [--check] [NAME...]`: checks and measures the examples, all or those that are named, and prints
/// the table. `--check` does not measure, so an unoptimized program will do.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (only_check, names) = match arguments.split_first() {
        Some((first, names)) if first == "--check" => (true, names),
        _ => (false, arguments),
    };
    let known = EXAMPLES.map(|example| example.name);
    if let Some(name) = names.iter().find(|name| !known.contains(&name.as_str())) {
        bail!(
            "there is no example `{name}`; there are {}",
            known.join(", ")
        );
    }
    packages::install()?;
    let (profile, option) = if only_check {
        ("debug", "")
    } else {
        ("release", " --release")
    };
    show(&mut cargo(&format!(
        "build --package wheelfarm --locked{option}"
    )))?;
    let wheelfarm = &target_directory()?.join(profile).join("wheelfarm");
    images::build_missing(wheelfarm)?;
    lint::all(wheelfarm)?;
    let mut rows = Vec::new();
    let is_named =
        |example: &&Kind| names.is_empty() || names.iter().any(|name| name == example.name);
    for example in EXAMPLES.iter().filter(is_named) {
        example.check(wheelfarm)?;
        if !only_check {
            rows.extend((example.measure)(wheelfarm).with_context(|| example.name)?);
        }
    }
    if !only_check {
        table::print(&rows);
    }
    Ok(())
}

/// Checks the examples without measuring: those of the shorter set, or all.
pub(crate) fn check(wheelfarm: &Path, all: bool) -> Result<()> {
    lint::all(wheelfarm)?;
    let wanted = EXAMPLES.iter().filter(|example| all || example.short);
    for example in wanted {
        example.check(wheelfarm)?;
    }
    Ok(())
}

impl Kind {
    fn check(&self, wheelfarm: &Path) -> Result<()> {
        eprintln!("\n-- {}", self.name);
        bases::missing(wheelfarm, self.bases)?;
        (self.check)(wheelfarm).context(self.name)
    }
}
