//! Tools and trees: each in a directory that is filled once and then shared by all actions of all runs.

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, TOOL_DIR};
use wheelfarm_types::Digest;

use crate::error::Result;
use crate::input_file::{Content, InputFile};
use crate::sandbox::Shared;
use crate::sandbox::launch::{Bind, Unpack, Work};
use crate::sandbox::place::{MAKING, Place};

/// The mounts of the action's tools and trees.
pub(crate) async fn binds(
    shared: &Arc<Shared>,
    action: &Action,
    cancel: &CancellationToken,
) -> Result<Vec<Bind>> {
    let mut binds = Vec::new();
    let bind = |source, target| Bind {
        source,
        target,
        read_only: true,
    };
    for (name, digest) in &action.tools {
        let directory = Path::new("tools").join(format!("{name}@{digest}"));
        let tool = Some(name.as_str());
        fill(shared, &directory, tool, digest, cancel).await?;
        binds.push(bind(directory, format!("{TOOL_DIR}/{name}")));
    }
    for (target, digest) in &action.trees {
        let directory = Path::new("trees").join(digest.to_string());
        fill(shared, &directory, None, digest, cancel).await?;
        binds.push(bind(directory, target.clone()));
    }
    Ok(binds)
}

/// Fills `directory` with the program `tool`, or else with what is in the stored tar file, unless it is there.
async fn fill(
    shared: &Arc<Shared>,
    directory: &Path,
    tool: Option<&str>,
    digest: &Digest,
    cancel: &CancellationToken,
) -> Result<()> {
    let _once = shared.shelf.lock().await;
    // Asked every time: somebody may have emptied the cache since.
    if shared.absolute(directory).exists() {
        return Ok(());
    }
    let place = Place::new(Arc::clone(shared), MAKING)?;
    let what = format!("filling {}", directory.display());
    let file = |path: &str, executable| InputFile {
        path: path.to_owned(),
        content: Content::Stored(*digest),
        executable,
    };
    let full = place.directory("full")?;
    if let Some(tool) = tool {
        shared
            .write(&full, vec![file(tool, true)], &what, cancel)
            .await?;
    } else {
        let files = vec![file("archive", false)];
        shared.write(&place.path, files, &what, cancel).await?;
        let unpack = Unpack {
            archive: place.join("archive"),
            into: full.clone(),
            whiteouts: false,
            ..Unpack::default()
        };
        shared.work(&Work::Unpack(unpack), cancel).await?;
    }
    shared.settle(&full, directory).await?;
    place.close().await;
    Ok(())
}
