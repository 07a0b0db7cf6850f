//! Trees of files in the cluster's storage, and whether they still are: storage forgets what was not used for long.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use wheelfarm_reapi::{BlobDigest, Client, Error, Tree};

/// So long ago may be when a tree was last seen whole, for an action to begin. Being asked for counts as use, so storage
/// would have to forget what was used a moment ago.
const FRESH: Duration = Duration::from_secs(60);

/// A tree, with what has to be in storage for it.
#[derive(Debug)]
pub(super) struct KeptTree {
    pub(super) tree: Tree,
    blobs: Vec<BlobDigest>,
    /// When it was last asked for and was whole.
    whole: Mutex<Option<Instant>>,
}

impl KeptTree {
    pub(super) fn new(tree: Tree) -> Result<Self, Error> {
        Ok(Self {
            blobs: tree.blobs()?,
            tree,
            whole: Mutex::new(None),
        })
    }

    /// What storage lacks of it now, or lacked a moment ago.
    pub(super) async fn missing(&self, client: &Client) -> Result<Vec<BlobDigest>, Error> {
        let now = Instant::now();
        self.missing_since(client, now.checked_sub(FRESH).unwrap_or(now))
            .await
    }

    /// What storage lacks of it, asked at `since` or later. Many who ask at a time are answered together.
    pub(super) async fn missing_since(
        &self,
        client: &Client,
        since: Instant,
    ) -> Result<Vec<BlobDigest>, Error> {
        let mut whole = self.whole.lock().await;
        if whole.is_some_and(|whole| whole >= since) {
            return Ok(Vec::new());
        }
        let asked = Instant::now();
        let missing = client.find_missing(&self.blobs).await?;
        *whole = missing.is_empty().then_some(asked);
        Ok(missing)
    }
}
