//! One thing that a user asks for: a requirement, or a source that is on no index.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use wheelfarm_types::{Digest, ProjectName, Requirement};

use super::lines::input_error;
use crate::ResolveError;

/// What an argument or a line of a requirements file asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// A project, to be found on an index.
    Project(Requirement),
    /// A source at a place.
    Source(SourceWish),
}

/// A source that is on no index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceWish {
    /// The project's name, if the user gave it.
    pub name: Option<ProjectName>,
    /// Extras, as in `x[extra]`.
    pub extras: Vec<String>,
    /// The condition behind `;`, if there is one.
    pub marker: Option<String>,
    /// Where it is.
    pub place: Place,
    /// Hashes that its file may have; none says nothing.
    pub hashes: BTreeSet<Digest>,
}

/// Where a source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A source distribution, wheel or project directory on this machine.
    Path {
        /// Its path.
        path: PathBuf,
        /// The project's directory inside it, if it is not the top.
        subdirectory: Option<String>,
    },
    /// A source distribution or wheel to download.
    Address {
        /// `https:` or `http:` address without fragment; it may hold credentials.
        url: String,
        /// The project's directory inside it, if it is not the top.
        subdirectory: Option<String>,
    },
    /// A Git repository.
    Git {
        /// What `git clone` takes; it may hold credentials.
        repository: String,
        /// Commit, tag or branch; none is what the repository has as its head.
        reference: Option<String>,
        /// The project's directory inside it, if it is not the top.
        subdirectory: Option<String>,
    },
}

/// The endings of files that are taken for archives.
pub(crate) const ARCHIVES: [&str; 4] = [".whl", ".tar.gz", ".tgz", ".zip"];
/// Endings of source distributions that are not.
const OTHER_ARCHIVES: [&str; 5] = [".tar.bz2", ".tar.xz", ".tar", ".tar.zst", ".egg"];

impl Wish {
    /// Parses `text`; paths in it are relative to `base`.
    pub fn parse(text: &str, base: &Path) -> Result<Self, ResolveError> {
        let text = text.trim();
        if let Some((name, extras, rest)) = named(text) {
            let (place, marker) = split_marker(rest);
            let place = parse_place(place.trim(), base)?;
            let mut source = SourceWish::at(place, marker);
            source.name = Some(name.parse().map_err(|e| input_error(format!("{e}")))?);
            source.extras = extras;
            return Ok(Self::Source(source));
        }
        let (place, marker) = split_marker(text);
        if !is_place(place) {
            return text
                .parse()
                .map(Self::Project)
                .map_err(|e| input_error(format!("{e}")).hint(
                    "write a name with versions (`lxml>=6`), a path (`./directory`, `./x-1.0.tar.gz`), or `NAME @ ADDRESS`",
                ));
        }
        let (place, extras) = split_extras(place.trim());
        let egg = fragment(place, "egg");
        let mut source = SourceWish::at(parse_place(place, base)?, marker);
        source.extras = extras;
        if let Some(egg) = egg {
            let (name, extras) = split_extras(egg);
            source.name = Some(name.parse().map_err(|e| input_error(format!("{e}")))?);
            source.extras.extend(extras);
        }
        Ok(Self::Source(source))
    }
}

impl FromStr for Wish {
    type Err = ResolveError;

    /// As [`Wish::parse`] with the current directory.
    fn from_str(text: &str) -> Result<Self, ResolveError> {
        Self::parse(text, Path::new(""))
    }
}

impl SourceWish {
    fn at((place, sha256): (Place, Option<Digest>), marker: Option<&str>) -> Self {
        Self {
            name: None,
            extras: Vec::new(),
            marker: marker.map(str::to_owned),
            place,
            hashes: sha256.into_iter().collect(),
        }
    }
}

/// `name [extras] @ rest`.
fn named(text: &str) -> Option<(&str, Vec<String>, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))?;
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let (extras, rest) = match rest.strip_prefix('[') {
        Some(rest) => {
            let (extras, rest) = rest.split_once(']')?;
            (list(extras), rest.trim_start())
        }
        None => (Vec::new(), rest),
    };
    let rest = rest.strip_prefix('@')?;
    (!name.is_empty()).then_some((name, extras, rest))
}

fn list(extras: &str) -> Vec<String> {
    let extras = extras.split(',').map(str::trim);
    extras
        .filter(|extra| !extra.is_empty())
        .map(str::to_owned)
        .collect()
}

/// What stands before and behind a `;` with white space on one side: one inside an address has none.
fn split_marker(text: &str) -> (&str, Option<&str>) {
    let position = [" ;", "; ", "\t;"]
        .iter()
        .filter_map(|sign| text.find(sign))
        .min();
    let Some((place, marker)) = position.and_then(|position| text.split_at_checked(position))
    else {
        return (text, None);
    };
    (
        place,
        Some(marker.trim_start_matches([' ', ';', '\t']).trim()),
    )
}

/// `./directory[extra,other]`.
fn split_extras(text: &str) -> (&str, Vec<String>) {
    let found = text
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once('['))
        .filter(|(_, extras)| !extras.contains('/'));
    match found {
        Some((place, extras)) => (place, list(extras)),
        None => (text, Vec::new()),
    }
}

/// Whether `text` is an address or a path, not a name with versions.
fn is_place(text: &str) -> bool {
    let text = text.trim();
    let (path, _) = split_extras(text);
    let archive = ARCHIVES
        .iter()
        .chain(&OTHER_ARCHIVES)
        .any(|ending| path.to_ascii_lowercase().ends_with(ending));
    scheme(text).is_some() || path.starts_with('.') || path.contains('/') || archive
}

/// `https` of `https://...`, `file` of `file:...`.
fn scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    (valid && (rest.starts_with("//") || scheme == "file")).then_some(scheme)
}

/// The value of `name` in the part behind `#`.
fn fragment<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, fragment) = text.split_once('#')?;
    fragment.split('&').find_map(|part| {
        let (key, value) = part.split_once('=')?;
        (key == name).then_some(value)
    })
}

/// The place, and the hash that its address states.
fn parse_place(text: &str, base: &Path) -> Result<(Place, Option<Digest>), ResolveError> {
    let subdirectory = match fragment(text, "subdirectory") {
        Some(subdirectory) => Some(inner_path(subdirectory)?),
        None => None,
    };
    let sha256 = match fragment(text, "sha256") {
        Some(digest) => Some(digest.parse().map_err(|e| input_error(format!("{e}")))?),
        None => None,
    };
    let Some(scheme) = scheme(text) else {
        let path = base.join(text.split_once('#').map_or(text, |(path, _)| path));
        archive_is_known(&path.to_string_lossy())?;
        return Ok((Place::Path { path, subdirectory }, sha256));
    };
    let address = text.split_once('#').map_or(text, |(address, _)| address);
    let place = match scheme.to_ascii_lowercase().as_str() {
        "file" => {
            let path = address.get("file:".len()..).unwrap_or_default();
            let path = path
                .strip_prefix("//localhost")
                .or_else(|| path.strip_prefix("//"))
                .unwrap_or(path);
            let path = base.join(percent_decoded(path));
            archive_is_known(&path.to_string_lossy())?;
            Place::Path { path, subdirectory }
        }
        "http" | "https" => {
            archive_is_known(address.split('?').next().unwrap_or_default())?;
            Place::Address {
                url: address.to_owned(),
                subdirectory,
            }
        }
        "git+https" | "git+http" | "git+ssh" | "git+file" | "git+git" => {
            let repository = address.get("git+".len()..).unwrap_or_default();
            // An `@` in the authority belongs to a user name.
            let authority = repository.find("://").map_or(0, |at| at + 3);
            let path = repository
                .get(authority..)
                .and_then(|rest| rest.find('/'))
                .map_or(repository.len(), |at| authority + at);
            let (host, path) = repository.split_at(path);
            let (path, reference) = match path.rsplit_once('@') {
                Some((path, reference)) if !reference.is_empty() => {
                    (path, Some(reference.to_owned()))
                }
                _ => (path.trim_end_matches('@'), None),
            };
            if reference
                .as_deref()
                .is_some_and(|name| name.starts_with('-'))
            {
                return Err(input_error(
                    "the name of a commit, tag or branch cannot begin with `-`",
                ));
            }
            Place::Git {
                repository: format!("{host}{path}"),
                reference,
                subdirectory,
            }
        }
        other
            if other.starts_with("hg+")
                || other.starts_with("svn+")
                || other.starts_with("bzr+") =>
        {
            return Err(input_error(format!(
                "`{other}` addresses are not read: of repositories, only Git's"
            ))
            .hint("check it out yourself and name the directory"));
        }
        other => {
            return Err(input_error(format!("`{other}:` is no address of a source"))
                .hint("write `https://...`, `git+https://...@COMMIT`, `file:///...`, or a path"));
        }
    };
    Ok((place, sha256))
}

/// A path inside a source, which does not lead out of it.
pub(super) fn inner_path(text: &str) -> Result<String, ResolveError> {
    let inside = Path::new(text).components().all(|part| {
        matches!(
            part,
            std::path::Component::Normal(_) | std::path::Component::CurDir
        )
    });
    if inside && !text.is_empty() {
        Ok(text.trim_end_matches('/').to_owned())
    } else {
        Err(input_error(format!(
            "`subdirectory={text}` is no path inside the source"
        )))
    }
}

fn archive_is_known(path: &str) -> Result<(), ResolveError> {
    let lower = path.to_ascii_lowercase();
    if OTHER_ARCHIVES.iter().any(|ending| lower.ends_with(ending)) {
        let name = path.rsplit('/').next().unwrap_or_default();
        return Err(input_error(format!(
            "`{name}` is no archive that is read: source distributions end in .tar.gz or .zip"
        )));
    }
    Ok(())
}

/// `text` with `%` and two hexadecimal digits as the byte they stand for (RFC 3986, section 2.1). What is no such
/// sequence stays as it is, and what is no UTF-8 is replaced.
pub fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let decoded = tail
            .first_chunk::<2>()
            .filter(|_| first == b'%')
            .and_then(|hex| u8::from_str_radix(str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(decoded.unwrap_or(first));
        rest = if decoded.is_some() {
            tail.get(2..).unwrap_or_default()
        } else {
            tail
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> SourceWish {
        match Wish::parse(text, Path::new("/base")).unwrap() {
            Wish::Source(source) => source,
            Wish::Project(requirement) => panic!("{requirement} is a project"),
        }
    }

    fn path(text: &str) -> Place {
        Place::Path {
            path: PathBuf::from(text),
            subdirectory: None,
        }
    }

    fn git(repository: &str, reference: Option<&str>) -> Place {
        Place::Git {
            repository: repository.to_owned(),
            reference: reference.map(str::to_owned),
            subdirectory: None,
        }
    }

    #[test]
    fn names_are_projects() {
        for text in [
            "lxml",
            "lxml>=6,<7",
            "x[a,b] ~= 1.0 ; python_version < '3.9'",
            "x (>=1)",
        ] {
            assert!(matches!(text.parse(), Ok(Wish::Project(_))), "{text}");
        }
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        assert_eq!(source(".").place, path("/base/."));
        assert_eq!(source("./a b").place, path("/base/./a b"));
        assert_eq!(source("x-1.0.tar.gz").place, path("/base/x-1.0.tar.gz"));
        assert_eq!(source("file:///a%20b").place, path("/a b"));
        assert_eq!(source("x @ ../y").place, path("/base/../y"));
        let extras = source("./dir[a, b] ; os_name == 'posix'");
        assert_eq!(extras.place, path("/base/./dir"));
        assert_eq!(extras.extras, ["a", "b"]);
        assert_eq!(extras.marker.as_deref(), Some("os_name == 'posix'"));
    }

    #[test]
    fn addresses_state_hashes_and_names() {
        let hash = "ab".repeat(32);
        let wish = source(&format!(
            "x [a] @ https://u:p@h/x-1.0.tar.gz?q=1#sha256={hash}&subdirectory=py/x"
        ));
        assert_eq!(wish.name.unwrap().as_str(), "x");
        assert_eq!(wish.extras, ["a"]);
        assert_eq!(wish.hashes.first().unwrap().to_string(), hash);
        let place = Place::Address {
            url: "https://u:p@h/x-1.0.tar.gz?q=1".to_owned(),
            subdirectory: Some("py/x".to_owned()),
        };
        assert_eq!(wish.place, place);
    }

    #[test]
    fn repositories() {
        assert_eq!(
            source("git+ssh://git@h/a/b.git@v1.0#egg=B[x]").place,
            git("ssh://git@h/a/b.git", Some("v1.0"))
        );
        assert_eq!(
            source("git+ssh://git@h/b#egg=B").name.unwrap().as_str(),
            "b"
        );
        assert_eq!(source("x @ git+file:///r").place, git("file:///r", None));
        assert_eq!(
            source("git+https://h/r@feature/x").place,
            git("https://h/r", Some("feature/x"))
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (text, says) in [
            ("hg+https://h/r", "Git"),
            ("ftp://h/x.tar.gz", "`ftp:`"),
            ("./x-1.tar.bz2", ".tar.gz"),
            ("git+https://h/r@--upload-pack=x", "begin with"),
            ("git+https://h/r#subdirectory=../../etc", "inside"),
            ("git+https://h/r#subdirectory=/etc", "inside"),
            ("x @ https://h/x-1.tar.gz#sha256=00", "64"),
            ("!!", "not a requirement"),
        ] {
            let error = text.parse::<Wish>().unwrap_err();
            assert!(error.to_string().contains(says), "{text}: {error}");
        }
    }
}
