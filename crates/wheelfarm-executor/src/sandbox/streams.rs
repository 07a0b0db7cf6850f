//! What goes into a container beside files, and what comes out of it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio_util::sync::CancellationToken;

use crate::error::{Result, cancelled, error, io};
use crate::log::Log;
use crate::output::Stdout;
use crate::sandbox::launch::{Ended, Running};
use crate::wrapper::HOST_NAME;
use wheelfarm_build::action::ExecutorErrorKind;

/// Bytes read at a time.
const CHUNK: usize = 64 << 10;
/// What container engines set where an image says nothing.
const PATH: &str = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How this machine looks up names.
const RESOLVER: &str = "/etc/resolv.conf";

/// Reads what the container of `what` sends, and how it ended; None if it took longer than `limit`. It has ended when this
/// returns, whatever came of it: its directory can be removed then.
pub(crate) async fn to_the_end(
    what: &str,
    mut running: Running,
    streams: (&mut Stdout, &mut Log),
    limit: Duration,
    cancel: &CancellationToken,
) -> Result<Option<Ended>> {
    let (stdout, log) = streams;
    let driven = drive(what, &mut running, stdout, log);
    let driven = tokio::time::timeout(limit, driven);
    match cancel.run_until_cancelled(driven).await {
        Some(Ok(Ok(()))) => running.ended().await.map(Some),
        Some(Ok(Err(error))) => {
            running.kill().await;
            Err(error)
        }
        Some(Err(_)) => {
            running.kill().await;
            Ok(None)
        }
        None => {
            running.kill().await;
            Err(cancelled(what))
        }
    }
}

/// Reads what the container of `what` sends until it ends.
async fn drive(
    what: &str,
    running: &mut Running,
    stdout: &mut Stdout,
    log: &mut Log,
) -> Result<()> {
    let (mut out, mut err) = (vec![0; CHUNK], vec![0; CHUNK]);
    let (mut out_open, mut err_open) = (true, true);
    let failed = || io(format!("read the output of `{what}`"));
    while out_open || err_open {
        tokio::select! {
            read = running.stdout.read(&mut out), if out_open => {
                let size = read.map_err(failed())?;
                out_open = size > 0;
                let chunk = out.get(..size).unwrap_or_default();
                stdout.push(chunk).map_err(|detail| {
                    let message = format!("the output of `{what}` was refused: {detail}");
                    error(ExecutorErrorKind::Output, message)
                })?;
            }
            read = running.stderr.read(&mut err), if err_open => {
                let size = read.map_err(failed())?;
                err_open = size > 0;
                log.push(err.get(..size).unwrap_or_default());
            }
        }
    }
    Ok(())
}

/// The environment of a container: what engines set, what the image sets, and `more`, of which the last counts.
pub(crate) fn merged(image: Vec<String>, more: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut variables = BTreeMap::new();
    let ours = [PATH.to_owned(), format!("HOSTNAME={HOST_NAME}")];
    for variable in ours.into_iter().chain(image).chain(more) {
        let name = variable.split('=').next().unwrap_or_default().to_owned();
        variables.insert(name, variable);
    }
    variables.into_values().collect()
}

/// Files by which programs in a container look up names.
pub(crate) fn name_service(network: bool) -> Vec<(String, String)> {
    let hosts = format!("127.0.0.1\tlocalhost\n::1\tlocalhost\n127.0.1.1\t{HOST_NAME}\n");
    let mut files = vec![
        ("/etc/hosts".to_owned(), hosts),
        ("/etc/hostname".to_owned(), format!("{HOST_NAME}\n")),
    ];
    if network {
        // Where it cannot be read, programs say themselves that they find no name.
        let resolver = fs_err::read_to_string(RESOLVER).unwrap_or_default();
        files.push((RESOLVER.to_owned(), resolver));
    }
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_variable_counts() {
        let image = vec!["PATH=/opt/bin".to_owned(), "A=1=2".to_owned()];
        let environment = merged(image, ["A=3".to_owned()]);
        assert_eq!(environment, ["A=3", "HOSTNAME=wheelfarm", "PATH=/opt/bin"]);
        assert!(merged(Vec::new(), []).contains(&PATH.to_owned()));
    }

    #[test]
    fn who_may_not_use_the_network_is_told_no_server() {
        let named = |network| {
            let files = name_service(network);
            files.iter().any(|(path, _)| path == RESOLVER)
        };
        assert!(named(true));
        assert!(!named(false));
    }
}
