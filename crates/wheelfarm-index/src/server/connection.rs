//! One connection, from its beginning to its end.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::server::Outbox;
use crate::server::answering::Answering;
use crate::server::pulse::{Pulse, TooSlow};
use crate::server::socket::Socket;
use crate::{App, Tls};

/// Bytes of a request's head, and of what is buffered of a body.
const BUFFER: usize = 64 << 10;
/// Requests of an HTTP/2 connection at the same time.
const STREAMS: u32 = 100;
/// Bytes of an HTTP/2 upload that may be under way.
const WINDOW: u32 = 1 << 20;
/// How long a connection that is told to end may take if nothing is under way in it.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often a quiet HTTP/2 client is asked whether it is there.
const PING: Duration = Duration::from_secs(30);

/// What all connections have in common.
pub(super) struct Front {
    pub(super) app: Arc<App>,
    pub(super) router: Router,
    pub(super) tls: Option<Tls>,
    /// Fires when the server ends.
    pub(super) stop: CancellationToken,
    /// Tells connections in which nothing happens that others need their place.
    pub(super) crowded: Notify,
}

impl Front {
    /// Answers the requests of `stream` until it ends.
    pub(super) async fn run(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Answers are written whole: nothing is gained by waiting for more.
        stream.set_nodelay(true).ok();
        let pulse = Arc::new(Pulse::new());
        let outbox = Arc::new(Outbox::default());
        let socket = Socket::new(stream, outbox.clone(), pulse.clone());
        let Some(tls) = &self.tls else {
            return self.http1(socket, peer, pulse, Some(outbox)).await;
        };
        let head = self.app.settings.timeouts.head;
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(head, tls.acceptor().accept(socket)) => handshake,
            () = self.stop.cancelled() => return,
        };
        match handshake {
            Ok(Ok(stream)) => {
                // What is encrypted must be read.
                if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                    self.http2(stream, peer, pulse).await;
                } else {
                    self.http1(stream, peer, pulse, None).await;
                }
            }
            Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
            Err(_) => self.app.metrics.too_slow.add("handshake"),
        }
    }

    async fn http1(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        pulse: Arc<Pulse>,
        outbox: Option<Arc<Outbox>>,
    ) {
        let answering = self.answering(peer, &pulse, outbox);
        let service = service_fn(move |request| answering.clone().answer(request));
        let connection = http1::Builder::new()
            // Who has nothing more to say may still want to hear the answer.
            .half_close(true)
            .max_buf_size(BUFFER)
            // The pulse sees to it, at no cost for each request.
            .header_read_timeout(None)
            .serve_connection(TokioIo::new(stream), service);
        let end = http1::Connection::graceful_shutdown;
        self.drive(pin!(connection), end, &pulse, true).await;
    }

    async fn http2(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: SocketAddr,
        pulse: Arc<Pulse>,
    ) {
        let answering = self.answering(peer, &pulse, None);
        let service = service_fn(move |request| answering.clone().answer(request));
        let connection = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS)
            .max_header_list_size(u32::try_from(BUFFER).unwrap_or(u32::MAX))
            .max_send_buf_size(BUFFER)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * 2)
            .keep_alive_interval(PING)
            .serve_connection(TokioIo::new(stream), service);
        let end = http2::Connection::graceful_shutdown;
        self.drive(pin!(connection), end, &pulse, false).await;
    }

    fn answering(
        &self,
        peer: SocketAddr,
        pulse: &Arc<Pulse>,
        outbox: Option<Arc<Outbox>>,
    ) -> Arc<Answering> {
        Arc::new(Answering {
            app: self.app.clone(),
            router: self.router.clone(),
            peer,
            pulse: pulse.clone(),
            outbox,
        })
    }

    /// Drives `connection` until it ends, by itself or because it must. `end` tells it to finish what is under way.
    async fn drive<C: Future<Output = hyper::Result<()>>>(
        &self,
        mut connection: Pin<&mut C>,
        end: impl Fn(Pin<&mut C>),
        pulse: &Pulse,
        heads: bool,
    ) {
        let slow = pulse.too_slow(&self.app.settings.timeouts, heads);
        let (mut slow, mut stop) = (pin!(slow), pin!(self.stop.cancelled()));
        let mut crowded = pin!(self.crowded.notified());
        let reason = loop {
            tokio::select! {
                biased;
                ended = connection.as_mut() => return tell(ended),
                reason = &mut slow => break Some(reason),
                () = &mut stop => break None,
                () = &mut crowded => {
                    if pulse.is_quiet() {
                        break Some(TooSlow::Idle);
                    }
                    crowded.set(self.crowded.notified());
                }
            }
        };
        if let Some(reason) = reason {
            self.app.metrics.too_slow.add(reason.as_str());
            if reason != TooSlow::Idle {
                return;
            }
        }
        end(connection.as_mut());
        let farewell = async {
            // When the server ends, what is under way has the time that the settings give.
            loop {
                tokio::time::sleep(FAREWELL).await;
                if pulse.is_quiet() {
                    break;
                }
            }
        };
        tokio::select! {
            biased;
            ended = connection => tell(ended),
            () = farewell => {}
            _ = &mut slow, if reason.is_none() => {}
        }
    }
}

/// Clients that go away are nothing to worry about; who looks for something finds it at the level `debug`.
fn tell(ended: hyper::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
