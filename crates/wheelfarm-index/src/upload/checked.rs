//! A file that was checked, and what came out.

use bytes::Bytes;
use wheelfarm_types::{ProjectName, SdistFilename};

use super::claims::{Claims, check_requirements};
use super::filename::{Named, shown};
use super::lanes::Lanes;
use super::wheel::{METADATA, Opened, identity, value};
use crate::Problem;

/// What a file says of itself, all of it checked.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) project: ProjectName,
    /// As METADATA spells it.
    pub(crate) version: String,
    pub(crate) requires_python: Option<String>,
    pub(crate) summary: Option<String>,
    /// Of a wheel, METADATA as it is.
    pub(crate) metadata: Option<Bytes>,
    /// Of a wheel, what the audit found, as JSON.
    pub(crate) report: Option<Bytes>,
}

/// Checks `file`, which is to be published under a name.
pub(crate) async fn check(
    lanes: &Lanes,
    file: fs_err::File,
    named: Named,
    claims: Claims,
    longest: u64,
    unportable: bool,
) -> Result<Checked, Problem> {
    match named {
        Named::Wheel(name) => {
            let opened = lanes
                .run(0, move || Opened::open(file, name, longest))
                .await?;
            let memory = opened.memory();
            let rest = move || opened.check(&claims, unportable);
            lanes.run(memory, rest).await
        }
        Named::Sdist(name) => lanes.run(0, move || sdist(file, &name, &claims)).await,
    }
}

/// Checks a source distribution: that nothing in it leads out of its directory, and what `PKG-INFO` says.
fn sdist(file: fs_err::File, name: &SdistFilename, claims: &Claims) -> Result<Checked, Problem> {
    let bad = |reason: String| Problem::bad_request(format!("{name}: {reason}"));
    let is_zip = name.extension() == ".zip";
    let mut files = wheelfarm_resolve::checked_files(is_zip, file, &["PKG-INFO"])
        .map_err(|error| bad(format!("it is not a sound archive: {error}")))?;
    let text = files.remove("PKG-INFO").ok_or_else(|| {
        bad("there is no PKG-INFO in its directory: it is no source distribution".to_owned())
    })?;
    if text.len() as u64 >= METADATA {
        return Err(bad(format!(
            "PKG-INFO has more than the {METADATA} bytes that are taken here"
        )));
    }
    let metadata = wheelfarm_wheel::Metadata::parse(&text)
        .map_err(|reason| bad(format!("PKG-INFO: {reason}")))?;
    let source = format!("PKG-INFO of {name}");
    let (project, version) = identity(&metadata, &source)?;
    if !Named::Sdist(name.clone()).is_of(&project, &version) {
        return Err(bad(format!(
            "PKG-INFO says that it is `{}` `{}`, which the file name does not",
            shown(metadata.name()),
            shown(metadata.version())
        )));
    }
    claims.check(&metadata, &source)?;
    check_requirements(&metadata, &source)?;
    Ok(Checked {
        project,
        version: metadata.version().to_owned(),
        requires_python: value(metadata.requires_python()),
        summary: value(metadata.headers.get("Summary")),
        metadata: None,
        report: None,
    })
}
