//! What a server can do.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::build::bazel::semver::SemVer;
use proto::compressor::Value as Compressor;
use proto::digest_function::Value as DigestFunction;

use crate::error::{Error, ErrorKind, bounded, error, hinted};

/// The largest sum of blobs in one message, where servers allow more or do not say. A gRPC message has 4 MiB at most,
/// unless somebody configured it (`max_batch_total_size_bytes` in `remote_execution.proto`).
const LARGEST_BATCH: u64 = 4 << 20;
/// Names and digests beside the blobs of a batch.
const BATCH_FRAME: u64 = 64 << 10;

/// What the servers of a [`Client`](crate::Client) said of themselves (`GetCapabilities`).
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "servers have each of these or not, whatever else they have"
)]
pub struct Capabilities {
    /// How many bytes of blobs, with their digests, are sent in one message.
    pub batch_bytes: u64,
    /// The largest blob that the server keeps, in bytes, if it says so.
    pub max_blob_bytes: Option<u64>,
    /// Whether large blobs go compressed with zstd (RFC 8878) in both directions.
    pub zstd: bool,
    /// Whether small ones do, on the way to the server.
    pub zstd_batches: bool,
    /// Whether actions are executed.
    pub execution: bool,
    /// Whether we may write the action cache. Whoever may can forge results for all.
    pub action_cache_update: bool,
    /// Ranges of priorities that mean something, both ends included. Empty: priorities are ignored.
    pub priorities: Vec<(i32, i32)>,
    /// The oldest and the newest version of the API that the server speaks: `2.0`, `2.3`.
    pub versions: (Option<String>, Option<String>),
    /// Whether symbolic links in inputs may be absolute; nothing if the server does not say.
    pub absolute_symlinks: Option<bool>,
    /// Names of the digest functions that storage offers.
    pub digest_functions: Vec<String>,
}

/// Reads what both endpoints said. Fails for servers that cannot work for us.
pub(crate) fn read(
    execution: &proto::ServerCapabilities,
    storage: &proto::ServerCapabilities,
    addresses: (&str, &str),
) -> Result<Capabilities, Error> {
    let (execution_address, storage_address) = addresses;
    let runs = execution
        .execution_capabilities
        .as_ref()
        .filter(|capabilities| capabilities.exec_enabled)
        .ok_or_else(|| {
            hinted(
                ErrorKind::Refused,
                format!("{execution_address} does not execute actions"),
                "It may be a cache only, or execution may be at another address or under another instance name.",
            )
        })?;
    let cache = storage.cache_capabilities.as_ref().ok_or_else(|| {
        hinted(
            ErrorKind::Refused,
            format!("{storage_address} does not store blobs"),
            "Storage may be at another address than execution.",
        )
    })?;
    let executes_sha256 = runs.digest_function == DigestFunction::Sha256 as i32
        || runs.digest_functions.contains(&(DigestFunction::Sha256 as i32))
        // Servers before 2.0 was final left it out.
        || (runs.digest_function == 0 && runs.digest_functions.is_empty());
    if !executes_sha256
        || !cache
            .digest_functions
            .contains(&(DigestFunction::Sha256 as i32))
    {
        return Err(error(
            ErrorKind::Refused,
            format!(
                "{storage_address} does not name content by SHA-256, but by {}",
                names(&cache.digest_functions).join(", ")
            ),
        ));
    }
    // Versions before 2 had other messages.
    if let Some(high) = &storage.high_api_version
        && high.major < 2
        && high.major != 0
    {
        return Err(error(
            ErrorKind::Refused,
            format!(
                "{storage_address} speaks version {} of the Remote Execution API, we speak 2",
                version(high)
            ),
        ));
    }
    let zstd = Compressor::Zstd as i32;
    Ok(Capabilities {
        batch_bytes: match u64::try_from(cache.max_batch_total_size_bytes) {
            Ok(0) | Err(_) => LARGEST_BATCH - BATCH_FRAME,
            Ok(limit) => limit.min(LARGEST_BATCH - BATCH_FRAME),
        },
        max_blob_bytes: u64::try_from(cache.max_cas_blob_size_bytes)
            .ok()
            .filter(|limit| *limit > 0),
        zstd: cache.supported_compressors.contains(&zstd),
        zstd_batches: cache.supported_batch_update_compressors.contains(&zstd),
        execution: true,
        action_cache_update: cache
            .action_cache_update_capabilities
            .as_ref()
            .is_some_and(|update| update.update_enabled),
        priorities: runs
            .execution_priority_capabilities
            .iter()
            .flat_map(|priorities| &priorities.priorities)
            .map(|range| (range.min_priority, range.max_priority))
            .take(100)
            .collect(),
        versions: (
            execution.low_api_version.as_ref().map(version),
            execution.high_api_version.as_ref().map(version),
        ),
        absolute_symlinks: match cache.symlink_absolute_path_strategy() {
            proto::symlink_absolute_path_strategy::Value::Unknown => None,
            proto::symlink_absolute_path_strategy::Value::Disallowed => Some(false),
            proto::symlink_absolute_path_strategy::Value::Allowed => Some(true),
        },
        digest_functions: names(&cache.digest_functions),
    })
}

fn names(functions: &[i32]) -> Vec<String> {
    functions
        .iter()
        .take(100)
        .map(|number| {
            DigestFunction::try_from(*number).map_or_else(
                |_| format!("number {number}"),
                |value| value.as_str_name().to_owned(),
            )
        })
        .collect()
}

fn version(version: &SemVer) -> String {
    let mut text = format!("{}.{}", version.major, version.minor);
    if version.patch != 0 {
        text = format!("{text}.{}", version.patch);
    }
    if !version.prerelease.is_empty() {
        text.push('-');
        text.push_str(&bounded(&version.prerelease));
    }
    text
}
