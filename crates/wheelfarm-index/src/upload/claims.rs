//! What a form says of its file, beside what the file says of itself. The file is right; a form that says something
//! else is refused, since whoever sent it believes to publish something else.

use std::collections::BTreeSet;

use wheelfarm_types::{ProjectName, Requirement};
use wheelfarm_wheel::Metadata;

use super::filename::shown;
use super::form::Form;
use crate::Problem;

/// How two values are compared.
#[derive(Clone, Copy)]
enum Sameness {
    /// As names of projects.
    Name,
    /// As versions.
    Version,
    /// As requirements: white space aside.
    Requirement,
    /// As texts, line ends and runs of white space aside.
    Text,
}

/// Fields of the form, the header of METADATA that each stands for, and what is the same. Clients spell some fields
/// in several ways.
const FIELDS: [(&str, &str, Sameness); 23] = [
    ("metadata_version", "Metadata-Version", Sameness::Text),
    ("name", "Name", Sameness::Name),
    ("version", "Version", Sameness::Version),
    ("requires_python", "Requires-Python", Sameness::Requirement),
    ("requires_dist", "Requires-Dist", Sameness::Requirement),
    ("provides_extra", "Provides-Extra", Sameness::Name),
    ("provides_extras", "Provides-Extra", Sameness::Name),
    (
        "requires_external",
        "Requires-External",
        Sameness::Requirement,
    ),
    ("provides_dist", "Provides-Dist", Sameness::Requirement),
    ("obsoletes_dist", "Obsoletes-Dist", Sameness::Requirement),
    ("summary", "Summary", Sameness::Text),
    ("home_page", "Home-page", Sameness::Text),
    ("download_url", "Download-URL", Sameness::Text),
    ("author", "Author", Sameness::Text),
    ("author_email", "Author-email", Sameness::Text),
    ("maintainer", "Maintainer", Sameness::Text),
    ("maintainer_email", "Maintainer-email", Sameness::Text),
    ("license_expression", "License-Expression", Sameness::Text),
    ("classifiers", "Classifier", Sameness::Text),
    ("platform", "Platform", Sameness::Text),
    ("supported_platform", "Supported-Platform", Sameness::Text),
    ("project_urls", "Project-URL", Sameness::Requirement),
    ("dynamic", "Dynamic", Sameness::Name),
];

/// What a form says: field, and its values.
#[derive(Debug, Default)]
pub(crate) struct Claims(Vec<(&'static str, Vec<String>)>);

impl Claims {
    /// What `form` says of its file. A field that is absent or empty says nothing.
    pub(crate) fn of(form: &Form) -> Self {
        let said = FIELDS.iter().filter_map(|(field, _, _)| {
            let values = form.fields.get(*field)?.iter();
            let values: Vec<String> = values
                .map(|value| value.trim().to_owned())
                .filter(|value| !value.is_empty() && value != "UNKNOWN")
                .collect();
            (!values.is_empty()).then_some((*field, values))
        });
        Self(said.collect())
    }

    /// Refuses what contradicts `metadata`, of which `source` is the name.
    pub(crate) fn check(&self, metadata: &Metadata, source: &str) -> Result<(), Problem> {
        for (field, claimed) in &self.0 {
            let Some((_, header, sameness)) = FIELDS.iter().find(|(name, _, _)| name == field)
            else {
                continue;
            };
            let actual: Vec<&str> = metadata
                .headers
                .get_all(header)
                .filter(|value| !value.is_empty() && *value != "UNKNOWN")
                .collect();
            let of = |value: &str| sameness.form(value);
            let ours: BTreeSet<String> = actual.iter().map(|value| of(value)).collect();
            let theirs: BTreeSet<String> = claimed.iter().map(|value| of(value)).collect();
            if ours == theirs {
                continue;
            }
            // Of long lists, only what differs is of interest.
            let missing = actual.iter().find(|value| !theirs.contains(&of(value)));
            let extra = claimed.iter().find(|value| !ours.contains(&of(value)));
            let quoted = |value: Option<&str>| {
                value.map_or("nothing".to_owned(), |value| format!("`{}`", shown(value)))
            };
            return Err(Problem::bad_request(format!(
                "the field `{field}` of the form says {}, but {source} says {}",
                quoted(extra.map(String::as_str)),
                quoted(missing.copied()),
            )));
        }
        Ok(())
    }
}

impl Sameness {
    /// The form in which equal values are equal texts.
    fn form(self, value: &str) -> String {
        let value = value.trim();
        match self {
            Self::Name => value.parse::<ProjectName>().map_or_else(
                |_| value.to_ascii_lowercase(),
                |name| name.as_str().to_owned(),
            ),
            Self::Version => version_form(value).unwrap_or_else(|| value.to_owned()),
            Self::Requirement => {
                let bare: String = value.chars().filter(|c| !c.is_whitespace()).collect();
                bare.replace('"', "'")
            }
            Self::Text => value.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }
}

/// Versions are the same whatever zeros stand at the end of their release: `1.0` and `1.0.0`.
fn version_form(value: &str) -> Option<String> {
    let version: pep440_rs::Version = value.parse().ok()?;
    let release = version.release().to_vec();
    let end = release.iter().rposition(|number| *number != 0);
    let release = release.get(..=end.unwrap_or(0))?.to_vec();
    Some(version.with_release(release).to_string())
}

/// Whether what METADATA requires can be understood; pages and installers read it later.
pub(crate) fn check_requirements(metadata: &Metadata, source: &str) -> Result<(), Problem> {
    if let Some(python) = metadata.requires_python().filter(|text| !text.is_empty()) {
        let parsed: Result<pep440_rs::VersionSpecifiers, _> = python.parse();
        parsed.map_err(|_| {
            Problem::bad_request(format!(
                "{source}: `Requires-Python: {}` is not a set of versions (PEP 440)",
                shown(python)
            ))
        })?;
    }
    for requirement in metadata.requires_dist() {
        requirement
            .parse::<Requirement>()
            .map_err(|error| Problem::bad_request(format!("{source}: Requires-Dist: {error}")))?;
    }
    Ok(())
}
