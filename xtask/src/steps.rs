//! Steps with a name, their output shown, their time kept.

use std::process::Command;
use std::time::Instant;

use wheelfarm_tests::anyhow::{Context, Result, bail};
use wheelfarm_tests::environment::repository;
use wheelfarm_tests::process::words;

/// What was done and how long it took.
#[derive(Debug, Default)]
pub(crate) struct Steps(Vec<(String, Outcome)>);

#[derive(Debug)]
enum Outcome {
    Done(f64),
    Skipped(String),
}

impl Steps {
    /// Announces a step, does `work`, and notes the time.
    pub(crate) fn step<T>(&mut self, name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let value = work().with_context(|| name.to_owned())?;
        self.0.push((
            name.to_owned(),
            Outcome::Done(start.elapsed().as_secs_f64()),
        ));
        Ok(value)
    }

    /// Notes a step that is left out.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        eprintln!("\n== {name}: skipped, {reason}");
        self.0
            .push((name.to_owned(), Outcome::Skipped(reason.to_owned())));
    }

    /// Prints all of them.
    pub(crate) fn print(&self) {
        println!("\n{:>9}  step", "seconds");
        let mut total = 0.0;
        for (name, outcome) in &self.0 {
            match outcome {
                Outcome::Done(seconds) => {
                    total += seconds;
                    println!("{seconds:9.1}  {name}");
                }
                Outcome::Skipped(reason) => println!("{:>9}  {name}: {reason}", "skipped"),
            }
        }
        println!("{total:9.1}  in all");
    }
}

/// Cargo, in the repository.
pub(crate) fn cargo(arguments: &str) -> Command {
    let mut command = Command::new(option_env!("CARGO").unwrap_or("cargo"));
    command
        .args(arguments.split_whitespace())
        .current_dir(repository());
    command
}

/// Runs `command` with its output shown.
pub(crate) fn show(command: &mut Command) -> Result<()> {
    let text = words(command);
    eprintln!("$ {text}");
    let status = command
        .status()
        .with_context(|| format!("`{text}` could not be started"))?;
    if !status.success() {
        bail!("`{text}` failed ({status})");
    }
    Ok(())
}
