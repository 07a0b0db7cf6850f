//! Progress: a line per running job on a terminal, a line per step elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use owo_colors::OwoColorize;
use serde::Serialize;
use wheelfarm_build::{Event, Observer};

use crate::printer::Printer;

/// Follows events.
#[derive(Clone)]
pub(crate) struct Progress(Arc<Mutex<State>>);

struct State {
    printer: Printer,
    start: Instant,
    bars: Option<MultiProgress>,
    running: BTreeMap<String, ProgressBar>,
    steps: Vec<Step>,
}

/// How long a job took for a stage.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Step {
    pub(crate) job: String,
    pub(crate) stage: &'static str,
    pub(crate) seconds: f64,
}

impl Progress {
    pub(crate) fn new(printer: Printer) -> Self {
        let on_terminal = std::io::stderr().is_terminal() && !printer.is_quiet();
        Self(Arc::new(Mutex::new(State {
            printer,
            start: Instant::now(),
            bars: on_terminal.then(MultiProgress::new),
            running: BTreeMap::new(),
            steps: Vec::new(),
        })))
    }

    /// What jobs send their events to.
    pub(crate) fn observer(&self) -> Observer {
        let state = Arc::clone(&self.0);
        Arc::new(move |event| {
            state
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .on(event);
        })
    }

    /// Takes the lines of running jobs away.
    pub(crate) fn finish(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for bar in std::mem::take(&mut state.running).into_values() {
            bar.finish_and_clear();
        }
    }

    /// What took time so far.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.steps.clone()
    }

    /// Seconds since the beginning.
    pub(crate) fn seconds(&self) -> f64 {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.start.elapsed().as_secs_f64()
    }
}

impl State {
    fn on(&mut self, event: Event) {
        match event {
            Event::Stage { job, stage } => match &self.bars {
                Some(_) => self.bar(&job).set_message(stage.as_str()),
                None => self.line(&format!("{job}: {}", stage.as_str())),
            },
            // On a terminal the last line shows that something moves; elsewhere the log is in the store.
            Event::Log { job, line } => {
                if self.bars.is_some() {
                    let line: String = line.chars().filter(|c| !c.is_control()).take(100).collect();
                    self.bar(&job).set_message(line);
                }
            }
            Event::Took {
                job,
                stage,
                seconds,
            } => {
                // The next stage, if there is one, makes a line of its own: its time counts from there.
                self.clear(&job);
                if self.bars.is_some() {
                    self.line(&format!(
                        "{job}: {} {}",
                        stage.as_str(),
                        format!("{seconds:.1} s").dimmed()
                    ));
                }
                self.steps.push(Step {
                    job,
                    stage: stage.as_str(),
                    seconds,
                });
            }
            Event::Ended { job, ok, summary } => {
                self.clear(&job);
                if ok {
                    self.line(&format!("{job}: {} {summary}", "done".green()));
                } else {
                    self.line(&format!("{job}: {}", "failed".red()));
                }
            }
        }
    }

    fn clear(&mut self, job: &str) {
        if let Some(bar) = self.running.remove(job) {
            bar.finish_and_clear();
        }
    }

    fn bar(&mut self, job: &str) -> &ProgressBar {
        let bars = self.bars.get_or_insert_default();
        self.running.entry(job.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner());
            if let Ok(style) =
                ProgressStyle::with_template("{spinner} {prefix}  {elapsed}  {wide_msg}")
            {
                bar.set_style(style);
            }
            bar.set_prefix(job.to_owned());
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        })
    }

    fn line(&self, text: &str) {
        let text = format!(
            "{} {text}",
            format!("[{:7.1} s]", self.start.elapsed().as_secs_f64()).dimmed()
        );
        match &self.bars {
            Some(bars) => bars.suspend(|| self.printer.note(text)),
            None => self.printer.note(text),
        }
    }
}
