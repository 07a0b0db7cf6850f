//! How far long work on a store is: a line with a bar on a terminal; elsewhere a line for each part of the work, and one
//! after a long silence.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use owo_colors::OwoColorize;
use wheelfarm_store::{Amount, Part, Progress, Watch};

use super::screen::Screen;
use super::{FRAME, SILENCE, draws};
use crate::printer::Printer;
use crate::units::{shortened, size, time};

/// Columns of the bar.
const BAR: usize = 24;

/// Shows the work, until it is dropped.
pub(crate) struct Work {
    state: Arc<Mutex<State>>,
    /// Dropped, it ends the thread that draws.
    drawing: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    printer: Printer,
    start: Instant,
    tally: Tally,
    screen: Option<Screen>,
    last_line: Duration,
}

/// What is known of the part that is done now.
#[derive(Debug, Default, Clone, Copy)]
struct Tally {
    part: Option<Part>,
    done: Amount,
    of: Option<Amount>,
    /// Bytes of an archive that is read: how much there is of it is not known otherwise.
    archive: Option<u64>,
}

impl Work {
    /// Begins to show. `archive` is the size in bytes of the file that is taken in, if there is one.
    pub(crate) fn new(printer: Printer, archive: Option<u64>) -> Self {
        let state = Arc::new(Mutex::new(State {
            printer,
            start: Instant::now(),
            tally: Tally {
                archive,
                ..Tally::default()
            },
            screen: draws(printer).then(Screen::default),
            last_line: Duration::ZERO,
        }));
        let (sender, receiver) = channel();
        let drawn = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            while receiver.recv_timeout(FRAME) == Err(RecvTimeoutError::Timeout) {
                lock(&drawn).tick();
            }
        });
        Self {
            state,
            drawing: Some(sender),
            thread: Some(thread),
        }
    }

    /// What the store tells.
    pub(crate) fn watch(&self) -> Watch {
        let state = Arc::clone(&self.state);
        Arc::new(move |progress| lock(&state).on(progress))
    }
}

impl Drop for Work {
    /// Takes the line away.
    fn drop(&mut self) {
        self.drawing = None;
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
        if let Some(screen) = &mut lock(&self.state).screen {
            screen.clear();
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn on(&mut self, progress: Progress) {
        if !self.tally.on(progress) {
            return;
        }
        if self.screen.is_none() {
            self.line(&self.tally.begun());
        } else {
            // Also what is over before the next frame was seen.
            self.tick();
        }
    }

    /// Draws, or breaks a long silence.
    fn tick(&mut self) {
        let at = self.start.elapsed();
        if let Some(screen) = &mut self.screen {
            let (columns, _) = Screen::size();
            let line = self.tally.line(at);
            screen.draw(&[shortened(&line, columns)]);
        } else if at.saturating_sub(self.last_line) > SILENCE {
            self.line(&self.tally.said());
        }
    }

    fn line(&mut self, text: &str) {
        let at = self.start.elapsed();
        self.last_line = at;
        let seconds = format!("[{:7.1} s]", at.as_secs_f64());
        self.printer
            .note(format_args!("{} {text}", seconds.dimmed()));
    }
}

impl Tally {
    /// Takes note of progress; whether something begins that is worth a line of its own.
    fn on(&mut self, progress: Progress) -> bool {
        match progress {
            Progress::Begun(part, of) => {
                *self = Self {
                    part: Some(part),
                    of,
                    archive: self.archive,
                    done: Amount::default(),
                };
                return part != Part::List && of.is_none_or(|of| of.objects > 0);
            }
            Progress::Bytes(bytes) => self.done.bytes += bytes,
            Progress::Object => self.done.objects += 1,
        }
        false
    }

    /// `12 s: reading blobs [=====>      ] 12 of 40, 1.0 MiB of 2.0 MiB`.
    fn line(&self, at: Duration) -> String {
        let at = time(at.as_secs_f64().floor());
        let bar = self.bar().map(|bar| format!(" [{bar}]"));
        let part = self.part.map_or("beginning", Part::as_str);
        let numbers = self.numbers();
        format!("{at}: {part}{}{numbers}", bar.unwrap_or_default())
    }

    /// `reading blobs: 40, 2.0 MiB`.
    fn begun(&self) -> String {
        let part = self.part.map_or("beginning", Part::as_str);
        match (self.of, self.archive) {
            (Some(of), _) => format!("{part}: {}, {}", of.objects, size(of.bytes)),
            (None, Some(archive)) if self.part == Some(Part::Take) => {
                format!("{part}: {}", size(archive))
            }
            (None, _) => part.to_owned(),
        }
    }

    /// `reading blobs: 12 of 40, 1.0 MiB of 2.0 MiB`.
    fn said(&self) -> String {
        let part = self.part.map_or("beginning", Part::as_str);
        match self.numbers() {
            numbers if numbers.is_empty() => part.to_owned(),
            numbers => format!("{part}:{numbers}"),
        }
    }

    fn numbers(&self) -> String {
        let Amount { objects, bytes } = self.done;
        match (self.of, self.archive) {
            (Some(of), _) => format!(
                " {objects} of {}, {} of {}",
                of.objects,
                size(bytes),
                size(of.bytes)
            ),
            (None, Some(archive)) if self.part == Some(Part::Take) => {
                format!(" {objects} objects, {} of {}", size(bytes), size(archive))
            }
            (None, _) if self.done == Amount::default() => String::new(),
            (None, _) => format!(" {objects} objects, {}", size(bytes)),
        }
    }

    fn bar(&self) -> Option<String> {
        let of = match self.of {
            Some(of) => of.bytes,
            None => self.archive.filter(|_| self.part == Some(Part::Take))?,
        };
        let filled = u128::from(self.done.bytes.min(of)) * BAR as u128 / u128::from(of.max(1));
        let filled = usize::try_from(filled).unwrap_or(BAR);
        Some(format!("{:BAR$}", "#".repeat(filled)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_what_is_done_and_how_far_it_is() {
        let mut tally = Tally::default();
        let at = Duration::from_secs(3);
        assert_eq!(tally.line(at), "3.0 s: beginning");
        // Asking what there is comes before every part.
        assert!(!tally.on(Progress::Begun(Part::List, None)));
        assert_eq!(tally.line(at), "3.0 s: listing");
        let of = Amount {
            objects: 4,
            bytes: 2048,
        };
        assert!(tally.on(Progress::Begun(Part::Blobs, Some(of))));
        assert_eq!(tally.begun(), "reading blobs: 4, 2.0 KiB");
        for progress in [Progress::Bytes(1000), Progress::Bytes(24), Progress::Object] {
            assert!(!tally.on(progress));
        }
        assert_eq!(
            tally.line(at),
            "3.0 s: reading blobs [############            ] 1 of 4, 1.0 KiB of 2.0 KiB"
        );
        // More than was listed, since somebody writes meanwhile.
        tally.on(Progress::Bytes(9999));
        assert!(tally.line(at).contains(&"#".repeat(BAR)));
        let none = Progress::Begun(Part::Move, Some(Amount::default()));
        assert!(!tally.on(none), "nothing to do is not worth a line");
    }

    #[test]
    fn an_archive_is_as_large_as_its_file() {
        let mut tally = Tally {
            archive: Some(4096),
            ..Tally::default()
        };
        tally.on(Progress::Begun(Part::Take, None));
        assert_eq!(tally.begun(), "taking in: 4.0 KiB");
        tally.on(Progress::Bytes(1024));
        assert_eq!(tally.said(), "taking in: 0 objects, 1.0 KiB of 4.0 KiB");
        assert_eq!(tally.bar().map(|bar| bar.trim_end().len()), Some(BAR / 4));
    }
}
