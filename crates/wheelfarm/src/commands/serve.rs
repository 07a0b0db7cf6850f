//! `wheelfarm serve`.

mod log;
mod signals;
mod transport;
mod upstream;

use std::sync::Arc;

use wheelfarm_index::registry::Registry;
use wheelfarm_index::{App, raise_file_limit};

use crate::builder;
use crate::cli::GlobalArgs;
use crate::cli::serve::ServeArgs;
use crate::config::Config;
use crate::environment::clock;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::settings::{Places, cancellation};

pub(crate) async fn run(
    global: &GlobalArgs,
    args: ServeArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    log::start(args.transport.log_format, args.transport.log_level);
    raise_file_limit();
    let config = Config::load(global)?;
    let places = Places::open(global, &config).await?;
    // Before anybody is told that it listens, as they may ask it to stop at once.
    let stop = cancellation();
    let builds = builder::queue(&args.builds, &places, &config, &stop)?;
    let registry = Registry::open(places.store).await?;
    let mut settings = transport::settings(&args.transport, config.index.settings());
    settings.upstream = upstream::settings(&args, &config.index.upstream, printer).await?;
    let app = App::new(registry, settings, builds.clone(), Arc::new(clock))
        .map_err(|problem| Failure::usage(problem.title).with_hint(problem.detail))?;
    transport::serve(app, &args, stop, printer).await?;
    if let Some(builds) = builds {
        builds.finish().await;
    }
    Ok(Exit::Ok)
}
