//! `wheelfarm images push`.

use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_build::pipeline::recorded_environments;
use wheelfarm_build::{Environments as _, Event, Stage, log_of};
use wheelfarm_executor::HostNetwork;
use wheelfarm_executor::reapi::{Reapi, Sent};

use super::named;
use crate::config::Config;
use crate::engine;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::progress::Progress;
use crate::settings::{Places, cancellation, host_arch};
use crate::units::time;

pub(super) async fn run(
    places: &Places,
    config: &Config,
    network: HostNetwork,
    names: &[String],
    printer: Printer,
) -> Result<Exit, Failure> {
    let mut catalogue = Catalogue::builtin(host_arch()?);
    wheelfarm_build::pythons::add_compiled(&mut catalogue, &places.store).await?;
    for name in names {
        named(&catalogue, name)?;
    }
    let reapi = engine::reapi(places, config, network).await?;
    let progress = Progress::new(printer);
    let pushed = push(places, &catalogue, &reapi, names, &progress, printer).await;
    progress.finish();
    reapi.close().await;
    let pushed = pushed?;
    if pushed == 0 {
        return Err(
            Failure::machine("there is no image here to send").with_hint(Some(
                "`wheelfarm images list` shows which there are".to_owned(),
            )),
        );
    }
    Ok(Exit::Ok)
}

/// Sends what is here of the images called `names`, or of all: how many that were.
async fn push(
    places: &Places,
    catalogue: &Catalogue,
    reapi: &Reapi,
    names: &[String],
    progress: &Progress,
    printer: Printer,
) -> Result<usize, Failure> {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let cancel = cancellation();
    let mut count = 0;
    for image in catalogue
        .images()
        .iter()
        .filter(|image| wanted(&image.name))
    {
        if reapi.image(image).await?.is_none() {
            continue;
        }
        let name = format!("{} runtime", image.name);
        let sent = shown(progress, &name, |log| {
            reapi.push_runtime(image, log, &cancel)
        });
        report(printer, sent.await?);
        count += 1;
    }
    for (_, record) in recorded_environments(&places.store).await? {
        if !wanted(&record.recipe.image) {
            continue;
        }
        let name = record.recipe.name();
        let sent = shown(progress, &name, |log| {
            reapi.push_environment(&record, log, &cancel)
        });
        match sent.await? {
            Some(sent) => {
                report(printer, sent);
                count += 1;
            }
            None => printer.note(format_args!("{name} is not on this machine")),
        }
    }
    Ok(count)
}

/// Does `work` with its log and time shown as progress.
async fn shown<T>(
    progress: &Progress,
    name: &str,
    work: impl AsyncFnOnce(
        wheelfarm_build::action::LogSink,
    ) -> Result<T, wheelfarm_build::ExecutorError>,
) -> Result<T, Failure> {
    let observer = progress.observer();
    let (job, stage) = (format!("image {name}"), Stage::Image);
    observer(Event::Stage {
        job: job.clone(),
        stage,
    });
    let start = std::time::Instant::now();
    let done = work(log_of(&observer, &job)).await;
    let seconds = start.elapsed().as_secs_f64();
    observer(Event::Took {
        job: job.clone(),
        stage,
        seconds,
    });
    let summary = format!("in {}", time(seconds));
    let ok = done.is_ok();
    observer(Event::Ended { job, ok, summary });
    Ok(done?)
}

fn report(printer: Printer, sent: Sent) {
    let Sent { name, id, blobs } = sent;
    let id = if id.is_empty() { "in the workers" } else { &id };
    printer.result(format_args!(
        "{name} {id} ({blobs} files and directories sent)"
    ));
}
