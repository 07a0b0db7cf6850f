//! One build: what is known of it at any moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::{Event, Stage};
use wheelfarm_types::Digest;

use super::feed::Feed;
use super::request::BuildRequest;
use super::{BuildOutcome, FarmWheel};
use crate::registry::{Actor, TokenId};

/// The name of a build. Says nothing but which one it is; another life of the server gives other names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct BuildId(String);

/// How far a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BuildState {
    /// It waits for its turn.
    Queued,
    /// It runs.
    Running,
    /// Everything that was asked for is there.
    Done,
    /// Something failed; what did not is published all the same.
    Failed,
    /// It was cancelled.
    Cancelled,
}

/// How far a job of a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobPhase {
    /// It will begin some time.
    Planned,
    /// It runs.
    Running,
    /// It has its wheel.
    Done,
    /// It failed, or was stopped with the build.
    Failed,
}

/// A job as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobView {
    /// `<project> <version> <cell>`, a cell, or `image <name>`.
    pub job: String,
    /// How far it is.
    pub phase: JobPhase,
    /// What it does, or did last.
    pub stage: Option<Stage>,
    /// Seconds that its stages took.
    pub seconds: f64,
    /// Its wheel, or why it failed.
    pub summary: Option<String>,
}

/// A build as it is now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Build {
    /// Its name.
    pub id: BuildId,
    /// How far it is.
    pub state: BuildState,
    /// What was asked for.
    pub request: BuildRequest,
    /// Who asked first: a token's name, or the server itself.
    pub by: String,
    /// When it was asked for.
    pub queued: DateTime<Utc>,
    /// When it began.
    pub started: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended: Option<DateTime<Utc>>,
    /// Its jobs, in the order in which they were met. Left out of lists.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub jobs: Vec<JobView>,
    /// How many jobs have ended, and how many are known.
    pub jobs_ended: usize,
    /// See there.
    pub jobs_known: usize,
    /// Files that are published: those of the farm's own that the build gave, whether they were there before or not.
    pub published: Vec<String>,
    /// One line for each thing that failed.
    pub failures: Vec<String>,
    /// What to do, where nothing could be built at all.
    pub hint: Option<String>,
    /// What `wheelfarm build` would have ended with; none before the end.
    pub exit: Option<u8>,
}

/// Who asked for a build: those that go away one by one may take it with them.
#[derive(Debug, Default)]
struct Interest(BTreeMap<Option<TokenId>, usize>);

#[derive(Debug)]
struct Now {
    state: BuildState,
    started: Option<DateTime<Utc>>,
    ended: Option<DateTime<Utc>>,
    jobs: Vec<JobView>,
    /// Where a job stands in `jobs`.
    places: BTreeMap<Arc<str>, usize>,
    published: Vec<String>,
    failures: Vec<String>,
    hint: Option<String>,
    exit: Option<u8>,
    interest: Interest,
    /// Jobs that are in the midst of a stage.
    busy: BTreeSet<String>,
    /// Every wheel of it by name.
    wheels: BTreeMap<String, FarmWheel>,
    /// Logs of what failed by job.
    logs: BTreeMap<String, Digest>,
}

/// A build of the queue.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) id: BuildId,
    pub(crate) key: Digest,
    pub(crate) request: BuildRequest,
    pub(crate) by: String,
    /// By whose hand it is published.
    pub(crate) actor: Actor,
    pub(crate) queued: DateTime<Utc>,
    pub(crate) feed: Feed,
    pub(crate) cancel: CancellationToken,
    now: Mutex<Now>,
}

/// How a build ended.
pub(crate) struct Ending {
    pub(crate) state: BuildState,
    pub(crate) published: Vec<String>,
    pub(crate) failures: Vec<String>,
    pub(crate) hint: Option<String>,
    pub(crate) exit: u8,
}

impl BuildId {
    /// The build that a client names, if there can be one of that name.
    pub fn parse(text: &str) -> Option<Self> {
        let good = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| Self(text.to_owned()))
    }

    pub(super) fn of(random: [u8; 8]) -> Self {
        Self(format!("{:016x}", u64::from_be_bytes(random)))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl BuildState {
    /// Whether it changes no more.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Ticket {
    pub(crate) fn new(
        id: BuildId,
        request: BuildRequest,
        by: String,
        actor: Actor,
        queued: DateTime<Utc>,
        cancel: CancellationToken,
    ) -> Self {
        let ticket = Self {
            id,
            key: request.key(),
            request,
            by,
            actor,
            queued,
            feed: Feed::default(),
            cancel,
            now: Mutex::new(Now {
                state: BuildState::Queued,
                started: None,
                ended: None,
                jobs: Vec::new(),
                places: BTreeMap::new(),
                published: Vec::new(),
                failures: Vec::new(),
                hint: None,
                exit: None,
                interest: Interest::default(),
                busy: BTreeSet::new(),
                wheels: BTreeMap::new(),
                logs: BTreeMap::new(),
            }),
        };
        ticket.tell(&json!({ "event": "queued", "seconds": 0.0, "build": ticket.id }));
        ticket
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state(&self) -> BuildState {
        self.now().state
    }

    /// One more waits for it.
    pub(crate) fn wanted_by(&self, token: Option<&TokenId>) {
        *self.now().interest.0.entry(token.cloned()).or_default() += 1;
    }

    /// One of `token` waits no more; false if none did. Who is the last cancels it.
    pub(crate) fn given_up_by(&self, token: Option<&TokenId>) -> bool {
        let mut now = self.now();
        let key = token.cloned();
        let Some(count) = now.interest.0.get_mut(&key) else {
            return false;
        };
        *count -= 1;
        if *count == 0 {
            now.interest.0.remove(&key);
        }
        if now.interest.0.is_empty() {
            self.cancel.cancel();
        }
        true
    }

    /// It begins.
    pub(crate) fn begin(&self, at: DateTime<Utc>) {
        let mut now = self.now();
        now.state = BuildState::Running;
        now.started = Some(at);
    }

    /// An event of its jobs, `seconds` after it began.
    pub(crate) fn on(&self, event: Event, seconds: f64) {
        #[derive(Serialize)]
        struct Line<'a> {
            seconds: f64,
            #[serde(flatten)]
            event: &'a Event,
        }
        let line = Line {
            seconds,
            event: &event,
        };
        let json = Bytes::from(serde_json::to_vec(&line).unwrap_or_default());
        match event {
            Event::Log { job, line } => self.feed.push_log(&job.into(), line, json),
            event => {
                self.now().on(event);
                self.feed.push(json);
            }
        }
    }

    /// Keeps what can be fetched of it.
    pub(crate) fn keep(&self, outcome: &BuildOutcome) {
        let mut now = self.now();
        let wheels = outcome.wheels.iter();
        now.wheels = wheels
            .map(|wheel| (wheel.filename.to_string(), wheel.clone()))
            .collect();
        now.logs = outcome.logs.clone();
    }

    /// A wheel of it.
    pub(crate) fn wheel(&self, filename: &str) -> Option<FarmWheel> {
        self.now().wheels.get(filename).cloned()
    }

    /// The log of a job that failed.
    pub(crate) fn failed_log(&self, job: &str) -> Option<Digest> {
        self.now().logs.get(job).copied()
    }

    /// Adds an event of the queue's own.
    pub(crate) fn tell(&self, event: &Value) {
        self.feed.push(event.to_string().into());
    }

    /// It has ended; nothing changes afterwards.
    pub(crate) fn end(&self, ending: Ending, at: DateTime<Utc>) {
        let last = {
            let mut now = self.now();
            now.state = ending.state;
            now.ended = Some(at);
            now.end_jobs();
            now.published = ending.published;
            now.failures = ending.failures;
            now.hint = ending.hint;
            now.exit = Some(ending.exit);
            json!({
                "event": "end",
                "state": now.state,
                "exit": now.exit,
                "failures": now.failures,
                "hint": now.hint,
                "published": now.published,
            })
        };
        self.feed.end(last.to_string().into());
    }

    /// As it is now; its jobs only if they are wanted.
    pub(crate) fn view(&self, with_jobs: bool) -> Build {
        let now = self.now();
        let has_ended = |job: &&JobView| matches!(job.phase, JobPhase::Done | JobPhase::Failed);
        Build {
            id: self.id.clone(),
            state: now.state,
            request: self.request.clone(),
            by: self.by.clone(),
            queued: self.queued,
            started: now.started,
            ended: now.ended,
            jobs_ended: now.jobs.iter().filter(has_ended).count(),
            jobs_known: now.jobs.len(),
            jobs: if with_jobs {
                now.jobs.clone()
            } else {
                Vec::new()
            },
            published: now.published.clone(),
            failures: now.failures.clone(),
            hint: now.hint.clone(),
            exit: now.exit,
        }
    }
}

impl Now {
    fn on(&mut self, event: Event) {
        match event {
            Event::Planned { job } => {
                self.job(&job);
            }
            Event::Stage { job, stage } => {
                self.busy.insert(job.clone());
                let job = self.job(&job);
                job.phase = JobPhase::Running;
                job.stage = Some(stage);
            }
            Event::Took { job, seconds, .. } => {
                self.busy.remove(&job);
                self.job(&job).seconds += seconds;
            }
            Event::Ended { job, ok, summary } => {
                let job = self.job(&job);
                job.phase = if ok { JobPhase::Done } else { JobPhase::Failed };
                job.summary = Some(summary);
            }
            Event::Retried { .. } | Event::Place { .. } | Event::Log { .. } => {}
        }
    }

    /// Nothing runs any more: what was through all of its stages is done, and what was in the midst of one was stopped.
    fn end_jobs(&mut self) {
        for job in &mut self.jobs {
            if job.phase == JobPhase::Running {
                let stopped = self.state != BuildState::Done && self.busy.contains(&job.job);
                job.phase = if stopped {
                    JobPhase::Failed
                } else {
                    JobPhase::Done
                };
            }
        }
    }

    fn job(&mut self, name: &str) -> &mut JobView {
        let next = self.jobs.len();
        let place = *self.places.entry(name.into()).or_insert(next);
        if place == next {
            self.jobs.push(JobView {
                job: name.to_owned(),
                phase: JobPhase::Planned,
                stage: None,
                seconds: 0.0,
                summary: None,
            });
        }
        // A place is only given out with a job in it.
        self.jobs
            .get_mut(place)
            .expect("there is a job at every place")
    }
}
