//! Pages that are made, until what they show changes.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use wheelfarm_types::ProjectName;

use crate::registry::Channel;
use crate::simple::negotiation::Coding;
use crate::simple::page::Page;

/// Bytes that pages may take in memory.
const LIMIT: usize = 128 << 20;

/// Which page, and in which form.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// Where.
    pub(super) channel: Channel,
    /// Whose; none for the page with all projects.
    pub(super) project: Option<ProjectName>,
    /// Whether it is a page of the index behind this one: its revisions are counted by themselves.
    pub(super) mirrored: bool,
    /// JSON or HTML.
    pub(super) json: bool,
    /// In which coding.
    pub(super) coding: Coding,
}

/// Pages by key, each with the revision that it shows. What was not asked for since half the memory was filled anew
/// goes first.
#[derive(Debug)]
pub(crate) struct PageCache {
    pages: RwLock<Generations>,
    limit: usize,
    /// Held while a big page is made: many clients that ask for it at once cause one making.
    pub(super) making: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Key, Entry>,
    young_weight: usize,
    /// Pages that were young when `young` was last full.
    old: HashMap<Key, Entry>,
}

#[derive(Debug)]
struct Entry {
    revision: u64,
    page: Arc<Page>,
}

impl Default for PageCache {
    fn default() -> Self {
        Self::new(LIMIT)
    }
}

impl PageCache {
    /// A cache of at most about `limit` bytes.
    fn new(limit: usize) -> Self {
        Self {
            pages: RwLock::default(),
            limit,
            making: tokio::sync::Mutex::default(),
        }
    }

    /// The page, if it is there and shows `revision`.
    pub(super) fn get(&self, key: &Key, revision: u64) -> Option<Arc<Page>> {
        let pages = self.pages.read().unwrap_or_else(PoisonError::into_inner);
        let shows = |entry: &&Entry| entry.revision == revision;
        if let Some(entry) = pages.young.get(key) {
            return Some(entry).filter(shows).map(|entry| entry.page.clone());
        }
        let page = pages.old.get(key).filter(shows)?.page.clone();
        drop(pages);
        self.put(key.clone(), revision, page.clone());
        Some(page)
    }

    /// Keeps a page. One that shows a later revision stays.
    pub(super) fn put(&self, key: Key, revision: u64, page: Arc<Page>) {
        let mut pages = self.pages.write().unwrap_or_else(PoisonError::into_inner);
        let pages = &mut *pages;
        if pages
            .young
            .get(&key)
            .is_some_and(|known| known.revision > revision)
        {
            return;
        }
        pages.old.remove(&key);
        pages.young_weight += page.weight();
        if let Some(before) = pages.young.insert(key, Entry { revision, page }) {
            pages.young_weight -= before.page.weight();
        }
        if pages.young_weight > self.limit / 2 {
            pages.old = std::mem::take(&mut pages.young);
            pages.young_weight = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        Key {
            channel: Channel::main(),
            project: Some(format!("p{number}").parse().unwrap()),
            mirrored: false,
            json: true,
            coding: Coding::Identity,
        }
    }

    fn weight(cache: &PageCache) -> usize {
        let pages = cache.pages.read().unwrap();
        let entries = pages.young.values().chain(pages.old.values());
        entries.map(|entry| entry.page.weight()).sum()
    }

    #[test]
    fn a_page_is_good_for_its_revision() {
        let cache = PageCache::default();
        let page = Arc::new(Page::new("one", false));
        cache.put(key(1), 7, page.clone());
        assert!(cache.get(&key(1), 7).is_some());
        assert!(cache.get(&key(1), 8).is_none());
        assert!(cache.get(&key(2), 7).is_none());
        // Somebody slow comes with a page that was true before.
        cache.put(key(1), 6, page.clone());
        assert!(cache.get(&key(1), 7).is_some());
        cache.put(key(1), 8, page);
        assert!(cache.get(&key(1), 8).is_some());
        assert!(cache.get(&key(1), 7).is_none());
    }

    #[test]
    fn what_is_asked_for_stays_and_memory_is_bounded() {
        let limit = 1 << 20;
        let cache = PageCache::new(limit);
        let page = || Arc::new(Page::new(vec![b'x'; 10_000], false));
        for number in 0..1000 {
            cache.put(key(number), 1, page());
            assert!(weight(&cache) <= limit + page().weight());
            // Put once, asked for all the time.
            assert!(cache.get(&key(0), 1).is_some(), "{number}");
        }
        assert!(cache.get(&key(1), 1).is_none());
        assert!(cache.get(&key(999), 1).is_some());
        let counted = cache.pages.read().unwrap().young_weight;
        let young: usize = cache
            .pages
            .read()
            .unwrap()
            .young
            .values()
            .map(|it| it.page.weight())
            .sum();
        assert_eq!(counted, young);
    }
}
