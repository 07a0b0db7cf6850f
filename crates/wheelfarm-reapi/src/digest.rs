//! What content is called: its SHA-256 digest and its size.

use std::fmt;
use std::str::FromStr;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use wheelfarm_types::Digest;

/// Digest and size of a blob, which is how REAPI names content (`Digest` in `remote_execution.proto`).
///
/// Prints as `<64 hexadecimal digits>/<bytes>`, and parses that.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlobDigest {
    /// SHA-256 of the content.
    pub hash: Digest,
    /// Length of the content, in bytes.
    pub size: u64,
}

/// Something that is no digest of a blob.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the digest of a blob (`<SHA-256>/<bytes>`)")]
pub struct BlobDigestError(String);

impl BlobDigest {
    /// The digest of `content`.
    pub fn of(content: impl AsRef<[u8]>) -> Self {
        let content = content.as_ref();
        Self {
            hash: Digest::of(content),
            size: u64::try_from(content.len()).unwrap_or(u64::MAX),
        }
    }
}

impl fmt::Display for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.hash, self.size)
    }
}

impl fmt::Debug for BlobDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for BlobDigest {
    type Err = BlobDigestError;

    fn from_str(text: &str) -> Result<Self, BlobDigestError> {
        let error = || BlobDigestError(text.chars().take(120).collect());
        let (hash, size) = text.split_once('/').ok_or_else(error)?;
        if size.is_empty() || !size.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(error());
        }
        Ok(Self {
            hash: hash.parse().map_err(|_| error())?,
            size: size.parse().map_err(|_| error())?,
        })
    }
}

impl From<BlobDigest> for proto::Digest {
    fn from(digest: BlobDigest) -> Self {
        Self {
            hash: digest.hash.to_string(),
            size_bytes: i64::try_from(digest.size).unwrap_or(i64::MAX),
        }
    }
}

impl TryFrom<&proto::Digest> for BlobDigest {
    type Error = BlobDigestError;

    fn try_from(digest: &proto::Digest) -> Result<Self, BlobDigestError> {
        let error = || {
            let hash: String = digest.hash.chars().take(80).collect();
            BlobDigestError(format!("{hash}/{}", digest.size_bytes))
        };
        Ok(Self {
            hash: digest.hash.parse().map_err(|_| error())?,
            size: u64::try_from(digest.size_bytes).map_err(|_| error())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_parses() {
        let digest = BlobDigest::of("abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad/3"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(
            BlobDigest::try_from(&proto::Digest::from(digest)),
            Ok(digest)
        );
    }

    #[test]
    fn refuses_what_a_server_should_not_have_said() {
        let hash = "ab".repeat(32);
        for bad in [
            "",
            "/",
            &hash,
            &format!("{hash}/"),
            &format!("{hash}/-1"),
            &format!("{hash}/+1"),
            &format!("{hash}/99999999999999999999999"),
            &format!("{hash}/1/2"),
            "abc/3",
        ] {
            assert!(bad.parse::<BlobDigest>().is_err(), "{bad}");
        }
        let negative = proto::Digest {
            hash,
            size_bytes: -1,
        };
        assert!(BlobDigest::try_from(&negative).is_err());
    }
}
