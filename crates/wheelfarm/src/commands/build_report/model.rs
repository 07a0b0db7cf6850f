//! What came of a build, as values; its serialized form is that of `--format json`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use wheelfarm_build::pipeline::{AddedPackages, Artifact, Origin};
use wheelfarm_build::records::{Proof, SystemLibrary, Vendored};
use wheelfarm_build::{JobError, JobErrorKind};
use wheelfarm_coordinator::{
    BuiltWheel, Delivered, Duplicate, Failure, Report, duplicates, runtime_packages,
};
use wheelfarm_resolve::sources::SourceOrigin;
use wheelfarm_types::{Digest, ProjectName, PythonVersion, Target, Version, WheelFilename};

use crate::exit::Exit;
use crate::progress::Step;

/// Rises when a member changes its meaning.
const VERSION: u32 = 1;

/// One of a few words. Serde takes a reference in a structure for a part of its input; this it does not see through.
type Word = &'static str;

/// The whole report.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BuildReport {
    version: u32,
    pub(crate) wheels: Vec<Wheel>,
    pub(crate) locks: Vec<PathBuf>,
    /// Statements beside the wheels.
    pub(crate) provenance: Vec<PathBuf>,
    /// Sources that are on no index.
    pub(crate) sources: Vec<GivenSource>,
    pub(crate) failures: Vec<Failed>,
    /// Libraries of which a process may hold several copies, or that several wheels carry.
    pub(crate) duplicates: Vec<Duplicate>,
    /// System packages that the wheels need where they run, by cell.
    pub(crate) runtime_packages: BTreeMap<String, BTreeSet<String>>,
    /// What of the configuration is for nothing of this run, where the run was for all of it.
    pub(crate) unused: Vec<String>,
    pub(crate) steps: Vec<Step>,
    pub(crate) containers: u64,
    /// Actions whose results the cluster had, if builds run on one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hits: Option<u64>,
    pub(crate) downloaded: u64,
    pub(crate) seconds: f64,
    #[serde(skip)]
    pub(crate) out: PathBuf,
}

/// A wheel for a cell.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Wheel {
    pub(crate) project: ProjectName,
    pub(crate) version: Version,
    pub(crate) python: PythonVersion,
    pub(crate) target: Target,
    pub(crate) image: String,
    /// Built and proved under emulation of another architecture.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) emulated: bool,
    /// Where and for what: `cp311-manylinux_2_36_x86_64`.
    pub(crate) cell: String,
    pub(crate) filename: WheelFilename,
    pub(crate) path: PathBuf,
    pub(crate) sha256: Digest,
    pub(crate) size: u64,
    /// `built`, `cached`, `reused` (of another Python's build) or `index`.
    #[serde(deserialize_with = "words::origin")]
    pub(crate) origin: Word,
    /// Why so.
    pub(crate) because: String,
    /// What a wheel of the index claims and does not hold.
    pub(crate) findings: Vec<String>,
    pub(crate) vendored: Vec<Vendored>,
    /// Libraries that it needs of the system it runs on.
    pub(crate) system: Vec<SystemLibrary>,
    /// System packages that were added for its build to succeed (`--add-missing`).
    pub(crate) added: Option<AddedPackages>,
    pub(crate) proof: Option<Proof>,
    /// Whether it was built without network; none of the index's, of which nobody knows.
    pub(crate) hermetic: Option<bool>,
    /// What was built to build it, since the index has no wheels of it.
    pub(crate) build_requires: Vec<Requirement>,
    /// How long it took in this run.
    pub(crate) seconds: f64,
}

/// A build requirement that was built, and what was built for that.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Requirement {
    pub(crate) project: ProjectName,
    pub(crate) version: Version,
    pub(crate) filename: WheelFilename,
    pub(crate) sha256: Digest,
    pub(crate) size: u64,
    /// `built` or `cached`.
    #[serde(deserialize_with = "words::origin")]
    pub(crate) origin: Word,
    pub(crate) vendored: Vec<Vendored>,
    pub(crate) build_requires: Vec<Requirement>,
}

/// A source that is on no index.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GivenSource {
    pub(crate) project: ProjectName,
    #[serde(flatten)]
    pub(crate) origin: SourceOrigin,
    /// The archive that was made of it.
    pub(crate) sha256: Digest,
}

/// What failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Failed {
    /// `<project> <version> <cell>`, a cell, or `image <name>`.
    pub(crate) job: String,
    /// `request`, `package`, `audit`, `machine` or `cancelled`.
    #[serde(deserialize_with = "words::kind")]
    pub(crate) kind: Word,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) log: Option<Digest>,
    pub(crate) tail: Vec<String>,
    /// How long it took in this run.
    pub(crate) seconds: f64,
}

/// What a run counts beside its wheels.
pub(crate) struct Totals {
    pub(crate) containers: u64,
    pub(crate) hits: Option<u64>,
    pub(crate) downloaded: u64,
    pub(crate) seconds: f64,
}

/// A line of the final table: a file, however many cells it is for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// `built`, `cached`, `reused`, `index` or `failed`.
    pub(crate) how: &'static str,
    /// Project and version.
    pub(crate) wheel: String,
    /// The tags of its name; of what failed, where it was to be for.
    pub(crate) tag: String,
    pub(crate) size: Option<u64>,
    pub(crate) vendored: Vec<String>,
    pub(crate) seconds: f64,
    /// Why it was not simply there.
    pub(crate) because: String,
}

/// Kinds of failures by the words for them: of several, the first decides how the program ends.
const KINDS: [(&str, JobErrorKind); 5] = [
    ("machine", JobErrorKind::Machine),
    ("package", JobErrorKind::Package),
    ("request", JobErrorKind::Request),
    ("audit", JobErrorKind::Audit),
    ("cancelled", JobErrorKind::Cancelled),
];

fn kind_word(kind: JobErrorKind) -> &'static str {
    let known = KINDS.iter().find(|(_, known)| *known == kind);
    known.map_or("machine", |(word, _)| word)
}

/// Words of a report that comes from elsewhere.
mod words {
    use serde::de::{Deserialize, Deserializer, Error};
    use wheelfarm_build::pipeline::Origin;

    use super::KINDS;

    pub(super) fn origin<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
        let known = [Origin::Built, Origin::Cached, Origin::Reused, Origin::Index];
        one_of(from, known.map(Origin::as_str))
    }

    pub(super) fn kind<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
        one_of(from, KINDS.map(|(word, _)| word))
    }

    fn one_of<'de, D: Deserializer<'de>>(
        from: D,
        known: impl IntoIterator<Item = &'static str>,
    ) -> Result<&'static str, D::Error> {
        let word = String::deserialize(from)?;
        let known = known.into_iter().find(|known| *known == word);
        known.ok_or_else(|| D::Error::custom(format!("`{word}` is not known here")))
    }
}

impl BuildReport {
    /// The report of a run whose wheels lie in `out`.
    pub(crate) fn new(
        report: Report,
        out: &Path,
        locks: Vec<PathBuf>,
        steps: Vec<Step>,
        totals: &Totals,
    ) -> Self {
        let mut seconds: HashMap<&str, f64> = HashMap::new();
        for step in &steps {
            *seconds.entry(&step.job).or_default() += step.seconds;
        }
        let took = |job: &str| seconds.get(job).copied().unwrap_or(0.0);
        Self {
            version: VERSION,
            duplicates: duplicates(&report.wheels),
            runtime_packages: {
                let wheels: Vec<_> = report.wheels.iter().map(Delivered::from).collect();
                runtime_packages(&wheels)
            },
            wheels: report
                .wheels
                .into_iter()
                .map(|wheel| Wheel::new(wheel, out, &took))
                .collect(),
            sources: report
                .sources
                .into_iter()
                .map(|source| GivenSource {
                    sha256: source.sha256(),
                    project: source.name,
                    origin: source.origin,
                })
                .collect(),
            failures: report
                .failures
                .into_iter()
                .map(|failure| Failed::new(failure, &took))
                .collect(),
            locks,
            provenance: Vec::new(),
            unused: Vec::new(),
            containers: totals.containers,
            hits: totals.hits,
            downloaded: totals.downloaded,
            seconds: totals.seconds,
            out: out.to_owned(),
            steps,
        }
    }

    /// The report of a run elsewhere, in its form for programs, whose wheels now lie in `out`.
    pub(crate) fn from_elsewhere(report: &Value, out: &Path) -> Result<Self, serde_json::Error> {
        let mut report = Self::deserialize(report)?;
        for wheel in &mut report.wheels {
            wheel.path = out.join(wheel.filename.to_string());
        }
        out.clone_into(&mut report.out);
        Ok(report)
    }

    /// The form for programs.
    pub(crate) fn to_json(&self) -> Value {
        // A map with keys that are texts, numbers and texts: always JSON.
        serde_json::to_value(self).unwrap_or_default()
    }

    /// How many wheels came so.
    pub(crate) fn count(&self, origin: &str) -> usize {
        self.wheels
            .iter()
            .filter(|wheel| wheel.origin == origin)
            .count()
    }

    /// The final table: files in order of name, then what failed.
    pub(crate) fn rows(&self) -> Vec<Row> {
        let mut rows: Vec<(&WheelFilename, Row)> = Vec::new();
        let mut places: HashMap<&WheelFilename, usize> = HashMap::new();
        for wheel in &self.wheels {
            let known = places.get(&wheel.filename).copied();
            if let Some((_, row)) = known.and_then(|place| rows.get_mut(place)) {
                row.seconds += wheel.seconds;
                // Built for the first cell that wanted it, and there for the others.
                if wheel.origin == "built" {
                    let Row { how, because, .. } = wheel.row();
                    (row.how, row.because) = (how, because);
                }
                continue;
            }
            places.insert(&wheel.filename, rows.len());
            rows.push((&wheel.filename, wheel.row()));
        }
        rows.sort_by_key(|(filename, _)| filename.to_string());
        let failures = self.failures.iter().map(Failed::row);
        rows.into_iter()
            .map(|(_, row)| row)
            .chain(failures)
            .collect()
    }

    /// The exit code: of several failures, that of the one closest to this machine.
    pub(crate) fn exit(&self, cancelled: bool) -> Exit {
        if cancelled {
            return Exit::Interrupted;
        }
        let found: Vec<_> = self.failures.iter().map(|failure| failure.kind).collect();
        let worst = KINDS.iter().find(|(word, _)| found.contains(word));
        worst.map_or(Exit::Ok, |(_, kind)| Exit::of(*kind))
    }
}

impl Wheel {
    /// What is to be known of it to deliver it.
    pub(crate) fn delivered(&self) -> Delivered {
        let packages = self
            .system
            .iter()
            .filter_map(|library| library.package.clone());
        Delivered {
            cell: self.cell.clone(),
            python: self.python,
            project: self.project.clone(),
            version: self.version.clone(),
            filename: self.filename.clone(),
            sha256: self.sha256,
            size: self.size,
            runtime_packages: packages.collect(),
        }
    }

    fn new(wheel: BuiltWheel, out: &Path, took: &impl Fn(&str) -> f64) -> Self {
        let BuiltWheel {
            cell,
            artifact,
            proof,
        } = wheel;
        let job = format!("{} {} {}", artifact.project, artifact.version, cell.id());
        Self {
            seconds: took(&job),
            path: out.join(artifact.filename.to_string()),
            project: artifact.project,
            version: artifact.version,
            python: cell.python,
            target: cell.target,
            cell: cell.id(),
            image: cell.image.name.clone(),
            emulated: cell.image.emulated && artifact.origin != Origin::Index,
            filename: artifact.filename,
            sha256: artifact.wheel,
            size: artifact.size,
            hermetic: (artifact.origin != Origin::Index).then_some(!artifact.network),
            origin: artifact.origin.as_str(),
            because: artifact.because,
            findings: artifact.findings,
            vendored: artifact.vendored,
            system: artifact.system,
            added: artifact.added,
            proof,
            build_requires: artifact
                .requires
                .into_iter()
                .map(Requirement::new)
                .collect(),
        }
    }

    fn row(&self) -> Row {
        // The last three parts of a name are its tags.
        let name = self.filename.to_string();
        let name = name.strip_suffix(".whl").unwrap_or(&name);
        let parts: Vec<_> = name.rsplitn(4, '-').take(3).collect();
        let tag = parts.into_iter().rev().collect::<Vec<_>>().join("-");
        Row {
            how: self.origin,
            wheel: format!("{} {}", self.project, self.version),
            tag,
            size: Some(self.size),
            vendored: self
                .vendored
                .iter()
                .map(|library| library.soname.clone())
                .collect(),
            seconds: self.seconds,
            because: if self.origin == "cached" {
                String::new()
            } else {
                self.because.clone()
            },
        }
    }
}

impl Requirement {
    fn new(artifact: Artifact) -> Self {
        Self {
            project: artifact.project,
            version: artifact.version,
            filename: artifact.filename,
            sha256: artifact.wheel,
            size: artifact.size,
            origin: artifact.origin.as_str(),
            vendored: artifact.vendored,
            build_requires: artifact.requires.into_iter().map(Self::new).collect(),
        }
    }
}

impl Failed {
    fn new(failure: Failure, took: &impl Fn(&str) -> f64) -> Self {
        let Failure { job, error } = failure;
        let JobError {
            kind,
            message,
            hint,
            log,
            tail,
            remedy: _,
        } = error;
        Self {
            seconds: took(&job),
            job,
            kind: kind_word(kind),
            message,
            hint,
            log,
            tail,
        }
    }

    /// Whether the package is to blame, not what surrounds it.
    pub(crate) fn is_of_package(&self) -> bool {
        matches!(self.kind, "package" | "audit")
    }

    /// The job's name without its cell, and the cell; the whole name, if it is no package's.
    pub(crate) fn parts(&self) -> (&str, &str) {
        let words = self.job.split(' ').count();
        match self.job.rsplit_once(' ') {
            Some((wheel, cell)) if words == 3 => (wheel, cell),
            _ => (&self.job, ""),
        }
    }

    fn row(&self) -> Row {
        let (wheel, cell) = self.parts();
        Row {
            how: "failed",
            wheel: wheel.to_owned(),
            tag: cell.to_owned(),
            size: None,
            vendored: Vec::new(),
            seconds: self.seconds,
            because: String::new(),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A report with a bit of everything, for the tests of its forms.
    pub(crate) fn example() -> BuildReport {
        let wheel =
            |project: &str, cell: &str, filename: &str, origin, vendored: &[&str], seconds| Wheel {
                project: project.parse().unwrap(),
                version: "1.0".parse().unwrap(),
                python: "3.11".parse().unwrap(),
                target: "manylinux_2_36_x86_64".parse().unwrap(),
                image: "debian-12".to_owned(),
                emulated: false,
                cell: cell.to_owned(),
                filename: filename.parse().unwrap(),
                path: Path::new("wheelhouse").join(filename),
                sha256: Digest::of(filename),
                size: 2_500_000,
                origin,
                because: "asked for from source".to_owned(),
                findings: Vec::new(),
                vendored: vendored
                    .iter()
                    .map(|soname| Vendored {
                        soname: (*soname).to_owned(),
                        path: format!("x.libs/{soname}"),
                        package: None,
                    })
                    .collect(),
                system: Vec::new(),
                added: None,
                proof: None,
                hermetic: Some(true),
                build_requires: Vec::new(),
                seconds,
            };
        let cell = "cp311-manylinux_2_36_x86_64";
        let pure = "aa-1.0-py3-none-any.whl";
        BuildReport {
            version: VERSION,
            wheels: vec![
                wheel(
                    "psycopg2",
                    cell,
                    "psycopg2-1.0-1wf01234567-cp311-cp311-manylinux_2_34_x86_64.whl",
                    "built",
                    &[
                        "libpq.so.5",
                        "libssl.so.3",
                        "libcrypto.so.3",
                        "libgssapi_krb5.so.2",
                    ],
                    75.2,
                ),
                wheel("aa", cell, pure, "cached", &[], 0.0),
                wheel(
                    "aa",
                    "cp313-manylinux_2_36_x86_64",
                    pure,
                    "cached",
                    &[],
                    0.0,
                ),
            ],
            locks: vec![],
            provenance: vec![],
            sources: vec![],
            duplicates: vec![],
            unused: vec![],
            runtime_packages: BTreeMap::new(),
            failures: vec![Failed {
                job: format!("bad 2.0 {cell}"),
                kind: "package",
                message: "bad 2.0: its build ended with exit code 1".to_owned(),
                hint: Some("install `libbad-dev`, or do without: 100%".to_owned()),
                log: Some(Digest::of("log")),
                tail: vec!["::set-output name=a::b".to_owned(), "<x> & `y`".to_owned()],
                seconds: 3.0,
            }],
            steps: vec![],
            containers: 3,
            hits: None,
            downloaded: 1000,
            seconds: 80.0,
            out: PathBuf::from("wheelhouse"),
        }
    }

    #[test]
    fn a_file_is_one_row_and_failures_come_last() {
        let rows = example().rows();
        let names: Vec<_> = rows
            .iter()
            .map(|row| (row.how, row.wheel.as_str(), row.tag.as_str()))
            .collect();
        assert_eq!(
            names,
            [
                ("cached", "aa 1.0", "py3-none-any"),
                ("built", "psycopg2 1.0", "cp311-cp311-manylinux_2_34_x86_64"),
                ("failed", "bad 2.0", "cp311-manylinux_2_36_x86_64"),
            ]
        );
    }

    #[test]
    fn the_worst_failure_is_the_exit_code() {
        let mut report = example();
        assert_eq!(report.exit(false), Exit::BuildFailed);
        assert_eq!(report.exit(true), Exit::Interrupted);
        let mut other = report.failures.first().unwrap().clone();
        other.kind = "machine";
        report.failures.push(other);
        assert_eq!(report.exit(false), Exit::Environment);
        report.failures.clear();
        assert_eq!(report.exit(false), Exit::Ok);
    }
}
