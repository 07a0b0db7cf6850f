//! Wheels put into a store's index as its operator would, with whatever facts a test wants.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use wheelfarm_index::registry::{
    Actor, Channel, Event, MetadataFile, Origin, PublishedFile, Registry,
};
use wheelfarm_store::Store;
use wheelfarm_types::{Digest, WheelFilename};

use crate::wheel;

/// The index in a store.
#[derive(Debug)]
pub struct Showcase {
    registry: Registry,
    now: DateTime<Utc>,
}

impl Showcase {
    /// The index in the store at `directory`; what is published is from `now`.
    pub async fn open(directory: &Path, now: DateTime<Utc>) -> Result<Self> {
        let address = directory.to_str().context("a path of UTF-8")?;
        let registry = Registry::open(Store::open(address).await?).await?;
        Ok(Self { registry, now })
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        self.registry.store()
    }

    /// Publishes a wheel file with what its METADATA says.
    pub async fn wheel(&self, channel: &Channel, path: &Path) -> Result<()> {
        let filename = path
            .file_name()
            .and_then(|name| name.to_str())
            .context("a name of UTF-8")?;
        let name = wheel::names(path)?
            .into_iter()
            .find(|name| name.ends_with(".dist-info/METADATA"));
        let metadata = wheel::read(path, &name.context("it has no METADATA")?)?;
        let text = String::from_utf8(metadata)?;
        let field = |name: &str| {
            let lines = text.lines().take_while(|line| !line.is_empty());
            lines
                .filter_map(|line| line.split_once(": "))
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        };
        let bytes = fs_err::read(path)?;
        let store = self.registry.store();
        let mut file = self.file(filename, field("Summary").as_deref())?;
        file.size = bytes.len() as u64;
        file.blob = store.put(bytes.into()).await?;
        file.requires_python = field("Requires-Python");
        file.metadata = Some(MetadataFile {
            size: text.len() as u64,
            blob: store.put(text.into()).await?,
        });
        self.commit(vec![Event::Published {
            channel: channel.clone(),
            file: Box::new(file),
        }])
        .await
    }

    /// Publishes files of which there are only names, all at once.
    pub async fn names(&self, channel: &Channel, names: &BTreeMap<String, &str>) -> Result<()> {
        let events = names.iter().map(|(name, summary)| {
            let file = Box::new(self.file(name, Some(summary))?);
            Ok(Event::Published {
                channel: channel.clone(),
                file,
            })
        });
        self.commit(events.collect::<Result<_>>()?).await
    }

    /// Writes what happened.
    pub async fn commit(&self, events: Vec<Event>) -> Result<()> {
        let decide = |_: &_| Ok::<_, Infallible>((events.clone(), ()));
        self.registry
            .commit(&Actor::Operator, self.now, decide)
            .await?;
        Ok(())
    }

    fn file(&self, filename: &str, summary: Option<&str>) -> Result<PublishedFile> {
        let parsed: WheelFilename = filename.parse()?;
        Ok(PublishedFile {
            filename: filename.to_owned(),
            project: parsed.project()?,
            version: parsed.version.clone(),
            blob: Digest::of(filename),
            size: 100_000,
            uploaded: self.now,
            requires_python: None,
            audit: None,
            metadata: None,
            summary: summary.map(str::to_owned),
            origin: Origin::Uploaded,
        })
    }
}
