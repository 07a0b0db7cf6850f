//! A builder that pretends.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::{Event, Observer, Stage};
use wheelfarm_types::Digest;

use super::{BuildFailure, BuildOutcome, BuildRequest, Builder, FarmWheel};

pub(super) const CELL: &str = "cp311-manylinux_2_36_x86_64";

/// Builds what it is asked for when it gets a permit; what is called `bad` fails, what is called `engine` cannot be.
#[derive(Debug)]
pub(super) struct Pretender {
    pub(super) permits: Semaphore,
    pub(super) begun: AtomicUsize,
    /// What every build gives.
    pub(super) wheels: Vec<FarmWheel>,
    pub(super) log: Option<Digest>,
}

impl Default for Pretender {
    fn default() -> Self {
        Self {
            permits: Semaphore::new(0),
            begun: AtomicUsize::new(0),
            wheels: Vec::new(),
            log: None,
        }
    }
}

impl Builder for Pretender {
    fn cells(&self) -> BoxFuture<'_, Result<Vec<String>, BuildFailure>> {
        async {
            Ok(vec![
                CELL.to_owned(),
                "cp313-manylinux_2_41_x86_64".to_owned(),
            ])
        }
        .boxed()
    }

    fn build<'a>(
        &'a self,
        request: &'a BuildRequest,
        observer: Observer,
        cancel: CancellationToken,
    ) -> BoxFuture<'a, Result<BuildOutcome, BuildFailure>> {
        async move {
            self.begun.fetch_add(1, Ordering::SeqCst);
            let failure = |message: &str, exit| BuildFailure {
                message: message.to_owned(),
                hint: Some("start it".to_owned()),
                exit,
            };
            let name = request
                .requirements
                .first()
                .map(|first| first.name().to_string());
            let name = name.unwrap_or_default();
            let job = format!("{name} 1.0 {CELL}");
            observer(Event::Planned { job: job.clone() });
            observer(Event::Stage {
                job: job.clone(),
                stage: Stage::Build,
            });
            observer(Event::Log {
                job: job.clone(),
                line: "a line".to_owned(),
            });
            let permit = cancel.run_until_cancelled(self.permits.acquire()).await;
            let Some(Ok(permit)) = permit else {
                return Err(failure("cancelled", 130));
            };
            permit.forget();
            if name == "engine" {
                return Err(failure("the engine does not answer", 4));
            }
            let ok = name != "bad";
            observer(Event::Took {
                job: job.clone(),
                stage: Stage::Build,
                seconds: 1.5,
            });
            observer(Event::Ended {
                job,
                ok,
                summary: "summary".to_owned(),
            });
            let failures = if ok {
                Vec::new()
            } else {
                vec!["bad failed".to_owned()]
            };
            Ok(BuildOutcome {
                report: json!({ "of": name }),
                exit: if ok { 0 } else { 3 },
                failures,
                wheels: self.wheels.clone(),
                logs: std::collections::BTreeMap::new(),
            })
        }
        .boxed()
    }

    fn log<'a>(&'a self, _job: &'a str) -> BoxFuture<'a, Option<Digest>> {
        async { self.log }.boxed()
    }
}
