//! gunicorn with a virtual environment that a build stage makes, on glibc and on musl.

use std::path::Path;

use wheelfarm_tests::anyhow::{Result, ensure};

use super::docker::{Builder, Cache};
use super::example::{Change, Example, Row};
use super::image::{self, Pip};
use super::service::Service;
use super::workshop::Workshop;
use crate::images;

const CODE: Change = ("app.py", "greeting=\"hello\"", "greeting=\"good day\"");
const REQUIREMENT: Change = ("requirements.txt", "gunicorn==27.0.1", "gunicorn==26.0.0");
const SLIM: Example = Example {
    name: "gunicorn-multistage",
    dockerfile: "Dockerfile",
    prepare: &["build -r requirements.txt --python 3.11 --target manylinux_2_36_x86_64"],
    prepare_code: &[],
    bases: &[("BASE", "wheelfarm/python-slim:3.11")],
    code: CODE,
    requirement: REQUIREMENT,
    pip: Pip::OfBase,
};

/// The same on musl, the compiled module built by the farm: the index has a wheel of it as well.
const ALPINE: Example = Example {
    dockerfile: "Dockerfile.alpine",
    prepare: &[
        "build -r requirements.txt --from-source markupsafe --python 3.11 --target musllinux_1_2_x86_64",
    ],
    bases: &[("BASE", "wheelfarm/python-musl:3.11")],
    ..SLIM
};

/// Builds both with both builders and checks what comes out.
pub(super) fn check(wheelfarm: &Path) -> Result<()> {
    let (slim, alpine) = (SLIM.workshop(wheelfarm)?, alpine_workshop(wheelfarm)?);
    for (example, workshop) in [(SLIM, slim), (ALPINE, alpine)] {
        example.build(&workshop, Cache::Warm)?;
        is_right(&example)?;
        example.image(&workshop, Builder::BuildKit, Cache::Warm)?;
        is_right(&example)?;
    }
    Ok(())
}

/// A copy with a store that has the Python for musl, which takes minutes to be compiled.
fn alpine_workshop(wheelfarm: &Path) -> Result<Workshop> {
    let store = images::pythons(wheelfarm, "debian-12-musl", &["3.11"])?;
    Workshop::with_store(
        wheelfarm,
        &format!("{}-alpine", SLIM.name),
        SLIM.name,
        &store,
    )
}

/// Measures them beside the usual image.
pub(super) fn measure(wheelfarm: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let workshop = SLIM.workshop(wheelfarm)?;
    let times = SLIM.times(&workshop)?;
    is_right(&SLIM)?;
    rows.push(Row::of("gunicorn-multistage, slim", &SLIM.tag(), times)?);
    let workshop = alpine_workshop(wheelfarm)?;
    let times = ALPINE.times(&workshop)?;
    is_right(&ALPINE)?;
    rows.push(Row::of("gunicorn-multistage, musl", &ALPINE.tag(), times)?);
    let (usual, times) = SLIM.usual_times(wheelfarm)?;
    rows.push(Row::of("its usual image", &usual, times)?);
    Ok(rows)
}

fn is_right(example: &Example) -> Result<()> {
    let tag = example.tag();
    image::check(&tag, example.pip)?;
    let service = Service::start(&tag, &[])?;
    let page = service.get("/?name=%3Cb%3E")?;
    ensure!(page.contains("&lt;b&gt;"), "{page}");
    // The compiled module is what escapes.
    let about = service.get("/about")?;
    let libc = if example.dockerfile == ALPINE.dockerfile {
        "linux-musl.so"
    } else {
        "linux-gnu.so"
    };
    ensure!(
        about.contains("_speedups") && about.contains(libc),
        "{about}"
    );
    service.stop()
}
