//! Reading which blobs a server misses out of its refusal.

use prost::Message;
use tonic::Code;

use crate::digest::BlobDigest;
use crate::error::{Error, ErrorKind, error, hinted};

/// More than this many missing blobs of one refusal are not kept.
const MOST: usize = 100_000;

/// `google.rpc.PreconditionFailure` (`error_details.proto`); REAPI says in `Execute` how it is filled.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct PreconditionFailure {
    /// What does not hold.
    #[prost(message, repeated, tag = "1")]
    pub(crate) violations: Vec<Violation>,
}

/// One condition that does not hold.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Violation {
    /// `MISSING` for blobs.
    #[prost(string, tag = "1")]
    pub(crate) kind: String,
    /// `blobs/{hash}/{size}`.
    #[prost(string, tag = "2")]
    pub(crate) subject: String,
    /// For people.
    #[prost(string, tag = "3")]
    pub(crate) description: String,
}

/// The error that `NOT_FOUND` or `FAILED_PRECONDITION` with these details is. `details` is an encoded
/// `google.rpc.Status`, as gRPC sends it beside a status.
pub(crate) fn meaning(code: Code, text: &str, details: &[u8], message: String) -> Error {
    let details = bazel_remote_apis::google::rpc::Status::decode(details)
        .map(|status| status.details)
        .unwrap_or_default();
    of_details(code, text, &details, message)
}

/// The same for details that came in an `ExecuteResponse`.
pub(crate) fn of_details(
    code: Code,
    text: &str,
    details: &[bazel_remote_apis::google::protobuf::Any],
    message: String,
) -> Error {
    let mut missing = Vec::new();
    let mut claims_missing = false;
    for detail in details {
        if !detail.type_url.ends_with("google.rpc.PreconditionFailure") {
            continue;
        }
        let Ok(failure) = PreconditionFailure::decode(detail.value.as_slice()) else {
            continue;
        };
        for violation in failure.violations.iter().take(MOST) {
            if violation.kind == "MISSING" {
                claims_missing = true;
                missing.extend(in_text(&violation.subject));
            }
        }
    }
    // buildbox answers NOT_FOUND for a blob that is gone, and names it in a sentence.
    if code == Code::NotFound {
        claims_missing = true;
        if missing.is_empty() {
            missing = in_text(text).collect();
        }
    }
    missing.truncate(MOST);
    missing.sort_unstable();
    missing.dedup();
    if claims_missing {
        hinted(
            ErrorKind::MissingBlobs(missing),
            message,
            "Blobs may have expired: a second upload sends what is missing.",
        )
    } else {
        error(ErrorKind::Refused, message)
    }
}

/// All digests of blobs in a text.
fn in_text(text: &str) -> impl Iterator<Item = BlobDigest> {
    // Cut at everything that is neither part of a digest nor the slash in it.
    text.split(|character: char| !character.is_ascii_hexdigit() && character != '/')
        .filter_map(|word| {
            let mut parts = word.trim_matches('/').rsplit('/');
            let (size, hash) = (parts.next()?, parts.next()?);
            format!("{hash}/{size}").parse().ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_digests_in_sentences() {
        let digest = BlobDigest::of("abc");
        for text in [
            format!("blobs/{digest}"),
            format!("Error fetching digest {digest}: not found"),
            format!("instance \"\", missing [{digest}]"),
        ] {
            assert_eq!(in_text(&text).collect::<Vec<_>>(), [digest], "{text}");
        }
        assert_eq!(in_text("nothing / here //// 1/2").count(), 0);
    }

    #[test]
    fn details_that_are_no_message_are_ignored() {
        let error = meaning(Code::FailedPrecondition, "no", &[0xff; 40], "no".to_owned());
        assert_eq!(error.kind, ErrorKind::Refused);
    }
}
