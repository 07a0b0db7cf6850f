//! `wheelfarm store`.

use serde_json::json;

use crate::cli::{Format, GlobalArgs, StoreArgs, StoreCommand};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::settings::Places;
use crate::units::size;

pub(crate) async fn run(
    global: &GlobalArgs,
    args: StoreArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    let StoreCommand::Verify { repair } = args.command;
    let config = Config::load(global)?;
    let places = Places::open(global, &config).await?;
    let report = places.store.verify(repair).await?;
    let problems = &report.problems;
    if global.format == Format::Json {
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
            " and removed"
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
