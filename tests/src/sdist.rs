//! Source distributions made in memory, one small one per way in which a build can go wrong.

use std::io::Write;

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::write::GzEncoder;

/// A source distribution in the making.
#[derive(Debug, Clone)]
pub struct Sdist {
    name: String,
    version: String,
    files: Vec<(String, Vec<u8>)>,
    /// What no honest tool packs.
    strange: Vec<Strange>,
}

/// An entry whose path is written as it is, outside the source distribution's directory if it says so.
#[derive(Debug, Clone)]
struct Strange {
    path: String,
    kind: tar::EntryType,
    link: String,
}

/// The beginning of a build back end that lies in the source itself: it needs nothing but Python.
const BACKEND: &str = r#"
import os, subprocess, sys, time, zipfile

def write_wheel(directory, files, tag="py3-none-any"):
    name = "%s-%s-%s.whl" % (NAME, VERSION, tag)
    info = "%s-%s.dist-info" % (NAME, VERSION)
    files = dict(files)
    files[info + "/METADATA"] = "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (NAME, VERSION)
    files[info + "/WHEEL"] = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: %s\nTag: %s\n" % (
        "true" if tag.endswith("any") else "false", tag)
    files[info + "/RECORD"] = "".join("%s,,\n" % path for path in [*files, info + "/RECORD"])
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return name
"#;

impl Sdist {
    /// A source distribution with the metadata every one must have, and nothing to build it with.
    pub fn new(name: &str, version: &str) -> Self {
        let metadata = format!("Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n");
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            files: Vec::new(),
            strange: Vec::new(),
        }
        .file("PKG-INFO", &metadata)
    }

    /// One that is built by `backend`, Python code that may use `write_wheel`, `NAME` and `VERSION`.
    pub fn with_backend(name: &str, version: &str, requires: &[&str], backend: &str) -> Self {
        let pyproject = format!(
            "[build-system]\nrequires = {requires:?}\nbuild-backend = \"backend\"\nbackend-path = [\".\"]\n\n[project]\nname = \"{name}\"\nversion = \"{version}\"\n"
        );
        let code = format!("NAME = {name:?}\nVERSION = {version:?}\n{BACKEND}\n{backend}");
        Self::new(name, version)
            .file("pyproject.toml", &pyproject)
            .file("backend.py", &code)
    }

    /// One that setuptools builds, with one extension module from `c`.
    pub fn with_extension(name: &str, version: &str, c: &str) -> Self {
        let pyproject = format!(
            "[build-system]\nrequires = [\"setuptools\"]\nbuild-backend = \"setuptools.build_meta\"\n\n[project]\nname = \"{name}\"\nversion = \"{version}\"\n"
        );
        let setup = format!(
            "from setuptools import Extension, setup\nsetup(ext_modules=[Extension({name:?}, [\"src/{name}.c\"])])\n"
        );
        Self::new(name, version)
            .file("pyproject.toml", &pyproject)
            .file("setup.py", &setup)
            .file(&format!("src/{name}.c"), c)
    }

    /// Adds a file.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.as_bytes().to_vec()));
        self
    }

    /// The text of a file in it.
    pub fn text(&self, path: &str) -> Option<String> {
        let (_, bytes) = self.files.iter().find(|(present, _)| present == path)?;
        String::from_utf8(bytes.clone()).ok()
    }

    /// Takes a file out.
    #[must_use]
    pub fn without(mut self, path: &str) -> Self {
        self.files.retain(|(present, _)| present != path);
        self
    }

    /// Adds an entry under exactly this path, with nothing in it: a file, a link to `link`, a device.
    #[must_use]
    pub fn strange(mut self, path: &str, kind: tar::EntryType, link: &str) -> Self {
        self.strange.push(Strange {
            path: path.to_owned(),
            kind,
            link: link.to_owned(),
        });
        self
    }

    /// `name-version.tar.gz`.
    pub fn filename(&self) -> String {
        format!("{}-{}.tar.gz", self.name, self.version)
    }

    /// The project's name as an index has it.
    pub fn project(&self) -> String {
        self.name.replace('_', "-")
    }

    /// The archive.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let mut builder = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for (path, bytes) in &self.files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            let path = format!("{}-{}/{path}", self.name, self.version);
            builder.append_data(&mut header, path, bytes.as_slice())?;
        }
        for strange in &self.strange {
            builder.append(&strange.header()?, std::io::empty())?;
        }
        Ok(builder.into_inner()?.finish()?)
    }
}

impl Strange {
    /// Written field by field: the library's own way refuses such names.
    fn header(&self) -> Result<tar::Header> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(self.kind);
        header.set_size(0);
        header.set_mode(0o644);
        header.set_device_major(1)?;
        header.set_device_minor(3)?;
        let old = header.as_old_mut();
        for (field, text) in [(&mut old.name, &self.path), (&mut old.linkname, &self.link)] {
            let place = field.get_mut(..text.len());
            place
                .context("a name is too long")?
                .copy_from_slice(text.as_bytes());
        }
        header.set_cksum();
        Ok(header)
    }
}

/// A wheel with one module, for use as a build requirement.
pub fn pure_wheel(name: &str, version: &str, module: &str) -> Result<Vec<u8>> {
    let info = format!("{name}-{version}.dist-info");
    let files = [
        (format!("{name}.py"), module.to_owned()),
        (
            format!("{info}/METADATA"),
            format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
        ),
        (
            format!("{info}/WHEEL"),
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
                .to_owned(),
        ),
        (
            format!("{info}/RECORD"),
            format!("{name}.py,,\n{info}/METADATA,,\n{info}/WHEEL,,\n{info}/RECORD,,\n"),
        ),
    ];
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (path, text) in files {
        writer.start_file(path, zip::write::SimpleFileOptions::default())?;
        writer.write_all(text.as_bytes())?;
    }
    Ok(writer.finish()?.into_inner())
}
