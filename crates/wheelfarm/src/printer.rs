//! What goes to the terminal: results to stdout, everything else to stderr.

use std::io::Write;

use owo_colors::OwoColorize;

use crate::exit::Failure;

/// Prints; colours are taken away where the stream is no terminal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Printer {
    quiet: bool,
    verbose: bool,
}

impl Printer {
    pub(crate) fn new(quiet: bool, verbose: bool) -> Self {
        Self { quiet, verbose }
    }

    pub(crate) fn is_quiet(self) -> bool {
        self.quiet
    }

    pub(crate) fn is_verbose(self) -> bool {
        self.verbose
    }

    #[allow(clippy::unused_self, reason = "all output goes through the printer")]
    /// A line of the result. A reader that has gone away is no error of ours.
    pub(crate) fn result(self, line: impl std::fmt::Display) {
        let _gone = writeln!(anstream::stdout(), "{line}");
    }

    /// A line for people.
    pub(crate) fn note(self, line: impl std::fmt::Display) {
        if !self.quiet {
            self.always(line);
        }
    }

    /// A line for people who want to know everything.
    pub(crate) fn detail(self, line: impl std::fmt::Display) {
        if self.verbose {
            self.note(line);
        }
    }

    #[allow(clippy::unused_self, reason = "all output goes through the printer")]
    /// A line that is shown even with `--quiet`.
    pub(crate) fn always(self, line: impl std::fmt::Display) {
        let _gone = writeln!(anstream::stderr(), "{line}");
    }

    /// An error with its hint.
    pub(crate) fn error(self, message: &str, hint: Option<&str>) {
        self.always(format_args!("{} {message}", "error:".red().bold()));
        if let Some(hint) = hint {
            self.always(format_args!("{} {hint}", "hint:".cyan().bold()));
        }
    }

    pub(crate) fn failure(self, failure: &Failure) {
        self.error(&failure.message, failure.hint.as_deref());
    }
}
