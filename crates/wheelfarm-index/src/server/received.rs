//! Bodies of requests.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use crate::App;
use crate::server::pulse::Pulse;

/// How long the rest of a body is read that nobody wants.
const LINGER: Duration = Duration::from_secs(30);
/// How long it may stand still then.
const LINGER_STILL: Duration = Duration::from_secs(5);

/// The body of a request as it comes.
///
/// If it is refused before it has come to its end, the rest is read for a while and thrown away: clients look for an
/// answer when they have sent everything, and one that finds the connection closed before that never sees the reason.
pub(super) struct Received {
    body: Option<Incoming>,
    app: Arc<App>,
    pulse: Arc<Pulse>,
    lingers: bool,
}

impl Received {
    /// `lingers`: whether the rest is read if it is refused. HTTP/2 needs no such thing, and who waits for
    /// `100 Continue` has not begun to send.
    pub(super) fn new(body: Incoming, app: Arc<App>, pulse: Arc<Pulse>, lingers: bool) -> Self {
        Self {
            body: Some(body),
            app,
            pulse,
            lingers,
        }
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(body).poll_frame(context);
        self.pulse.waits_for_body(polled.is_pending());
        let frame = ready!(polled);
        match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                self.app.metrics.received.inc_by(length as u64);
            }
            Some(Err(_)) | None => self.body = None,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        self.pulse.waits_for_body(false);
        if !self.lingers || self.is_end_stream() {
            return;
        }
        if let (Some(body), Ok(runtime)) = (self.body.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(tokio::time::timeout(LINGER, throw_away(body)));
        }
    }
}

async fn throw_away(mut body: Incoming) {
    while let Ok(Some(Ok(_))) = tokio::time::timeout(LINGER_STILL, body.frame()).await {}
}
