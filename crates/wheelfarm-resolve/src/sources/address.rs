//! Archives at an address: downloaded, and remembered for a while where no hash says what they are.

use serde::{Deserialize, Serialize};
use wheelfarm_types::Digest;

use super::bring::Bring;
use super::git::without_credentials;
use crate::{ResolveError, ResolveErrorKind};

/// What was at an address; the series' number is the time, in seconds since 1970.
#[derive(Serialize, Deserialize)]
struct AddressRecord {
    sha256: Digest,
}

/// The archive at `url`, in the store: one of `hashes`, if there are any.
pub(super) async fn fetch(
    bring: &Bring<'_>,
    url: &str,
    hashes: &std::collections::BTreeSet<Digest>,
) -> Result<Digest, ResolveError> {
    for sha256 in hashes {
        if bring.store.contains(sha256).await? {
            return Ok(*sha256);
        }
    }
    let shown = without_credentials(url);
    let key = Digest::of(&shown);
    if hashes.is_empty()
        && let Some((time, AddressRecord { sha256 })) =
            bring.store.latest::<AddressRecord>("address", &key).await?
        && time >= bring.not_before
        && bring.store.contains(&sha256).await?
    {
        return Ok(sha256);
    }
    let bytes = bring.fetcher.download(url).await?;
    let sha256 = Digest::of(&bytes);
    if !hashes.is_empty() && !hashes.contains(&sha256) {
        return Err(ResolveError::new(
            ResolveErrorKind::HashMismatch,
            format!("`{shown}` has the sha256 {sha256}, which is not the one that is asked for"),
        )
        .hint("the file was changed after the hash was written, or on its way here; nothing of it was kept"));
    }
    bring.store.put(bytes).await?;
    bring
        .store
        .append("address", &key, bring.now, &AddressRecord { sha256 })
        .await?;
    Ok(sha256)
}
