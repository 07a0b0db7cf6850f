//! The farm's side: a store and a cache of its own, the release binary.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::environment::target_directory;
use wheelfarm_tests::process::words;
use wheelfarm_tests::report::Report;

use super::{HUNDRED, Settings, project, projects, requirements};
use crate::steps::{cargo, show};

/// The package that is changed, if it is in the list: one of the middle.
const CHANGED: &str = "psycopg2";

pub(super) struct Ours {
    binary: PathBuf,
    directory: PathBuf,
    pub(super) store: PathBuf,
    image: String,
    python: String,
    projects: String,
    requirements: Vec<String>,
}

impl Ours {
    /// Makes the binary and the files it reads.
    pub(super) fn prepare(directory: &Path, settings: &Settings) -> Result<Self> {
        show(&mut cargo("build --release --package wheelfarm --locked"))?;
        let ours = Self {
            binary: target_directory()?.join("release/wheelfarm"),
            directory: directory.to_owned(),
            store: directory.join("store"),
            image: settings.image.clone(),
            python: settings.python.clone(),
            projects: projects(&settings.requirements),
            requirements: settings.requirements.clone(),
        };
        let mut hundred = requirements(HUNDRED);
        hundred.extend(settings.requirements.iter().cloned());
        hundred.truncate(100);
        ours.write("hundred.txt", &hundred)?;
        ours.write("packages.txt", &settings.requirements)?;
        Ok(ours)
    }

    /// From nothing: an empty store, no environment, no resolver.
    pub(super) fn cold(&self) -> Result<Report> {
        self.clear()?;
        self.build(
            "packages.txt",
            &["--image", &self.image, "--python", &self.python],
        )
    }

    /// One package of the list with another environment variable.
    pub(super) fn changed(&self) -> Result<Report> {
        let first = self.requirements.first().map_or("", |line| project(line));
        let there = self
            .requirements
            .iter()
            .any(|line| project(line) == CHANGED);
        let name = if there { CHANGED } else { first };
        let config = format!("[package.{name}]\nenv = {{ WHEELFARM_BENCH = \"1\" }}\n");
        fs_err::write(self.directory.join("wheelfarm.toml"), config)?;
        let report = self.build(
            "packages.txt",
            &["--image", &self.image, "--python", &self.python],
        );
        fs_err::remove_file(self.directory.join("wheelfarm.toml"))?;
        let report = report?;
        let built = report.wheels.iter().filter(|wheel| wheel.origin == "built");
        ensure!(
            built.count() == 1,
            "with one package changed, one wheel is built"
        );
        Ok(report)
    }

    /// A hundred requirements, for the second time.
    pub(super) fn unchanged(&self) -> Result<Report> {
        let arguments = ["--image", &self.image, "--python", &self.python];
        self.build("hundred.txt", &arguments)?;
        let report = self.build("hundred.txt", &arguments)?;
        ensure!(
            report.containers == 0 && report.downloaded == 0,
            "with nothing changed, {} containers are started and {} bytes downloaded",
            report.containers,
            report.downloaded
        );
        Ok(report)
    }

    /// The list in both cells; what the store has is taken from there.
    pub(super) fn both(&self) -> Result<Report> {
        self.build(
            "packages.txt",
            &["--image", "debian-12,debian-13", "--python", "3.11,3.13"],
        )
    }

    fn build(&self, file: &str, arguments: &[&str]) -> Result<Report> {
        let mut command = Command::new(&self.binary);
        command
            .current_dir(&self.directory)
            .args(["--store", "store", "--cache", "cache", "build", "-r", file])
            .args(["--from-source", &self.projects, "--out", "wheelhouse"])
            .args(arguments)
            .args(["--format", "json"])
            .stderr(Stdio::inherit());
        let text = words(&command);
        eprintln!("$ {text}");
        let output = command
            .output()
            .with_context(|| format!("`{text}` could not be started"))?;
        let report = Report::parse(&String::from_utf8_lossy(&output.stdout), &self.directory)?;
        ensure!(
            output.status.success(),
            "`{text}` failed ({}): {}",
            output.status,
            report
                .failures
                .iter()
                .map(|failure| failure.message.as_str())
                .collect::<Vec<_>>()
                .join("; ")
        );
        Ok(report)
    }

    fn clear(&self) -> Result<()> {
        for name in ["store", "cache", "wheelhouse"] {
            let path = self.directory.join(name);
            if path.exists() {
                fs_err::remove_dir_all(path)?;
            }
        }
        Ok(())
    }

    fn write(&self, name: &str, lines: &[String]) -> Result<()> {
        fs_err::write(self.directory.join(name), lines.join("\n") + "\n")?;
        Ok(())
    }
}
