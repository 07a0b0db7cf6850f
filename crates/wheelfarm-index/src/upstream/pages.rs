//! Project pages of the index behind this one: asked for once, kept, and asked again whether they changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Duration, Utc};
use wheelfarm_store::Store;
use wheelfarm_types::ProjectName;

use super::client::{Answer, Client, Failure};
use super::counts::Counts;
use super::kept;
use super::page::MirroredProject;
use super::slots::{Known, Last, Page, Slot, Slots, lock};

/// Who looks for a file that no page has asks again after so long.
const SECOND_LOOK: Duration = Duration::seconds(5);
/// That there is no such project is believed for at most so long: somebody may just be publishing it.
const ABSENT_FOR: Duration = Duration::seconds(60);

/// All pages that were asked for.
pub(super) struct Pages {
    client: Arc<Client>,
    store: Store,
    counts: Arc<Counts>,
    fresh_for: Duration,
    cool_down: Option<Duration>,
    slots: Slots,
    /// Rises with everything that changes what is shown.
    revisions: AtomicU64,
    /// Until when the index is not asked, since it could not be reached.
    resting: Mutex<Option<(DateTime<Utc>, Failure)>>,
}

/// A page to answer with.
pub(super) struct Found {
    /// What is shown of it: not what has to cool down.
    pub(super) shown: Arc<MirroredProject>,
    /// All of it.
    pub(super) all: Arc<MirroredProject>,
    /// Rises when what is shown changes.
    pub(super) revision: u64,
    /// Why nobody knows whether it is still like this.
    pub(super) stale: Option<Failure>,
}

/// How new an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freshness {
    /// As new as the settings say.
    Usual,
    /// The client wants to know it exactly.
    Now,
    /// A file was not on the page: it may be on one that is a few seconds younger.
    Lately,
    /// Whatever is there: the index is asked only if nothing is.
    Any,
}

impl Pages {
    pub(super) fn new(
        client: Arc<Client>,
        store: Store,
        counts: Arc<Counts>,
        fresh_for: Duration,
        cool_down: Option<Duration>,
    ) -> Self {
        Self {
            client,
            store,
            counts,
            fresh_for,
            cool_down,
            slots: Slots::default(),
            revisions: AtomicU64::new(1),
            resting: Mutex::default(),
        }
    }

    /// The page of `project`, or that there is none.
    pub(super) async fn get(
        self: &Arc<Self>,
        project: &ProjectName,
        now: DateTime<Utc>,
        freshness: Freshness,
    ) -> Result<Option<Found>, Failure> {
        let slot = self.slots.of(project);
        let before = {
            let known = lock(&slot.known);
            if self.is_fresh(&known, now, freshness) {
                Counts::up(&self.counts.page_hits);
                drop(known);
                return self.found(&slot, now);
            }
            known.answers
        };
        // On its own, so that those who wait get their answer even if the client that came first goes away.
        let (pages, name, asking) = (Arc::clone(self), project.clone(), Arc::clone(&slot));
        let asked = tokio::spawn(async move {
            let _turn = asking.turn.lock().await;
            if lock(&asking.known).answers == before {
                pages.refresh(&name, &asking, now, freshness).await;
            }
        });
        if let Err(error) = asked.await {
            return Err(Failure::Down(error.to_string()));
        }
        self.found(&slot, now)
    }

    /// Whether the index has ever given files for `project`.
    pub(super) async fn has_given(&self, project: &ProjectName) -> Result<bool, Failure> {
        let kept = kept::page(&self.store, self.client.index(), project).await;
        let kept = kept.map_err(|error| Failure::Own(error.into()))?;
        Ok(kept.is_some_and(|kept| !kept.page.files.is_empty()))
    }

    fn is_fresh(&self, known: &Known, now: DateTime<Utc>, freshness: Freshness) -> bool {
        let most = match (&known.page, freshness) {
            (Last::Nothing, _) | (_, Freshness::Now | Freshness::Lately) => return false,
            (Last::Page(_), Freshness::Any) => return true,
            (Last::Page(_), Freshness::Usual) => self.fresh_for,
            (Last::Absent, Freshness::Usual | Freshness::Any) => self.fresh_for.min(ABSENT_FOR),
        };
        known.is_younger(now, most)
    }

    /// Brings what is known up to date. Held by one at a time for each project.
    async fn refresh(
        &self,
        project: &ProjectName,
        slot: &Slot,
        now: DateTime<Utc>,
        freshness: Freshness,
    ) {
        let result = self.ask(project, slot, now, freshness).await;
        let mut known = lock(&slot.known);
        known.answers += 1;
        match result {
            Ok(()) => known.failure = None,
            Err(failure) => {
                Counts::up(&self.counts.failures);
                tracing::warn!(%project, ?failure, "the upstream index gave no page");
                known.failure = Some(failure);
            }
        }
    }

    async fn ask(
        &self,
        project: &ProjectName,
        slot: &Slot,
        now: DateTime<Utc>,
        freshness: Freshness,
    ) -> Result<(), Failure> {
        let own = |error: wheelfarm_store::StoreError| Failure::Own(error.into());
        let index = self.client.index();
        // What another server has seen since is as good as what we have.
        let number = lock(&slot.known).number;
        let has_page = matches!(lock(&slot.known).page, Last::Page(_));
        let latest = kept::latest_number(&self.store, index, project)
            .await
            .map_err(own)?;
        if (!has_page || latest > number)
            && let Some(kept) = kept::page(&self.store, index, project).await.map_err(own)?
        {
            let page = self.page(kept.page, kept.etag, now);
            let mut known = lock(&slot.known);
            let was_absent = matches!(known.page, Last::Absent);
            if !was_absent || kept.number > known.number {
                known.page = Last::Page(page);
            }
            known.number = kept.number;
            if freshness == Freshness::Any {
                return Ok(());
            }
        }
        if freshness == Freshness::Lately && lock(&slot.known).is_younger(now, SECOND_LOOK) {
            return Ok(());
        }
        if let Some((until, failure)) = &*lock(&self.resting)
            && now < *until
        {
            return Err(failure.clone());
        }
        let etag = match &lock(&slot.known).page {
            Last::Page(page) => page.etag.clone(),
            Last::Absent | Last::Nothing => None,
        };
        Counts::up(&self.counts.page_requests);
        let answer = self.client.page(project, etag.as_deref()).await;
        self.rest(&answer, now);
        match answer? {
            Answer::Same => lock(&slot.known).checked = Some(now),
            Answer::Absent => {
                let mut known = lock(&slot.known);
                known.page = Last::Absent;
                known.checked = Some(now);
            }
            Answer::Page { page, etag } => {
                if page.unhashed > 0 {
                    tracing::info!(
                        %project, left_out = page.unhashed,
                        "files without a sha256 on the upstream index are left out"
                    );
                }
                let (same, number) = {
                    let mut known = lock(&slot.known);
                    known.checked = Some(now);
                    let number = known.number;
                    match &mut known.page {
                        Last::Page(before) if *before.all == page => {
                            before.etag.clone_from(&etag);
                            (true, number)
                        }
                        _ => (false, number),
                    }
                };
                if !same {
                    let number = kept::keep_page(
                        &self.store,
                        index,
                        project,
                        number,
                        etag.clone(),
                        &page,
                        now,
                    )
                    .await
                    .unwrap_or_else(|error| {
                        // It can be shown all the same; after a restart it is asked for again.
                        tracing::error!(%error, %project, "a page of the upstream index was not kept");
                        number
                    });
                    let page = self.page(page, etag, now);
                    let mut known = lock(&slot.known);
                    known.page = Last::Page(page);
                    known.number = number;
                }
            }
        }
        Ok(())
    }

    /// After a failure to reach it, the index has some rest: clients would wait for nothing, one after the other.
    fn rest(&self, answer: &Result<Answer, Failure>, now: DateTime<Utc>) {
        *lock(&self.resting) = match answer {
            Err(failure @ Failure::Down(_)) => {
                let rest = Duration::from_std(self.client.limits.rest).unwrap_or_default();
                Some((now + rest, failure.clone()))
            }
            _ => None,
        };
    }

    fn page(&self, page: MirroredProject, etag: Option<String>, now: DateTime<Utc>) -> Page {
        let all = Arc::new(page);
        let shown = match self.cool_down {
            Some(age) => Arc::new(all.older_than(age, now)),
            None => Arc::clone(&all),
        };
        Page {
            all,
            etag,
            shown,
            revision: self.revisions.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// What there is to answer with.
    fn found(&self, slot: &Slot, now: DateTime<Utc>) -> Result<Option<Found>, Failure> {
        let mut known = lock(&slot.known);
        let stale = known.failure.clone();
        match (&mut known.page, stale) {
            (Last::Page(page), stale) => {
                if let Some(age) = self.cool_down
                    && page.all.count_older_than(age, now) != page.shown.files.len()
                {
                    page.shown = Arc::new(page.all.older_than(age, now));
                    page.revision = self.revisions.fetch_add(1, Ordering::Relaxed);
                }
                if stale.is_some() {
                    Counts::up(&self.counts.stale_pages);
                }
                Ok(Some(Found {
                    shown: Arc::clone(&page.shown),
                    all: Arc::clone(&page.all),
                    revision: page.revision,
                    stale,
                }))
            }
            // That it was not there before does not say that it is not there now.
            (_, Some(failure)) => Err(failure),
            (Last::Absent, None) => Ok(None),
            (Last::Nothing, None) => Err(Failure::Down("nobody has asked yet".to_owned())),
        }
    }
}
