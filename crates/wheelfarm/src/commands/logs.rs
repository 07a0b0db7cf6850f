//! `wheelfarm logs`: what builds printed, found by project.

use owo_colors::OwoColorize;
use serde_json::json;
use wheelfarm_build::action::Execution;
use wheelfarm_build::history::{self, HistoryEntry};
use wheelfarm_build::records::{BuildOutcome, HistoryRecord};
use wheelfarm_store::Store;

use super::table::table;
use crate::cli::{Format, GlobalArgs, LogsArgs};
use crate::config::Config;
use crate::environment::now;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::settings::Places;
use crate::units::time;

pub(crate) async fn run(
    global: &GlobalArgs,
    args: LogsArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    let store = Places::open(global, &config).await?.store;
    let entries = history::entries(&store, args.project.as_ref()).await?;
    let most = if args.project.is_some() {
        1
    } else {
        args.number
    };
    let records = newest(&store, &entries, &args, most).await?;
    match (&args.project, records.as_slice()) {
        (Some(_), [record]) => show(&store, record, global.format, printer).await?,
        (Some(project), _) => {
            let kind = if args.failed { "failed build" } else { "build" };
            let place = args.cell.as_ref().map(|cell| format!(" for {cell}"));
            let message = format!(
                "the store has no log of a {kind} of {project}{}",
                place.unwrap_or_default()
            );
            return Err(Failure::usage(message)
                .with_hint(Some("`wheelfarm logs` lists the last builds".to_owned())));
        }
        (None, records) => list(records, global.format, printer),
    }
    Ok(Exit::Ok)
}

/// The first `most` records that are wanted; no more are read than it takes.
async fn newest(
    store: &Store,
    entries: &[HistoryEntry],
    args: &LogsArgs,
    most: usize,
) -> Result<Vec<HistoryRecord>, Failure> {
    let mut records = Vec::new();
    for entry in entries {
        if records.len() == most {
            break;
        }
        let Some(record) = history::read(store, entry).await? else {
            continue;
        };
        let cell = args.cell.as_deref().unwrap_or_default();
        let wanted = !args.failed || record.outcome != BuildOutcome::Built;
        if wanted && record.cell.starts_with(cell) {
            records.push(record);
        }
    }
    Ok(records)
}

async fn show(
    store: &Store,
    record: &HistoryRecord,
    format: Format,
    printer: Printer,
) -> Result<(), Failure> {
    let log = store.get(&record.log).await?;
    let log = String::from_utf8_lossy(&log);
    if format == Format::Json {
        printer.result(json!({ "version": 1, "build": record, "log": log }));
        return Ok(());
    }
    printer.note(format_args!(
        "{} {} {}: {} in {}, {} ago{}",
        record.project,
        record.version,
        record.cell,
        outcome(&record.outcome),
        time(record.seconds),
        age(record),
        place(record.execution.as_ref())
    ));
    for line in log.lines() {
        printer.result(readable(line));
    }
    Ok(())
}

fn list(records: &[HistoryRecord], format: Format, printer: Printer) {
    if format == Format::Json {
        printer.result(json!({ "version": 1, "builds": records }));
        return;
    }
    let header = ["ago", "wheel", "for", "time", "outcome"];
    let header = header.map(|word| word.dimmed().to_string()).to_vec();
    let rows = records.iter().map(|record| {
        vec![
            age(record),
            format!("{} {}", record.project, record.version),
            record.cell.clone(),
            time(record.seconds),
            match &record.outcome {
                BuildOutcome::Built => "built".green().to_string(),
                failed @ BuildOutcome::Failed { .. } => outcome(failed).red().to_string(),
            },
        ]
    });
    let rows: Vec<_> = std::iter::once(header).chain(rows).collect();
    if rows.len() == 1 {
        printer.note("nothing has been built with this store");
        return;
    }
    for line in table(&rows, &[0, 3]) {
        printer.result(line);
    }
}

fn outcome(outcome: &BuildOutcome) -> String {
    match outcome {
        BuildOutcome::Built => "built".to_owned(),
        BuildOutcome::Failed { reason } => format!("failed: {reason}"),
    }
}

/// Where it was run, if that was on a cluster.
fn place(execution: Option<&Execution>) -> String {
    let Some(execution) = execution else {
        return String::new();
    };
    if execution.cached {
        return "; the cluster had the result".to_owned();
    }
    let worker = execution.worker.as_deref().unwrap_or("a worker");
    let queued = execution.queued.map(|seconds| {
        let waited = time(seconds);
        format!(", for which it waited {waited}")
    });
    format!("; on {}{}", readable(worker), queued.unwrap_or_default())
}

fn age(record: &HistoryRecord) -> String {
    // Clocks of machines that share a store differ.
    let seconds = now().saturating_sub(record.finished);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / (24 * 3600)),
    }
}

/// A line of a log for a terminal, which must not do what a build tells it.
fn readable(line: &str) -> String {
    line.chars()
        .filter(|c| !c.is_control() || *c == '\t')
        .collect()
}

#[cfg(test)]
mod tests {
    use wheelfarm_types::Digest;

    use super::*;

    #[tokio::test]
    async fn the_newest_that_fits_is_found() {
        let store = Store::open("memory:").await.unwrap();
        let builds = [
            (1, "cp311-manylinux_2_36_x86_64", true),
            (2, "cp313-manylinux_2_41_x86_64", false),
            (3, "cp311-manylinux_2_36_x86_64", false),
            (4, "cp313-manylinux_2_41_x86_64", true),
        ];
        for (finished, cell, ok) in builds {
            let outcome = if ok {
                BuildOutcome::Built
            } else {
                BuildOutcome::Failed {
                    reason: "no".to_owned(),
                }
            };
            let record = HistoryRecord {
                project: "lxml".parse().unwrap(),
                version: "1".parse().unwrap(),
                cell: cell.to_owned(),
                raw_key: Digest::of("key"),
                outcome,
                log: Digest::of("log"),
                seconds: 1.0,
                finished,
                execution: None,
            };
            history::append(&store, &record).await.unwrap();
        }
        let entries = history::entries(&store, None).await.unwrap();
        let found = async |cell: Option<&str>, failed, most| {
            let args = LogsArgs {
                project: None,
                cell: cell.map(str::to_owned),
                failed,
                number: 20,
            };
            let found = newest(&store, &entries, &args, most).await.unwrap();
            found
                .iter()
                .map(|record| record.finished)
                .collect::<Vec<_>>()
        };
        assert_eq!(found(None, false, 2).await, [4, 3]);
        assert_eq!(found(None, true, 9).await, [3, 2]);
        assert_eq!(found(Some("cp311"), false, 1).await, [3]);
        assert_eq!(
            found(Some("cp313-manylinux_2_41_x86_64"), true, 1).await,
            [2]
        );
        assert_eq!(found(Some("cp39"), false, 1).await, [0; 0]);
    }

    #[test]
    fn the_worker_and_the_queue_are_told() {
        let mut execution = Execution::default();
        assert_eq!(place(None), "");
        assert_eq!(place(Some(&execution)), "; on a worker");
        execution.worker = Some("worker-1".to_owned());
        execution.queued = Some(2.0);
        let told = place(Some(&execution));
        assert!(
            told.starts_with("; on worker-1, for which it waited 2"),
            "{told}"
        );
        execution.cached = true;
        assert_eq!(place(Some(&execution)), "; the cluster had the result");
    }

    #[test]
    fn logs_do_not_move_the_cursor() {
        assert_eq!(readable("a\tb\u{1b}[2J\r"), "a\tb[2J");
    }
}
