//! Requirements files
//! ([pip's format](https://pip.pypa.io/en/stable/reference/requirements-file-format/)).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use wheelfarm_types::Digest;

use super::lines::{Variables, expanded, input_error, logical_lines, split_options};
use super::options::{self, Opt};
use super::wish::{Place, SourceWish, Wish};
use super::{Inputs, Reader, is_other, text_of};
use crate::ResolveError;

/// How deep `-r` inside a file may lead.
const DEPTH: usize = 10;

/// What a file's lines are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Requirements,
    Constraints,
}

/// Reads `path` and the files it includes into `inputs`.
pub(super) fn read(
    reader: &Reader<'_>,
    path: &Path,
    role: Role,
    inputs: &mut Inputs,
) -> Result<(), ResolveError> {
    read_nested(reader, path, role, DEPTH, inputs)
}

fn read_nested(
    reader: &Reader<'_>,
    path: &Path,
    role: Role,
    depth: usize,
    inputs: &mut Inputs,
) -> Result<(), ResolveError> {
    let name = path.display();
    if depth == 0 {
        return Err(input_error(format!(
            "`{name}` is included by files that include each other"
        )));
    }
    let text = text_of(path)?;
    for (number, line) in logical_lines(&text) {
        let file = File {
            path,
            role,
            variables: reader.variables,
        };
        let included = file
            .line(&line, inputs)
            .map_err(|error| error.within(&format!("`{name}`, line {number}")))?;
        for (included, role) in included {
            if role == Role::Requirements && is_other(&included) {
                reader.read(&included, inputs)?;
            } else {
                read_nested(reader, &included, role, depth - 1, inputs)?;
            }
        }
    }
    Ok(())
}

struct File<'a> {
    path: &'a Path,
    role: Role,
    variables: Variables<'a>,
}

impl File<'_> {
    /// Takes one line into `inputs`, and returns the files that it includes.
    fn line(&self, line: &str, inputs: &mut Inputs) -> Result<Vec<(PathBuf, Role)>, ResolveError> {
        let line = expanded(line, self.variables).map_err(input_error)?;
        if line.starts_with('-') {
            return self.options(&line, inputs);
        }
        let (wish, options) = split_options(&line);
        let mut hashes = BTreeSet::new();
        for option in options::parse(options)? {
            let Opt::Hash(hash) = option else {
                return Err(
                    input_error("behind a requirement, only `--hash` can be followed")
                        .hint("options about all requirements go on lines of their own"),
                );
            };
            hashes.insert(sha256(&hash)?);
        }
        self.wish(wish, hashes, inputs)?;
        Ok(Vec::new())
    }

    fn wish(
        &self,
        text: &str,
        hashes: BTreeSet<Digest>,
        inputs: &mut Inputs,
    ) -> Result<(), ResolveError> {
        let wish = self.parsed(text)?;
        match (wish, self.role) {
            (Wish::Project(requirement), role) => {
                inputs.hashes.allow(requirement.name(), hashes);
                match role {
                    Role::Requirements => inputs.requirements.push(requirement),
                    Role::Constraints => inputs.constraints.push(requirement),
                }
            }
            (Wish::Source(mut source), Role::Requirements) => {
                source.hashes.extend(hashes);
                inputs.sources.push(source);
            }
            (Wish::Source(_), Role::Constraints) => {
                return Err(input_error("an address or path is no constraint")
                    .hint("state it as a requirement: what others require of the project is then taken from there"));
            }
        }
        Ok(())
    }

    /// As for pip, paths are relative to the current directory, whatever directory the file is in; where there is
    /// nothing, to that of the file.
    fn parsed(&self, text: &str) -> Result<Wish, ResolveError> {
        let wish = Wish::parse(text, Path::new(""))?;
        match &wish {
            Wish::Source(SourceWish {
                place: Place::Path { path, .. },
                ..
            }) if !path.exists() => Wish::parse(text, self.directory()),
            _ => Ok(wish),
        }
    }

    fn options(
        &self,
        line: &str,
        inputs: &mut Inputs,
    ) -> Result<Vec<(PathBuf, Role)>, ResolveError> {
        let mut included = Vec::new();
        let mut editable = None;
        let mut hashes = BTreeSet::new();
        for option in options::parse(line)? {
            match option {
                Opt::Requirements(file) => included.push((self.beside(&file)?, self.role)),
                Opt::Constraints(file) => included.push((self.beside(&file)?, Role::Constraints)),
                // A wheel is a wheel: what is installed for editing is built as it is now.
                Opt::Editable(place) => editable = Some(place),
                Opt::Hash(hash) => {
                    hashes.insert(sha256(&hash)?);
                }
                Opt::Index(url) => inputs.index.index_url = Some(url),
                Opt::ExtraIndex(url) => inputs.index.extra_index_urls.push(url),
                Opt::NoIndex => inputs.index.no_index = true,
                Opt::FindLinks(place) => {
                    let place = if place.contains("://") {
                        place
                    } else {
                        let beside = self.directory().join(&place);
                        let path = if beside.exists() {
                            beside
                        } else {
                            PathBuf::from(place)
                        };
                        std::path::absolute(path)?.display().to_string()
                    };
                    inputs.index.find_links.push(place);
                }
                Opt::TrustedHost(host) => inputs.index.trusted_hosts.push(host),
                Opt::NoBinary(names) => inputs.formats.no_binary(&names)?,
                Opt::OnlyBinary(names) => inputs.formats.only_binary(&names)?,
                Opt::RequireHashes => inputs.hashes.required = true,
                Opt::Prereleases => inputs.prereleases = true,
            }
        }
        match editable {
            Some(place) => {
                // `-e dir` without a dot is a directory all the same.
                let place = if place.contains(':') || place.starts_with('.') {
                    place
                } else {
                    format!("./{place}")
                };
                let place = place
                    .strip_prefix(".//")
                    .map_or(place.clone(), |rest| format!("/{rest}"));
                self.wish(&place, hashes, inputs)?;
            }
            None if !hashes.is_empty() => {
                return Err(input_error("`--hash` stands behind no requirement"));
            }
            None => {}
        }
        Ok(included)
    }

    fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new(""))
    }

    fn beside(&self, file: &str) -> Result<PathBuf, ResolveError> {
        if file.contains("://") {
            return Err(input_error("a file at an address is not included")
                .hint("download it, look at it, and include the copy"));
        }
        Ok(self.directory().join(file))
    }
}

/// The digest of `sha256:<digits>`; other algorithms say nothing about the files of a lock.
fn sha256(hash: &str) -> Result<Digest, ResolveError> {
    let Some((algorithm, digits)) = hash.split_once(':') else {
        return Err(input_error(
            "a hash is written `sha256:<64 hexadecimal digits>`",
        ));
    };
    if algorithm != "sha256" {
        return Err(input_error(format!(
            "hashes of `{algorithm}` are not compared: files are known by their sha256"
        ))
        .hint(
            "write the file again with sha256 hashes, as `uv pip compile --generate-hashes` does",
        ));
    }
    digits.parse().map_err(|e| input_error(format!("{e}")))
}
