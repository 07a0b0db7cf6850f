//! FastAPI and PostgreSQL in a virtual environment: the wheels come as an image, the project as a wheel.

use std::path::Path;

use wheelfarm_tests::anyhow::{Result, ensure};
use wheelfarm_tests::process::run;

use super::database::Database;
use super::docker::{Builder, Cache};
use super::example::{Example, Row};
use super::image::{self, Pip};
use super::service::Service;

const EXAMPLE: Example = Example {
    name: "fastapi-postgres",
    dockerfile: "Dockerfile",
    prepare: &[
        "build -r requirements.txt --python 3.11 --target manylinux_2_36_x86_64",
        "export -r requirements.txt --python 3.11 --target manylinux_2_36_x86_64 --load --tag wheelfarm/example-wheels",
        "build . --no-deps --python 3.11 --target manylinux_2_36_x86_64 --out app-wheelhouse",
    ],
    prepare_code: &[
        "build . --no-deps --python 3.11 --target manylinux_2_36_x86_64 --out app-wheelhouse",
    ],
    bases: &[
        ("BASE", "wheelfarm/python-slim:3.11"),
        ("WHEELS", "wheelfarm/example-wheels"),
    ],
    code: (
        "src/notes/server.py",
        "title=\"notes\"",
        "title=\"my notes\"",
    ),
    requirement: ("requirements.txt", "uvicorn==0.54.0", "uvicorn==0.53.0"),
    pip: Pip::OfBase,
};

/// Builds with both builders and checks what comes out.
pub(super) fn check(wheelfarm: &Path) -> Result<()> {
    let workshop = EXAMPLE.workshop(wheelfarm)?;
    EXAMPLE.build(&workshop, Cache::Warm)?;
    let database = Database::start()?;
    is_right(&database)?;
    EXAMPLE.image(&workshop, Builder::BuildKit, Cache::Warm)?;
    is_right(&database)
}

/// Measures it beside the usual image.
pub(super) fn measure(wheelfarm: &Path) -> Result<Vec<Row>> {
    let workshop = EXAMPLE.workshop(wheelfarm)?;
    let times = EXAMPLE.times(&workshop)?;
    let database = Database::start()?;
    is_right(&database)?;
    let (usual, usual_times) = EXAMPLE.usual_times(wheelfarm)?;
    let options = database.options();
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let ours = Row::with_options("fastapi-postgres", &EXAMPLE.tag(), times, &options)?;
    let theirs = Row::with_options("its usual image", &usual, usual_times, &options)?;
    Ok(vec![ours, theirs])
}

fn is_right(database: &Database) -> Result<()> {
    let tag = EXAMPLE.tag();
    image::check(&tag, EXAMPLE.pip)?;
    let options = database.options();
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let service = Service::start(&tag, &options)?;
    let about = service.get("/")?;
    ensure!(about.contains("\"postgresql\":\"15"), "{about}");
    let mut post = std::process::Command::new("curl");
    post.args(["--fail", "--silent", "--show-error", "--json"])
        .arg(r#"{"text": "bread & butter"}"#)
        .arg(service.url("/notes"));
    run(&mut post)?;
    let notes = service.get("/notes")?;
    ensure!(notes.contains("bread & butter"), "{notes}");
    service.stop()
}
