//! Small wheels, and putting them into a farm's index as they are: without the checks of an upload, and at any time.

use std::fmt::Write as _;
use std::io::{Cursor, Write};
use std::path::Path;

use anyhow::{Context, Result};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use wheelfarm_index::registry::{Actor, Event, PublishedFile, Registry, Yank};
use wheelfarm_store::Store;
use wheelfarm_types::WheelFilename;

use crate::farm::Farm;
use crate::sha256;

/// A wheel with one module, in the making.
#[derive(Debug, Clone)]
pub struct SmallWheel {
    name: String,
    version: String,
    headers: String,
    weight: usize,
}

impl SmallWheel {
    /// A pure wheel of `name` with a module of that name, in which `VERSION` is its version.
    pub fn new(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            headers: String::new(),
            weight: 0,
        }
    }

    /// Adds a line of METADATA: `Requires-Dist: x`.
    #[must_use]
    pub fn header(mut self, line: &str) -> Self {
        self.headers.push_str(line);
        self.headers.push('\n');
        self
    }

    /// Makes it heavier by so many bytes.
    #[must_use]
    pub fn weighing(mut self, bytes: usize) -> Self {
        self.weight = bytes;
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its file's name.
    pub fn filename(&self) -> String {
        format!("{}-{}-py3-none-any.whl", self.name, self.version)
    }

    /// Its METADATA.
    pub fn metadata(&self) -> String {
        format!(
            "Metadata-Version: 2.1\nName: {}\nVersion: {}\n{}",
            self.name, self.version, self.headers
        )
    }

    /// Its bytes: always the same.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        let info = format!("{}-{}.dist-info", self.name, self.version);
        let module = format!("{}.py", self.name);
        let members = [
            (
                module,
                format!("VERSION = {:?}\n", self.version).into_bytes(),
            ),
            (format!("{}.dat", self.name), vec![b'x'; self.weight]),
            (format!("{info}/METADATA"), self.metadata().into_bytes()),
            (format!("{info}/WHEEL"), wheel_file("py3-none-any")),
        ];
        archive(&info, &members, zip::CompressionMethod::Stored)
    }

    /// sha256 of its bytes.
    pub fn sha256(&self) -> Result<String> {
        Ok(sha256(&self.bytes()?))
    }
}

/// The file WHEEL of a wheel with one tag.
pub fn wheel_file(tag: &str) -> Vec<u8> {
    format!("Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: {tag}\n").into_bytes()
}

/// A wheel with these members, and a RECORD of them in its metadata directory `info`. The same members make the same
/// bytes.
pub fn archive(
    info: &str,
    members: &[(String, Vec<u8>)],
    method: zip::CompressionMethod,
) -> Result<Vec<u8>> {
    let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default().compression_method(method);
    let mut record = String::new();
    for (name, content) in members {
        let digest = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(content));
        writeln!(record, "{name},sha256={digest},{}", content.len())?;
        zip.start_file(name, options)?;
        zip.write_all(content)?;
    }
    writeln!(record, "{info}/RECORD,,")?;
    zip.start_file(format!("{info}/RECORD"), options)?;
    zip.write_all(record.as_bytes())?;
    Ok(zip.finish()?.into_inner())
}

/// Writes to a farm's index past its server.
pub struct Shelf {
    runtime: tokio::runtime::Runtime,
    registry: Registry,
}

impl Shelf {
    /// The index of the farm's store.
    pub fn of(farm: &Farm) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        let address = farm.store().display().to_string();
        let registry =
            runtime.block_on(async { Registry::open(Store::open(&address).await?).await })?;
        Ok(Self { runtime, registry })
    }

    /// Publishes a small wheel in `main`, as if that had been at `at` (RFC 3339).
    pub fn put(&self, wheel: &SmallWheel, at: &str) -> Result<()> {
        self.put_in("main", wheel, at)
    }

    /// The same in another channel.
    pub fn put_in(&self, channel: &str, wheel: &SmallWheel, at: &str) -> Result<()> {
        let metadata = wheel.metadata().into_bytes();
        self.publish(
            channel,
            &wheel.filename(),
            wheel.bytes()?,
            Some(metadata),
            at,
        )
    }

    /// Publishes a small wheel in `main`, of which the index does not have the METADATA.
    pub fn put_without_metadata(&self, wheel: &SmallWheel, at: &str) -> Result<()> {
        self.publish("main", &wheel.filename(), wheel.bytes()?, None, at)
    }

    /// Publishes the wheel at `path` in `main`.
    pub fn put_file(&self, path: &Path, at: &str) -> Result<()> {
        let name = path.file_name().context("a wheel without a name")?;
        let name = name.to_string_lossy();
        let info = crate::wheel::names(path)?
            .into_iter()
            .find(|name| name.ends_with(".dist-info/METADATA"))
            .context("a wheel without METADATA")?;
        let metadata = crate::wheel::read(path, &info)?;
        self.publish("main", &name, fs_err::read(path)?, Some(metadata), at)
    }

    fn publish(
        &self,
        channel: &str,
        filename: &str,
        bytes: Vec<u8>,
        metadata: Option<Vec<u8>>,
        at: &str,
    ) -> Result<()> {
        let parsed: WheelFilename = filename.parse()?;
        let text = metadata.as_deref().map(String::from_utf8_lossy);
        let requires_python = text.as_deref().and_then(|text| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix("Requires-Python: "))
        });
        // As JSON: facts that the index keeps beside these may be absent.
        let mut facts = json!({
            "filename": filename,
            "project": parsed.project()?,
            "version": parsed.version,
            "blob": sha256(&bytes),
            "size": bytes.len(),
            "uploaded": at,
            "requires_python": requires_python,
            "origin": "uploaded",
        });
        if let (Some(bytes), Value::Object(facts)) = (&metadata, &mut facts) {
            let metadata = json!({ "blob": sha256(bytes), "size": bytes.len() });
            facts.insert("metadata".to_owned(), metadata);
        }
        let file: PublishedFile = serde_json::from_value(facts)?;
        self.runtime.block_on(async {
            let store = self.registry.store();
            store.put(bytes.into()).await?;
            if let Some(metadata) = metadata {
                store.put(metadata.into()).await?;
            }
            anyhow::Ok(())
        })?;
        self.commit(&Event::Published {
            channel: channel.parse()?,
            file: Box::new(file),
        })
    }

    /// Yanks a wheel in `main`.
    pub fn yank(&self, wheel: &SmallWheel, reason: &str) -> Result<()> {
        let parsed: WheelFilename = wheel.filename().parse()?;
        self.commit(&Event::Yanked {
            channel: "main".parse()?,
            project: parsed.project()?,
            filename: wheel.filename(),
            yank: Some(Yank {
                reason: Some(reason.to_owned()),
            }),
        })
    }

    fn commit(&self, event: &Event) -> Result<()> {
        let now = serde_json::from_value(json!("2026-01-01T00:00:00Z"))?;
        let committed = self.registry.commit(&Actor::Operator, now, |_| {
            Ok::<_, std::convert::Infallible>((vec![event.clone()], ()))
        });
        Ok(self.runtime.block_on(committed)?)
    }
}
