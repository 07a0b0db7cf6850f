//! Events as JSON lines, for programs that follow a run.

use std::io::Write;
use std::path::Path;

use serde::Serialize;
use serde_json::{Value, json};
use wheelfarm_build::Event;

use crate::exit::Failure;

/// Rises when a member changes its meaning.
const VERSION: u32 = 1;

/// Where events go, one JSON object a line.
pub(crate) struct EventStream(Box<dyn Write + Send>);

#[derive(Serialize)]
struct Line<'a> {
    /// Since the beginning.
    seconds: f64,
    #[serde(flatten)]
    event: &'a Event,
}

impl EventStream {
    /// Begins a stream into the file at `path`; `-` is stdout.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let writer: Box<dyn Write + Send> = if path == Path::new("-") {
            Box::new(std::io::stdout())
        } else {
            let file = fs_err::File::create(path).map_err(|error| {
                Failure::machine(format!("the events could not be written: {error}"))
            })?;
            Box::new(file)
        };
        let mut stream = Self(writer);
        stream.line(&json!({ "seconds": 0.0, "event": "begin", "version": VERSION }));
        Ok(stream)
    }

    pub(crate) fn event(&mut self, seconds: f64, event: &Event) {
        self.line(&Line { seconds, event });
    }

    /// The last line: the whole report.
    pub(crate) fn report(&mut self, seconds: f64, report: &Value) {
        self.line(&json!({ "seconds": seconds, "event": "report", "report": report }));
    }

    /// A reader that has gone away is no reason to stop the work.
    fn line(&mut self, value: &impl Serialize) {
        if let Ok(mut text) = serde_json::to_vec(value) {
            text.push(b'\n');
            let _gone = self.0.write_all(&text).and_then(|()| self.0.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use wheelfarm_build::Stage;

    use super::*;

    #[test]
    fn a_stream_is_json_lines_from_begin_to_report() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events");
        let mut stream = EventStream::open(&path).unwrap();
        let job = "lxml 6.0 cp311-linux".to_owned();
        let line = "two\nlines".to_owned();
        for event in [
            Event::Planned { job: job.clone() },
            Event::Stage {
                job: job.clone(),
                stage: Stage::Build,
            },
            Event::Log {
                job: job.clone(),
                line,
            },
            Event::Took {
                job: job.clone(),
                stage: Stage::Build,
                seconds: 2.5,
            },
            Event::Ended {
                job,
                ok: true,
                summary: "lxml.whl".to_owned(),
            },
        ] {
            stream.event(1.5, &event);
        }
        stream.report(3.0, &json!({ "version": 1 }));
        assert_eq!(
            fs_err::read_to_string(path).unwrap(),
            r#"{"event":"begin","seconds":0.0,"version":1}
{"seconds":1.5,"event":"planned","job":"lxml 6.0 cp311-linux"}
{"seconds":1.5,"event":"stage","job":"lxml 6.0 cp311-linux","stage":"build"}
{"seconds":1.5,"event":"log","job":"lxml 6.0 cp311-linux","line":"two\nlines"}
{"seconds":1.5,"event":"took","job":"lxml 6.0 cp311-linux","stage":"build","took":2.5}
{"seconds":1.5,"event":"ended","job":"lxml 6.0 cp311-linux","ok":true,"summary":"lxml.whl"}
{"event":"report","report":{"version":1},"seconds":3.0}
"#
        );
    }
}
