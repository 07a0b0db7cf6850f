//! A wheelhouse as an image: in a file, or in the engine.

use std::collections::BTreeSet;
use std::io::{Seek as _, Write as _};
use std::path::Path;

use wheelfarm_coordinator::{AtomicFile, WheelhouseImage};
use wheelfarm_executor::HostNetwork;
use wheelfarm_types::Arch;

use super::found::Found;
use super::push::push;
use super::report::Image;
use super::{Wanted, failed};
use crate::cli::export::ExportArgs;
use crate::engine;
use crate::exit::Failure;

/// Whether an image is asked for.
pub(super) fn is_wanted(args: &ExportArgs) -> bool {
    args.oci.is_some() || args.load || args.push
}

/// Makes the image of what was found, in the forms that are asked for.
pub(super) async fn deliver(wanted: Wanted<'_>) -> Result<Image, Failure> {
    let Wanted {
        args,
        places,
        found,
        ..
    } = wanted;
    let store = &places.store;
    let name = args.tag.as_ref();
    let wheels = found.delivered();
    let image = WheelhouseImage::new(store, &wheels, arch(found)?, name).await;
    let image = image.map_err(failed)?;
    if let Some(path) = &args.oci {
        if is_tar(path) {
            let mut file = AtomicFile::create(path).map_err(disk)?;
            let written = image.write_tar(store, file.writer()).await;
            written.map_err(failed)?;
            file.commit().map_err(disk)?;
        } else {
            image.write_layout(store, path).await.map_err(failed)?;
        }
    }
    let mut made = Image {
        name: name.map(ToString::to_string),
        digest: image.digest(),
        layers: image.layers(),
        path: args.oci.clone(),
        loaded: None,
        pushed: None,
    };
    if let (true, Some(name)) = (args.load || args.push, name) {
        let archive = fs_err::create_dir_all(&places.cache)
            .and_then(|()| tempfile::tempfile_in(&places.cache));
        let mut archive = archive.map_err(disk)?;
        image.write_tar(store, &mut archive).await.map_err(failed)?;
        archive
            .flush()
            .and_then(|()| archive.rewind())
            .map_err(disk)?;
        let docker = engine::docker(places, HostNetwork::default()).await?;
        let loaded = docker.load(archive, &name.to_string()).await;
        let pushed = match &loaded {
            Ok(_) if args.push => push(wanted, &docker, name).await.map(Some),
            _ => Ok(None),
        };
        docker.close().await;
        made.loaded = Some(loaded?);
        made.pushed = pushed?.map(Option::unwrap_or_default);
    }
    Ok(made)
}

/// The machines that the wheels are for.
fn arch(found: &Found) -> Result<Arch, Failure> {
    let cells = found.wheels.iter().map(|wheel| &wheel.cell);
    let arches: BTreeSet<_> = cells.map(|cell| cell.target.arch).collect();
    let mut arches = arches.into_iter();
    match (arches.next(), arches.next()) {
        (Some(arch), None) => Ok(arch),
        (None, _) => Err(Failure::usage("there is no wheel to put into an image")),
        _ => Err(Failure::usage(
            "an image is for machines of one architecture, and these wheels are for several",
        )
        .with_hint(Some("export them one by one, with `--target`".to_owned()))),
    }
}

fn is_tar(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "tar")
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn disk(error: std::io::Error) -> Failure {
    Failure::machine(format!("the image could not be written: {error}"))
}
