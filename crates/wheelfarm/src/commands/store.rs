//! `wheelfarm store`.

use std::collections::HashSet;
use std::io::{BufReader, BufWriter, Read};
use std::path::Path;

use chrono::DateTime;
use serde_json::json;
use wheelfarm_index::registry::Registry;
use wheelfarm_store::{Amount, Collection, Store};
use wheelfarm_types::Digest;

use crate::cli::store::{StoreArgs, StoreCommand};
use crate::cli::{Format, GlobalArgs};
use crate::config::Config;
use crate::environment::now;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::progress::Work;
use crate::settings::Places;
use crate::units::size;

pub(crate) async fn run(
    global: &GlobalArgs,
    args: StoreArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    let store = Places::open(global, &config).await?.store;
    let as_json = global.format == Format::Json;
    match args.command {
        StoreCommand::Ls { path } => list(&store, path.as_deref(), as_json, printer).await,
        StoreCommand::Verify { repair } => verify(&store, repair, as_json, printer).await,
        StoreCommand::Gc {
            older_than,
            trash_for,
            dry_run,
        } => {
            let wanted = Collection {
                now: now(),
                older_than: older_than.number(),
                trash_age: trash_for.number(),
                needed: needed(&store).await?,
                dry_run,
            };
            collect(&store, &wanted, as_json, printer).await
        }
        StoreCommand::Export { file, wheel } => {
            export(&store, &file, &wheel, as_json, printer).await
        }
        StoreCommand::Import { file } => import(&store, &file, as_json, printer).await,
    }
}

/// What the index needs. Read before anything else: what is published later is young.
async fn needed(store: &Store) -> Result<HashSet<Digest>, Failure> {
    let registry = Registry::open(store.clone()).await?;
    Ok(registry.read(|state| state.needed_blobs().copied().collect()))
}

async fn list(
    store: &Store,
    path: Option<&str>,
    as_json: bool,
    printer: Printer,
) -> Result<Exit, Failure> {
    if let Some(path) = path {
        for object in store.objects_below(path).await? {
            if as_json {
                printer.result(json!({
                    "path": object.path, "bytes": object.size, "written": object.written,
                }));
            } else {
                let written = i64::try_from(object.written).unwrap_or(0);
                let written = DateTime::from_timestamp(written, 0).unwrap_or_default();
                let written = written.format("%Y-%m-%d %H:%M");
                printer.result(format_args!(
                    "{:>12}  {written}  {}",
                    object.size, object.path
                ));
            }
        }
        return Ok(Exit::Ok);
    }
    let summary = store.summary().await?;
    if as_json {
        let kinds: serde_json::Map<_, _> = summary
            .into_iter()
            .map(|(kind, amount)| (kind, said(amount)))
            .collect();
        printer.result(json!({ "version": 1, "store": store.address(), "kinds": kinds }));
    } else {
        for (kind, amount) in summary {
            printer.result(format_args!(
                "{:>8}  {:>12}  {kind}",
                amount.objects,
                size(amount.bytes)
            ));
        }
    }
    Ok(Exit::Ok)
}

async fn verify(
    store: &Store,
    repair: bool,
    as_json: bool,
    printer: Printer,
) -> Result<Exit, Failure> {
    let needed = needed(store).await?;
    let work = Work::new(printer, None);
    let report = store.watched(work.watch()).verify(repair, &needed).await;
    drop(work);
    let report = report?;
    let problems = &report.problems;
    if as_json {
        let problems: Vec<_> = problems
            .iter()
            .map(|problem| json!({ "object": problem.object, "what": problem.what }))
            .collect();
        printer.result(json!({
            "version": 1, "blobs": report.blobs, "records": report.records, "bytes": report.bytes,
            "problems": problems, "repaired": repair,
        }));
    } else {
        for problem in problems {
            printer.result(format_args!("{}: {}", problem.object, problem.what));
        }
    }
    printer.note(format_args!(
        "{} blobs and {} records, {}: {} damaged{}",
        report.blobs,
        report.records,
        size(report.bytes),
        problems.len(),
        if repair && !problems.is_empty() {
            " and removed, as far as they can be made again"
        } else {
            ""
        },
    ));
    Ok(if problems.is_empty() || repair {
        Exit::Ok
    } else {
        Exit::Finding
    })
}

async fn collect(
    store: &Store,
    wanted: &Collection,
    as_json: bool,
    printer: Printer,
) -> Result<Exit, Failure> {
    let work = Work::new(printer, None);
    let done = store.watched(work.watch()).collect(wanted).await;
    drop(work);
    let done = done?;
    if as_json {
        printer.result(json!({
            "version": 1, "dry_run": wanted.dry_run, "kept": said(done.kept),
            "moved": said(done.moved), "removed": said(done.removed),
            "restored": said(done.restored), "records": said(done.records),
            "leftovers": said(done.leftovers),
        }));
        return Ok(Exit::Ok);
    }
    let would = if wanted.dry_run { "would be " } else { "" };
    for (amount, what) in [
        (done.kept, "blobs kept".to_owned()),
        (done.moved, format!("blobs {would}moved to the trash")),
        (
            done.removed,
            format!("blobs {would}removed from the trash: space that is free"),
        ),
        (
            done.restored,
            format!("blobs {would}taken back from the trash"),
        ),
        (done.records, format!("records {would}removed")),
        (
            done.leftovers,
            format!("snapshots, leases and unfinished writes {would}removed"),
        ),
    ] {
        printer.result(format_args!(
            "{:>8}  {:>12}  {what}",
            amount.objects,
            size(amount.bytes)
        ));
    }
    Ok(Exit::Ok)
}

async fn export(
    store: &Store,
    file: &Path,
    wheels: &[Digest],
    as_json: bool,
    printer: Printer,
) -> Result<Exit, Failure> {
    let only: HashSet<Digest> = wheels.iter().copied().collect();
    for wheel in wheels {
        if !store.contains(wheel).await? {
            return Err(Failure::usage(format!("the store has no `{wheel}`")));
        }
    }
    let only = (!only.is_empty()).then_some(&only);
    let failed = |error: std::io::Error| Failure::machine(format!("`{}`: {error}", file.display()));
    let is_stdout = file == Path::new("-");
    let work = Work::new(printer, None);
    let store = store.watched(work.watch());
    let amount = if is_stdout {
        let mut out = BufWriter::new(std::io::stdout());
        store.export(&mut out, only).await?
    } else {
        // Whole or not there.
        let folder = file
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let part =
            tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        let mut out = BufWriter::new(part);
        let amount = store.export(&mut out, only).await?;
        let part = out
            .into_inner()
            .map_err(|error| failed(error.into_error()))?;
        part.persist(file).map_err(|error| failed(error.error))?;
        amount
    };
    drop(work);
    if as_json && !is_stdout {
        printer.result(json!({ "version": 1, "exported": said(amount) }));
    }
    printer.note(format_args!(
        "{} objects, {}",
        amount.objects,
        size(amount.bytes)
    ));
    Ok(Exit::Ok)
}

async fn import(
    store: &Store,
    file: &Path,
    as_json: bool,
    printer: Printer,
) -> Result<Exit, Failure> {
    let mut length = None;
    let source: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let opened = fs_err::File::open(file);
        let opened = opened.map_err(|error| Failure::usage(error.to_string()))?;
        length = opened.metadata().ok().map(|metadata| metadata.len());
        Box::new(opened)
    };
    let work = Work::new(printer, length);
    let done = store
        .watched(work.watch())
        .import(BufReader::with_capacity(1 << 20, source))
        .await;
    drop(work);
    let done = done?;
    for other in &done.other {
        printer.note(format_args!(
            "{other} was there and says something else: left as it is"
        ));
    }
    if as_json {
        printer.result(json!({
            "version": 1, "added": said(done.added), "there": said(done.there), "other": done.other,
        }));
    }
    printer.note(format_args!(
        "{} objects added, {}; {} were there",
        done.added.objects,
        size(done.added.bytes),
        done.there.objects
    ));
    Ok(Exit::Ok)
}

fn said(amount: Amount) -> serde_json::Value {
    json!({ "objects": amount.objects, "bytes": amount.bytes })
}
