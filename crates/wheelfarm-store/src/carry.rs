//! Carrying a store, or a part of it, to another place as one tar file.

use std::collections::HashSet;
use std::io::{self, Read, Write};

use futures::TryStreamExt;
use object_store::path::Path;
use wheelfarm_types::{Digest, Hasher};

use crate::progress::{Part, Progress};
use crate::references::digests_in;
use crate::store::blob_path;
use crate::{Amount, Created, Store, StoreError, StoreErrorKind};

/// What is carried, in the order of the archive: blobs first, so that what names them finds them, and the log last.
const CARRIED: [&str; 4] = ["blobs", "records", "series", "logs"];
/// Objects that are not blobs are not larger.
const MAX_RECORD: u64 = 64 << 20;
/// Bytes copied at once.
const CHUNK: usize = 1 << 20;

/// What [`Store::import`] did.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Imported {
    /// Objects that are new.
    pub added: Amount,
    /// Objects that were there.
    pub there: Amount,
    /// Records that were there and say something else: they were left as they are.
    pub other: Vec<String>,
}

impl Store {
    /// Writes a tar file with everything; or with the blobs `only`, the records that name them and the blobs that
    /// these name, without the log.
    ///
    /// A blob whose bytes are not its digest's ends it with an error.
    pub async fn export(
        &self,
        out: &mut (dyn Write + Send),
        only: Option<&HashSet<Digest>>,
    ) -> Result<Amount, StoreError> {
        let mut records = HashSet::new();
        let mut blobs = only.cloned().unwrap_or_default();
        self.begin(Part::List, None);
        if let Some(only) = only {
            let metas = [self.list("records").await?, self.list("series").await?].concat();
            self.begin(Part::Records, Some(Amount::of(&metas)));
            for meta in metas {
                let bytes = self.read(&meta.location).await?.unwrap_or_default();
                self.tell(Progress::Bytes(meta.size));
                self.tell(Progress::Object);
                let named = digests_in(&bytes);
                if named.iter().any(|digest| only.contains(digest)) {
                    blobs.extend(named);
                    records.insert(meta.location);
                }
            }
        }
        let mut carried = Vec::new();
        for kind in CARRIED {
            let mut objects = self.list(kind).await?;
            objects.sort_by(|a, b| a.location.cmp(&b.location));
            objects.retain(|meta| match blob_digest(meta.location.as_ref()) {
                _ if only.is_none() => true,
                Some(digest) => blobs.contains(&digest),
                None => records.contains(&meta.location),
            });
            carried.extend(objects);
        }
        let amount = Amount::of(&carried);
        self.begin(Part::Write, Some(amount));
        for meta in carried {
            let digest = blob_digest(meta.location.as_ref());
            self.write_member(out, &meta.location, meta.size, digest)
                .await?;
            self.tell(Progress::Object);
        }
        let end = [0; 1024];
        out.write_all(&end)
            .and_then(|()| out.flush())
            .map_err(|error| StoreError::from_io(&error, "the archive"))?;
        Ok(amount)
    }

    async fn write_member(
        &self,
        out: &mut (dyn Write + Send),
        path: &Path,
        size: u64,
        digest: Option<Digest>,
    ) -> Result<(), StoreError> {
        let written = |error: io::Error| StoreError::from_io(&error, path.as_ref());
        let mut header = tar::Header::new_ustar();
        header.set_path(path.as_ref()).map_err(written)?;
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_cksum();
        out.write_all(header.as_bytes()).map_err(written)?;
        let mut length = 0;
        let mut chunks = match digest {
            Some(digest) => self.whole(&digest).await?.into_stream(),
            None => self.chunks(path).await?,
        };
        while let Some(chunk) = chunks.try_next().await? {
            length += chunk.len() as u64;
            self.tell(Progress::Bytes(chunk.len() as u64));
            out.write_all(&chunk).map_err(written)?;
        }
        if length != size {
            let detail = format!("it had {size} bytes when it was listed, and has {length} now");
            return Err(StoreError::new(
                StoreErrorKind::Corrupt,
                path.as_ref(),
                detail,
            ));
        }
        let padding = usize::try_from((512 - size % 512) % 512).unwrap_or_default();
        out.write_all(&vec![0; padding]).map_err(written)
    }

    /// Reads a tar file that [`Store::export`] has written. Every digest is checked, and nothing is overwritten. An
    /// archive with a log is taken only where the log has the same entries as far as both go: two logs are no order.
    pub async fn import(&self, archive: impl Read) -> Result<Imported, StoreError> {
        let broken =
            |detail: String| StoreError::new(StoreErrorKind::Corrupt, "the archive", detail);
        let mut imported = Imported::default();
        self.begin(Part::Take, None);
        let mut archive = tar::Archive::new(archive);
        let members = archive
            .entries()
            .map_err(|error| broken(error.to_string()))?;
        for member in members {
            let mut member = member.map_err(|error| broken(error.to_string()))?;
            let size = member.size();
            let name = member
                .path()
                .ok()
                .and_then(|path| path.to_str().map(str::to_owned))
                .filter(|_| member.header().entry_type().is_file())
                .ok_or_else(|| broken("it has a member that is no object".to_owned()))?;
            let path = Path::parse(&name).map_err(|error| broken(error.to_string()))?;
            let first = name.split('/').next().unwrap_or_default();
            let created = if let Some(digest) = blob_digest(&name) {
                self.import_blob(&mut member, &digest).await?
            } else if CARRIED.contains(&first) && first != "blobs" && size <= MAX_RECORD {
                let mut bytes = Vec::new();
                member
                    .read_to_end(&mut bytes)
                    .map_err(|error| broken(error.to_string()))?;
                serde_json::from_slice::<serde::de::IgnoredAny>(&bytes)
                    .map_err(|error| broken(format!("`{name}`: {error}")))?;
                self.tell(Progress::Bytes(size));
                let created = self.create(&path, bytes.clone().into()).await?;
                if created == Created::Existed
                    && self.read(&path).await?.is_some_and(|there| there != bytes)
                {
                    if first == "logs" {
                        return Err(broken(format!(
                            "`{name}` says something else than the store's: what two indexes have published cannot be made one; publish the wheels instead"
                        )));
                    }
                    imported.other.push(name);
                }
                created
            } else {
                return Err(broken(format!("`{name}` is no object of a store")));
            };
            let amount = match created {
                Created::New => &mut imported.added,
                Created::Existed => &mut imported.there,
            };
            amount.objects += 1;
            amount.bytes += size;
            self.tell(Progress::Object);
        }
        Ok(imported)
    }

    async fn import_blob(
        &self,
        member: &mut impl Read,
        digest: &Digest,
    ) -> Result<Created, StoreError> {
        let path = blob_path(digest);
        let failed = |error: io::Error| StoreError::from_io(&error, path.as_ref());
        let mut spool = self.spool()?;
        let mut hasher = Hasher::default();
        let mut chunk = vec![0; CHUNK];
        loop {
            let length = member.read(&mut chunk).map_err(failed)?;
            let bytes = chunk.get(..length).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            hasher.update(bytes);
            self.tell(Progress::Bytes(length as u64));
            spool.write_all(bytes).map_err(failed)?;
        }
        if hasher.finish() != *digest {
            let detail = "its bytes in the archive are not what its name says";
            return Err(StoreError::new(
                StoreErrorKind::Corrupt,
                path.as_ref(),
                detail,
            ));
        }
        self.put_spooled(spool, digest).await
    }
}

/// The digest of the blob at `path`, if that is the path of one.
pub(crate) fn blob_digest(path: &str) -> Option<Digest> {
    let digest = path.rsplit_once('/')?.1.parse().ok()?;
    (blob_path(&digest).as_ref() == path).then_some(digest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn a_store_is_carried_whole_or_in_part() {
        let from = Store::open("memory:").await.unwrap();
        let wheel = from.put(vec![7; 3_000_000].into()).await.unwrap();
        let other = from.put("other".into()).await.unwrap();
        let (one, two) = (Digest::of("one"), Digest::of("two"));
        from.create_record("raw", &one, &json!({"wheel": wheel}))
            .await
            .unwrap();
        from.create_record("raw", &two, &json!({"wheel": other}))
            .await
            .unwrap();
        from.log("index").append(1, &json!({"a": 1})).await.unwrap();

        let mut part = Vec::new();
        let sent = from.export(&mut part, Some(&[wheel].into())).await.unwrap();
        assert_eq!(sent.objects, 2);
        let to = Store::open("memory:").await.unwrap();
        let got = to.import(part.as_slice()).await.unwrap();
        assert_eq!((got.added, got.there.objects), (sent, 0));
        assert_eq!(to.records("raw").await.unwrap(), [one]);
        assert_eq!(to.size(&wheel).await.unwrap(), 3_000_000);
        assert!(!to.contains(&other).await.unwrap());

        let mut whole = Vec::new();
        let sent = from.export(&mut whole, None).await.unwrap();
        assert_eq!(sent.objects, 5);
        let got = to.import(whole.as_slice()).await.unwrap();
        assert_eq!((got.added.objects, got.there.objects), (3, 2));
        assert!(to.log("index").has(1).await.unwrap());
        // A store that has published something else is left alone.
        let third = Store::open("memory:").await.unwrap();
        third
            .log("index")
            .append(1, &json!({"b": 1}))
            .await
            .unwrap();
        let error = third.import(whole.as_slice()).await.unwrap_err();
        assert!(error.to_string().contains("publish"), "{error}");
    }

    #[tokio::test]
    async fn what_is_not_as_its_name_says_is_refused() {
        let archive = |name: &str, bytes: &[u8]| {
            let mut builder = tar::Builder::new(Vec::new());
            let mut header = tar::Header::new_ustar();
            header.set_size(bytes.len() as u64);
            builder.append_data(&mut header, name, bytes).unwrap();
            builder.into_inner().unwrap()
        };
        let digest = Digest::of("right");
        let blob = blob_path(&digest);
        let store = Store::open("memory:").await.unwrap();
        for (name, bytes) in [
            (blob.as_ref(), "wrong"),
            ("blobs/sha256/ab/short", "x"),
            ("records/a/b.json", "no json"),
            ("wheelfarm-store.json", "{}"),
            ("elsewhere/x", "{}"),
        ] {
            let error = store
                .import(archive(name, bytes.as_bytes()).as_slice())
                .await;
            assert_eq!(error.unwrap_err().kind(), StoreErrorKind::Corrupt, "{name}");
        }
        assert!(store.objects_below("").await.unwrap().len() == 1);
        store
            .import(archive(blob.as_ref(), b"right").as_slice())
            .await
            .unwrap();
        assert_eq!(store.get(&digest).await.unwrap(), "right");
    }
}
