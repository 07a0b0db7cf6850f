//! Trees of files in the cluster's storage, and whether they still are: storage forgets what was not used for long.

use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::time::sleep_until;
use wheelfarm_reapi::{BlobDigest, Client, Error, Tree};

/// So long ago may be when a tree was last seen whole, for an action to begin. Being asked for counts as use, so storage
/// would have to forget what was used a moment ago.
const FRESH: Duration = Duration::from_secs(60);

/// How long nobody asks after an answer, in times of what the question took: all who want to know meanwhile are answered
/// together. Results wait for that, workers do not, and storage has time for other things.
const PAUSE: u32 = 3;
/// And no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A tree, with what has to be in storage for it.
#[derive(Debug)]
pub(super) struct KeptTree {
    pub(super) tree: Tree,
    blobs: Vec<BlobDigest>,
    asked: Mutex<Asked>,
}

/// What was asked last.
#[derive(Debug, Default)]
struct Asked {
    /// When the tree was last asked for and was whole.
    whole: Option<Instant>,
    /// When the next one may ask.
    next: Option<Instant>,
}

impl KeptTree {
    pub(super) fn new(tree: Tree) -> Result<Self, Error> {
        Ok(Self {
            blobs: tree.blobs()?,
            tree,
            asked: Mutex::default(),
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
        let mut asked = self.asked.lock().await;
        if asked.whole.is_some_and(|whole| whole >= since) {
            return Ok(Vec::new());
        }
        // Those who come meanwhile wait for the lock, and have the answer with it.
        if let Some(next) = asked.next {
            sleep_until(next.into()).await;
        }
        let start = Instant::now();
        let missing = client.find_missing(&self.blobs).await?;
        let now = Instant::now();
        let pause = now.duration_since(start).saturating_mul(PAUSE);
        *asked = Asked {
            whole: missing.is_empty().then_some(start),
            next: now.checked_add(pause.min(LONGEST_PAUSE)),
        };
        Ok(missing)
    }
}

#[cfg(test)]
mod tests {
    use futures::future::{join_all, try_join_all};
    use wheelfarm_reapi::fake::{Fake, Options};
    use wheelfarm_reapi::{Content, TreeBuilder};

    use super::*;

    async fn kept(client: &Client) -> KeptTree {
        let mut builder = TreeBuilder::new();
        let file = BlobDigest::of("content");
        builder.file("etc/file", file, false).unwrap();
        let tree = builder.finish().unwrap();
        let directories = tree.directories.clone().into_iter();
        let blobs = directories.map(|(digest, bytes)| (digest, Content::Given(bytes)));
        let blobs = blobs.chain([(file, Content::Given("content".into()))]);
        client.upload(blobs.collect(), &|_| {}).await.unwrap();
        KeptTree::new(tree).unwrap()
    }

    #[tokio::test]
    async fn many_who_ask_at_a_time_are_answered_together() {
        let fake = Fake::start(Options::default());
        let client = Client::connect(fake.settings()).await.unwrap();
        let kept = kept(&client).await;
        let before = fake.state().count("FindMissingBlobs");
        // The first one starts a pause, and the others are after it.
        kept.missing_since(&client, Instant::now()).await.unwrap();
        let since = Instant::now();
        let all = (0..50).map(|_| kept.missing_since(&client, since));
        for missing in try_join_all(all).await.unwrap() {
            assert_eq!(missing, []);
        }
        assert_eq!(fake.state().count("FindMissingBlobs"), before + 2);
    }

    #[tokio::test]
    async fn an_answer_of_before_is_none_for_who_asks_later() {
        let fake = Fake::start(Options::default());
        let client = Client::connect(fake.settings()).await.unwrap();
        let kept = kept(&client).await;
        kept.missing_since(&client, Instant::now()).await.unwrap();
        let lost = BlobDigest::of("content");
        fake.state().expire(&lost);
        // For an action to begin, one of a moment ago is enough.
        assert_eq!(kept.missing(&client).await.unwrap(), []);
        let now = Instant::now();
        let later = (0..3).map(|_| kept.missing_since(&client, now));
        for missing in join_all(later).await {
            assert_eq!(missing.unwrap(), [lost]);
        }
    }
}
