//! The client against a server in the process.

mod storage;

use std::sync::Mutex;

use crate::fake::{Fake, Options};
use crate::{BlobDigest, Client, Content, Uploaded};

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
