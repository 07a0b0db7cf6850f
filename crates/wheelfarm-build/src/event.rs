//! What happens while jobs run, for progress and reports.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::action::{LogSink, Place};
use crate::plain;

/// Something that happened. `job` is `<project> <version> <cell>`, or a cell where no package is concerned.
///
/// As JSON: a member `event` with the name in lower case, and what it holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A job is known: it will begin some time, and end.
    Planned {
        /// Which job.
        job: String,
    },
    /// A job enters a stage.
    Stage {
        /// Which job.
        job: String,
        /// What it does now.
        stage: Stage,
    },
    /// What a job waits for has come to another place.
    Place {
        /// Which job.
        job: String,
        /// Where it is now.
        place: Place,
    },
    /// A line of a log.
    Log {
        /// Which job.
        job: String,
        /// The line.
        line: String,
    },
    /// A job took `seconds` for a stage.
    Took {
        /// Which job.
        job: String,
        /// What it did.
        stage: Stage,
        /// How long; in JSON `took`.
        #[serde(rename = "took")]
        seconds: f64,
    },
    /// This machine or its network failed a job, which tries the stage again.
    Retried {
        /// Which job.
        job: String,
        /// What it does again.
        stage: Stage,
        /// Why.
        reason: String,
        /// After how many seconds.
        after: f64,
    },
    /// A job has ended.
    Ended {
        /// Which job.
        job: String,
        /// Whether it has a wheel.
        ok: bool,
        /// One line about it.
        summary: String,
    },
}

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "the words are the documentation's")]
pub enum Stage {
    Resolve,
    /// Another process makes the same thing: its result is awaited.
    Wait,
    Image,
    Environment,
    Fetch,
    Build,
    Rebuild,
    Repair,
    Prove,
}

impl Stage {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Resolve => "resolve",
            Self::Wait => "waiting for another wheelfarm that makes this",
            Self::Image => "image",
            Self::Environment => "environment",
            Self::Fetch => "fetch",
            Self::Build => "build",
            Self::Rebuild => "rebuild",
            Self::Repair => "repair",
            Self::Prove => "prove",
        }
    }

    /// Every stage.
    pub const ALL: [Self; 9] = [
        Self::Resolve,
        Self::Wait,
        Self::Image,
        Self::Environment,
        Self::Fetch,
        Self::Build,
        Self::Rebuild,
        Self::Repair,
        Self::Prove,
    ];
}

/// Receives events; called from many tasks.
pub type Observer = Arc<dyn Fn(Event) + Send + Sync>;

/// A log sink that sends lines as events of `job`, without what would control a terminal.
pub fn log_of(observer: &Observer, job: &str) -> LogSink {
    let observer = Arc::clone(observer);
    let job = job.to_owned();
    Arc::new(move |line| {
        observer(Event::Log {
            job: job.clone(),
            line: plain(line),
        });
    })
}
