//! From a file to a published file: the one way there is, by which uploads, `wheelfarm publish` and builds go.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use http::StatusCode;
use tokio::io::AsyncReadExt;
use wheelfarm_store::Store;
use wheelfarm_types::Digest;

use super::checked::{self, Checked};
use super::claims::Claims;
use super::filename::{Named, shown};
use super::lanes::Lanes;
use super::spool::{Spooled, Spooling};
use super::storage;
use crate::registry::{
    Actor, AuditFile, Channel, CommitError, Event, MetadataFile, Origin, PublishedFile, Registry,
    State, Status,
};
use crate::settings::Limits;
use crate::{Problem, standing};

/// Bytes that are read of a file at once.
const CHUNK: usize = 1 << 20;

/// Checks files and publishes them. One for a server: it bounds what all checks together hold in memory.
#[derive(Debug, Clone, Default)]
pub struct Publisher {
    limits: Limits,
    lanes: Lanes,
}

/// What to publish where.
#[derive(Debug, Clone)]
pub struct Publication {
    /// The channel.
    pub channel: Channel,
    /// The name of the file there.
    pub filename: String,
    /// Where it came from.
    pub origin: Origin,
    /// Whether a wheel may be published of which the audit says that it does not run where its name says.
    pub allows_unportable: bool,
    /// By whose hand.
    pub by: Actor,
    /// When.
    pub now: DateTime<Utc>,
}

/// A file that is published.
#[derive(Debug, Clone)]
pub struct Published {
    /// It.
    pub file: Arc<PublishedFile>,
    /// Whether this call did it. Otherwise it was there, with the same bytes.
    pub is_new: bool,
}

/// Bytes to publish.
enum Content {
    /// Not in the store yet.
    Spooled(Spooled),
    /// In the store; for a store that is no directory, a copy to check.
    Stored(fs_err::File, Digest, u64),
}

impl Publisher {
    /// One that takes files within `limits`.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            lanes: Lanes::default(),
        }
    }

    /// Publishes the file at `path`.
    pub async fn publish_path(
        &self,
        registry: &Registry,
        publication: &Publication,
        path: &Path,
    ) -> Result<Published, Problem> {
        let failed = |error: std::io::Error| {
            Problem::bad_request(format!("{}: {error}", publication.filename))
        };
        // Before it is copied, if it is known already that it will not do.
        Named::parse(&publication.filename)?;
        let mut file = tokio::fs::File::open(path).await.map_err(failed)?;
        let mut spooling = Spooling::new(registry.store().spool()?);
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = file.read(&mut chunk).await.map_err(failed)?;
            let piece = chunk.get(..length).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            spooling.add(piece).await.map_err(|e| storage(&e))?;
            self.check_size(publication, spooling.size())?;
        }
        let spooled = spooling.finish().await.map_err(|e| storage(&e))?;
        self.publish_spooled(registry, publication, spooled, Claims::default())
            .await
    }

    /// Publishes bytes that are in the registry's store.
    pub async fn publish_blob(
        &self,
        registry: &Registry,
        publication: &Publication,
        blob: &Digest,
    ) -> Result<Published, Problem> {
        let store = registry.store();
        let size = store.size(blob).await?;
        self.check_size(publication, size)?;
        let file = store.file(blob).await?;
        let content = Content::Stored(file, *blob, size);
        self.publish(registry, publication, content, Claims::default())
            .await
    }

    /// Publishes a file that was received, if it is what the form claims.
    pub(crate) async fn publish_spooled(
        &self,
        registry: &Registry,
        publication: &Publication,
        spooled: Spooled,
        claims: Claims,
    ) -> Result<Published, Problem> {
        let content = Content::Spooled(spooled);
        self.publish(registry, publication, content, claims).await
    }

    async fn publish(
        &self,
        registry: &Registry,
        publication: &Publication,
        content: Content,
        claims: Claims,
    ) -> Result<Published, Problem> {
        let named = Named::parse(&publication.filename)?;
        let (blob, size) = match &content {
            Content::Spooled(spooled) => (spooled.sha256, spooled.size),
            Content::Stored(_, blob, size) => (*blob, *size),
        };
        // Most of what comes twice is known without looking into it.
        let known = registry.read(|state| stands(state, publication, &named, &blob))?;
        if let Some(file) = known {
            return Ok(Published {
                file,
                is_new: false,
            });
        }
        let file = match &content {
            Content::Spooled(spooled) => {
                let file = spooled.file.reopen().map_err(|e| storage(&e))?;
                fs_err::File::from_parts(file, spooled.file.path())
            }
            Content::Stored(file, ..) => file.try_clone().map_err(|e| storage(&e))?,
        };
        let checked = checked::check(
            &self.lanes,
            file,
            named,
            claims,
            self.limits.file,
            publication.allows_unportable,
        )
        .await?;
        let store = registry.store();
        if let Content::Spooled(spooled) = content {
            store.put_spooled(spooled.file, &blob).await?;
        }
        let file = keep(store, publication, checked, blob, size).await?;
        commit(registry, publication, file).await
    }

    fn check_size(&self, publication: &Publication, size: u64) -> Result<(), Problem> {
        if size > self.limits.file {
            return Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!(
                    "{} has more than the {} bytes that are taken here",
                    shown(&publication.filename),
                    self.limits.file
                ),
            ));
        }
        Ok(())
    }
}

/// Puts what goes with a file into the store, before anybody can ask for it.
async fn keep(
    store: &Store,
    publication: &Publication,
    checked: Checked,
    blob: Digest,
    size: u64,
) -> Result<PublishedFile, Problem> {
    let mut metadata = None;
    if let Some(text) = checked.metadata {
        let size = text.len() as u64;
        let blob = store.put(text).await?;
        metadata = Some(MetadataFile { blob, size });
    }
    let mut audit = None;
    if let Some(report) = checked.report {
        let size = report.len() as u64;
        let blob = store.put(report).await?;
        audit = Some(AuditFile { blob, size });
    }
    Ok(PublishedFile {
        filename: publication.filename.clone(),
        project: checked.project,
        version: checked.version,
        blob,
        size,
        uploaded: publication.now,
        requires_python: checked.requires_python,
        metadata,
        audit,
        summary: checked.summary,
        origin: publication.origin.clone(),
    })
}

async fn commit(
    registry: &Registry,
    publication: &Publication,
    file: PublishedFile,
) -> Result<Published, Problem> {
    let named = Named::parse(&publication.filename)?;
    let blob = file.blob;
    let committed = registry
        .commit(&publication.by, publication.now, |state| {
            if let Some(file) = stands(state, publication, &named, &blob)? {
                let published = Published {
                    file,
                    is_new: false,
                };
                return Ok((Vec::new(), published));
            }
            let event = Event::Published {
                channel: publication.channel.clone(),
                file: Box::new(file.clone()),
            };
            let published = Published {
                file: Arc::new(file.clone()),
                is_new: true,
            };
            Ok::<_, Problem>((vec![event], published))
        })
        .await;
    committed.map_err(|error| match error {
        CommitError::Refused(problem) => problem,
        CommitError::Store(error) => error.into(),
    })
}

/// How a name stands: published with these very bytes, free, or taken for others.
fn stands(
    state: &State,
    publication: &Publication,
    named: &Named,
    blob: &Digest,
) -> Result<Option<Arc<PublishedFile>>, Problem> {
    // The project in the file's name is that of its METADATA, or it would not have been published.
    for name in named.projects() {
        let Some(project) = state.project(&publication.channel, &name) else {
            continue;
        };
        let channel = &publication.channel;
        if let Some(file) = standing::standing(project, channel, &publication.filename, blob)? {
            return Ok(Some(file));
        }
        if matches!(
            project.status.status,
            Status::Archived | Status::Quarantined
        ) {
            let status = match project.status.status {
                Status::Archived => "archived",
                _ => "quarantined",
            };
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                format!(
                    "{name} is {status} in {}: nothing is added to it",
                    publication.channel
                ),
            ));
        }
    }
    Ok(None)
}
