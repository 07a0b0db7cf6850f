//! Listening, TLS, and limits of connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wheelfarm_index::{App, Settings, Timeouts, Tls, TrustedProxies};

use crate::cli::serve::ServeArgs;
use crate::cli::transport::{LogFormat, TransportArgs};
use crate::commands::serve::signals::{reload_at_hangup, tell_systemd};
use crate::exit::Failure;
use crate::printer::Printer;

/// `settings` with what the command line says of connections.
pub(super) fn settings(args: &TransportArgs, mut settings: Settings) -> Settings {
    settings.limits.connections = args.max_connections;
    settings.metrics_need_token = args.private_metrics;
    if !args.trusted_proxy.is_empty() {
        settings.trusted_proxies = TrustedProxies::new(args.trusted_proxy.iter().copied());
    }
    settings.timeouts = Timeouts {
        head: Duration::from_secs(args.head_timeout.number()),
        idle: Duration::from_secs(args.idle_timeout.number()),
        stalled: Duration::from_secs(args.stall_timeout.number()),
        shutdown: Duration::from_secs(args.shutdown_timeout.number()),
    };
    settings
}

/// Serves `app` until `stop` fires.
pub(super) async fn serve(
    app: Arc<App>,
    args: &ServeArgs,
    stop: CancellationToken,
    printer: Printer,
) -> Result<(), Failure> {
    let tls = tls(&args.transport)?;
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        Failure::machine(format!("`{}` cannot be listened on: {error}", args.listen))
            .with_hint(Some("name another address with `--listen`".to_owned()))
    })?;
    let address = listener
        .local_addr()
        .map_err(|error| Failure::machine(error.to_string()))?;
    reload_at_hangup(tls.clone());
    announce(address, tls.is_some(), args.transport.log_format, printer);
    tell_systemd("READY=1");
    let stopped = async move {
        stop.cancelled().await;
        tracing::info!("stopping: what is under way is finished");
        tell_systemd("STOPPING=1");
    };
    app.serve(listener, tls, stopped).await;
    Ok(())
}

fn tls(args: &TransportArgs) -> Result<Option<Tls>, Failure> {
    let (Some(certificate), Some(key)) = (&args.tls_cert, &args.tls_key) else {
        return Ok(None);
    };
    let tls = Tls::open(certificate, key).map_err(|error| {
        Failure::usage(format!("HTTPS cannot be served: {error}")).with_hint(Some(
            "`--tls-cert` names a chain of certificates and `--tls-key` the first one's key, both in PEM"
                .to_owned(),
        ))
    })?;
    Ok(Some(tls))
}

/// Says where the server listens, and what others on the network could read.
fn announce(address: SocketAddr, secure: bool, format: LogFormat, printer: Printer) {
    let scheme = if secure { "https" } else { "http" };
    let open = !secure && !address.ip().is_loopback();
    let warning = "tokens are sent in clear: use `--tls-cert`, or a proxy that speaks HTTPS";
    if format == LogFormat::Json {
        tracing::info!(address = %format_args!("{scheme}://{address}"), "listening");
        if open {
            tracing::warn!("{warning}");
        }
        return;
    }
    if open {
        printer.always(format_args!("warning: {warning}"));
    }
    printer.always(format_args!("listening on {scheme}://{address}"));
}
