//! Checking a wheel before it is published: the archive as a whole, what it says of itself, and what it was built for.

use std::collections::BTreeSet;

use bytes::Bytes;
use wheelfarm_audit::{AuditError, AuditOptions, AuditReport, LibraryRoot, Objects, audit_objects};
use wheelfarm_types::{Digest, Tag, WheelFilename};
use wheelfarm_wheel::{EntryKind, Limits, Metadata, RecordFinding, Wheel, WheelError};

use super::checked::Checked;
use super::claims::{Claims, check_requirements};
use super::filename::{Named, shown};
use super::portable;
use crate::Problem;

/// Bytes of METADATA: every client that resolves reads it.
pub(crate) const METADATA: u64 = 4 << 20;
/// Bytes of WHEEL.
const WHEEL: u64 = 64 << 10;
/// What the whole archive may unpack to, in bytes, whatever it compresses to.
const SMALL: u64 = 64 << 20;
/// How many times its size a larger archive may unpack to. Libraries reach 10; what is made to fill memory, 1000.
const RATIO: u64 = 50;
/// Bytes of one member: the largest is held in memory.
const MEMBER: u64 = 2 << 30;
/// Entries of the archive.
const ENTRIES: usize = 100_000;

/// An opened wheel, nothing of which has been unpacked.
pub(crate) struct Opened {
    wheel: Wheel,
}

impl Opened {
    /// Opens the wheel in `file`, and checks what can be checked without unpacking: names, sizes, structure.
    pub(crate) fn open(
        file: fs_err::File,
        filename: WheelFilename,
        longest: u64,
    ) -> Result<Self, Problem> {
        let limits = Limits {
            archive: longest,
            entries: ENTRIES,
            member: MEMBER,
            total: u64::MAX,
        };
        let wheel = Wheel::from_file_with(file, filename, limits).map_err(refused)?;
        wheel.check_framing().map_err(refused)?;
        let name = wheel.filename();
        if let Some(link) = wheel
            .entries()
            .iter()
            .find(|entry| entry.kind == EntryKind::Symlink)
        {
            return Err(Problem::bad_request(format!(
                "{name}: `{}` is a symbolic link, which installers would write as a text file",
                shown(&link.name)
            )));
        }
        let stem = wheel.dist_info().strip_suffix(".dist-info");
        let version = stem.and_then(|stem| stem.split_once('-')).map(|it| it.1);
        let same = version.and_then(|version| version.replace('_', "-").parse().ok());
        if same.is_none() || same != name.parsed_version().ok() {
            return Err(Problem::bad_request(format!(
                "{name}: `{}` does not have the version that the file name has",
                wheel.dist_info()
            )));
        }
        for (file, most) in [("METADATA", METADATA), ("WHEEL", WHEEL)] {
            let path = format!("{}/{file}", wheel.dist_info());
            let Some(entry) = wheel.entry(&path) else {
                return Err(Problem::bad_request(format!(
                    "{name}: there is no `{path}` in it"
                )));
            };
            if entry.size > most {
                return Err(Problem::bad_request(format!(
                    "{name}: `{path}` has {} bytes, more than the {most} that are taken here",
                    entry.size
                )));
            }
        }
        let total = wheel
            .entries()
            .iter()
            .fold(0_u64, |total, entry| total.saturating_add(entry.size));
        if total > SMALL && total / RATIO > wheel.size() {
            return Err(Problem::bad_request(format!(
                "{name}: it has {} bytes and would unpack to {total}: that is a zip bomb, not a wheel",
                wheel.size()
            )));
        }
        Ok(Self { wheel })
    }

    /// Bytes that checking the rest holds in memory.
    pub(crate) fn memory(&self) -> u64 {
        let sizes = self.wheel.entries().iter().map(|entry| entry.size);
        sizes.max().unwrap_or(0)
    }

    /// Checks the rest, which unpacks all of it.
    pub(crate) fn check(self, claims: &Claims, unportable: bool) -> Result<Checked, Problem> {
        let wheel = self.wheel;
        let path = format!("{}/METADATA", wheel.dist_info());
        let text = wheel.read(&path).map_err(refused)?;
        let metadata = wheel.metadata_file().map_err(refused)?;
        let source = format!("METADATA of {}", wheel.filename());
        let (project, version) = identity(&metadata, &source)?;
        if !Named::Wheel(wheel.filename().clone()).is_of(&project, &version) {
            return Err(Problem::bad_request(format!(
                "{}: METADATA says that it is `{}` `{}`, which the file name does not",
                wheel.filename(),
                shown(metadata.name()),
                shown(metadata.version()),
            )));
        }
        claims.check(&metadata, &source)?;
        check_requirements(&metadata, &source)?;
        check_tags(&wheel)?;
        let objects = Objects::read_hashed(&wheel).map_err(|e| unaudited(e, &wheel))?;
        check_record(&wheel, |member| objects.digest(member))?;
        let options = AuditOptions::default();
        let report = audit_objects(&wheel, &objects, &LibraryRoot::empty(), &options)
            .map_err(|e| unaudited(e, &wheel))?;
        let portable = portable::check(&report);
        if !unportable {
            portable?;
        }
        Ok(Checked {
            project,
            version: metadata.version().to_owned(),
            requires_python: value(metadata.requires_python()),
            summary: value(metadata.headers.get("Summary")),
            metadata: Some(text.into()),
            report: Some(kept(&report)?),
        })
    }
}

/// A report as it is kept beside its wheel.
fn kept(report: &AuditReport) -> Result<Bytes, Problem> {
    let json = serde_json::to_vec(report).map(Bytes::from);
    json.map_err(|error| {
        tracing::error!(%error, wheel = %report.wheel, "a report is no JSON");
        Problem::new(
            http::StatusCode::INTERNAL_SERVER_ERROR,
            "the audit's report could not be written",
        )
    })
}

/// Name and version that METADATA gives; `source` is what to call it.
pub(crate) fn identity(
    metadata: &Metadata,
    source: &str,
) -> Result<(wheelfarm_types::ProjectName, wheelfarm_types::Version), Problem> {
    let bad = |error| Problem::bad_request(format!("{source}: {error}"));
    Ok((
        metadata.name().parse().map_err(bad)?,
        metadata.version().parse().map_err(bad)?,
    ))
}

/// A header's value on one line; none if it says nothing.
pub(crate) fn value(header: Option<&str>) -> Option<String> {
    let text = header?.split_whitespace().collect::<Vec<_>>().join(" ");
    (!text.is_empty() && text != "UNKNOWN").then_some(text)
}

/// Whether WHEEL has the tags and the build number of the file name.
fn check_tags(wheel: &Wheel) -> Result<(), Problem> {
    let info = wheel.wheel_info().map_err(refused)?;
    let name = wheel.filename();
    let inside: BTreeSet<String> = info.tags().iter().map(Tag::to_string).collect();
    let outside: BTreeSet<String> = name.tags().map(|tag| tag.to_string()).collect();
    if inside != outside {
        let list = |tags: &BTreeSet<String>| {
            let first: Vec<_> = tags.iter().take(6).map(|tag| shown(tag)).collect();
            first.join(", ")
        };
        return Err(Problem::bad_request(format!(
            "{name}: WHEEL has the tags {}, the file name {}",
            list(&inside),
            list(&outside)
        )));
    }
    let build = name.build.as_ref().map(wheelfarm_types::BuildTag::as_str);
    // Not all writers note it.
    if let Some(inside) = info.build().filter(|inside| Some(*inside) != build) {
        return Err(Problem::bad_request(format!(
            "{name}: WHEEL has the build tag `{}`, the file name {}",
            shown(inside),
            build.map_or("none".to_owned(), |build| format!("`{build}`"))
        )));
    }
    Ok(())
}

/// Whether RECORD lists what there is.
fn check_record(wheel: &Wheel, digest: impl Fn(&str) -> Option<Digest>) -> Result<(), Problem> {
    let findings = wheel.compare_record(digest).map_err(refused)?;
    let Some(first) = findings.first() else {
        return Ok(());
    };
    let sentence = match first {
        RecordFinding::NotListed(path) => format!("`{}` is not listed in RECORD", shown(path)),
        RecordFinding::NotThere(path) => {
            format!("RECORD lists `{}`, which is not in it", shown(path))
        }
        RecordFinding::Twice(path) => format!("RECORD lists `{}` twice", shown(path)),
        RecordFinding::NoHash(path) => format!("RECORD has no good hash of `{}`", shown(path)),
        RecordFinding::WrongHash(path) => {
            format!("`{}` does not have the hash that RECORD gives", shown(path))
        }
        RecordFinding::WrongSize(path) => {
            format!("`{}` does not have the size that RECORD gives", shown(path))
        }
    };
    let more = match findings.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more such things"),
    };
    Err(Problem::bad_request(format!(
        "{}: {sentence}{more}",
        wheel.filename()
    )))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn refused(error: WheelError) -> Problem {
    Problem::bad_request(error.to_string())
}

fn unaudited(error: AuditError, wheel: &Wheel) -> Problem {
    match error {
        AuditError::Wheel(error) => refused(error),
        error => {
            let name = wheel.filename();
            tracing::error!(%error, wheel = %name, "a wheel could not be audited");
            Problem::new(
                http::StatusCode::INTERNAL_SERVER_ERROR,
                format!("{name} could not be audited"),
            )
        }
    }
}
