//! What the examples have in common: their wheels, their image, the usual image, and four times of each.

use std::path::Path;

use wheelfarm_tests::anyhow::{Context, Result};

use super::docker::{Build, Builder, Cache};
use super::image::{Figures, Pip};
use super::service::Service;
use super::usual;
use super::workshop::Workshop;

/// How often a cold start is measured.
const STARTS: usize = 5;

/// An example whose image is one `docker build`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Example {
    /// Its directory below `images/runtime`.
    pub(super) name: &'static str,
    /// Its Dockerfile, and what the image is called behind the name.
    pub(super) dockerfile: &'static str,
    /// `wheelfarm` with these words makes what the Dockerfile copies.
    pub(super) prepare: &'static [&'static str],
    /// What has to be done of it when only the project's code has changed.
    pub(super) prepare_code: &'static [&'static str],
    /// Bases that stand in for those of a registry.
    pub(super) bases: &'static [(&'static str, &'static str)],
    /// A line of code: file, before, after.
    pub(super) code: Change,
    /// A requirement: file, before, after.
    pub(super) requirement: Change,
    /// Whether the final image may have pip.
    pub(super) pip: Pip,
}

/// A change of one line.
pub(super) type Change = (&'static str, &'static str, &'static str);

/// How long builds take, in seconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// Nothing is there: no store, no cache of the engine.
    pub(super) cold: f64,
    /// One line of code was changed.
    pub(super) code: f64,
    /// One requirement was changed.
    pub(super) requirement: f64,
    /// The engine's cache is empty, as in a new CI job; the farm's store is there.
    pub(super) empty_cache: f64,
}

/// A line of the table.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) figures: Figures,
    pub(super) times: Option<Times>,
    /// From `docker run` to the first answer, in seconds: the median of five.
    pub(super) cold_start: Option<f64>,
}

impl Row {
    /// The figures of `image`, which is started as it is.
    pub(super) fn of(name: &str, image: &str, times: Times) -> Result<Self> {
        Self::with_options(name, image, times, &[])
    }

    /// The same, with these options of `docker run`.
    pub(super) fn with_options(
        name: &str,
        image: &str,
        times: Times,
        options: &[&str],
    ) -> Result<Self> {
        let mut starts = Vec::new();
        for _ in 0..STARTS {
            starts.push(Service::start_unlocked(image, options)?.cold_start);
        }
        starts.sort_by(f64::total_cmp);
        Ok(Self {
            name: name.to_owned(),
            figures: Figures::of(image)?,
            times: Some(times),
            cold_start: starts.get(STARTS / 2).copied(),
        })
    }
}

impl Example {
    /// The name of the image.
    pub(super) fn tag(&self) -> String {
        let variant = self.dockerfile.strip_prefix("Dockerfile.");
        let variant = variant.map(|variant| format!("-{variant}"));
        format!(
            "wheelfarm/example-{}{}",
            self.name,
            variant.unwrap_or_default()
        )
    }

    /// A copy of the example, nothing of it built.
    pub(super) fn workshop(&self, wheelfarm: &Path) -> Result<Workshop> {
        Workshop::new(wheelfarm, self.name)
    }

    /// Makes the wheels and the image; the seconds of both.
    pub(super) fn build(&self, workshop: &Workshop, cache: Cache<'_>) -> Result<f64> {
        let wheels = prepare(workshop, self.prepare)?;
        Ok(wheels + self.image(workshop, Builder::Classic, cache)?)
    }

    /// Makes the image of what was exported.
    pub(super) fn image(
        &self,
        workshop: &Workshop,
        builder: Builder,
        cache: Cache<'_>,
    ) -> Result<f64> {
        let build = Build {
            context: &workshop.directory,
            dockerfile: self.dockerfile,
            tag: &self.tag(),
            arguments: self.bases,
        };
        let built = build.run(builder, cache);
        built.with_context(|| format!("{} of {} with {builder:?}", self.dockerfile, self.name))
    }

    /// Builds four times, as [`Times`] says; the copy is left changed, its image too.
    pub(super) fn times(&self, workshop: &Workshop) -> Result<Times> {
        let cold = self.build(workshop, Cache::Empty)?;
        let (file, old, new) = self.code;
        workshop.edit(file, old, new)?;
        let code = prepare(workshop, self.prepare_code)?
            + self.image(workshop, Builder::Classic, Cache::Warm)?;
        let (file, old, new) = self.requirement;
        workshop.edit(file, old, new)?;
        workshop.forget_exports()?;
        let requirement = self.build(workshop, Cache::Warm)?;
        workshop.forget_exports()?;
        let empty_cache = self.build(workshop, Cache::Empty)?;
        Ok(Times {
            cold,
            code,
            requirement,
            empty_cache,
        })
    }

    /// The same for the usual image, `Dockerfile.usual`: without a farm, an empty cache is a cold start. Its name too.
    pub(super) fn usual_times(&self, wheelfarm: &Path) -> Result<(String, Times)> {
        let workshop = self.workshop(wheelfarm)?;
        // It is about what the example's own image copies.
        fs_err::remove_file(workshop.directory.join(".dockerignore"))?;
        let base = usual::base(wheelfarm)?;
        let tag = format!("{}-usual", self.tag());
        let build = |cache| {
            let build = Build {
                context: &workshop.directory,
                dockerfile: "Dockerfile.usual",
                tag: &tag,
                arguments: &[("BASE", &base)],
            };
            build
                .run(Builder::Classic, cache)
                .with_context(|| format!("the usual image of {}", self.name))
        };
        let cold = build(Cache::Empty)?;
        let (file, old, new) = self.code;
        workshop.edit(file, old, new)?;
        let code = build(Cache::Warm)?;
        let (file, old, new) = self.requirement;
        workshop.edit(file, old, new)?;
        let requirement = build(Cache::Warm)?;
        let times = Times {
            cold,
            code,
            requirement,
            empty_cache: cold,
        };
        Ok((tag, times))
    }
}

fn prepare(workshop: &Workshop, lines: &[&str]) -> Result<f64> {
    lines.iter().map(|line| workshop.wheelfarm(line)).sum()
}
