//! Whether what was found runs on an image that a final stage begins with: nothing of the image is run.

mod findings;
mod image;
mod sentence;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use wheelfarm_audit::{AuditError, Objects};
use wheelfarm_build::matrix::Cell;
use wheelfarm_executor::HostNetwork;
use wheelfarm_types::PythonVersion;
use wheelfarm_wheel::Wheel;

use self::image::unpack;
pub(super) use self::sentence::CheckFinding;
use super::found::Found;
use crate::cli::export::ExportArgs;
use crate::engine;
use crate::exit::Failure;
use crate::printer::Printer;
use crate::settings::Places;

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
    let docker = engine::docker(places, HostNetwork::default()).await?;
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
        .collect::<BTreeMap<_, _>>()
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
