use std::sync::Mutex;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use wheelfarm_types::Digest;

use super::fake::{Fake, piecewise};
use super::{Server, aborted, bytes, memory};

const WHEEL: &str = "x-1.0-py3-none-any.whl";
const POOL: &str = "/pool/x-1.0-py3-none-any.whl";

/// Lets `fake` send the wheel piece by piece, each time it is asked for from another channel.
fn by_pieces(fake: &Fake) -> mpsc::UnboundedSender<std::io::Result<&'static str>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Mutex::new(Some(receiver));
    fake.reply(POOL, move |_| {
        let length = [(header::CONTENT_LENGTH, "10")];
        match receiver.lock().unwrap().take() {
            Some(receiver) => (length, piecewise(receiver)).into_response(),
            None => http::StatusCode::NOT_FOUND.into_response(),
        }
    });
    sender
}

async fn piece(response: &mut Response) -> Vec<u8> {
    let frame = response.body_mut().frame().await.unwrap().unwrap();
    frame.into_data().unwrap().to_vec()
}

#[tokio::test]
async fn bytes_come_before_the_index_has_sent_all() {
    let fake = Fake::start().await;
    let file = fake.with(WHEEL, b"0123456789");
    let pieces = by_pieces(&fake);
    let server = Server::start(&memory().await, &fake.index()).await;
    pieces.send(Ok("01234")).unwrap();
    let mut first = server.get(&file).await;
    // All but the one that is held back.
    assert_eq!(piece(&mut first).await, b"0123");
    let mut second = server.get(&file).await;
    assert_eq!(piece(&mut second).await, b"0123");
    pieces.send(Ok("56789")).unwrap();
    drop(pieces);
    assert_eq!(bytes(first).await, b"456789");
    assert_eq!(bytes(second).await, b"456789");
    assert_eq!(fake.asked(POOL), 1);
}

#[tokio::test]
async fn many_clients_cause_one_fetch() {
    let fake = Fake::start().await;
    let file = fake.with(WHEEL, b"0123456789");
    let server = Server::start(&memory().await, &fake.index()).await;
    server.page("x").await;
    let gate = fake.gate();
    let clients = (0..50).map(|_| async { bytes(server.get(&file).await).await });
    let opened = async {
        while fake.asked(POOL) == 0 {
            tokio::task::yield_now().await;
        }
        gate.send_replace(true);
    };
    let (bodies, ()) = futures::join!(futures::future::join_all(clients), opened);
    assert!(bodies.iter().all(|body| body == b"0123456789"));
    assert_eq!(fake.asked(POOL), 1);
}

#[tokio::test]
async fn one_client_less_stops_nothing_for_the_others() {
    let fake = Fake::start().await;
    let file = fake.with(WHEEL, b"0123456789");
    let pieces = by_pieces(&fake);
    let server = Server::start(&memory().await, &fake.index()).await;
    pieces.send(Ok("01")).unwrap();
    let mut first = server.get(&file).await;
    assert_eq!(piece(&mut first).await, b"0");
    let second = server.get(&file).await;
    drop(first);
    pieces.send(Ok("23456789")).unwrap();
    drop(pieces);
    assert_eq!(bytes(second).await, b"0123456789");
}

#[tokio::test]
async fn what_nobody_waits_for_is_finished_if_little_is_left() {
    let fake = Fake::start().await;
    let file = fake.with(WHEEL, b"0123456789");
    let pieces = by_pieces(&fake);
    let store = memory().await;
    let server = Server::start(&store, &fake.index()).await;
    pieces.send(Ok("01")).unwrap();
    let mut answer = server.get(&file).await;
    piece(&mut answer).await;
    drop(answer);
    pieces.send(Ok("23456789")).unwrap();
    drop(pieces);
    let digest = Digest::of("0123456789");
    while !store.contains(&digest).await.unwrap() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_large_file_that_nobody_waits_for_is_given_up() {
    let fake = Fake::start().await;
    let bytes: &'static [u8] = vec![b'x'; 20 << 20].leak();
    let file = fake.with(WHEEL, bytes);
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = Mutex::new(Some(receiver));
    fake.reply(POOL, move |_| {
        let length = [(header::CONTENT_LENGTH, (20 << 20).to_string())];
        let receiver = receiver.lock().unwrap().take().unwrap();
        (length, piecewise(receiver)).into_response()
    });
    let server = Server::start(&memory().await, &fake.index()).await;
    sender.send(Ok("xxxx")).unwrap();
    let mut answer = server.get(&file).await;
    piece(&mut answer).await;
    drop(answer);
    // The connection is closed, so the index notices that nobody reads.
    sender.closed().await;
}

/// Lets `fake` send `0123` of ten bytes and break off when the channel is used; what it answers later is `later`.
fn broken(
    fake: &Fake,
    later: impl Fn(&HeaderMap) -> Response + Send + Sync + 'static,
) -> mpsc::UnboundedSender<std::io::Result<&'static str>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    sender.send(Ok("0123")).unwrap();
    let receiver = Mutex::new(Some(receiver));
    fake.reply(POOL, move |headers| {
        let length = [(header::CONTENT_LENGTH, "10")];
        match receiver.lock().unwrap().take() {
            Some(receiver) => (length, piecewise(receiver)).into_response(),
            None => later(headers),
        }
    });
    sender
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_where_it_broke() {
    // With an index that can send ranges, and with one that cannot.
    for ranges in [true, false] {
        let fake = Fake::start().await;
        let file = fake.with(WHEEL, b"0123456789");
        let pieces = broken(&fake, move |headers: &HeaderMap| {
            assert_eq!(headers[header::RANGE], "bytes=4-");
            if ranges {
                let range = [(header::CONTENT_RANGE, "bytes 4-9/10")];
                return (http::StatusCode::PARTIAL_CONTENT, range, "456789").into_response();
            }
            "0123456789".into_response()
        });
        let server = Server::start(&memory().await, &fake.index()).await;
        let mut answer = server.get(&file).await;
        assert_eq!(piece(&mut answer).await, b"012");
        pieces.send(Err(std::io::Error::other("broken"))).unwrap();
        assert_eq!(bytes(answer).await, b"3456789");
        assert_eq!(fake.asked(POOL), 2);
    }
}

#[tokio::test]
async fn an_index_that_promises_more_than_it_sends_is_given_up() {
    let fake = Fake::start().await;
    let file = fake.with(WHEEL, b"0123456789");
    let pieces = broken(&fake, |_| {
        http::StatusCode::SERVICE_UNAVAILABLE.into_response()
    });
    let server = Server::start(&memory().await, &fake.index()).await;
    let mut answer = server.get(&file).await;
    assert_eq!(piece(&mut answer).await, b"012");
    pieces.send(Err(std::io::Error::other("broken"))).unwrap();
    aborted(answer).await;
    assert_eq!(fake.asked(POOL), 3);
}
