//! A server on a port, and clients that behave in all ways.

mod direct;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use chrono::DateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wheelfarm_store::Store;

use crate::registry::testing::publish;
use crate::registry::{Channel, PublishedFile, Registry};
use crate::{App, Settings, Timeouts};

const WHEEL: &str = "x-1.0-py3-none-any.whl";
const MIB: usize = 1 << 20;

struct Served {
    app: Arc<App>,
    address: SocketAddr,
    stop: CancellationToken,
    ended: JoinHandle<()>,
    _directory: tempfile::TempDir,
}

/// Limits that are met soon.
fn impatient() -> Settings {
    let mut settings = Settings {
        timeouts: Timeouts {
            head: Duration::from_millis(150),
            idle: Duration::from_millis(600),
            stalled: Duration::from_millis(300),
            shutdown: Duration::from_secs(20),
        },
        ..Settings::default()
    };
    settings.limits.connections = 200;
    settings
}

async fn serve(settings: Settings) -> Served {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path().to_str().unwrap()).await;
    let registry = Registry::open(store.unwrap()).await.unwrap();
    let clock = Arc::new(|| DateTime::UNIX_EPOCH);
    let app = App::new(registry, settings, None, clock).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = app.clone().router().merge(extra());
    let stop = CancellationToken::new();
    let stopped = stop.clone().cancelled_owned();
    let ended = tokio::spawn(app.clone().serve_with(router, listener, None, stopped));
    Served {
        app,
        address,
        stop,
        ended,
        _directory: directory,
    }
}

/// Addresses that do what others must not.
fn extra() -> Router {
    #[expect(clippy::panic, reason = "this is what is tested")]
    async fn panics() {
        panic!("a bug");
    }
    Router::new()
        .route("/test/panic", get(panics))
        .route(
            "/test/length",
            post(async |body: Bytes| body.len().to_string()),
        )
        .route("/test/refuse", post(async || "refused"))
}

impl Served {
    /// Publishes a wheel of so many bytes, each different from its neighbours.
    async fn wheel(&self, size: usize) -> (PublishedFile, &'static [u8]) {
        let bytes: Vec<u8> = (0..size as u64)
            .map(|i| (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 56) as u8)
            .collect();
        let bytes: &[u8] = Vec::leak(bytes);
        let channel = Channel::main();
        let file = publish(&self.app.registry, &channel, WHEEL, bytes).await;
        (file, bytes)
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One request on a connection of its own: head and body of the answer.
    async fn ask(&self, request: &str) -> (String, Vec<u8>) {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        answer(&mut stream).await
    }

    async fn is_fine(&self) {
        let (head, _) = self.ask("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }

    fn slow(&self, with: &'static str) -> bool {
        self.metric(&format!(
            "wheelfarm_http_slow_connections_total{{outcome=\"{with}\"}}"
        )) > 0
    }

    fn metric(&self, name: &str) -> u64 {
        let text = self.app.metrics.text(&self.app);
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.map_or(0, |value| value.trim().parse().unwrap())
    }
}

/// Reads one answer with a `Content-Length`.
async fn answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}

/// Whether the server closes the connection, in time.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
    read.is_ok()
}

fn download(file: &PublishedFile, headers: &str) -> String {
    let (digest, name) = (file.blob, &file.filename);
    format!("GET /files/{digest}/{name} HTTP/1.1\r\nHost: x\r\n{headers}\r\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_all_sizes_come_as_they_are() {
    for size in [
        1,
        16 << 10,
        (16 << 10) + 1,
        MIB - 1,
        MIB,
        MIB + 1,
        5 * MIB + 7,
    ] {
        let served = serve(Settings::default()).await;
        let (file, bytes) = served.wheel(size).await;
        let mut stream = served.connect().await;
        // On one connection, one after the other and then all at once.
        for _ in 0..2 {
            stream
                .write_all(download(&file, "").as_bytes())
                .await
                .unwrap();
            assert!(answer(&mut stream).await.1 == bytes, "{size}");
        }
        let (first, last) = (size / 3, size - size / 4 - 1);
        let part = download(&file, &format!("Range: bytes={first}-{last}\r\n"));
        let head = download(&file, "").replacen("GET", "HEAD", 1);
        let all = [&download(&file, ""), &part, &head, &download(&file, "")];
        let all: String = all.into_iter().map(String::as_str).collect();
        stream.write_all(all.as_bytes()).await.unwrap();
        assert!(answer(&mut stream).await.1 == bytes, "{size}");
        assert!(answer(&mut stream).await.1 == bytes[first..=last], "{size}");
        let mut ends = Vec::new();
        while !ends.ends_with(b"\r\n\r\n") {
            ends.push(stream.read_u8().await.unwrap());
        }
        assert!(answer(&mut stream).await.1 == bytes, "{size}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_becomes_shorter_ends_its_connection_only() {
    let served = serve(impatient()).await;
    let (file, bytes) = served.wheel(64 * MIB).await;
    let mut stream = served.connect().await;
    stream
        .write_all(download(&file, "").as_bytes())
        .await
        .unwrap();
    stream.read_u8().await.unwrap();
    let path = served.app.registry.store().locate(&file.blob);
    let whole = fs_err::OpenOptions::new().write(true).open(path).unwrap();
    whole.set_len(1).unwrap();
    let mut rest = Vec::new();
    // Either the end or a reset: but not as many bytes as were promised.
    stream.read_to_end(&mut rest).await.ok();
    assert!(rest.len() < bytes.len());
    served.is_fine().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_never_ends_a_head_is_cut_off_and_others_are_served() {
    let served = serve(impatient()).await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut stream = served.connect().await;
        stream.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
        slow.push(stream);
    }
    served.is_fine().await;
    for stream in &mut slow {
        assert!(is_closed(stream).await);
    }
    assert!(served.slow("head"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_byte_at_a_time_is_too_slow_for_a_head() {
    let served = serve(impatient()).await;
    let stream = served.connect().await;
    let (mut read, mut write) = stream.into_split();
    let drip = tokio::spawn(async move {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(10), read.read_to_end(&mut rest));
    assert!(closed.await.is_ok());
    drip.abort();
    assert!(served.slow("head"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_reading_is_cut_off() {
    let served = serve(impatient()).await;
    let (file, _) = served.wheel(64 * MIB).await;
    let mut stream = served.connect().await;
    stream
        .write_all(download(&file, "").as_bytes())
        .await
        .unwrap();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while !served.slow("body") {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    served.is_fine().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_sending_is_cut_off_and_who_is_slow_is_not() {
    let served = serve(impatient()).await;
    let head = "POST /test/length HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n";
    let mut still = served.connect().await;
    still.write_all(head.as_bytes()).await.unwrap();
    still.write_all(b"some").await.unwrap();
    // 100 KB in a second, three times as long as a body may stand still.
    let mut slow = served.connect().await;
    slow.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..20 {
        slow.write_all(&[b'x'; 5000]).await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(answer(&mut slow).await.1, b"100000");
    assert!(is_closed(&mut still).await);
    assert!(served.slow("body"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_says_nothing_more_is_closed() {
    let served = serve(impatient()).await;
    let mut stream = served.connect().await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    answer(&mut stream).await;
    assert!(is_closed(&mut stream).await);
    assert!(served.slow("idle"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_nothing_more_to_say_still_gets_the_answer() {
    let served = serve(impatient()).await;
    let (file, bytes) = served.wheel(3 * MIB).await;
    let mut stream = served.connect().await;
    stream
        .write_all(download(&file, "").as_bytes())
        .await
        .unwrap();
    stream.shutdown().await.unwrap();
    assert!(answer(&mut stream).await.1 == bytes);
    assert!(is_closed(&mut stream).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_wait_make_place_for_others() {
    let mut settings = Settings::default();
    settings.limits.connections = 3;
    let served = serve(settings).await;
    let mut quiet = Vec::new();
    for _ in 0..3 {
        let mut stream = served.connect().await;
        let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
        stream.write_all(request).await.unwrap();
        answer(&mut stream).await;
        quiet.push(stream);
    }
    assert_eq!(served.metric("wheelfarm_http_connections"), 3);
    let fine = tokio::time::timeout(Duration::from_secs(10), served.is_fine());
    fine.await.unwrap();
    for stream in &mut quiet {
        assert!(is_closed(stream).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bug_costs_one_answer() {
    let served = serve(impatient()).await;
    let mut stream = served.connect().await;
    let request = "GET /test/panic HTTP/1.1\r\nHost: x\r\nX-Request-Id: abc-1\r\n\r\n";
    for _ in 0..2 {
        stream.write_all(request.as_bytes()).await.unwrap();
        let (head, body) = answer(&mut stream).await;
        assert!(head.starts_with("HTTP/1.1 500"), "{head}");
        assert!(head.contains("x-request-id: abc-1"), "{head}");
        assert!(String::from_utf8(body).unwrap().contains("abc-1"));
    }
    assert_eq!(served.metric("wheelfarm_panics_total"), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_refused_can_send_everything_and_then_see_why() {
    let served = serve(impatient()).await;
    let mut stream = served.connect().await;
    let head = "POST /test/refuse HTTP/1.1\r\nHost: x\r\nContent-Length: 33554432\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![b'x'; MIB];
    for _ in 0..32 {
        stream.write_all(&piece).await.unwrap();
    }
    assert_eq!(answer(&mut stream).await.1, b"refused");
    // The connection is as good as new.
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.unwrap();
    assert_eq!(answer(&mut stream).await.1, b"ok\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_has_a_limit() {
    let served = serve(impatient()).await;
    let mut stream = served.connect().await;
    let head = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nX-Long: {}\r\n\r\n",
        "x".repeat(MIB)
    );
    // The server may close before it has taken all of it.
    stream.write_all(head.as_bytes()).await.ok();
    let mut answered = [0; 12];
    if stream.read_exact(&mut answered).await.is_ok() {
        assert_eq!(&answered, b"HTTP/1.1 431");
    }
    served.is_fine().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_the_server_lets_downloads_end() {
    let served = serve(Settings::default()).await;
    let (file, bytes) = served.wheel(32 * MIB).await;
    let mut stream = served.connect().await;
    stream
        .write_all(download(&file, "").as_bytes())
        .await
        .unwrap();
    let mut quiet = served.connect().await;
    stream.readable().await.unwrap();
    served.stop.cancel();
    assert!(is_closed(&mut quiet).await);
    // Nobody new is let in.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(served.address).await.is_ok() {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!served.ended.is_finished());
    assert!(answer(&mut stream).await.1 == bytes);
    served.ended.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_does_not_move_does_not_keep_the_server() {
    let mut settings = Settings::default();
    settings.timeouts.shutdown = Duration::from_millis(200);
    let served = serve(settings).await;
    let (file, _) = served.wheel(32 * MIB).await;
    let mut stream = served.connect().await;
    stream
        .write_all(download(&file, "").as_bytes())
        .await
        .unwrap();
    stream.readable().await.unwrap();
    served.stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(10), served.ended);
    ended.await.unwrap().unwrap();
}
