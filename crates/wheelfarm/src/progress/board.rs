//! What runs, as lines of text: the state behind the lines of a terminal. Knows no terminal and no clock.
//!
//! A running job has a row of its own and keeps it until it ends; rows of jobs that ended stay empty until others
//! take them. So no line changes its place while one looks at it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use wheelfarm_build::{Event, Stage};

use crate::units::{harmless, padded, shortened, time, width};

/// Most rows for jobs, however tall the terminal is.
const ROWS: usize = 16;
/// A row is kept for so long for a job between two stages.
const KEPT: Duration = Duration::from_secs(1);
/// Longest part of a log's line that is kept.
const LINE: usize = 300;

/// All jobs so far, and who has which row.
#[derive(Debug, Default)]
pub(crate) struct Board {
    jobs: BTreeMap<String, Job>,
    rows: Vec<Option<String>>,
    /// Rows whose owner does nothing now, or that have none.
    idle: BTreeSet<usize>,
    /// Of the names in rows, so far: rows must not move sideways either.
    name_width: usize,
    counts: Counts,
}

/// How many jobs there are of each kind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counts {
    done: usize,
    running: usize,
    waiting: usize,
    failed: usize,
}

#[derive(Debug, Default)]
struct Job {
    /// Was announced: images and resolutions are not.
    planned: bool,
    stage: Option<(Stage, Duration)>,
    row: Option<usize>,
    /// When the last stage ended.
    idle_since: Duration,
    last_line: String,
}

impl Board {
    /// Takes note of what happened `at` a time since the beginning.
    pub(crate) fn on(&mut self, event: &Event, at: Duration) {
        match event {
            Event::Planned { job } => {
                let known = self.jobs.entry(job.clone()).or_default();
                if !known.planned {
                    known.planned = true;
                    self.counts.waiting += 1;
                }
            }
            Event::Stage { job, stage } => self.begin(job, *stage, at),
            Event::Log { job, line } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.last_line = harmless(line).chars().take(LINE).collect();
                }
            }
            Event::Place { job, place } => {
                if let Some(job) = self.jobs.get_mut(job) {
                    job.last_line = harmless(&place.to_string()).chars().take(LINE).collect();
                }
            }
            Event::Retried { .. } => {}
            Event::Took { job, .. } => self.pause(job, at),
            Event::Ended { job, ok, .. } => {
                self.pause(job, at);
                let planned = self.jobs.remove(job).is_some_and(|job| job.planned);
                if planned {
                    self.counts.waiting = self.counts.waiting.saturating_sub(1);
                }
                match ok {
                    true if planned => self.counts.done += 1,
                    true => {}
                    false => self.counts.failed += 1,
                }
            }
        }
    }

    fn begin(&mut self, name: &str, stage: Stage, at: Duration) {
        let job = self.jobs.entry(name.to_owned()).or_default();
        if job.stage.is_none() {
            self.counts.running += 1;
            if job.planned {
                self.counts.waiting = self.counts.waiting.saturating_sub(1);
            }
        }
        job.stage = Some((stage, at));
        job.last_line.clear();
        self.name_width = self.name_width.max(width(name));
        if let Some(row) = job.row {
            self.idle.remove(&row);
            return;
        }
        let free = self.idle.iter().copied().find(|row| self.is_free(*row, at));
        let place = free.unwrap_or(self.rows.len());
        self.give(place, Some(name.to_owned()));
    }

    /// Makes `owner` the owner of row `place`; who had it has none.
    fn give(&mut self, place: usize, owner: Option<String>) {
        if self.rows.len() <= place {
            self.rows.resize(place + 1, None);
        }
        let is_idle = match owner.as_ref().and_then(|name| self.jobs.get_mut(name)) {
            Some(job) => {
                job.row = Some(place);
                job.stage.is_none()
            }
            None => true,
        };
        if is_idle {
            self.idle.insert(place);
        } else {
            self.idle.remove(&place);
        }
        let before = self
            .rows
            .get_mut(place)
            .and_then(|row| std::mem::replace(row, owner));
        if let Some(job) = before.and_then(|name| self.jobs.get_mut(&name))
            && job.row == Some(place)
        {
            job.row = None;
        }
    }

    fn pause(&mut self, name: &str, at: Duration) {
        let Some(job) = self.jobs.get_mut(name) else {
            return;
        };
        if job.stage.take().is_some() {
            job.idle_since = at;
            self.idle.extend(job.row);
            self.counts.running = self.counts.running.saturating_sub(1);
            if job.planned {
                self.counts.waiting += 1;
            }
        }
    }

    /// Whether a row may go to somebody else.
    fn is_free(&self, row: usize, at: Duration) -> bool {
        let owner = self.rows.get(row).and_then(Option::as_ref);
        let Some(job) = owner.and_then(|name| self.jobs.get(name)) else {
            return true;
        };
        job.stage.is_none() && at.saturating_sub(job.idle_since) > KEPT
    }

    /// The counts, and a row for each running job: at most `height` lines of at most `columns` columns.
    pub(crate) fn lines(&mut self, at: Duration, columns: usize, height: usize) -> Vec<String> {
        let most = height.saturating_sub(2).clamp(1, ROWS);
        self.fill_gaps(most, at);
        let mut lines = vec![shortened(&self.summary(at), columns)];
        let row = |owner: &Option<String>| {
            let name = owner.as_deref()?;
            let (stage, since) = self.jobs.get(name)?.stage?;
            Some(self.row(name, stage, at.saturating_sub(since), columns))
        };
        let mut rows: Vec<_> = self.rows.iter().map(row).collect();
        let hidden = rows.iter().skip(most).flatten().count();
        rows.truncate(most);
        if hidden > 0 {
            // One row gives way to the number of those that have none.
            let last = rows.pop().flatten();
            let hidden = hidden + usize::from(last.is_some());
            rows.push(Some(shortened(&format!("  and {hidden} more"), columns)));
        }
        while rows.last().is_some_and(Option::is_none) {
            rows.pop();
        }
        lines.extend(rows.into_iter().map(Option::unwrap_or_default));
        lines
    }

    /// Gives empty rows that are shown to running jobs that have one below.
    fn fill_gaps(&mut self, most: usize, at: Duration) {
        let shown = self.idle.range(..most).copied();
        let gaps: Vec<_> = shown.filter(|row| self.is_free(*row, at)).collect();
        if gaps.is_empty() {
            return;
        }
        let hidden = most..self.rows.len();
        let running: Vec<_> = hidden
            .filter(|row| !self.idle.contains(row))
            .take(gaps.len())
            .collect();
        for (gap, hidden) in gaps.into_iter().zip(running) {
            let owner = self.rows.get(hidden).cloned().flatten();
            self.give(gap, owner);
            self.give(hidden, None);
        }
        while self.rows.last().is_some_and(Option::is_none) {
            self.rows.pop();
        }
        let length = self.rows.len();
        self.idle.retain(|row| *row < length);
    }

    fn row(&self, name: &str, stage: Stage, elapsed: Duration, columns: usize) -> String {
        let names = self.name_width.min(columns / 2);
        let start = format!(
            "  {:<11} {:>9}  {}",
            stage.as_str(),
            time(elapsed.as_secs_f64().floor()),
            padded(&shortened(name, names), names)
        );
        let log = self.jobs.get(name).map_or("", |job| &job.last_line);
        shortened(format!("{start}  {log}").trim_end(), columns)
    }

    fn summary(&self, at: Duration) -> String {
        let Counts {
            done,
            running,
            waiting,
            failed,
        } = self.counts;
        let failed = match failed {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        format!(
            "{}: {done} done, {running} running, {waiting} waiting{failed}",
            time(at.as_secs_f64().floor())
        )
    }

    /// One line about all that runs, for logs where nothing has been said for long.
    pub(crate) fn heartbeat(&self, at: Duration) -> Option<String> {
        let running: Vec<_> = self
            .jobs
            .iter()
            .filter_map(|(name, job)| {
                let (stage, since) = job.stage?;
                let elapsed = at.saturating_sub(since).as_secs_f64();
                Some(format!("{name} ({} {})", stage.as_str(), time(elapsed)))
            })
            .collect();
        let shown = running
            .iter()
            .take(4)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        let more = match running.len() {
            0 => return None,
            1..=4 => String::new(),
            n => format!(" and {} more", n - 4),
        };
        Some(format!("{}; {shown}{more}", self.summary(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn planned(board: &mut Board, jobs: &[&str]) {
        for job in jobs {
            board.on(
                &Event::Planned {
                    job: (*job).to_owned(),
                },
                at(0),
            );
        }
    }

    fn stage(board: &mut Board, job: &str, stage: Stage, seconds: u64) {
        let job = job.to_owned();
        board.on(&Event::Stage { job, stage }, at(seconds));
    }

    fn took(board: &mut Board, job: &str, stage: Stage, seconds: u64) {
        let job = job.to_owned();
        board.on(
            &Event::Took {
                job,
                stage,
                seconds: 1.0,
            },
            at(seconds),
        );
    }

    fn ended(board: &mut Board, job: &str, ok: bool, seconds: u64) {
        let (job, summary) = (job.to_owned(), String::new());
        board.on(&Event::Ended { job, ok, summary }, at(seconds));
    }

    #[test]
    fn jobs_keep_their_rows_and_gaps_are_filled_by_new_ones() {
        let mut board = Board::default();
        planned(&mut board, &["a 1", "b 1", "c 1", "d 1"]);
        for job in ["a 1", "b 1", "c 1"] {
            stage(&mut board, job, Stage::Build, 0);
        }
        let log = Event::Log {
            job: "b 1".to_owned(),
            line: "cc\u{1b} x.c\r".to_owned(),
        };
        board.on(&log, at(5));
        assert_eq!(
            board.lines(at(12), 80, 24),
            [
                "12 s: 0 done, 3 running, 1 waiting",
                "  build            12 s  a 1",
                "  build            12 s  b 1  cc x.c",
                "  build            12 s  c 1",
            ]
        );
        ended(&mut board, "a 1", true, 20);
        // Between stages a job keeps its row.
        took(&mut board, "b 1", Stage::Build, 20);
        stage(&mut board, "b 1", Stage::Repair, 20);
        assert_eq!(
            board.lines(at(21), 80, 24),
            [
                "21 s: 1 done, 2 running, 1 waiting",
                "",
                "  repair          1.0 s  b 1",
                "  build            21 s  c 1",
            ]
        );
        stage(&mut board, "d 1", Stage::Fetch, 22);
        ended(&mut board, "c 1", false, 23);
        assert_eq!(
            board.lines(at(23), 80, 24),
            [
                "23 s: 1 done, 2 running, 0 waiting, 1 failed",
                "  fetch           1.0 s  d 1",
                "  repair          3.0 s  b 1",
            ]
        );
    }

    #[test]
    fn lines_are_bounded_in_number_and_width() {
        let mut board = Board::default();
        let jobs: Vec<_> = (0..40)
            .map(|n| format!("{n:02}-{}", "long-name".repeat(20)))
            .collect();
        for job in &jobs {
            stage(&mut board, job, Stage::Build, 0);
        }
        for (columns, height) in [(80, 24), (40, 6), (10, 3), (1, 1)] {
            let lines = board.lines(at(1), columns, height);
            assert!(lines.len() <= height.max(2), "{lines:#?}");
            assert!(
                lines.iter().all(|line| width(line) <= columns),
                "{lines:#?}"
            );
        }
        let lines = board.lines(at(1), 80, 6);
        assert_eq!(lines.last().map(String::as_str), Some("  and 37 more"));
        // Those without a row get one when there is room.
        for job in jobs.iter().take(37) {
            ended(&mut board, job, true, 2);
        }
        let lines = board.lines(at(4), 80, 6);
        assert_eq!(lines.len(), 4, "{lines:#?}");
    }

    #[test]
    fn a_thousand_jobs_each_have_one_row_at_most() {
        let mut board = Board::default();
        let jobs: Vec<_> = (0..1000).map(|n| format!("job-{n}")).collect();
        for second in 0..30 {
            for (n, job) in jobs.iter().enumerate() {
                match (n as u64 + second) % 5 {
                    0 => stage(&mut board, job, Stage::Fetch, second),
                    1 => took(&mut board, job, Stage::Fetch, second),
                    2 => stage(&mut board, job, Stage::Build, second),
                    3 if n % 7 == 0 => ended(&mut board, job, n % 2 == 0, second),
                    _ => {}
                }
            }
            board.lines(at(second), 80, 24);
            let mut owners: Vec<_> = board.rows.iter().flatten().collect();
            let all = owners.len();
            owners.sort();
            owners.dedup();
            assert_eq!(owners.len(), all);
            let running = board.jobs.iter().filter(|(_, job)| job.stage.is_some());
            for (name, job) in running {
                let row = job.row.and_then(|row| board.rows.get(row)).cloned();
                assert_eq!(row.flatten().as_ref(), Some(name));
            }
        }
    }

    #[test]
    fn what_was_not_announced_is_counted_while_it_runs_and_when_it_fails() {
        let mut board = Board::default();
        stage(&mut board, "cp311-linux", Stage::Resolve, 0);
        assert_eq!(board.counts.running, 1);
        took(&mut board, "cp311-linux", Stage::Resolve, 1);
        ended(&mut board, "image x", false, 1);
        let counts = Counts {
            failed: 1,
            ..Counts::default()
        };
        assert_eq!(board.counts, counts);
        assert_eq!(board.heartbeat(at(1)), None);
    }
}
