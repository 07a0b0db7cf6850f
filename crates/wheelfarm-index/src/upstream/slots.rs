//! What is known of the projects of the index behind this one: as much as memory has room for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};
use wheelfarm_types::ProjectName;

use super::client::Failure;
use super::page::MirroredProject;

/// Files on all pages that are held in memory together; each takes about half a kilobyte.
const FILES_IN_MEMORY: usize = 100_000;

/// All projects that were asked for lately.
#[derive(Default)]
pub(super) struct Slots {
    slots: Mutex<HashMap<ProjectName, Arc<Slot>>>,
    /// Rises with every look at a slot.
    looks: AtomicU64,
}

impl Slots {
    /// The place of `project`.
    pub(super) fn of(&self, project: &ProjectName) -> Arc<Slot> {
        let look = self.looks.fetch_add(1, Ordering::Relaxed);
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get(project) {
            slot.looked.store(look, Ordering::Relaxed);
            return Arc::clone(slot);
        }
        make_room(&mut slots);
        let slot = Arc::new(Slot::default());
        slot.looked.store(look, Ordering::Relaxed);
        slots.insert(project.clone(), Arc::clone(&slot));
        slot
    }
}

/// What is known of one project.
#[derive(Default)]
pub(super) struct Slot {
    pub(super) known: Mutex<Known>,
    /// Held by who asks: many clients at once cause one request.
    pub(super) turn: tokio::sync::Mutex<()>,
    looked: AtomicU64,
}

#[derive(Default)]
pub(super) struct Known {
    /// How often there was an answer, or a failure.
    pub(super) answers: u64,
    /// When there was the last answer; a page from the store has none.
    pub(super) checked: Option<DateTime<Utc>>,
    /// The last answer.
    pub(super) page: Last,
    /// The number that the page has in the store.
    pub(super) number: u64,
    /// Why the last request had no answer.
    pub(super) failure: Option<Failure>,
}

/// The last answer that there was about a project.
#[derive(Default)]
pub(super) enum Last {
    /// None so far.
    #[default]
    Nothing,
    /// That there is no such project.
    Absent,
    /// This page.
    Page(Page),
}

#[derive(Clone)]
pub(super) struct Page {
    pub(super) all: Arc<MirroredProject>,
    pub(super) etag: Option<String>,
    /// What of it is old enough, and when that was found out.
    pub(super) shown: Arc<MirroredProject>,
    pub(super) revision: u64,
}

impl Known {
    /// Whether the last answer came within `most` before `now`.
    pub(super) fn is_younger(&self, now: DateTime<Utc>, most: Duration) -> bool {
        self.checked.is_some_and(|checked| {
            let age = now - checked;
            age >= Duration::zero() && age < most
        })
    }
}

/// Forgets what nobody has looked at for the longest time, once there is too much: half of it, so that this is rare.
fn make_room(slots: &mut HashMap<ProjectName, Arc<Slot>>) {
    let weight = |slot: &Slot| match &lock(&slot.known).page {
        Last::Page(page) => 1 + page.all.files.len(),
        Last::Absent | Last::Nothing => 1,
    };
    let mut all: Vec<(u64, usize, ProjectName)> = Vec::new();
    // Few pages cannot be too much together, as each is bounded: so this looks at all of them only now and then.
    if !slots.len().is_multiple_of(16) {
        return;
    }
    let total: usize = slots.values().map(|slot| weight(slot)).sum();
    if total < FILES_IN_MEMORY {
        return;
    }
    for (name, slot) in slots.iter() {
        if Arc::strong_count(slot) == 1 {
            let looked = slot.looked.load(Ordering::Relaxed);
            all.push((looked, weight(slot), name.clone()));
        }
    }
    all.sort_unstable();
    let mut left = total;
    for (_, weight, name) in all {
        if left <= FILES_IN_MEMORY / 2 {
            break;
        }
        slots.remove(&name);
        left -= weight;
    }
}

/// Whoever panicked while holding it left nothing half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
