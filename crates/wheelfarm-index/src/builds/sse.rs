//! Events of a build as a stream ([server-sent events](https://html.spec.whatwg.org/multipage/server-sent-events.html)).
//!
//! Each has its number as id: who lost the connection says the last one with `Last-Event-ID`, as browsers do by
//! themselves, and gets what follows. The last event is `end`; then the stream ends.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use http::{HeaderValue, header};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::build::Ticket;
use super::feed::Page;

/// A comment is sent after so long a silence: proxies end connections that say nothing for a minute.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How long a client that lost the connection should wait, in milliseconds.
const RETRY: &str = "retry: 2000\n\n";

struct Reader {
    ticket: Arc<Ticket>,
    last: u64,
    grown: watch::Receiver<u64>,
    stop: CancellationToken,
    is_over: bool,
}

/// The events of `ticket` after number `after`, until it has ended or `stop` fires.
pub(super) fn stream(ticket: Arc<Ticket>, after: u64, stop: CancellationToken) -> Response {
    let reader = Reader {
        grown: ticket.feed.grown(),
        ticket,
        last: after,
        stop,
        is_over: false,
    };
    let begin = futures::stream::once(async { Ok(Bytes::from_static(RETRY.as_bytes())) });
    let events = futures::stream::unfold(reader, async |mut reader| {
        let chunk = reader.next().await?;
        Some((Ok::<_, Infallible>(chunk), reader))
    });
    let mut response = Body::from_stream(begin.chain(events)).into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        // nginx holds back what a server behind it says, but for this.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

impl Reader {
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.is_over {
                return None;
            }
            // Before looking: what comes after the look wakes us.
            self.grown.borrow_and_update();
            let page = self.ticket.feed.after(self.last);
            self.is_over = page.is_last;
            if let Some(last) = page.entries.last() {
                let text = text(&page, self.last);
                self.last = last.number;
                return Some(text);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                () = self.stop.cancelled() => {
                    // What the end of the server made of the build may still come, but is not waited for.
                    let page = self.ticket.feed.after(self.last);
                    self.is_over = true;
                    return (!page.entries.is_empty()).then(|| text(&page, self.last));
                }
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(Bytes::from_static(b": still here\n\n")),
                changed = self.grown.changed() => if changed.is_err() { return None },
            }
        }
    }
}

/// Entries as events; lines that are not kept any more are counted in one of their own.
fn text(page: &Page, mut last: u64) -> Bytes {
    let mut text = Vec::new();
    for entry in &page.entries {
        let missed = entry.number.saturating_sub(last + 1);
        if missed > 0 {
            let gap = format!("data: {{\"event\":\"missed\",\"lines\":{missed}}}\n\n");
            text.extend_from_slice(gap.as_bytes());
        }
        last = entry.number;
        text.extend_from_slice(format!("id: {last}\ndata: ").as_bytes());
        text.extend_from_slice(&entry.json);
        text.extend_from_slice(b"\n\n");
    }
    text.into()
}
