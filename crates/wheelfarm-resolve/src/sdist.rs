//! Reading the one file of a source distribution that planning needs: `pyproject.toml`.

use std::io::Read;

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use wheelfarm_types::{Requirement, SdistFilename};

use crate::{ResolveError, ResolveErrorKind};

/// What a source distribution says of how it is built ([PEP 518](https://peps.python.org/pep-0518/),
/// [PEP 517](https://peps.python.org/pep-0517/)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct BuildSystem {
    /// `build-system.requires`.
    pub requires: Vec<Requirement>,
    /// `build-system.build-backend`: `module` or `module:object`.
    pub backend: String,
    /// `build-system.backend-path`: directories of the source distribution that hold the back end.
    pub backend_path: Vec<String>,
}

/// The back end of projects that name none (PEP 517).
const LEGACY_BACKEND: &str = "setuptools.build_meta:__legacy__";

/// Entries and bytes of a source distribution that are looked through, at most: a bound for archives made to
/// be endless.
const ENTRY_LIMIT: usize = 500_000;
const UNPACKED_LIMIT: u64 = 8 << 30;
const PYPROJECT_LIMIT: u64 = 4 << 20;

#[derive(Deserialize)]
struct PyProject {
    #[serde(rename = "build-system")]
    build_system: Option<RawBuildSystem>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct RawBuildSystem {
    requires: Vec<String>,
    build_backend: Option<String>,
    #[serde(default)]
    backend_path: Vec<String>,
}

/// What `bytes`, a source distribution called `filename`, says of how it is built; the default of PEP 517
/// (setuptools) where it says nothing.
pub fn build_system(filename: &SdistFilename, bytes: &[u8]) -> Result<BuildSystem, ResolveError> {
    let error = |message: String| ResolveError::new(ResolveErrorKind::Source, message);
    let contents = match filename.extension() {
        ".zip" => read_zip(bytes),
        _ => read_tar(bytes),
    }
    .map_err(|e| {
        error(format!(
            "`{filename}` is not a readable source distribution: {e}"
        ))
    })?;
    if !contents.has_setup_py && contents.pyproject.is_none() {
        return Err(error(format!(
            "`{filename}` is not a Python source distribution: its top directory has neither pyproject.toml nor setup.py"
        )));
    }
    let text = contents.pyproject.unwrap_or_default();
    let pyproject: PyProject = toml::from_str(&text).map_err(|e| {
        error(format!(
            "pyproject.toml in `{filename}` cannot be used: {e}"
        ))
    })?;
    let system = pyproject.build_system.unwrap_or_else(|| RawBuildSystem {
        // PEP 517: without a build-system table, setuptools.
        requires: vec!["setuptools>=40.8.0".to_owned()],
        build_backend: None,
        backend_path: Vec::new(),
    });
    let requires = system
        .requires
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()
        .map_err(|e| error(format!("build-system.requires in `{filename}`: {e}")))?;
    Ok(BuildSystem {
        requires,
        backend: system
            .build_backend
            .unwrap_or_else(|| LEGACY_BACKEND.to_owned()),
        backend_path: system.backend_path,
    })
}

#[derive(Default)]
struct Contents {
    pyproject: Option<String>,
    has_setup_py: bool,
}

impl Contents {
    /// Notes the entry `path` if it is one of the two files that matter; true once nothing more is wanted.
    fn note(&mut self, path: &str, content: impl Read) -> std::io::Result<bool> {
        match path.split_once('/') {
            Some((_, "pyproject.toml")) => {
                let mut text = String::new();
                content.take(PYPROJECT_LIMIT).read_to_string(&mut text)?;
                self.pyproject = Some(text);
                Ok(true)
            }
            Some((_, "setup.py")) => {
                self.has_setup_py = true;
                Ok(false)
            }
            _ => Ok(false),
        }
    }
}

fn read_tar(bytes: &[u8]) -> std::io::Result<Contents> {
    let mut archive = tar::Archive::new(GzDecoder::new(bytes).take(UNPACKED_LIMIT));
    let mut contents = Contents::default();
    for entry in archive.entries()?.take(ENTRY_LIMIT) {
        let entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type().is_file()
            && contents.note(path.trim_start_matches("./"), entry)?
        {
            break;
        }
    }
    Ok(contents)
}

fn read_zip(bytes: &[u8]) -> std::io::Result<Contents> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes))?;
    let mut contents = Contents::default();
    for index in 0..archive.len().min(ENTRY_LIMIT) {
        let entry = archive.by_index(index)?;
        let path = entry.name()?.into_owned();
        if entry.is_file() && contents.note(&path, entry)? {
            break;
        }
    }
    Ok(contents)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn sdist(files: &[(&str, &str)]) -> Result<BuildSystem, ResolveError> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, path, text.as_bytes())
                .unwrap();
        }
        let bytes = builder.into_inner().unwrap().finish().unwrap();
        build_system(&"x-1.tar.gz".parse().unwrap(), &bytes)
    }

    fn requires(system: &BuildSystem) -> Vec<&str> {
        system.requires.iter().map(Requirement::as_str).collect()
    }

    #[test]
    fn the_top_pyproject_is_read() {
        let system = sdist(&[
            ("x-1/tests/pyproject.toml", "broken ["),
            (
                "x-1/pyproject.toml",
                "[build-system]\nrequires = [\"flit_core>=3\"]",
            ),
        ])
        .unwrap();
        assert_eq!(requires(&system), ["flit_core>=3"]);
    }

    #[test]
    fn setuptools_is_the_default() {
        assert_eq!(
            requires(&sdist(&[("x-1/setup.py", "")]).unwrap()),
            ["setuptools>=40.8.0"]
        );
        let system = sdist(&[("x-1/pyproject.toml", "[project]\nname = \"x\"")]).unwrap();
        assert_eq!(requires(&system), ["setuptools>=40.8.0"]);
    }

    #[test]
    fn what_is_no_package_is_an_error_that_names_it() {
        for files in [
            &[("x-1/README", "")][..],
            &[("x-1/pyproject.toml", "[build-system]\nrequires = [\"!\"]")],
        ] {
            let error = sdist(files).unwrap_err();
            assert!(error.to_string().contains("x-1.tar.gz"), "{error}");
        }
        let error = build_system(&"x-1.tar.gz".parse().unwrap(), b"no archive").unwrap_err();
        assert_eq!(error.kind(), ResolveErrorKind::Source);
    }

    #[test]
    fn zip_sdists_are_read() {
        let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        writer
            .start_file("x-1/setup.py", zip::write::SimpleFileOptions::default())
            .unwrap();
        writer.write_all(b"pass").unwrap();
        let bytes = writer.finish().unwrap().into_inner();
        let system = build_system(&"x-1.zip".parse().unwrap(), &bytes).unwrap();
        assert_eq!(requires(&system), ["setuptools>=40.8.0"]);
    }
}
