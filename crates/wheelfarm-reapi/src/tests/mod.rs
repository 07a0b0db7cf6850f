//! The client against a server in the process.

mod connection;
mod execution;
mod hostile;
mod outages;
mod storage;
mod transfers;
mod trees;

use std::sync::Mutex;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::fake::{Fake, Options};
use crate::{BlobDigest, Client, Content, Error, ExecuteOptions, Executed, Progress, Uploaded};

/// A server with everything usual, and a client of it.
async fn connected(options: Options) -> (Fake, Client) {
    let fake = Fake::start(options);
    let client = Client::connect(fake.settings()).await.unwrap();
    (fake, client)
}

/// Content that does not compress, the same for a seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        // xorshift64* (Vigna 2016).
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Content that compresses well.
fn text(length: usize) -> Vec<u8> {
    (0u32..)
        .flat_map(|number| format!("line {number}\n").into_bytes())
        .take(length)
        .collect()
}

fn given(content: Vec<u8>) -> (BlobDigest, Content) {
    (BlobDigest::of(&content), Content::Given(content.into()))
}

/// Uploads and returns what was told on the way.
async fn upload(client: &Client, blobs: Vec<(BlobDigest, Content)>) -> (Uploaded, Vec<Uploaded>) {
    let told = Mutex::new(Vec::new());
    let uploaded = client
        .upload(blobs, &|uploaded| told.lock().unwrap().push(uploaded))
        .await
        .unwrap();
    (uploaded, told.into_inner().unwrap())
}

/// Options that let nothing pass before its time in a test.
fn patient() -> ExecuteOptions {
    ExecuteOptions {
        skip_cache_lookup: false,
        priority: 0,
        deadline_in_queue: Duration::from_secs(60),
        deadline: Duration::from_secs(120),
    }
}

/// Executes an action and returns what was told on the way.
async fn execute(
    client: &Client,
    action: &BlobDigest,
    options: &ExecuteOptions,
) -> (Result<Executed, Error>, Vec<Progress>) {
    let told = Mutex::new(Vec::new());
    let outcome = client
        .execute(
            action,
            options,
            &|progress| told.lock().unwrap().push(progress),
            &CancellationToken::new(),
        )
        .await;
    (outcome, told.into_inner().unwrap())
}

/// Waits until something holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(tokio::time::Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn calls_can_be_made_from_any_thread() {
    fn is_send<T: Send>(value: T) -> T {
        value
    }
    let (fake, client) = connected(Options::default()).await;
    let (action, options, cancel) = (
        BlobDigest::of("action"),
        patient(),
        CancellationToken::new(),
    );
    drop(is_send(client.execute(&action, &options, &|_| {}, &cancel)));
    drop(is_send(client.upload(Vec::new(), &|_| {})));
    drop(is_send(client.find_missing(&[])));
    drop(is_send(client.read_all(&[], 0)));
    drop(is_send(client.cached(&action)));
    drop(is_send(Client::connect(fake.settings())));
}
