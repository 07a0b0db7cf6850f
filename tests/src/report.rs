//! What `wheelfarm build --format json` prints.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// The whole report.
#[derive(Debug, Clone, Deserialize)]
pub struct Report {
    /// Version of the form.
    pub version: u32,
    /// Wheels that are in the output directory.
    pub wheels: Vec<ReportedWheel>,
    /// Locks that are in the output directory.
    pub locks: Vec<PathBuf>,
    /// Sources that are on no index.
    #[serde(default)]
    pub sources: Vec<ReportedSource>,
    /// What failed.
    pub failures: Vec<ReportedFailure>,
    /// How long each stage of each job took.
    pub steps: Vec<Step>,
    /// Containers that were started.
    pub containers: u64,
    /// Actions whose results the cluster had, if builds run on one.
    pub hits: Option<u64>,
    /// Bytes that were downloaded.
    pub downloaded: u64,
    /// Wall time.
    pub seconds: f64,
}

/// A source that is on no index.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the fields' names are the report's")]
pub struct ReportedSource {
    pub project: String,
    pub place: String,
    pub commit: Option<String>,
    pub reference: Option<String>,
    pub unclean: Option<bool>,
    pub sha256: String,
}

/// A wheel of the report.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the fields' names are the report's")]
pub struct ReportedWheel {
    pub project: String,
    pub version: String,
    pub python: String,
    pub target: String,
    pub image: String,
    pub filename: String,
    pub path: PathBuf,
    pub sha256: String,
    pub size: u64,
    /// `built`, `cached`, `reused` or `index`.
    pub origin: String,
    /// Why so.
    pub because: String,
    /// What a wheel of the index claims and does not hold.
    pub findings: Vec<String>,
    pub vendored: Vec<Vendored>,
    pub proof: Option<Proof>,
    /// System packages that were added for its build to succeed.
    pub added: Option<Added>,
    /// Whether it was built without network; null for wheels of the index.
    pub hermetic: Option<bool>,
    /// What was built to build it.
    #[serde(default)]
    pub build_requires: Vec<BuiltRequirement>,
}

/// A build requirement that had no wheel.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the fields' names are the report's")]
pub struct BuiltRequirement {
    pub project: String,
    pub version: String,
    pub filename: String,
    pub sha256: String,
    /// `built` or `cached`.
    pub origin: String,
    pub build_requires: Vec<BuiltRequirement>,
}

/// System packages that a build turned out to miss.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the fields' names are the report's")]
pub struct Added {
    pub manager: String,
    pub added: Vec<String>,
    pub all: Vec<String>,
}

/// A library that was put into a wheel.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[allow(missing_docs, reason = "the fields' names are the report's")]
pub struct Vendored {
    pub soname: String,
    pub path: String,
    /// `name version` of the system package it came from.
    pub package: Option<String>,
}

/// What importing a wheel on a bare runtime gave.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the fields' names are the report's")]
pub struct Proof {
    pub imported: Vec<String>,
    pub noted: BTreeMap<String, String>,
    pub failed: BTreeMap<String, String>,
}

/// A job that failed.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the fields' names are the report's")]
pub struct ReportedFailure {
    pub job: String,
    /// `request`, `package`, `audit`, `machine` or `cancelled`.
    pub kind: String,
    pub message: String,
    pub hint: Option<String>,
    pub log: Option<String>,
    pub tail: Vec<String>,
}

/// One stage of one job.
#[derive(Debug, Clone, Deserialize)]
#[allow(missing_docs, reason = "the fields' names are the report's")]
pub struct Step {
    pub job: String,
    pub stage: String,
    pub seconds: f64,
}

impl Report {
    /// Reads what a run in `directory` printed.
    pub fn parse(text: &str, directory: &Path) -> Result<Self> {
        let report = serde_json::from_str(text);
        let mut report: Self = report.with_context(|| format!("stdout is no report: {text:?}"))?;
        for wheel in &mut report.wheels {
            wheel.path = directory.join(&wheel.path);
        }
        for lock in &mut report.locks {
            *lock = directory.join(&*lock);
        }
        Ok(report)
    }

    /// The wheel of `project` for `python`.
    pub fn wheel(&self, project: &str, python: &str) -> Option<&ReportedWheel> {
        self.wheels
            .iter()
            .find(|wheel| wheel.project == project && wheel.python == python)
    }
}

impl ReportedWheel {
    /// The Python's tag, as names of jobs and locks have it: `cp311`.
    pub fn python_tag(&self) -> String {
        format!("cp{}", self.python.replace('.', ""))
    }
}
