//! `FastAPI` and PostgreSQL in a virtual environment: the wheels come as an image, the project as a wheel.

use std::path::Path;
use std::time::Instant;

use wheelfarm_tests::anyhow::{Result, ensure};
use wheelfarm_tests::process::run;
use wheelfarm_tests::registry::{Access, Registry};

use super::database::Database;
use super::docker::{Build, Builder, Cache, docker};
use super::example::{Example, Row, Times};
use super::image::{self, Pip};
use super::service::Service;
use super::usual;

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
    let dance = Row {
        name: "the same with `--cache-from`".to_owned(),
        times: Some(dance(wheelfarm, &usual)?),
        ..theirs.clone()
    };
    Ok(vec![ours, theirs, dance])
}

/// What teams do whose CI jobs begin with an empty cache: the last image is pulled, and the build takes its layers.
/// The seconds of both. (It is pushed for the next job, which it would be without as well.)
fn dance(wheelfarm: &Path, usual: &str) -> Result<Times> {
    let workshop = EXAMPLE.workshop(wheelfarm)?;
    fs_err::remove_file(workshop.directory.join(".dockerignore"))?;
    let registry = Registry::start(&workshop.directory.join("../registry"), Access::Open)?;
    let last = format!("{}/notes:last", registry.host());
    let base = usual::base(wheelfarm)?;
    let build = Build {
        context: &workshop.directory,
        dockerfile: "Dockerfile.usual",
        tag: usual,
        arguments: &[("BASE", &base)],
    };
    let cold = build.run(Builder::Classic, Cache::Empty)?;
    docker(&["tag", usual, &last])?;
    docker(&["push", "--quiet", &last])?;
    let job = || -> Result<f64> {
        // The engine forgets what it built.
        docker(&["image", "rm", &last, usual])?;
        let start = Instant::now();
        docker(&["pull", "--quiet", &last])?;
        build.run(Builder::Classic, Cache::Image(&last))?;
        Ok(start.elapsed().as_secs_f64())
    };
    let empty_cache = job()?;
    let (file, old, new) = EXAMPLE.code;
    workshop.edit(file, old, new)?;
    let code = job()?;
    let (file, old, new) = EXAMPLE.requirement;
    workshop.edit(file, old, new)?;
    let requirement = job()?;
    docker(&["image", "rm", &last])?;
    Ok(Times {
        cold,
        code,
        requirement,
        empty_cache,
    })
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
