//! Progress: a line per running job on a terminal, a line per step elsewhere; events for programs.

mod board;
mod screen;
mod stream;
mod work;

use std::collections::HashMap;
use std::io::IsTerminal;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use owo_colors::OwoColorize;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use wheelfarm_build::{Event, Observer, Stage};

pub(crate) use self::screen::Screen;

use self::board::Board;
use self::stream::EventStream;
pub(crate) use self::work::Work;
use crate::environment::variable;
use crate::exit::Failure;
use crate::printer::Printer;
use crate::units::{harmless, time};

/// How often the terminal is drawn again.
const FRAME: Duration = Duration::from_millis(100);
/// Where there is no terminal, a line says what runs after so long a silence: CI systems end jobs that say nothing.
const SILENCE: Duration = Duration::from_secs(60);

/// Whether lines are drawn again and again in the same place.
pub(crate) fn draws(printer: Printer) -> bool {
    std::io::stderr().is_terminal()
        && !printer.is_quiet()
        && variable("CI").is_none()
        && variable("TERM").is_none_or(|term| term != "dumb")
}

/// Follows events.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<State>>);

struct State {
    printer: Printer,
    start: Instant,
    board: Board,
    /// On a terminal.
    screen: Option<Screen>,
    stream: Option<EventStream>,
    last_line: Duration,
    steps: Vec<Step>,
    /// Seconds by job.
    took: HashMap<String, f64>,
    /// Dropped, it ends the thread that draws.
    drawing: Option<Sender<()>>,
}

/// Serde takes a reference in a structure for a part of its input; this it does not see through.
type StageWord = &'static str;

/// How long a job took for a stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Step {
    pub(crate) job: String,
    #[serde(deserialize_with = "stage")]
    pub(crate) stage: StageWord,
    pub(crate) seconds: f64,
}

fn stage<'de, D: Deserializer<'de>>(from: D) -> Result<&'static str, D::Error> {
    let word = String::deserialize(from)?;
    let mut known = Stage::ALL.into_iter().map(Stage::as_str);
    known
        .find(|known| *known == word)
        .ok_or_else(|| D::Error::custom(format!("`{word}` is no stage")))
}

impl Step {
    /// What `event` says took time, if it does.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        match event {
            Event::Took {
                job,
                stage,
                seconds,
            } => Some(Self {
                job: job.clone(),
                stage: stage.as_str(),
                seconds: *seconds,
            }),
            _ => None,
        }
    }
}

impl Progress {
    pub(crate) fn new(printer: Printer) -> Self {
        Self::with_stream(printer, None)
    }

    /// Progress whose events go to the file at `events` as well, if there is to be one; `-` is stdout.
    pub(crate) fn with_events(printer: Printer, events: Option<&Path>) -> Result<Self, Failure> {
        let stream = events.map(EventStream::open).transpose()?;
        Ok(Self::with_stream(printer, stream))
    }

    fn with_stream(printer: Printer, stream: Option<EventStream>) -> Self {
        let (sender, receiver) = channel();
        let progress = Self(Arc::new(Mutex::new(State {
            printer,
            start: Instant::now(),
            board: Board::default(),
            screen: draws(printer).then(Screen::default),
            stream,
            last_line: Duration::ZERO,
            steps: Vec::new(),
            took: HashMap::new(),
            drawing: Some(sender),
        })));
        let drawn = progress.clone();
        std::thread::spawn(move || {
            while receiver.recv_timeout(FRAME) == Err(RecvTimeoutError::Timeout) {
                drawn.state().tick();
            }
        });
        progress
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What jobs send their events to.
    pub(crate) fn observer(&self) -> Observer {
        let progress = self.clone();
        Arc::new(move |event| progress.state().on(event))
    }

    /// Takes the lines of running jobs away, for good.
    pub(crate) fn finish(&self) {
        let mut state = self.state();
        state.drawing = None;
        if let Some(mut screen) = state.screen.take() {
            screen.clear();
        }
    }

    /// Ends the stream of events with the report.
    pub(crate) fn report(&self, report: &Value) {
        let mut state = self.state();
        let seconds = state.start.elapsed().as_secs_f64();
        if let Some(mut stream) = state.stream.take() {
            stream.report(seconds, report);
        }
    }

    /// What took time so far.
    pub(crate) fn steps(&self) -> Vec<Step> {
        self.state().steps.clone()
    }

    /// Seconds since the beginning.
    pub(crate) fn seconds(&self) -> f64 {
        self.state().start.elapsed().as_secs_f64()
    }
}

impl State {
    fn on(&mut self, event: Event) {
        let at = self.start.elapsed();
        if let Some(stream) = &mut self.stream {
            stream.event(at.as_secs_f64(), &event);
        }
        self.steps.extend(Step::of(&event));
        self.board.on(&event, at);
        let on_terminal = self.screen.is_some();
        match event {
            Event::Planned { .. } => {}
            Event::Stage { job, stage } => {
                if !on_terminal {
                    self.line(&format!("{job}: {}", stage.as_str()));
                }
            }
            Event::Log { job, line } => {
                if self.printer.is_verbose() {
                    let line = harmless(&line);
                    self.line(&format!("{job} {} {line}", "|".dimmed()));
                }
            }
            Event::Place { job, place } => {
                if self.printer.is_verbose() {
                    let place = harmless(&place.to_string());
                    self.line(&format!("{job} {} [{place}]", "|".dimmed()));
                }
            }
            Event::Took { job, seconds, .. } => {
                *self.took.entry(job).or_default() += seconds;
            }
            Event::Retried {
                job,
                stage,
                reason,
                after,
            } => {
                let (stage, after) = (stage.as_str(), time(after));
                self.line(&format!("{job}: {stage} again in {after}: {reason}"));
            }
            Event::Ended { job, ok, summary } => {
                let took = self.took.get(&job).copied().unwrap_or(0.0);
                if !ok {
                    self.line(&format!("{job}: {}", "failed".red()));
                } else if took > 0.0 {
                    let took = time(took);
                    self.line(&format!("{job}: {} in {took}: {summary}", "done".green()));
                } else if !on_terminal {
                    // A terminal has the count; a hundred lines about nothing would hide what matters.
                    self.line(&format!("{job}: {}: {summary}", "done".green()));
                }
            }
        }
    }

    /// Draws, or breaks a long silence.
    fn tick(&mut self) {
        let at = self.start.elapsed();
        if let Some(screen) = &mut self.screen {
            let (columns, height) = Screen::size();
            let lines = self.board.lines(at, columns, height);
            screen.draw(&lines);
        } else if self.drawing.is_some() && at.saturating_sub(self.last_line) > SILENCE {
            match self.board.heartbeat(at) {
                Some(text) => self.line(&text),
                None => self.last_line = at,
            }
        }
    }

    fn line(&mut self, text: &str) {
        let at = self.start.elapsed();
        self.last_line = at;
        let text = format!(
            "{} {text}",
            format!("[{:7.1} s]", at.as_secs_f64()).dimmed()
        );
        if let Some(screen) = &mut self.screen {
            screen.clear();
        }
        self.printer.note(text);
    }
}
