//! What every stage needs at hand.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use serde::de::DeserializeOwned;
use tokio::sync::{Mutex, OnceCell, OwnedMutexGuard, Semaphore, SemaphorePermit};
use tokio_util::sync::CancellationToken;
use wheelfarm_resolve::{Fetcher, Resolver, Uv};
use wheelfarm_store::{Lease, Store};
use wheelfarm_types::{Arch, Digest};

use super::added::Added;
use super::memo::Memo;
use super::slots::{Capacity, Claim, Slot, Slots};
use crate::action::{Executor, ExecutorError, ExecutorErrorKind, Limits, Listener, LogSink};
use crate::environment::Environments;
use crate::error::{JobError, JobErrorKind};
use crate::event::{Event, Observer, Stage, log_of};
use crate::recipes::Recipes;
use crate::records::PinnedFile;

/// Services and settings for jobs.
pub struct Context {
    /// Where everything is kept.
    pub store: Store,
    /// Requirements to locks.
    pub resolver: Resolver,
    /// Locked files to blobs.
    pub fetcher: Fetcher,
    /// Runs builds and proofs.
    pub executor: Arc<dyn Executor>,
    /// Images and environments.
    pub environments: Arc<dyn Environments>,
    /// What projects need.
    pub recipes: Recipes,
    /// What turned out to be missing there.
    pub added: Added,
    /// A directory for what can be made again: unpacked library roots.
    pub cache: PathBuf,
    /// Bounds of a build, where a recipe says nothing.
    pub limits: Limits,
    /// How old answers may be.
    pub freshness: Freshness,
    /// Whether builds use a compiler cache.
    pub compiler_cache: bool,
    /// Whether containers of failed builds are kept.
    pub keep_failed: bool,
    /// Whether wheels that we build get a build tag.
    pub build_tag: bool,
    /// Told what happens.
    pub observer: Observer,
    /// Fires when the user wants to stop.
    pub cancel: CancellationToken,
    /// One lock per thing that must not be made twice at a time.
    pub flights: Flights,
    /// How much is done at a time.
    pub lanes: Lanes,
    /// What was looked up before.
    pub memo: Memo,
}

/// Bounds of what is done at a time: see [`Slots`] for work that costs. Fetching costs no cores, but connections
/// and memory; resolving is short.
#[derive(Debug)]
pub struct Lanes {
    /// What `-j` says; one per core of the engine where it says nothing.
    jobs: Option<u32>,
    slots: OnceCell<Slots>,
    environments: OnceCell<Slots>,
    /// Work of this machine, where actions run elsewhere.
    local: OnceLock<Slots>,
    fetching: Semaphore,
    resolving: Semaphore,
}

/// How many files are fetched at a time.
const FETCHING: usize = 8;
/// How many resolutions run at a time: each is a process that waits for the network as much as it works.
const RESOLVING: usize = 4;

impl Lanes {
    /// For `jobs` jobs at a time.
    pub fn new(jobs: Option<NonZeroUsize>) -> Self {
        Self {
            jobs: jobs.map(|jobs| u32::try_from(jobs.get()).unwrap_or(u32::MAX)),
            slots: OnceCell::new(),
            environments: OnceCell::new(),
            local: OnceLock::new(),
            fetching: Semaphore::new(FETCHING),
            resolving: Semaphore::new(RESOLVING),
        }
    }
}

/// Times in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// When the run began: what new resolutions are filed under.
    pub now: u64,
    /// The same moment, to measure from.
    pub began: Instant,
    /// Locks of requirements made before are resolved anew.
    pub locks_not_before: u64,
    /// Locks of build requirements made before are resolved anew; these are part of keys, so a rebuild follows.
    pub build_requires_not_before: u64,
    /// Builds that failed before are tried again.
    pub failures_not_before: u64,
}

impl Freshness {
    /// The time now: that of the beginning, and what has passed since.
    pub(crate) fn at_this_moment(&self) -> u64 {
        self.now + self.began.elapsed().as_secs()
    }
}

/// How long is waited before work that this machine failed is done again: long enough for an engine that is being
/// restarted.
const RETRY_AFTER: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(12),
];

/// The right to make something alone.
#[derive(Debug)]
pub(crate) struct Flight {
    // The lease goes first: in this process the next one may begin when it is free.
    _lease: Lease,
    _flight: OwnedMutexGuard<()>,
}

/// Locks by digest: who wants to make the same thing waits, and finds it made.
#[derive(Debug, Default)]
pub struct Flights(std::sync::Mutex<HashMap<Digest, Arc<Mutex<()>>>>);

impl Flights {
    /// Waits until nobody else makes `what`.
    pub(crate) async fn enter(&self, what: Digest) -> OwnedMutexGuard<()> {
        let lock = {
            let mut flights = self
                .0
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            Arc::clone(flights.entry(what).or_default())
        };
        lock.lock_owned().await
    }
}

impl Context {
    /// Waits for a slot; fails when the run is cancelled. Taken after all other waits: see [`Slots`]. The engine is
    /// asked for its size by the first call, so that a run that finds everything done never asks.
    pub async fn slot(&self, claim: Claim) -> Result<Slot, JobError> {
        let slots = self.lanes.slots.get_or_try_init(|| async {
            let capacity = self.executor.capacity().await?;
            let slots = self.lanes.jobs.unwrap_or(capacity.slots);
            Ok::<_, JobError>(Slots::new(Capacity { slots, ..capacity }))
        });
        let slots = slots.await?;
        self.unless_cancelled(slots.take(claim)).await
    }

    /// Waits for a slot for work that this machine does itself.
    pub(crate) async fn local_slot(&self) -> Result<Slot, JobError> {
        if !self.executor.is_elsewhere() {
            return self.slot(Claim::default()).await;
        }
        let slots = self.lanes.local.get_or_init(|| Slots::new(this_machine()));
        self.unless_cancelled(slots.take(Claim::default())).await
    }

    /// Waits until an environment may be made. That waits for mirrors and disks as much as it works, and every build
    /// waits for one: so environments have slots of their own, as many as there are cores, beside builds.
    pub(crate) async fn environment_slot(&self, claim: Claim) -> Result<Slot, JobError> {
        let slots = self.lanes.environments.get_or_try_init(|| async {
            let capacity = if self.executor.is_elsewhere() {
                this_machine()
            } else {
                self.executor.capacity().await?
            };
            let slots = capacity.cores;
            Ok::<_, JobError>(Slots::new(Capacity { slots, ..capacity }))
        });
        let slots = slots.await?;
        // What a build fills has nothing to do with its environment.
        let claim = Claim {
            expected: claim.expected,
            ..Claim::default()
        };
        self.unless_cancelled(slots.take(claim)).await
    }

    /// Waits until a file may be fetched.
    pub(crate) async fn fetching(&self) -> Result<SemaphorePermit<'_>, JobError> {
        self.permit(&self.lanes.fetching).await
    }

    /// Waits until requirements may be resolved.
    pub(crate) async fn resolving(&self) -> Result<SemaphorePermit<'_>, JobError> {
        self.permit(&self.lanes.resolving).await
    }

    async fn permit<'a>(&'a self, lane: &'a Semaphore) -> Result<SemaphorePermit<'a>, JobError> {
        let permit = self.unless_cancelled(lane.acquire()).await?;
        permit.map_err(|_| cancelled())
    }

    async fn unless_cancelled<T>(&self, wait: impl Future<Output = T>) -> Result<T, JobError> {
        let waited = self.cancel.run_until_cancelled(wait).await;
        waited.ok_or_else(cancelled)
    }

    /// The PEP 517 front end for builds on `arch`: uv, which is the resolver's own only if it runs on that.
    pub(crate) async fn front_end(&self, arch: Arch) -> Result<PinnedFile, JobError> {
        let own = &self.resolver.uv;
        let sha256 = if arch == own.arch {
            own.blob
        } else {
            let tools = self.cache.join("tools");
            Uv::obtain(&self.store, &tools, arch, None).await?.blob
        };
        Ok(PinnedFile {
            name: format!("uv {}", own.version),
            sha256,
        })
    }

    /// Sends an event.
    pub(crate) fn emit(&self, event: Event) {
        (self.observer)(event);
    }

    /// A log sink that sends lines as events of `job`.
    pub(crate) fn log_of(&self, job: &str) -> LogSink {
        log_of(&self.observer, job)
    }

    /// What tells of `job` as events.
    pub(crate) fn listener(&self, job: &str) -> Listener {
        let (observer, name) = (Arc::clone(&self.observer), job.to_owned());
        Listener {
            log: self.log_of(job),
            place: Arc::new(move |place| {
                let job = name.clone();
                observer(Event::Place { job, place });
            }),
        }
    }

    /// The record of `kind` under `key`, if the wheel it names is there as well: one that was lost is made again.
    pub(crate) async fn with_wheel<T: DeserializeOwned>(
        &self,
        kind: &str,
        key: &Digest,
        wheel: impl Fn(&T) -> Digest,
    ) -> Result<Option<T>, JobError> {
        match self.store.record::<T>(kind, key).await? {
            Some(record) if self.store.contains(&wheel(&record)).await? => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    /// Waits until nobody makes `what`, in this process or another one on the same store; nobody does until the
    /// result is dropped.
    pub(crate) async fn alone(&self, job: &str, what: Digest) -> Result<Flight, JobError> {
        let flight = self.unless_cancelled(self.flights.enter(what)).await?;
        let mut pause = Duration::from_millis(20);
        let mut told = false;
        loop {
            // A lock that is waited for could not be given up when the run is cancelled.
            if let Some(lease) = self.store.try_lease(&what).await? {
                return Ok(Flight {
                    _lease: lease,
                    _flight: flight,
                });
            }
            if !told {
                told = true;
                let (job, stage) = (job.to_owned(), Stage::Wait);
                self.emit(Event::Stage { job, stage });
            }
            self.unless_cancelled(tokio::time::sleep(pause)).await?;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }

    /// Does `work`, and again after a while where not it failed but what it needs of this machine or the network.
    /// A package's failure is an answer, not an error, and is never tried again.
    pub(crate) async fn retrying<'a, T>(
        &'a self,
        job: &str,
        stage: Stage,
        mut work: impl FnMut() -> BoxFuture<'a, Result<T, ExecutorError>>,
    ) -> Result<T, JobError> {
        let mut lost = 0;
        for pause in RETRY_AFTER {
            match work().await {
                Err(error) if error.kind.passes() && lost == 0 && !self.cancel.is_cancelled() => {
                    // Once: it may be the action that ends everything around it.
                    lost += u32::from(error.kind == ExecutorErrorKind::Lost);
                    self.emit(Event::Retried {
                        job: job.to_owned(),
                        stage,
                        reason: error.message,
                        after: pause.as_secs_f64(),
                    });
                    self.unless_cancelled(tokio::time::sleep(pause)).await?;
                }
                result => return Ok(result?),
            }
        }
        Ok(work().await?)
    }

    /// Announces `stage`, does `work`, and tells how long it took.
    pub(crate) async fn staged<T>(
        &self,
        job: &str,
        stage: Stage,
        work: impl Future<Output = Result<T, JobError>>,
    ) -> Result<(T, f64), JobError> {
        let job = job.to_owned();
        self.emit(Event::Stage {
            job: job.clone(),
            stage,
        });
        let start = Instant::now();
        let value = work.await?;
        let seconds = start.elapsed().as_secs_f64();
        self.emit(Event::Took {
            job,
            stage,
            seconds,
        });
        Ok((value, seconds))
    }
}

/// Runs `work`, which is all CPU, off the async threads.
pub(crate) async fn run_cpu<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, JobError> + Send + 'static,
) -> Result<T, JobError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(cancelled()),
        },
    }
}

/// What there is for work that this machine does beside actions that run elsewhere. Such work holds little memory.
fn this_machine() -> Capacity {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let cores = u32::try_from(cores).unwrap_or(u32::MAX);
    Capacity {
        slots: cores,
        cores,
        memory: u64::MAX,
        each: None,
    }
}

fn cancelled() -> JobError {
    JobError::new(JobErrorKind::Cancelled, "cancelled")
}
