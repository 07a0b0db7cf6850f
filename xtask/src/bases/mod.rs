//! Bases of final stages, made from Debian packages: for where no registry is in reach. Each stands in for an image
//! that everybody has, so that the same Dockerfiles build on either.

mod debian_slim;
mod distroless;
mod musl;
mod postgres;
mod python_slim;
mod root;

use std::path::Path;

use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::docker::Engine;

struct Base {
    image: &'static str,
    /// Makes it, if need be with the program.
    make: fn(image: &str, wheelfarm: &Path) -> Result<()>,
}

const BASES: [Base; 7] = [
    Base {
        image: "wheelfarm/debian-slim:12",
        make: |image, _| debian_slim::bookworm(image),
    },
    Base {
        image: "wheelfarm/debian-slim:11",
        make: |image, _| debian_slim::bullseye(image),
    },
    Base {
        image: "wheelfarm/debian-slim:forky",
        make: |image, _| debian_slim::forky(image),
    },
    Base {
        image: "wheelfarm/python-slim:3.11",
        make: |image, _| python_slim::make(image),
    },
    Base {
        image: "wheelfarm/python-distroless:3.11",
        make: |image, _| distroless::make(image),
    },
    Base {
        image: "wheelfarm/postgres:15",
        make: |image, _| postgres::make(image),
    },
    Base {
        image: "wheelfarm/python-musl:3.11",
        make: musl::make,
    },
];

/// Makes all bases that the engine does not have yet; all of them if `again`.
pub(crate) fn all(wheelfarm: &Path, again: bool) -> Result<()> {
    BASES
        .iter()
        .try_for_each(|base| base.build(wheelfarm, again))
}

/// Makes those of `images` that the engine does not have yet.
pub(crate) fn missing(wheelfarm: &Path, images: &[&str]) -> Result<()> {
    let bases = BASES.iter().filter(|base| images.contains(&base.image));
    let mut made = 0;
    for base in bases {
        base.build(wheelfarm, false)?;
        made += 1;
    }
    ensure!(made == images.len(), "not all of {images:?} are bases");
    Ok(())
}

impl Base {
    fn build(&self, wheelfarm: &Path, again: bool) -> Result<()> {
        let image = self.image;
        if !again && Engine::connect()?.has_image(image)? {
            eprintln!("{image} is here");
            return Ok(());
        }
        eprintln!("making {image}");
        (self.make)(image, wheelfarm).with_context(|| format!("{image} could not be made"))
    }
}
