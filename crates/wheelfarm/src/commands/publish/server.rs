//! `wheelfarm publish --index`: files are sent to an index server, as twine and uv do it.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wheelfarm_index::registry::Channel;
use wheelfarm_resolve::inputs::IndexOptions;

use super::Tally;
use crate::cli::serve::PublishArgs;
use crate::cli::{Format, GlobalArgs};
use crate::exit::{Exit, Failure};
use crate::index_settings;
use crate::printer::Printer;
use crate::uploads::{Artifact, Index, Meter, Refusal, Taken};

/// Sends the files, one after the other.
pub(super) async fn run(
    global: &GlobalArgs,
    args: &PublishArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let (settings, _) = index_settings::read(&IndexOptions::default());
    let address = args.index.as_deref().unwrap_or_default();
    let channel = args.channel.as_ref();
    let index = Index::new(address, channel, args.token.as_deref(), &settings)?;
    let mut sending = Sending {
        is_json: global.format == Format::Json,
        channel,
        index: &index,
        printer,
        tally: Tally::default(),
        published: 0,
        there: 0,
        refused: Vec::new(),
    };
    let mut meter = Meter::new(printer, args.files.len());
    for (number, path) in args.files.iter().enumerate() {
        meter.next();
        if sending.send(path, &mut meter).await {
            continue;
        }
        let left = args.files.get(number + 1..).unwrap_or_default();
        sending.summary(left);
        return Ok(sending.tally.exit());
    }
    sending.summary(&[]);
    Ok(sending.tally.exit())
}

/// Uploads under way, and what came of them.
struct Sending<'a> {
    is_json: bool,
    channel: Option<&'a Channel>,
    index: &'a Index,
    printer: Printer,
    tally: Tally,
    published: usize,
    there: usize,
    refused: Vec<PathBuf>,
}

impl Sending<'_> {
    /// Sends a file, and says what came of it. Returns whether to go on with the next one.
    async fn send(&mut self, path: &Path, meter: &mut Meter) -> bool {
        let file = path.to_owned();
        let read = tokio::task::spawn_blocking(move || Artifact::read(&file)).await;
        let read = read.unwrap_or_else(|error| {
            let path = path.display();
            Err(Failure::machine(format!(
                "{path}: reading it failed: {error}"
            )))
        });
        let artifact = match read {
            Ok(artifact) => artifact,
            Err(failure) => {
                self.refused(path, None, &failure);
                return true;
            }
        };
        match self.index.send(&artifact, meter).await {
            Ok(taken) => {
                self.taken(&artifact, taken);
                true
            }
            Err(Refusal {
                failure,
                status,
                is_final,
            }) => {
                self.refused(path, status, &failure);
                !is_final
            }
        }
    }

    fn taken(&mut self, artifact: &Artifact, taken: Taken) {
        if taken == Taken::Same {
            self.there += 1;
        } else {
            self.published += 1;
        }
        let name = artifact.name();
        if self.is_json {
            let is_new = match taken {
                Taken::New => Some(true),
                Taken::Same => Some(false),
                Taken::Either => None,
            };
            self.printer.result(json!({
                "filename": name, "project": artifact.project(), "version": artifact.version(),
                "index": self.index.shown().as_str(), "channel": self.channel,
                "sha256": artifact.sha256().to_string(), "size": artifact.size(), "new": is_new,
            }));
        } else if taken == Taken::Same {
            self.printer
                .note(format_args!("{name} was published before"));
        } else {
            self.printer.result(name);
        }
    }

    fn refused(&mut self, path: &Path, status: Option<u16>, failure: &Failure) {
        self.tally.failed(failure);
        self.refused.push(path.to_owned());
        self.printer.failure(failure);
        if self.is_json {
            let filename = path.file_name().unwrap_or_default().to_string_lossy();
            let mut refusal = json!({
                "filename": filename, "index": self.index.shown().as_str(), "channel": self.channel,
                "error": failure.message, "status": status,
            });
            if let (Some(hint), Value::Object(refusal)) = (&failure.hint, &mut refusal) {
                refusal.insert("hint".to_owned(), hint.as_str().into());
            }
            self.printer.result(refusal);
        }
    }

    /// Says at the end what became of all files, if that is not plain. `left` were not tried.
    fn summary(&self, left: &[PathBuf]) {
        let count = self.published + self.there + self.refused.len() + left.len();
        if self.refused.is_empty() || count == 1 {
            return;
        }
        let names = |paths: &[PathBuf]| {
            let names = paths.iter().map(|path| path.display().to_string());
            names.collect::<Vec<_>>().join(", ")
        };
        let mut said = vec![
            format!("{} of {count} files published", self.published),
            format!("{} were there before", self.there),
            format!("not published: {}", names(&self.refused)),
        ];
        if self.there == 0 {
            said.remove(1);
        }
        if !left.is_empty() {
            said.push(format!("not tried: {}", names(left)));
        }
        self.printer.always(said.join("; "));
    }
}
