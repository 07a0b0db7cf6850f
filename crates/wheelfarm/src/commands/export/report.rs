//! What an export did, for people and for programs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value;
use wheelfarm_coordinator::{Delivered, runtime_packages};
use wheelfarm_types::{Digest, ProjectName, PythonVersion, Version};

use super::check::Checked;
use super::found::Found;
use crate::printer::Printer;
use crate::units::size;

/// Rises when a member changes its meaning.
const VERSION: u32 = 1;

/// The report; its serialized form is that of `--format json`.
#[derive(Debug, Serialize)]
pub(crate) struct ExportReport {
    version: u32,
    wheels: Vec<Exported>,
    /// System packages that the wheels need where they run, by cell.
    runtime_packages: BTreeMap<String, BTreeSet<String>>,
    /// What kept everything from being written.
    missing: Vec<Lacking>,
    failures: Vec<Lacking>,
    /// The wheelhouse, if one was written.
    wheelhouse: Option<Wheelhouse>,
    /// The image, if one was made.
    pub(crate) image: Option<Image>,
    /// Trees, if any were made.
    pub(crate) trees: Vec<Tree>,
    /// The compiled Python, if it was written.
    pub(super) python_tree: Option<PythonTree>,
    /// What is said of images that the wheels are to run on.
    pub(super) checks: Vec<Checked>,
}

/// A compiled Python.
#[derive(Debug, Serialize)]
pub(super) struct PythonTree {
    pub(super) directory: PathBuf,
    pub(super) python: PythonVersion,
}

/// A tree of installed packages.
#[derive(Debug, Serialize)]
pub(crate) struct Tree {
    pub(crate) directory: PathBuf,
    /// `site` or `venv`.
    pub(crate) form: &'static str,
    /// Where a virtual environment has to lie.
    pub(crate) prefix: Option<PathBuf>,
    /// The interpreter that it is for.
    pub(crate) interpreter: PathBuf,
}

/// An image that holds the wheelhouse.
#[derive(Debug, Serialize)]
pub(crate) struct Image {
    /// Its name, if it has one.
    pub(crate) name: Option<String>,
    /// The digest of its manifest, by which registries know it.
    pub(crate) digest: Digest,
    /// Digests of its layers: one for each wheel, and the locks' last.
    pub(crate) layers: Vec<Digest>,
    /// The layout or tar file, if one was written.
    pub(crate) path: Option<PathBuf>,
    /// What the engine knows it by, if it has it.
    pub(crate) loaded: Option<String>,
    /// The digest by which the registry that it was pushed to knows it.
    pub(crate) pushed: Option<String>,
}

#[derive(Debug, Serialize)]
struct Exported {
    cell: String,
    python: PythonVersion,
    project: ProjectName,
    version: Version,
    filename: String,
    sha256: Digest,
    size: u64,
    /// `cached`, `reused` or `index`.
    origin: &'static str,
}

#[derive(Debug, Serialize)]
struct Lacking {
    job: String,
    /// `fetch`, `build`, `repair` or `prove`; none if that is not known.
    needs: Option<&'static str>,
    message: String,
}

#[derive(Debug, Serialize)]
struct Wheelhouse {
    directory: PathBuf,
    locks: Vec<PathBuf>,
}

impl ExportReport {
    pub(crate) fn new(found: &Found) -> Self {
        let wheels = found.wheels.iter().map(|wheel| {
            let artifact = &wheel.artifact;
            Exported {
                cell: wheel.cell.id(),
                python: wheel.cell.python,
                project: artifact.project.clone(),
                version: artifact.version.clone(),
                filename: artifact.filename.to_string(),
                sha256: artifact.wheel,
                size: artifact.size,
                origin: artifact.origin.as_str(),
            }
        });
        let missing = found.missing.iter().map(|missing| Lacking {
            job: missing.job.clone(),
            needs: Some(missing.needs),
            message: missing.because.clone(),
        });
        let failures = found.failures.iter().map(|failure| Lacking {
            job: failure.job.clone(),
            needs: None,
            message: failure.error.message.clone(),
        });
        let delivered: Vec<Delivered> = found.delivered();
        Self {
            version: VERSION,
            wheels: wheels.collect(),
            runtime_packages: runtime_packages(&delivered),
            missing: missing.collect(),
            failures: failures.collect(),
            wheelhouse: None,
            image: None,
            trees: Vec::new(),
            python_tree: None,
            checks: Vec::new(),
        }
    }

    /// A wheelhouse was written.
    pub(crate) fn wheelhouse(&mut self, directory: &Path, locks: Vec<PathBuf>) {
        self.wheelhouse = Some(Wheelhouse {
            directory: directory.to_owned(),
            locks,
        });
    }

    /// Whether the wheels run on all images that were looked at.
    pub(super) fn is_runnable(&self) -> bool {
        self.checks.iter().all(|check| check.findings.is_empty())
    }

    /// Says what keeps the wheels from running.
    pub(super) fn complain(&self, printer: Printer) {
        for check in &self.checks {
            check.complain(printer);
        }
    }

    /// The form for programs.
    pub(crate) fn to_json(&self) -> Value {
        // Texts, numbers and lists: always JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// The form for people: what was written.
    pub(crate) fn print(&self, printer: Printer) {
        for check in &self.checks {
            check.print(printer);
        }
        if let Some(Wheelhouse { directory, locks }) = &self.wheelhouse {
            for lock in locks {
                printer.result(lock.display());
            }
            let files: BTreeMap<_, _> = self
                .wheels
                .iter()
                .map(|wheel| (&wheel.filename, wheel.size))
                .collect();
            printer.result(format_args!(
                "{} wheels in {}, {}",
                files.len(),
                directory.display(),
                size(files.values().sum())
            ));
        }
        if let Some(image) = &self.image {
            image.print(printer);
        }
        for tree in &self.trees {
            tree.print(self.wheels.len(), printer);
        }
        if let Some(PythonTree { directory, python }) = &self.python_tree {
            let directory = directory.display();
            printer.result(format_args!("Python {python} in {directory}"));
        }
        for (cell, packages) in &self.runtime_packages {
            let packages: Vec<_> = packages.iter().map(String::as_str).collect();
            printer.note(format_args!(
                "{cell}: these wheels need {} where they run",
                packages.join(", ")
            ));
        }
    }
}

impl Image {
    fn print(&self, printer: Printer) {
        let layers = format!("{} layers, sha256:{}", self.layers.len(), self.digest);
        if let Some(path) = &self.path {
            printer.result(format_args!("{}: {layers}", path.display()));
        }
        if let (Some(name), Some(id)) = (&self.name, &self.loaded) {
            printer.result(format_args!("{name}: {layers}; the engine has it as {id}"));
        }
        if let (Some(name), Some(digest)) = (&self.name, &self.pushed) {
            printer.result(format_args!(
                "{name}: pushed; the registry has it as {digest}"
            ));
        }
    }
}

impl Tree {
    fn print(&self, count: usize, printer: Printer) {
        let (directory, interpreter) = (self.directory.display(), self.interpreter.display());
        match &self.prefix {
            Some(prefix) => printer.result(format_args!(
                "{count} packages in {directory}, to be copied to {}, for {interpreter}",
                prefix.display()
            )),
            None => printer.result(format_args!(
                "{count} packages in {directory}, for {interpreter}"
            )),
        }
    }
}
