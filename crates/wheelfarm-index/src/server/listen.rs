//! Accepting connections, up to a number, until the server is told to stop.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::connection::Front;
use crate::server::follow::follow;
use crate::{App, Tls};

/// Files that a server has open besides those of connections.
const OTHER_FILES: u64 = 128;
/// How long is waited when the system has no room for one more connection, and how often connections that wait for
/// requests are asked to make place.
const BREATH: Duration = Duration::from_millis(250);

/// Lets this process have as many open files as the system allows it: each connection needs one, and a file that is
/// sent another.
pub fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files stays low");
        }
    }
}

impl App {
    /// Answers requests until `shutdown` is done, and then those that are under way, for as long as the settings
    /// allow. Meanwhile it follows what other servers publish, and the certificate's files.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<Tls>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let router = self.clone().router();
        self.serve_with(router, listener, tls, shutdown).await;
    }

    /// The same, with answers from `router`.
    pub(super) async fn serve_with(
        self: Arc<Self>,
        router: Router,
        listener: TcpListener,
        tls: Option<Tls>,
        shutdown: impl Future<Output = ()> + Send,
    ) {
        let front = Arc::new(Front {
            router,
            app: self.clone(),
            tls: tls.clone(),
            stop: CancellationToken::new(),
            crowded: Notify::new(),
        });
        let connections = TaskTracker::new();
        let helpers = TaskTracker::new();
        let stop = front.stop.clone();
        helpers.spawn(stop.clone().run_until_cancelled_owned(follow(self.clone())));
        if let Some(tls) = tls {
            helpers.spawn(stop.run_until_cancelled_owned(tls.follow()));
        }
        tokio::select! {
            () = accept(&front, &listener, &connections) => {}
            () = shutdown => {}
        }
        // From now on new connections are refused, by the system.
        drop(listener);
        self.metrics.readiness.stops();
        front.stop.cancel();
        connections.close();
        helpers.close();
        let limit = self.settings.timeouts.shutdown;
        if tokio::time::timeout(limit, connections.wait())
            .await
            .is_err()
        {
            let count = connections.len();
            tracing::warn!(connections = count, "what is still under way is cut off");
        }
        helpers.wait().await;
    }
}

/// Accepts connections for ever.
async fn accept(front: &Arc<Front>, listener: &TcpListener, connections: &TaskTracker) {
    let places = Arc::new(Semaphore::new(places(
        front.app.settings.limits.connections,
    )));
    loop {
        let (stream, peer) = next(listener).await;
        let place = place(front, &places).await;
        let front = front.clone();
        connections.spawn(async move {
            let open = Open::new(front.app.clone(), place);
            front.run(stream, peer).await;
            drop(open);
        });
    }
}

/// How many connections can be open at the same time: `wanted`, or as many as files allow.
fn places(wanted: usize) -> usize {
    let Some(files) = getrlimit(Resource::Nofile).current else {
        return wanted;
    };
    let allowed = usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(wanted);
    if allowed < wanted {
        tracing::info!(
            connections = allowed,
            "the limit of open files allows fewer connections than the settings"
        );
    }
    wanted.min(allowed).max(1)
}

/// Waits for a place. If there is none, connections that wait for their next request lose theirs; others wait with
/// the system meanwhile.
async fn place(front: &Front, places: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    if let Ok(place) = places.clone().try_acquire_owned() {
        return Some(place);
    }
    tracing::warn!("there are as many connections as may be: others wait");
    let crowd = async {
        loop {
            front.crowded.notify_waiters();
            tokio::time::sleep(BREATH).await;
        }
    };
    tokio::select! {
        place = places.clone().acquire_owned() => place.ok(),
        () = crowd => None,
    }
}

/// The next connection. Errors of one that went away before are passed over; if the system has no room, it may soon.
async fn next(listener: &TcpListener) -> (TcpStream, std::net::SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if is_of_one(&error) => {}
            Err(error) => {
                tracing::error!(%error, "no connection can be accepted");
                tokio::time::sleep(BREATH).await;
            }
        }
    }
}

fn is_of_one(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
    )
}

/// Counts an open connection, and holds its place.
struct Open {
    app: Arc<App>,
    _place: Option<OwnedSemaphorePermit>,
}

impl Open {
    fn new(app: Arc<App>, place: Option<OwnedSemaphorePermit>) -> Self {
        app.metrics.connections.inc();
        Self { app, _place: place }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.app.metrics.connections.dec();
    }
}
