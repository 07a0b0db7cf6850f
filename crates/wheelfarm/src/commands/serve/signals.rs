//! What the system and who watches over services say to the server, and hear from it.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use tokio::signal::unix::{SignalKind, signal};
use wheelfarm_index::Tls;

use crate::environment::variable;

/// Reads the certificate again at each SIGHUP, which ends nothing.
pub(super) fn reload_at_hangup(tls: Option<Tls>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else {
        return;
    };
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            if let Some(tls) = &tls {
                tls.reload_and_tell();
            } else {
                tracing::info!("there is no certificate to read again");
            }
        }
    });
}

/// Tells systemd, if it has started the server and waits for it (`Type=notify`).
pub(super) fn tell_systemd(state: &str) {
    let Some(address) = variable("NOTIFY_SOCKET") else {
        return;
    };
    let told = notify(&address, state);
    if let Err(error) = told {
        tracing::warn!(%error, "systemd could not be told: {state}");
    }
}

/// An address that begins with `@` is no file.
fn notify(address: &str, state: &str) -> io::Result<()> {
    let address = match address.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(address)?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address)?;
    Ok(())
}
