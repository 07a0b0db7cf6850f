//! A log that is shown line by line while it grows, and kept up to a limit.

use bytes::Bytes;
use wheelfarm_build::action::LogSink;

/// A line longer than this is shown in pieces.
const LONGEST_LINE: usize = 16 * 1024;

/// Receives what an action prints.
pub(crate) struct Log {
    kept: Vec<u8>,
    limit: usize,
    dropped: u64,
    line: Vec<u8>,
    sink: LogSink,
}

impl Log {
    pub(crate) fn new(limit: u64, sink: LogSink) -> Self {
        Self {
            kept: Vec::new(),
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            dropped: 0,
            line: Vec::new(),
            sink,
        }
    }

    /// Adds a chunk, and shows the lines that are complete.
    pub(crate) fn push(&mut self, chunk: &[u8]) {
        let room = self.limit.saturating_sub(self.kept.len());
        let (kept, dropped) = chunk.split_at_checked(room).unwrap_or((chunk, &[]));
        self.kept.extend_from_slice(kept);
        self.dropped += u64::try_from(dropped.len()).unwrap_or(u64::MAX);
        for piece in kept.split_inclusive(|byte| *byte == b'\n') {
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.line.len() >= LONGEST_LINE {
                self.show();
            }
        }
    }

    /// The kept log, with a note when something was dropped.
    pub(crate) fn finish(mut self) -> Bytes {
        if !self.line.is_empty() {
            self.show();
        }
        if self.dropped > 0 {
            let note = format!(
                "[wheelfarm: the log was cut here; {} more bytes were dropped]\n",
                self.dropped
            );
            if !self.kept.ends_with(b"\n") {
                self.kept.push(b'\n');
            }
            self.kept.extend_from_slice(note.as_bytes());
            (self.sink)(note.trim_end());
        }
        self.kept.into()
    }

    fn show(&mut self) {
        let text = String::from_utf8_lossy(&self.line);
        (self.sink)(text.trim_end_matches(['\n', '\r']));
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    fn log(limit: u64, chunks: &[&str]) -> (String, Vec<String>) {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&lines);
        let sink: LogSink = Arc::new(move |line| seen.lock().unwrap().push(line.to_owned()));
        let mut log = Log::new(limit, sink);
        for chunk in chunks {
            log.push(chunk.as_bytes());
        }
        let kept = String::from_utf8(log.finish().to_vec()).unwrap();
        let lines = lines.lock().unwrap().clone();
        (kept, lines)
    }

    #[test]
    fn lines_are_shown_whole() {
        let (kept, lines) = log(100, &["on", "e\r\ntw", "o\nthree"]);
        assert_eq!(kept, "one\r\ntwo\nthree");
        assert_eq!(lines, ["one", "two", "three"]);
    }

    #[test]
    fn what_comes_after_the_limit_is_dropped_and_said_so() {
        let (kept, lines) = log(6, &["one\ntwo\n", "three\n"]);
        let note = "[wheelfarm: the log was cut here; 8 more bytes were dropped]";
        assert_eq!(kept, format!("one\ntw\n{note}\n"));
        assert_eq!(lines, ["one", "tw", note]);
    }

    #[test]
    fn an_endless_line_is_shown_in_pieces() {
        let (kept, lines) = log(1 << 20, &[&"x".repeat(20_000), "y"]);
        assert_eq!(kept.len(), 20_001);
        assert_eq!(lines.len(), 2);
    }
}
