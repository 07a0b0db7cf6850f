//! `wheelfarm build --publish`: what a build here delivered goes into the index of its store.

use std::collections::BTreeSet;

use wheelfarm_build::pipeline::Origin as BuildOrigin;
use wheelfarm_coordinator::BuiltWheel;
use wheelfarm_index::registry::{Actor, Channel, Origin, Registry};
use wheelfarm_index::{Publication, Publisher};
use wheelfarm_store::Store;

use crate::config::Config;
use crate::environment::clock;
use crate::exit::Failure;
use crate::printer::Printer;

/// Publishes the wheels that the farm built, now or before, in `channel`; their bytes are in the store already. What
/// the index that was asked has is not published. Returns whether nothing was refused; refusals are printed.
pub(super) async fn publish(
    store: &Store,
    wheels: &[BuiltWheel],
    channel: &Channel,
    config: &Config,
    printer: Printer,
) -> Result<bool, Failure> {
    let registry = Registry::open(store.clone()).await?;
    let publisher = Publisher::new(config.index.settings().limits);
    let ours = wheels.iter().map(|wheel| &wheel.artifact);
    let ours = ours.filter(|artifact| artifact.origin != BuildOrigin::Index);
    let ours: BTreeSet<_> = ours
        .map(|artifact| (artifact.filename.to_string(), artifact.wheel))
        .collect();
    let mut is_whole = true;
    for (filename, blob) in ours {
        let publication = Publication {
            channel: channel.clone(),
            filename: filename.clone(),
            origin: Origin::Built,
            // What it needs of its system is known, and was proved there.
            allows_unportable: true,
            by: Actor::Operator,
            now: clock(),
        };
        let done = publisher.publish_blob(&registry, &publication, &blob);
        match done.await {
            Ok(published) if published.is_new => {
                printer.note(format_args!("published {filename} in `{channel}`"));
            }
            Ok(_) => {}
            Err(problem) => {
                is_whole = false;
                let message = format!("{filename} is not published: {}", problem.title);
                printer.error(&message, problem.detail.as_deref());
            }
        }
    }
    Ok(is_whole)
}
