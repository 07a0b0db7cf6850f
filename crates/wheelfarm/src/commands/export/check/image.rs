//! One image, unpacked, and what wheels meet in it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wheelfarm_audit::{AuditError, LibcFamily, LibraryRoot, Objects, System};
use wheelfarm_build::matrix::Cell;
use wheelfarm_build::records::SystemLibrary;
use wheelfarm_executor::{Docker, ImageContents};
use wheelfarm_types::{Arch, Libc};
use wheelfarm_wheel::Wheel;

use super::findings::Findings;
use super::{Checked, PythonThere};
use crate::cli::export::ExportArgs;
use crate::exit::Failure;
use crate::printer::Printer;
use crate::settings::Places;

/// An image that was unpacked.
pub(super) struct Unpacked {
    name: String,
    contents: ImageContents,
    root: LibraryRoot,
    system: System,
    findings: Findings,
    /// What the root is in.
    _directory: tempfile::TempDir,
}

/// What wheels of one cell meet in an image.
struct Meets {
    arch: Option<Arch>,
    libc: Option<Libc>,
}

/// Unpacks one image and looks at what is there.
pub(super) async fn unpack(
    docker: &Docker,
    args: &ExportArgs,
    places: &Places,
    name: &str,
    arch: Arch,
    printer: Printer,
    cancel: &CancellationToken,
) -> Result<Unpacked, Failure> {
    let disk = |error: std::io::Error| {
        Failure::machine(format!("the image {name} could not be unpacked: {error}"))
    };
    fs_err::create_dir_all(&places.cache).map_err(disk)?;
    let directory = tempfile::tempdir_in(&places.cache).map_err(disk)?;
    let programs: Vec<PathBuf> = args.interpreter.iter().cloned().collect();
    let progress = Arc::new(move |line: &str| printer.detail(line));
    let contents = docker.image_contents(name, arch, &programs, directory.path(), progress, cancel);
    let contents = contents.await?;
    let of_image = |error: AuditError| Failure::machine(format!("the image {name}: {error}"));
    let root = LibraryRoot::open(directory.path()).map_err(of_image)?;
    let root = root
        .as_installed()
        .with_ld_paths(library_paths(&contents.environment));
    let pythons = match &args.interpreter {
        Some(path) => vec![path.display().to_string()],
        None => contents.pythons.clone(),
    };
    let system = System::look(&root, &pythons, image_arch(&contents.architecture));
    Ok(Unpacked {
        name: name.to_owned(),
        system: system.map_err(of_image)?,
        contents,
        root,
        findings: Findings::default(),
        _directory: directory,
    })
}

impl Unpacked {
    /// Files what is wrong with the image for all wheels of `cell`.
    pub(super) fn meet(&mut self, cell: &Cell, asked: bool) {
        let python = self.system.python(cell.python, family(cell));
        if python.is_none() {
            let there = self.system.pythons.iter();
            let there: Vec<_> = there
                .map(|python| (python.version, python.path.clone()))
                .collect();
            self.findings.python(cell, &there, asked);
        }
        let arch = self.meets(cell).arch;
        if arch != Some(cell.target.arch) {
            let architecture = match arch {
                Some(arch) => arch.to_string(),
                None => self.contents.architecture.clone(),
            };
            self.findings.architecture(cell, &architecture);
        }
    }

    fn meets(&self, cell: &Cell) -> Meets {
        match self.system.python(cell.python, family(cell)) {
            Some(python) => Meets {
                arch: python.arch,
                libc: python.libc,
            },
            None => Meets {
                arch: image_arch(&self.contents.architecture),
                libc: self.system.libc,
            },
        }
    }

    /// Files what keeps one wheel from running.
    pub(super) fn look(
        &mut self,
        cell: &Cell,
        wheel: &Wheel,
        objects: &Objects,
        system: &[SystemLibrary],
    ) -> Result<(), AuditError> {
        let meets = self.meets(cell);
        // Of another architecture nothing fits, and that has been said.
        if meets.arch != Some(cell.target.arch) {
            return Ok(());
        }
        let problems = wheelfarm_audit::problems(wheel, objects, &self.root, meets.libc)?;
        for needed in problems {
            let package = |library: &str| {
                let known = system.iter().find(|known| known.soname == library)?;
                known.package.clone()
            };
            let file = wheel.filename().to_string();
            self.findings.wheel(cell, meets.libc, file, needed, package);
        }
        Ok(())
    }

    /// The report; libraries that are called like one of `names`, by cell, come with another wheel.
    pub(super) fn checked(self, wheels: usize, names: &BTreeSet<(String, String)>) -> Checked {
        let pythons = self.system.pythons.into_iter();
        let text = |libc: Libc| libc.to_string();
        Checked {
            image: self.name,
            id: self.contents.id,
            libc: self.system.libc.map(text),
            pythons: pythons
                .map(|python| PythonThere {
                    path: python.path,
                    python: python.version,
                    libc: python.libc.map(text),
                })
                .collect(),
            findings: self.findings.finish(names),
            wheels,
        }
    }
}

fn family(cell: &Cell) -> LibcFamily {
    LibcFamily::of(cell.target.libc)
}

/// The architecture that images call so.
fn image_arch(name: &str) -> Option<Arch> {
    let first = |arch: &Arch| arch.image_platform().split('/').next() == Some(name);
    // Images for ARM do not say more here; there are next to none for ARMv6.
    let mut arches = Arch::all().filter(|arch| *arch != Arch::Armv6l);
    arches.find(first)
}

/// The directories of `LD_LIBRARY_PATH`.
fn library_paths(environment: &[String]) -> Vec<String> {
    let value = environment
        .iter()
        .rev()
        .find_map(|variable| variable.strip_prefix("LD_LIBRARY_PATH="));
    let paths = value.unwrap_or_default().split([':', ';']);
    paths
        .filter(|path| path.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_name_architectures_in_their_own_way() {
        assert_eq!(image_arch("amd64"), Some(Arch::X86_64));
        assert_eq!(image_arch("arm"), Some(Arch::Armv7l));
        assert_eq!(image_arch("x86_64"), None);
        assert_eq!(image_arch(""), None);
    }

    #[test]
    fn the_search_path_is_that_of_the_image() {
        let environment = ["PATH=/bin", "LD_LIBRARY_PATH=/opt/lib::lib:/x"];
        let environment = environment.map(str::to_owned);
        assert_eq!(library_paths(&environment), ["/opt/lib", "/x"]);
        assert_eq!(library_paths(&[]), [""; 0]);
    }
}
