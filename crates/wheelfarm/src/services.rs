//! The services of one run, put together once: for every command that resolves, plans or builds.

use std::num::NonZeroUsize;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::Observer;
use wheelfarm_build::action::Limits;
use wheelfarm_build::pipeline::{Added, Context, Flights, Freshness, Lanes, Memo};
use wheelfarm_resolve::{Fetcher, IndexSettings, Resolver, Uv};

use crate::cli::build::SelectionArgs;
use crate::config::{Config, Seconds};
use crate::engine::Engine;
use crate::environment::now;
use crate::exit::Failure;
use crate::settings::{Places, host_arch};

/// A lock of requirements is taken from the store for so long, in seconds; `--upgrade` resolves at once.
const LOCK_AGE: u64 = 24 * 3600;
/// A build that failed is not tried again for so long, in seconds.
const FAILURE_EXPIRY: u64 = 24 * 3600;
/// How long one build may take, in seconds, where nothing else is said.
const TIMEOUT: u64 = 30 * 60;

/// What a run is put together from.
pub(crate) struct Parts<'a> {
    pub(crate) places: &'a Places,
    pub(crate) index: IndexSettings,
    pub(crate) engine: &'a Engine,
    pub(crate) cancel: &'a CancellationToken,
    pub(crate) observer: Observer,
}

/// How jobs are run: what is not chosen here is in the configuration, or has a default.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(crate) struct Choices {
    /// Bounds one build.
    pub(crate) timeout: Option<Seconds>,
    /// So many at a time, or as many as the engine has cores.
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Builds that failed before are tried again.
    pub(crate) retry_failed: bool,
    /// Containers of failed builds are kept; so what failed before is tried again, or there would be none.
    pub(crate) keep_failed: bool,
    /// Builds that miss a system package get it.
    pub(crate) add_missing: bool,
    /// Builds use a compiler cache.
    pub(crate) compiler_cache: bool,
}

impl Choices {
    fn failures_not_before(&self, config: &Config, now: u64) -> u64 {
        if self.retry_failed || self.keep_failed {
            return u64::MAX;
        }
        let expiry = config.farm.failure_expiry;
        now.saturating_sub(expiry.map_or(FAILURE_EXPIRY, Seconds::number))
    }
}

/// The context of all jobs.
pub(crate) async fn context(
    parts: Parts<'_>,
    args: &SelectionArgs,
    config: &Config,
    choices: &Choices,
) -> Result<Context, Failure> {
    let Parts {
        places,
        index,
        engine,
        cancel,
        observer,
    } = parts;
    let job_error = wheelfarm_build::JobError::from;
    let uv = Uv::obtain(
        &places.store,
        &places.cache.join("tools"),
        host_arch()?,
        args.uv_wheel.as_deref(),
    )
    .await
    .map_err(job_error)?;
    let fetcher = Fetcher::new(index.clone(), places.store.clone()).map_err(job_error)?;
    let timeout = choices
        .timeout
        .or(config.farm.timeout)
        .map_or(TIMEOUT, Seconds::number);
    let now = now();
    Ok(Context {
        store: places.store.clone(),
        resolver: Resolver {
            store: places.store.clone(),
            uv,
            cache: places.cache.clone(),
            settings: index,
        },
        fetcher,
        executor: engine.executor(),
        environments: engine.environments(),
        recipes: config.recipes()?,
        added: Added::new(choices.add_missing),
        cache: places.cache.clone(),
        limits: limits(timeout),
        freshness: Freshness {
            now,
            began: std::time::Instant::now(),
            locks_not_before: if args.upgrade {
                now
            } else {
                now.saturating_sub(LOCK_AGE)
            },
            build_requires_not_before: if args.upgrade { now } else { 0 },
            failures_not_before: choices.failures_not_before(config, now),
        },
        keep_failed: choices.keep_failed,
        compiler_cache: choices.compiler_cache || config.farm.compiler_cache,
        build_tag: !args.no_build_tag,
        observer,
        cancel: cancel.clone(),
        flights: Flights::default(),
        memo: Memo::default(),
        lanes: Lanes::new(choices.jobs.or(config.farm.jobs)),
    })
}

/// What containers may use.
pub(crate) fn limits(timeout: u64) -> Limits {
    Limits {
        // All that the engine has: a quota would leave cores idle. What a job fills is its slot's share.
        cores: f64::INFINITY,
        memory: 4 << 30,
        pids: 4096,
        time: Duration::from_secs(timeout),
        scratch: 3 << 30,
        output: 2 << 30,
        log: 16 << 20,
    }
}
