//! Files of the index behind this one, as answers to clients.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, Method, header};
use reqwest::Url;
use wheelfarm_types::{Digest, ProjectName, WheelFilename};
use wheelfarm_wheel::Wheel;

use super::client::Failure;
use super::entry::{is_filename, projects_of};
use super::kept::{self, FileRecord};
use super::page::MirroredFile;
use super::pages::Freshness;
use super::policy::Origin;
use super::spool::Follower;
use super::transfer::Wanted;
use super::{Counts, Upstream};
use crate::auth::Caller;
use crate::files::{self, Asked, Blob, METADATA, Outline};
use crate::registry::Scope;
use crate::{App, Problem};

/// Of so many projects at most the index is asked whether a file is theirs: names of source distributions are not
/// clear about it.
const CANDIDATES: usize = 3;

/// The file at `/files/<digest>/<filename>` (also with `.metadata` behind it), if it is one of the index behind this
/// one and the caller may read a channel that falls back to that.
pub(crate) async fn file(
    app: &App,
    caller: &Caller,
    asked: Asked<'_>,
    digest: &str,
    filename: &str,
) -> Result<Option<Response>, Problem> {
    let (Some(upstream), Ok(digest)) = (&app.upstream, digest.parse()) else {
        return Ok(None);
    };
    let channels = &upstream.settings.channels;
    let readable = |channel| caller.may(app, Scope::Read, channel).is_ok();
    if !channels.iter().any(readable) {
        return Ok(None);
    }
    let public = channels
        .iter()
        .any(|channel| !app.settings.channel(channel).private);
    let (wheel, metadata) = match filename.strip_suffix(METADATA) {
        Some(wheel) => (wheel, true),
        None => (filename, false),
    };
    if !is_filename(wheel) {
        return Ok(None);
    }
    let found = upstream.locate(app, &digest, wheel, metadata).await;
    let Some(file) = found.map_err(|failure| failure.problem(filename))? else {
        return Ok(None);
    };
    let answer = if metadata {
        upstream.metadata(app, asked, file, public).await
    } else {
        upstream.answer(app, asked, file, public).await
    };
    match answer {
        Ok(response) => Ok(Some(response)),
        Err(failure) => Err(failure.problem(filename)),
    }
}

impl Upstream {
    /// What is known of the file of this name with these bytes: from when it was fetched, or from its project's page.
    /// Of a page nothing is remembered here, so the addresses in lock files are good after a restart, on every server,
    /// and with an empty store.
    async fn locate(
        &self,
        app: &App,
        digest: &Digest,
        filename: &str,
        metadata: bool,
    ) -> Result<Option<Wanted>, Failure> {
        let record = kept::file(&self.store, digest).await;
        let record = record.map_err(|error| Failure::Own(error.into()))?;
        let record = record
            .filter(|record| record.filename == filename)
            .filter(|record| !metadata || record.metadata.is_some());
        if let Some(record) = record {
            return Ok(Some(record.wanted(*digest)));
        }
        let mut failed = None;
        for project in projects_of(filename).take(CANDIDATES) {
            if self.origin(app, &project) == Origin::Local {
                continue;
            }
            match self.on_page(app, &project, digest, filename).await {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(failure) => failed = Some(failure),
            }
        }
        // Where nobody could look it may be.
        failed.map_or(Ok(None), Err)
    }

    async fn on_page(
        &self,
        app: &App,
        project: &ProjectName,
        digest: &Digest,
        filename: &str,
    ) -> Result<Option<Wanted>, Failure> {
        let mut stale = None;
        for freshness in [Freshness::Any, Freshness::Lately] {
            let Some(found) = self.pages.get(project, app.now(), freshness).await? else {
                return Ok(None);
            };
            if let Some(file) = found.all.file(digest, filename) {
                return Ok(Some(file.wanted()));
            }
            stale = found.stale;
        }
        stale.map_or(Ok(None), Err)
    }

    /// Answers with METADATA of a wheel. If the index has it not by itself, although its page says so, it is taken out
    /// of the wheel: for installers an address of a page that leads nowhere is the end.
    async fn metadata(
        &self,
        app: &App,
        asked: Asked<'_>,
        wheel: Wanted,
        public: bool,
    ) -> Result<Response, Failure> {
        let Some(metadata) = wheel.metadata() else {
            return Err(Failure::Absent);
        };
        match self.answer(app, asked, metadata.clone(), public).await {
            Err(Failure::Absent) => {
                self.unpack(wheel, &metadata).await?;
                self.answer(app, asked, metadata, public).await
            }
            other => other,
        }
    }

    /// Makes METADATA of `wheel` a blob.
    async fn unpack(&self, wheel: Wanted, metadata: &Wanted) -> Result<(), Failure> {
        let own = |error: wheelfarm_store::StoreError| Failure::Own(error.into());
        let bad = |what: String| Failure::Bad(what);
        let name: WheelFilename = wheel
            .filename
            .parse()
            .map_err(|_| bad("it is no wheel".to_owned()))?;
        let digest = wheel.sha256;
        if !self.store.contains(&digest).await.map_err(own)? {
            self.transfers.follow(wheel).end().await?;
        }
        let file = self.store.file(&digest).await.map_err(own)?;
        let read = tokio::task::spawn_blocking(move || {
            let wheel = Wheel::from_file(file, name)?;
            wheel.read(&format!("{}/METADATA", wheel.dist_info()))
        });
        let read = read.await.map_err(|error| bad(error.to_string()))?;
        let read = read.map_err(|error| bad(error.to_string()))?;
        let size = read.len() as u64;
        let found = self.store.put(read.into()).await.map_err(own)?;
        if found != metadata.sha256 {
            return Err(bad(format!(
                "its METADATA has the sha256 {found}, and must have {}",
                metadata.sha256
            )));
        }
        let record = FileRecord {
            filename: metadata.filename.clone(),
            url: metadata.url.clone(),
            size,
            metadata: None,
        };
        kept::keep_file(&self.store, &found, &record)
            .await
            .map_err(own)
    }

    /// Answers with a file: from the store, or as it comes.
    async fn answer(
        &self,
        app: &App,
        asked: Asked<'_>,
        wanted: Wanted,
        public: bool,
    ) -> Result<Response, Failure> {
        let own = |error: wheelfarm_store::StoreError| Failure::Own(error.into());
        let digest = wanted.sha256;
        let blob = |size| Blob {
            digest,
            size,
            public,
        };
        // Only what came from there: see `FileRecord`.
        if let Some(record) = kept::file(&self.store, &digest).await.map_err(own)?
            && self.store.contains(&digest).await.map_err(own)?
        {
            Counts::up(&self.counts.file_hits);
            let answer = files::answer(app, asked, &blob(record.size)).await;
            return answer.map_err(Failure::Own);
        }
        Counts::up(&self.counts.file_misses);
        // What can be said without the bytes is said.
        if let Some(size) = wanted.size {
            let outline = files::outline(asked, &blob(size)).map_err(Failure::Own)?;
            match outline {
                Outline::Finished(response) => return Ok(response),
                Outline::Body { response, .. } if asked.method == Method::HEAD => {
                    return Ok(response.map(|()| Body::empty()));
                }
                Outline::Body { .. } => {}
            }
        }
        let mut follower = self.transfers.follow(wanted);
        let (size, _) = follower.beginning().await?;
        let in_parts = asked.headers.contains_key(header::RANGE);
        let size = match size {
            None if asked.method == Method::HEAD || in_parts => Some(follower.end().await?),
            size => size,
        };
        let Some(size) = size else {
            return Ok(unmeasured(follower, &digest));
        };
        match files::outline(asked, &blob(size)).map_err(Failure::Own)? {
            Outline::Finished(response) => Ok(response),
            Outline::Body { response, .. } if asked.method == Method::HEAD => {
                Ok(response.map(|()| Body::empty()))
            }
            Outline::Body { response, range } => {
                if range.end < size {
                    // The client could not know that a part is wrong, and does not get the byte that is held back.
                    follower.end().await?;
                }
                Ok(response.map(|()| Body::from_stream(follower.read(range))))
            }
        }
    }
}

/// The answer with a file whose size nobody knows: in chunks, the last of which does not come if it is wrong.
fn unmeasured(follower: Follower, digest: &Digest) -> Response {
    let mut response = Response::new(Body::from_stream(follower.read(0..u64::MAX)));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if let Ok(etag) = HeaderValue::try_from(format!("\"{digest}\"")) {
        headers.insert(header::ETAG, etag);
    }
    response
}

impl MirroredFile {
    fn wanted(&self) -> Wanted {
        Wanted {
            sha256: self.sha256,
            size: self.size,
            filename: self.filename.clone(),
            url: self.url.clone(),
            metadata: self.metadata,
        }
    }
}

impl FileRecord {
    fn wanted(self, sha256: Digest) -> Wanted {
        Wanted {
            sha256,
            size: Some(self.size),
            filename: self.filename,
            url: self.url,
            metadata: self.metadata,
        }
    }
}

impl Wanted {
    /// The METADATA of this wheel, which is beside it ([PEP 658](https://peps.python.org/pep-0658/)).
    fn metadata(&self) -> Option<Self> {
        let mut url: Url = self.url.parse().ok()?;
        let path = format!("{}{METADATA}", url.path());
        url.set_path(&path);
        Some(Self {
            sha256: self.metadata?,
            size: None,
            filename: format!("{}{METADATA}", self.filename),
            url: url.into(),
            metadata: None,
        })
    }
}
