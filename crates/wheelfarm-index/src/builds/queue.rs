//! The queue: what is asked for twice is built once, a bounded number at a time, a bounded number waiting.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::Observer;
use wheelfarm_types::{Digest, ProjectName, Requirement};

use super::build::{Build, BuildId, BuildState, Ending, Ticket};
use super::on_demand::Resting;
use super::request::{BuildRequest, RequestError};
use super::{BuildFailure, BuildOutcome, Builder};
use crate::registry::{Actor, Origin, Token};
use crate::{App, Publication};

/// Builds that have ended and are still listed.
const REMEMBERED: usize = 200;
/// Exit code of a cancelled `wheelfarm build`.
const CANCELLED: u8 = 130;
/// Exit code of a `wheelfarm build` that panicked.
const BUG: u8 = 70;

/// How a server builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildSettings {
    /// How many builds run at a time. Each runs as many jobs at once as the engine has cores.
    pub at_once: usize,
    /// How many wait for their turn; more are refused.
    pub waiting: usize,
    /// Whether requirements may name addresses and repositories: code of any origin, fetched by the server.
    pub direct_urls: bool,
    /// Projects that are built when an installer asks for their page and there is no wheel, and what then is built.
    pub on_demand: BTreeMap<ProjectName, Requirement>,
}

impl Default for BuildSettings {
    fn default() -> Self {
        Self {
            at_once: 1,
            waiting: 64,
            direct_urls: false,
            on_demand: BTreeMap::new(),
        }
    }
}

/// Everything that is built here, was built, or waits.
pub struct Builds {
    pub(super) builder: Arc<dyn Builder>,
    pub(super) settings: BuildSettings,
    /// Fires when the server stops.
    pub(super) stop: CancellationToken,
    pub(super) resting: Resting,
    turns: Arc<Semaphore>,
    /// Oldest first.
    tickets: Mutex<VecDeque<Arc<Ticket>>>,
}

/// A build that was asked for.
#[derive(Debug)]
pub struct Started {
    /// As it is now.
    pub build: Build,
    /// Whether somebody else had asked for the same before, and it had not ended.
    pub joined: bool,
}

/// A build that is not begun.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It must not be.
    #[error(transparent)]
    Refused(#[from] RequestError),
    /// Too many wait.
    #[error("{0} builds wait already")]
    Full(usize),
    /// The server stops.
    #[error("the server is stopping")]
    Stopping,
    /// There are no random bytes to make a name of.
    #[error("the system gave no random bytes")]
    Nameless,
}

impl std::fmt::Debug for Builds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Builds({:?})", self.settings)
    }
}

impl Builds {
    /// A queue in front of `builder`. When `stop` fires, all builds are cancelled.
    pub fn new(
        builder: Arc<dyn Builder>,
        settings: BuildSettings,
        stop: CancellationToken,
    ) -> Self {
        Self {
            builder,
            turns: Arc::new(Semaphore::new(settings.at_once.max(1))),
            settings,
            stop,
            resting: Resting::default(),
            tickets: Mutex::default(),
        }
    }

    fn tickets(&self) -> MutexGuard<'_, VecDeque<Arc<Ticket>>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cells that can be built for.
    pub async fn cells(&self) -> Result<Vec<String>, BuildFailure> {
        self.builder.cells().await
    }

    /// All builds that are remembered, the newest first, without their jobs; `channel` chooses.
    pub fn list(&self, wanted: impl Fn(&BuildRequest) -> bool) -> Vec<Build> {
        let tickets = self.tickets();
        let wanted = tickets
            .iter()
            .rev()
            .filter(|ticket| wanted(&ticket.request));
        wanted.map(|ticket| ticket.view(false)).collect()
    }

    /// A build with its jobs.
    pub fn get(&self, id: &BuildId) -> Option<Build> {
        Some(self.ticket(id)?.view(true))
    }

    /// The log of a job of a build: what is known of it here, and where the store has the whole.
    pub async fn log(&self, id: &BuildId, job: &str) -> Option<(String, Option<Digest>)> {
        let ticket = self.ticket(id)?;
        let text = ticket.feed.log(job);
        let is_over = ticket.view(true).jobs.iter().any(|view| {
            view.job == job && matches!(view.phase, super::JobPhase::Done | super::JobPhase::Failed)
        });
        let stored = if let Some(log) = ticket.failed_log(job) {
            Some(log)
        } else if is_over {
            self.builder.log(job).await
        } else {
            None
        };
        Some((text, stored))
    }

    /// Waits until nothing is built any more: for the end of a server that cancelled everything.
    pub async fn finish(&self) {
        let tickets: Vec<_> = self.tickets().iter().cloned().collect();
        for ticket in tickets {
            ticket.feed.ended().await;
        }
    }

    pub(super) fn ticket(&self, id: &BuildId) -> Option<Arc<Ticket>> {
        self.tickets()
            .iter()
            .find(|ticket| ticket.id == *id)
            .cloned()
    }

    /// Puts `request` into the queue, or joins the build that is asked for with the same already.
    pub fn start(
        self: &Arc<Self>,
        app: &Arc<App>,
        mut request: BuildRequest,
        by: Option<&Token>,
    ) -> Result<Started, StartError> {
        request.check(self.settings.direct_urls)?;
        if self.stop.is_cancelled() {
            return Err(StartError::Stopping);
        }
        let key = request.key();
        let token = by.map(|token| &token.id);
        let mut tickets = self.tickets();
        let is_same = |ticket: &&Arc<Ticket>| {
            ticket.key == key && !ticket.state().is_final() && !ticket.cancel.is_cancelled()
        };
        if let Some(ticket) = tickets.iter().find(is_same) {
            ticket.wanted_by(token);
            return Ok(Started {
                build: ticket.view(true),
                joined: true,
            });
        }
        let waiting = tickets
            .iter()
            .filter(|ticket| ticket.state() == BuildState::Queued)
            .count();
        if waiting >= self.settings.waiting {
            return Err(StartError::Full(waiting));
        }
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(|_| StartError::Nameless)?;
        let id = BuildId::of(name);
        let actor = by.map_or(Actor::Server, |token| Actor::Token {
            id: token.id.clone(),
            request: format!("build {id}"),
        });
        let by = by.map_or_else(|| "the server".to_owned(), |token| token.name.clone());
        let ticket = Arc::new(Ticket::new(
            id,
            request,
            by,
            actor,
            app.now(),
            self.stop.child_token(),
        ));
        ticket.wanted_by(token);
        tickets.push_back(Arc::clone(&ticket));
        forget(&mut tickets);
        drop(tickets);
        let build = ticket.view(true);
        let (builds, app) = (Arc::clone(self), Arc::clone(app));
        tokio::spawn(async move {
            let (running, ran) = (Arc::clone(&app), Arc::clone(&ticket));
            let run = tokio::spawn(async move { builds.run(&running, &ran).await });
            if run.await.is_err() {
                // It panicked, which is logged: nobody may wait for it for ever.
                ticket.end(broken(), app.now());
            }
        });
        Ok(Started {
            build,
            joined: false,
        })
    }

    async fn run(&self, app: &Arc<App>, ticket: &Arc<Ticket>) {
        let turn = ticket
            .cancel
            .run_until_cancelled(self.turns.acquire())
            .await;
        let Some(Ok(_turn)) = turn else {
            ticket.end(cancelled(Vec::new()), app.now());
            return;
        };
        ticket.begin(app.now());
        let began = Instant::now();
        ticket.tell(&json!({ "event": "begin", "version": 1, "seconds": 0.0 }));
        let ending = Box::pin(self.build(app, ticket, began)).await;
        tracing::info!(
            build = %ticket.id,
            state = ending.state.as_str(),
            seconds = began.elapsed().as_secs_f64(),
            failures = ending.failures.len(),
            "a build has ended"
        );
        ticket.end(ending, app.now());
    }

    async fn build(&self, app: &Arc<App>, ticket: &Arc<Ticket>, began: Instant) -> Ending {
        let observer: Observer = {
            let ticket = Arc::clone(ticket);
            Arc::new(move |event| ticket.on(event, began.elapsed().as_secs_f64()))
        };
        let work = self
            .builder
            .build(&ticket.request, observer, ticket.cancel.clone());
        let outcome = match work.await {
            Ok(outcome) => outcome,
            Err(failure) if ticket.cancel.is_cancelled() => {
                return cancelled(vec![failure.message]);
            }
            Err(failure) => {
                return Ending {
                    state: BuildState::Failed,
                    published: Vec::new(),
                    failures: vec![failure.message],
                    hint: failure.hint,
                    exit: failure.exit,
                };
            }
        };
        ticket.keep(&outcome);
        let BuildOutcome { failures, .. } = &outcome;
        let mut failures = failures.clone();
        let published = publish(app, ticket, &outcome, &mut failures).await;
        let report = &outcome.report;
        let seconds = began.elapsed().as_secs_f64();
        ticket.tell(&json!({ "event": "report", "seconds": seconds, "report": report }));
        if ticket.cancel.is_cancelled() {
            return Ending {
                published,
                ..cancelled(failures)
            };
        }
        let exit = if outcome.exit == 0 && !failures.is_empty() {
            1
        } else {
            outcome.exit
        };
        Ending {
            state: if exit == 0 {
                BuildState::Done
            } else {
                BuildState::Failed
            },
            published,
            failures,
            hint: None,
            exit,
        }
    }
}

/// Publishes what the farm built, if that is wanted: the names of what is published then. What is refused is a failure.
async fn publish(
    app: &App,
    ticket: &Ticket,
    outcome: &BuildOutcome,
    failures: &mut Vec<String>,
) -> Vec<String> {
    let mut published = Vec::new();
    let ours = outcome.wheels.iter().filter(|wheel| wheel.is_ours);
    for wheel in ours.filter(|_| ticket.request.publish) {
        let filename = wheel.filename.to_string();
        let publication = Publication {
            channel: ticket.request.channel.clone(),
            filename: filename.clone(),
            origin: Origin::Built,
            // What it needs of its system is known, and was proved there.
            allows_unportable: true,
            by: ticket.actor.clone(),
            now: app.now(),
        };
        let done = app
            .publisher
            .publish_blob(&app.registry, &publication, &wheel.blob);
        match done.await {
            Ok(_) => published.push(filename),
            Err(problem) => {
                failures.push(format!("{filename} is not published: {}", problem.title));
            }
        }
    }
    published
}

fn cancelled(failures: Vec<String>) -> Ending {
    Ending {
        state: BuildState::Cancelled,
        published: Vec::new(),
        failures,
        hint: None,
        exit: CANCELLED,
    }
}

fn broken() -> Ending {
    Ending {
        state: BuildState::Failed,
        published: Vec::new(),
        failures: vec!["this is a bug in wheelfarm: its server's log has more".to_owned()],
        hint: None,
        exit: BUG,
    }
}

/// Drops the oldest builds that have ended, if there are too many.
fn forget(tickets: &mut VecDeque<Arc<Ticket>>) {
    let ended = |ticket: &Arc<Ticket>| ticket.state().is_final();
    while tickets.iter().filter(|ticket| ended(ticket)).count() > REMEMBERED {
        let Some(place) = tickets.iter().position(ended) else {
            return;
        };
        tickets.remove(place);
    }
}
