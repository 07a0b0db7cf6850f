//! Tiny Flask on distroless: no shell, no package manager, no pip.

use std::path::Path;

use wheelfarm_tests::anyhow::{Result, ensure};

use super::docker::{Builder, Cache};
use super::example::{Example, Row};
use super::image::{self, Pip};
use super::service::Service;

const EXAMPLE: Example = Example {
    name: "flask-distroless",
    dockerfile: "Dockerfile",
    prepare: &[
        "build -r requirements.txt --python 3.11 --target manylinux_2_36_x86_64",
        "export -r requirements.txt --python 3.11 --target manylinux_2_36_x86_64 --site site --site-prefix /opt/site --interpreter /usr/bin/python3.11 --bytecode",
    ],
    prepare_code: &[],
    bases: &[("BASE", "wheelfarm/python-distroless:3.11")],
    code: ("wsgi.py", "message=\"hello\"", "message=\"hello again\""),
    requirement: ("requirements.txt", "waitress==3.0.2", "waitress==3.0.1"),
    pip: Pip::Absent,
};
/// How many times smaller than the usual image it has to be, compressed.
const SMALLER: u64 = 3;

/// Builds with both builders and checks what comes out.
pub(super) fn check(wheelfarm: &Path) -> Result<()> {
    let workshop = EXAMPLE.workshop(wheelfarm)?;
    EXAMPLE.build(&workshop, Cache::Warm)?;
    is_right()?;
    EXAMPLE.image(&workshop, Builder::BuildKit, Cache::Warm)?;
    is_right()
}

/// Measures it beside the usual image.
pub(super) fn measure(wheelfarm: &Path) -> Result<Vec<Row>> {
    let workshop = EXAMPLE.workshop(wheelfarm)?;
    let times = EXAMPLE.times(&workshop)?;
    is_right()?;
    let (usual, usual_times) = EXAMPLE.usual_times(wheelfarm)?;
    let tag = EXAMPLE.tag();
    let row = Row::of("flask-distroless", &tag, times)?;
    let usual = Row::of("its usual image", &usual, usual_times)?;
    let (ours, theirs) = (row.figures.compressed, usual.figures.compressed);
    ensure!(
        ours * SMALLER <= theirs,
        "{ours} compressed bytes are not {SMALLER} times less than {theirs}"
    );
    Ok(vec![row, usual])
}

fn is_right() -> Result<()> {
    let tag = EXAMPLE.tag();
    image::check(&tag, EXAMPLE.pip)?;
    image::is_distroless(&tag)?;
    let service = Service::start(&tag, &[])?;
    let answer = service.get("/")?;
    ensure!(
        answer.contains("\"message\":\"hello") && answer.contains("\"uid\":65532"),
        "{answer}"
    );
    service.stop()
}
