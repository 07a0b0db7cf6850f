//! Actions: what is executed, with which inputs, and what is wanted of it.

use std::collections::BTreeMap;
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bytes::Bytes;
use prost::Message;

use crate::digest::BlobDigest;

/// A command (`Command` in `remote_execution.proto`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommandSpec {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// Its environment: this and nothing else.
    pub environment: BTreeMap<String, String>,
    /// Files and directories that are wanted of it, relative to the working directory. Order does not matter.
    pub output_paths: Vec<String>,
    /// Where it begins, relative to the root of its inputs. Empty for that root.
    pub working_directory: String,
    /// What the worker must have or do (`Platform`). Order does not matter; a name may be there more than once.
    pub properties: Vec<(String, String)>,
}

/// An action, encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedAction {
    /// Its digest, which is its key in the action cache.
    pub action: BlobDigest,
    /// What has to be in storage besides its inputs: the action and its command.
    pub blobs: Vec<(BlobDigest, Bytes)>,
}

/// Encodes an action. Equal arguments make equal digests.
///
/// `salt` keeps apart what would otherwise have one result. Outputs are asked for as servers of version 2.1 and later
/// understand it; the two older fields would be wrong on those that read both.
pub fn action(
    command: &CommandSpec,
    input_root: &BlobDigest,
    timeout: Duration,
    do_not_cache: bool,
    salt: &[u8],
) -> EncodedAction {
    let mut properties = command.properties.clone();
    properties.sort_unstable();
    properties.dedup();
    let platform = proto::Platform {
        properties: properties
            .into_iter()
            .map(|(name, value)| proto::platform::Property { name, value })
            .collect(),
    };
    let mut output_paths = command.output_paths.clone();
    output_paths.sort_unstable();
    output_paths.dedup();
    #[expect(
        deprecated,
        reason = "servers of before 2.2 look for the platform in the command only"
    )]
    let encoded = proto::Command {
        arguments: command.arguments.clone(),
        environment_variables: command
            .environment
            .iter()
            .map(|(name, value)| proto::command::EnvironmentVariable {
                name: name.clone(),
                value: value.clone(),
            })
            .collect(),
        output_paths,
        working_directory: command.working_directory.clone(),
        platform: Some(platform.clone()),
        ..proto::Command::default()
    }
    .encode_to_vec();
    let command = blob(encoded);
    let action = blob(
        proto::Action {
            command_digest: Some(command.0.into()),
            input_root_digest: Some((*input_root).into()),
            timeout: (!timeout.is_zero()).then(|| bazel_remote_apis::google::protobuf::Duration {
                seconds: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
                nanos: i32::try_from(timeout.subsec_nanos()).unwrap_or(0),
            }),
            do_not_cache,
            salt: salt.to_vec(),
            platform: Some(platform),
        }
        .encode_to_vec(),
    );
    EncodedAction {
        action: action.0,
        blobs: vec![command, action],
    }
}

fn blob(bytes: Vec<u8>) -> (BlobDigest, Bytes) {
    (BlobDigest::of(&bytes), bytes.into())
}
