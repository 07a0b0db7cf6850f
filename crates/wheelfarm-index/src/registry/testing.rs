//! Registries with something in them, for tests of what is made of it.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use wheelfarm_store::Store;
use wheelfarm_types::{ProjectName, WheelFilename};

use crate::registry::{Actor, Channel, Event, MetadataFile, Origin, PublishedFile, Registry};

/// A registry in memory.
pub(crate) async fn registry() -> Registry {
    let store = Store::open("memory:").await.unwrap();
    Registry::open(store).await.unwrap()
}

/// Publishes `bytes` under a wheel's name, with METADATA as a blob of its own.
pub(crate) async fn publish(
    registry: &Registry,
    channel: &Channel,
    filename: &str,
    bytes: &'static [u8],
) -> PublishedFile {
    let parsed: WheelFilename = filename.parse().unwrap();
    let project: ProjectName = parsed.project().unwrap();
    let metadata: Bytes = format!(
        "Metadata-Version: 2.1\nName: {project}\nVersion: {}\n",
        parsed.version
    )
    .into();
    let store = registry.store();
    let file = PublishedFile {
        filename: filename.to_owned(),
        project,
        version: parsed.version.clone(),
        blob: store.put(Bytes::from_static(bytes)).await.unwrap(),
        size: bytes.len() as u64,
        uploaded: DateTime::UNIX_EPOCH,
        requires_python: Some(">=3.9".to_owned()),
        metadata: Some(MetadataFile {
            size: metadata.len() as u64,
            blob: store.put(metadata).await.unwrap(),
        }),
        audit: None,
        summary: None,
        origin: Origin::Uploaded,
    };
    commit(
        registry,
        Event::Published {
            channel: channel.clone(),
            file: Box::new(file.clone()),
        },
    )
    .await;
    file
}

/// Writes one event.
pub(crate) async fn commit(registry: &Registry, event: Event) {
    let now: DateTime<Utc> = DateTime::UNIX_EPOCH;
    registry
        .commit(&Actor::Operator, now, |_| {
            Ok::<_, std::convert::Infallible>((vec![event.clone()], ()))
        })
        .await
        .unwrap();
}
