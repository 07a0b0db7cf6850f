//! Where a store is.

use std::fmt;
use std::path::PathBuf;

use object_store::path::Path;

use crate::{StoreError, StoreErrorKind};

/// The address of a store, parsed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// A directory.
    Directory(PathBuf),
    /// Nowhere but in this process.
    Memory,
    /// A bucket or container of a service.
    Remote {
        service: Service,
        /// The address without the prefix: `s3://bucket`.
        bucket: String,
        /// What the names of all objects begin with.
        prefix: Path,
    },
}

/// A kind of object store that is reached over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Service {
    /// Amazon S3 and what speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Google,
    /// Azure Blob Storage.
    Azure,
}

impl Address {
    /// Parses a path, `file://` with a path, `memory:`, or `s3://`, `gs://` or `az://` with a bucket and a prefix.
    pub(crate) fn parse(text: &str) -> Result<Self, StoreError> {
        let bad = |detail: &str| StoreError::new(StoreErrorKind::Address, text, detail);
        if text.is_empty() {
            return Err(bad("an address cannot be empty"));
        }
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Ok(Self::Directory(PathBuf::from(text)));
        };
        let service = match scheme {
            "file" if rest.starts_with('/') => return Ok(Self::Directory(PathBuf::from(rest))),
            "file" => return Err(bad("a path behind `file://` begins with a slash")),
            "s3" => Service::S3,
            "gs" => Service::Google,
            "az" => Service::Azure,
            "http" | "https" => {
                return Err(bad(
                    "give `s3://bucket/prefix`, and the server's address in AWS_ENDPOINT_URL",
                ));
            }
            _ => {
                return Err(bad(
                    "give a directory, or `s3://`, `gs://` or `az://` with a bucket and a prefix",
                ));
            }
        };
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if bucket.is_empty() || !bucket.bytes().all(plain) {
            return Err(bad(
                "a bucket's name has letters, digits, dots, dashes and underscores; neither user nor port",
            ));
        }
        // An empty segment, `.` and `..` mean other things to other tools.
        let prefix = Path::parse(prefix.trim_end_matches('/'))
            .map_err(|error| bad(&format!("its prefix is no path of an object: {error}")))?;
        Ok(Self::Remote {
            service,
            bucket: format!("{scheme}://{bucket}"),
            prefix,
        })
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::S3 => "S3",
            Self::Google => "Google Cloud Storage",
            Self::Azure => "Azure Blob Storage",
        })
    }
}

impl Service {
    /// Where its credentials are read from, for who has given none.
    pub(crate) fn credentials_hint(self) -> &'static str {
        match self {
            Self::S3 => {
                "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and AWS_ENDPOINT_URL for a server that is not Amazon's"
            }
            Self::Google => "name a service account's key file in GOOGLE_APPLICATION_CREDENTIALS",
            Self::Azure => "set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_buckets() {
        let remote = |service, bucket: &str, prefix: &str| Address::Remote {
            service,
            bucket: bucket.to_owned(),
            prefix: Path::from(prefix),
        };
        let cases = [
            ("a/b", Address::Directory("a/b".into())),
            ("/a", Address::Directory("/a".into())),
            ("file:///a", Address::Directory("/a".into())),
            ("memory:", Address::Memory),
            ("s3://wheels", remote(Service::S3, "s3://wheels", "")),
            ("s3://b/a/b/", remote(Service::S3, "s3://b", "a/b")),
            ("gs://b/a", remote(Service::Google, "gs://b", "a")),
            ("az://b/a", remote(Service::Azure, "az://b", "a")),
        ];
        for (text, address) in cases {
            assert_eq!(Address::parse(text).unwrap(), address, "{text}");
        }
        for text in [
            "",
            "s3://",
            "s3:///a",
            "s3://user:secret@b",
            "s3://b/a//b",
            "s3://b/../c",
            "https://b",
            "ftp://b",
            "file://b",
        ] {
            let error = Address::parse(text).unwrap_err();
            assert_eq!(error.kind(), StoreErrorKind::Address, "{text}");
        }
    }
}
