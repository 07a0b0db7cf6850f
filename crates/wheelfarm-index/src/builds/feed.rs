//! What happened in a build, numbered, for any number of readers that come and go.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;

/// Bytes of log lines that are kept of a build that runs.
const LOGS_RUNNING: usize = 4 << 20;
/// Bytes of log lines that are kept of one that has ended: the store has the whole log.
const LOGS_ENDED: usize = 128 << 10;
/// Entries that are given out at once.
const AT_ONCE: usize = 512;
/// Entries that are no log lines: more than any build has.
const MOST_EVENTS: usize = 200_000;

/// An entry: its number, from 1 on, and a JSON object on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) json: Bytes,
}

/// A log line, with the job it is of.
#[derive(Debug)]
struct LogLine {
    entry: Entry,
    job: Arc<str>,
    line: String,
}

#[derive(Debug, Default)]
struct Kept {
    events: VecDeque<Entry>,
    logs: VecDeque<LogLine>,
    log_bytes: usize,
    last: u64,
    ended: bool,
}

/// The entries of one build. Log lines are bounded: the oldest go first.
#[derive(Debug)]
pub(crate) struct Feed {
    kept: Mutex<Kept>,
    /// The last entry's number.
    grown: watch::Sender<u64>,
}

/// What a reader gets.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) entries: Vec<Entry>,
    /// Whether nothing comes after these.
    pub(crate) is_last: bool,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            grown: watch::channel(0).0,
        }
    }
}

impl Feed {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an entry, unless the feed has ended.
    pub(crate) fn push(&self, json: Bytes) {
        self.add(
            |kept, entry| {
                if kept.events.len() < MOST_EVENTS {
                    kept.events.push_back(entry);
                }
            },
            json,
        );
    }

    /// Adds a line of a job's log.
    pub(crate) fn push_log(&self, job: &Arc<str>, line: String, json: Bytes) {
        let job = Arc::clone(job);
        self.add(
            |kept, entry| {
                kept.log_bytes += weight(&entry, &line);
                kept.logs.push_back(LogLine { entry, job, line });
                kept.shrink(LOGS_RUNNING);
            },
            json,
        );
    }

    fn add(&self, keep: impl FnOnce(&mut Kept, Entry), json: Bytes) {
        let mut kept = self.kept();
        if kept.ended {
            return;
        }
        kept.last += 1;
        let number = kept.last;
        keep(&mut kept, Entry { number, json });
        drop(kept);
        self.grown.send_replace(number);
    }

    /// Ends it: `last` is the last entry.
    pub(crate) fn end(&self, last: Bytes) {
        self.push(last);
        let mut kept = self.kept();
        kept.ended = true;
        kept.shrink(LOGS_ENDED);
        kept.logs.shrink_to_fit();
        let number = kept.last;
        drop(kept);
        self.grown.send_replace(number);
    }

    /// Entries after number `after`, not all of them if they are many.
    pub(crate) fn after(&self, after: u64) -> Page {
        let kept = self.kept();
        let mut events = kept
            .events
            .range(kept.events.partition_point(|entry| entry.number <= after)..)
            .peekable();
        let logs = kept.logs.partition_point(|log| log.entry.number <= after);
        let mut logs = kept.logs.range(logs..).map(|log| &log.entry).peekable();
        let mut entries = Vec::new();
        while entries.len() < AT_ONCE {
            let log_is_next = match (events.peek(), logs.peek()) {
                (None, None) => break,
                (None, Some(_)) => true,
                (Some(_), None) => false,
                (Some(event), Some(log)) => log.number < event.number,
            };
            let next = if log_is_next {
                logs.next()
            } else {
                events.next()
            };
            entries.extend(next.cloned());
        }
        let is_last = kept.ended && events.peek().is_none() && logs.peek().is_none();
        Page { entries, is_last }
    }

    /// The lines of a job's log that are kept, and whether the first of them is the first of all.
    pub(crate) fn log(&self, job: &str) -> String {
        let kept = self.kept();
        let lines = kept.logs.iter().filter(|log| &*log.job == job);
        lines.fold(String::new(), |mut text, log| {
            text.push_str(&log.line);
            text.push('\n');
            text
        })
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&self) {
        let mut grown = self.grown();
        while !self.kept().ended && grown.changed().await.is_ok() {}
    }

    /// Tells when there is more.
    pub(crate) fn grown(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }
}

impl Kept {
    fn shrink(&mut self, bytes: usize) {
        while self.log_bytes > bytes {
            let Some(gone) = self.logs.pop_front() else {
                return;
            };
            self.log_bytes -= weight(&gone.entry, &gone.line);
        }
    }
}

fn weight(entry: &Entry, line: &str) -> usize {
    entry.json.len() + line.len() + size_of::<LogLine>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(page: &Page) -> Vec<u64> {
        page.entries.iter().map(|entry| entry.number).collect()
    }

    #[test]
    fn readers_go_on_where_they_were() {
        let feed = Feed::default();
        let job: Arc<str> = "x".into();
        feed.push("1".into());
        feed.push_log(&job, "two".into(), "2".into());
        feed.push("3".into());
        assert_eq!(numbers(&feed.after(0)), [1, 2, 3]);
        assert_eq!(numbers(&feed.after(2)), [3]);
        assert!(!feed.after(3).is_last);
        feed.end("4".into());
        feed.push("5".into());
        let page = feed.after(1);
        assert_eq!((numbers(&page), page.is_last), (vec![2, 3, 4], true));
        assert_eq!(feed.log("x"), "two\n");
        assert_eq!(feed.log("y"), "");
        // A number from another life of the server is no reason to wait for ever.
        assert!(feed.after(u64::MAX).is_last);
    }

    #[test]
    fn an_endless_log_does_not_push_events_out() {
        let feed = Feed::default();
        let job: Arc<str> = "x".into();
        feed.push("begin".into());
        for _ in 0..100_000 {
            feed.push_log(&job, "l".repeat(100), "j".repeat(120).into());
        }
        assert!(feed.kept().log_bytes <= LOGS_RUNNING);
        let page = feed.after(0);
        assert_eq!(page.entries.len(), AT_ONCE);
        assert_eq!(numbers(&page).first(), Some(&1));
        assert!(numbers(&page).get(1).is_some_and(|second| *second > 2));
        feed.end("end".into());
        assert!(feed.kept().log_bytes <= LOGS_ENDED);
    }
}
