//! Whether what was found runs on an image that a final stage begins with: nothing of the image is run.

mod findings;
mod sentence;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use wheelfarm_audit::{AuditError, LibcFamily, LibraryRoot, Objects, System};
use wheelfarm_build::matrix::Cell;
use wheelfarm_executor::{Docker, HostNetwork, ImageContents};
use wheelfarm_types::{Arch, Libc, PythonVersion};
use wheelfarm_wheel::Wheel;

use self::findings::Findings;
pub(super) use self::sentence::CheckFinding;
use super::found::Found;
use crate::cli::export::ExportArgs;
use crate::exit::Failure;
use crate::printer::Printer;
use crate::settings::{Places, engine};

/// What is said of one image.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    /// As it was asked for.
    image: String,
    /// What the engine knows it by.
    id: String,
    /// `glibc 2.36`, if it has one that can be told.
    libc: Option<String>,
    pythons: Vec<PythonThere>,
    pub(super) findings: Vec<CheckFinding>,
    #[serde(skip)]
    wheels: usize,
}

#[derive(Debug, Serialize)]
struct PythonThere {
    path: String,
    python: PythonVersion,
    libc: Option<String>,
}

/// An image that was unpacked.
struct Unpacked {
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

/// Looks at all images that are to be checked.
pub(super) async fn check(
    args: &ExportArgs,
    places: &Places,
    found: &Found,
    printer: Printer,
    cancel: &CancellationToken,
) -> Result<Vec<Checked>, Failure> {
    let Some(first) = found.wheels.first() else {
        return Err(Failure::usage("there is no wheel to check"));
    };
    let arch = first.cell.target.arch;
    let docker = engine(places, HostNetwork::default()).await?;
    let mut images = Vec::new();
    let mut failure = None;
    for name in &args.check {
        match unpack(&docker, args, places, name, arch, printer, cancel).await {
            Ok(image) => images.push(image),
            Err(error) => {
                failure = Some(error);
                break;
            }
        }
    }
    docker.close().await;
    if let Some(failure) = failure {
        return Err(failure);
    }
    let cells: Vec<Arc<Cell>> = found
        .wheels
        .iter()
        .map(|wheel| (wheel.cell.id(), &wheel.cell))
        .collect::<std::collections::BTreeMap<_, _>>()
        .into_values()
        .cloned()
        .collect();
    for image in &mut images {
        for cell in &cells {
            image.meet(cell, args.interpreter.is_some());
        }
    }
    let mut names = BTreeSet::new();
    for wheel in &found.wheels {
        let artifact = &wheel.artifact;
        let file = places.store.file(&artifact.wheel).await?;
        let (filename, cell) = (artifact.filename.clone(), Arc::clone(&wheel.cell));
        let system = artifact.system.clone();
        // The images go to the thread that works, and come back.
        let work = tokio::task::spawn_blocking(move || {
            let wheel = Wheel::from_file(file, filename)?;
            let objects = Objects::read(&wheel)?;
            for image in &mut images {
                image.look(&cell, &wheel, &objects, &system)?;
            }
            let files = wheel.entries().iter();
            let files: Vec<_> = files
                .filter_map(|entry| entry.name.rsplit('/').next())
                .filter(|name| name.contains(".so"))
                .map(|name| (cell.id(), name.to_owned()))
                .collect();
            Ok::<_, AuditError>((images, files))
        });
        let worked = work.await.map_err(|error| error.to_string());
        let worked = worked
            .and_then(|worked| worked.map_err(|error| format!("{}: {error}", artifact.filename)));
        let (back, files) = worked.map_err(Failure::machine)?;
        images = back;
        names.extend(files);
    }
    let wheels = found.wheels.len();
    Ok(images
        .into_iter()
        .map(|image| image.checked(wheels, &names))
        .collect())
}

async fn unpack(
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
    fn meet(&mut self, cell: &Cell, asked: bool) {
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
            self.findings.architecture(cell, architecture);
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
    fn look(
        &mut self,
        cell: &Cell,
        wheel: &Wheel,
        objects: &Objects,
        system: &[wheelfarm_build::records::SystemLibrary],
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
    fn checked(self, wheels: usize, names: &BTreeSet<(String, String)>) -> Checked {
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

impl Checked {
    /// One line if all is well.
    pub(super) fn print(&self, printer: Printer) {
        let image = &self.image;
        if self.findings.is_empty() {
            let pythons = self.pythons.iter();
            let pythons: Vec<_> = pythons
                .map(|there| format!("Python {} at {}", there.python, there.path))
                .collect();
            let libc = self.libc.as_deref().unwrap_or("no C library");
            printer.result(format_args!(
                "{image}: {} wheels run on it ({libc}, {})",
                self.wheels,
                pythons.join(", ")
            ));
        }
    }

    /// What is not well.
    pub(super) fn complain(&self, printer: Printer) {
        for finding in &self.findings {
            let image = &self.image;
            let message = format!("{image}: {}", finding.message);
            printer.error(&message, finding.hint.as_deref());
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
