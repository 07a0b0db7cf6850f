//! Bases of final stages, made from Debian packages: for where no registry is in reach. Each stands in for an image
//! that everybody has, so that the same Dockerfiles build on either.

mod debian_slim;
mod distroless;
mod musl;
mod postgres;
mod python_slim;
mod root;

use std::path::Path;

use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::docker::Engine;

struct Base {
    image: &'static str,
    make: fn(image: &str) -> Result<()>,
}

const BASES: [Base; 5] = [
    Base {
        image: "wheelfarm/debian-slim:12",
        make: debian_slim::bookworm,
    },
    Base {
        image: "wheelfarm/debian-slim:11",
        make: debian_slim::bullseye,
    },
    Base {
        image: "wheelfarm/python-slim:3.11",
        make: python_slim::make,
    },
    Base {
        image: "wheelfarm/python-distroless:3.11",
        make: distroless::make,
    },
    Base {
        image: "wheelfarm/postgres:15",
        make: postgres::make,
    },
];

/// Makes the bases that the engine does not have yet; all of them if `again`.
pub(crate) fn build(wheelfarm: &Path, again: bool) -> Result<()> {
    let engine = Engine::connect()?;
    let make = |image: &str, make: &dyn Fn(&str) -> Result<()>| {
        if !again && engine.has_image(image)? {
            eprintln!("{image} is here");
            return Ok(());
        }
        eprintln!("making {image}");
        make(image).with_context(|| format!("{image} could not be made"))
    };
    for base in &BASES {
        make(base.image, &base.make)?;
    }
    make("wheelfarm/python-musl:3.11", &|image| {
        musl::make(image, wheelfarm)
    })
}
