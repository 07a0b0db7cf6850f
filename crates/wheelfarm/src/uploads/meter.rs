//! How far an upload is: a line on a terminal, now and then one elsewhere.

use std::time::{Duration, Instant};

use crate::printer::Printer;
use crate::progress::{Screen, draws};
use crate::units::{shortened, size, time};

/// Where there is no terminal, a line says how far a file is after so long: CI systems end jobs that say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// Follows files that are sent, one after the other.
pub(crate) struct Meter {
    printer: Printer,
    /// On a terminal.
    screen: Option<Screen>,
    /// Which file it is, of how many.
    number: usize,
    count: usize,
    name: String,
    total: u64,
    began: Instant,
    spoke: Instant,
}

impl Meter {
    /// One for `count` files.
    pub(crate) fn new(printer: Printer, count: usize) -> Self {
        let now = Instant::now();
        Self {
            printer,
            screen: draws(printer).then(Screen::default),
            number: 0,
            count,
            name: String::new(),
            total: 0,
            began: now,
            spoke: now,
        }
    }

    /// The next file comes.
    pub(crate) fn next(&mut self) {
        self.number += 1;
    }

    /// A body of so many bytes is sent.
    pub(super) fn begin(&mut self, name: &str, total: u64) {
        name.clone_into(&mut self.name);
        self.total = total;
        self.began = Instant::now();
        self.spoke = self.began;
    }

    /// So many bytes of it are on their way.
    pub(super) fn tick(&mut self, bytes: u64) {
        if let Some(screen) = &mut self.screen {
            let (columns, _) = Screen::size();
            let line = line(&self.name, bytes, self.total, self.began.elapsed());
            let line = format!("[{}/{}] {line}", self.number, self.count);
            screen.draw(&[shortened(&line, columns)]);
        } else if self.spoke.elapsed() > SILENCE {
            self.spoke = Instant::now();
            let line = line(&self.name, bytes, self.total, self.began.elapsed());
            self.printer.note(line);
        }
    }

    /// It was sent, or failed.
    pub(super) fn end(&mut self) {
        if let Some(screen) = &mut self.screen {
            screen.clear();
        }
    }

    /// Says why a file is sent again, and waits.
    pub(super) async fn pause(&mut self, name: &str, why: &str, pause: Duration) {
        self.end();
        let pause_shown = time(pause.as_secs_f64());
        self.printer
            .note(format_args!("{name}: again in {pause_shown}: {why}"));
        tokio::time::sleep(pause).await;
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.end();
    }
}

fn line(name: &str, bytes: u64, total: u64, took: Duration) -> String {
    if bytes >= total {
        return format!("{name}: sent, the index looks at it");
    }
    let percent = bytes * 100 / total.max(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "shown with one digit after the point"
    )]
    let speed = (bytes as f64 / took.as_secs_f64().max(0.001)) as u64;
    format!("{name}: {percent} % of {}, {}/s", size(total), size(speed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is() {
        let line = |bytes| line("x.whl", bytes, 4 << 20, Duration::from_secs(2));
        assert_eq!(line(1 << 20), "x.whl: 25 % of 4.0 MiB, 512.0 KiB/s");
        assert_eq!(line(4 << 20), "x.whl: sent, the index looks at it");
    }
}
