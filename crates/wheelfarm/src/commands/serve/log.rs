//! The server's log.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt};

use crate::cli::transport::{LogFormat, LogLevel};

/// Has everything that is logged written to stderr, panics too.
pub(super) fn start(format: LogFormat, level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What libraries have to say at these levels is about packets.
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target("wheelfarm", level);
    let text = fmt::layer().with_writer(std::io::stderr);
    let layer = match format {
        LogFormat::Text => text.with_ansi(false).boxed(),
        LogFormat::Json => text
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
    };
    let started = tracing_subscriber::registry()
        .with(layer.with_filter(filter))
        .try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            tracing::error!(target: "wheelfarm::bug", "{panic}");
        }));
    }
}
