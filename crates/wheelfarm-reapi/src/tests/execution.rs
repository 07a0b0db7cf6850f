//! Executing actions, with nothing that breaks: what results and failures mean.

use prost::Message;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::{connected, execute, patient, until};
use crate::fake::messages as proto;
use crate::fake::{Options, RpcStatus, Step, completed, failed};
use crate::violations::{PreconditionFailure, Violation};
use crate::{BlobDigest, ErrorKind, ExecuteOptions, Output, Progress};

fn action() -> BlobDigest {
    BlobDigest::of("action")
}

fn result(exit_code: i32) -> proto::ActionResult {
    proto::ActionResult {
        exit_code,
        ..proto::ActionResult::default()
    }
}

fn status(code: i32, message: &str) -> RpcStatus {
    RpcStatus {
        code,
        message: message.to_owned(),
        ..RpcStatus::default()
    }
}

#[tokio::test]
async fn stages_are_told_and_the_second_time_is_cached() {
    let (fake, client) = connected(Options::default()).await;
    fake.state().work(|_, _| completed(result(3)));
    let (executed, told) = execute(&client, &action(), &patient()).await;
    let executed = executed.unwrap();
    assert_eq!(
        (
            executed.result.exit_code,
            executed.cached,
            executed.attempts
        ),
        (3, false, 1)
    );
    let worker = "worker".to_owned();
    assert_eq!(
        told,
        [
            Progress::Queued,
            Progress::Executing { worker },
            Progress::Completed
        ]
    );
    assert_eq!(
        client.cached(&action()).await.unwrap().unwrap().exit_code,
        3
    );
    let (executed, _) = execute(&client, &action(), &patient()).await;
    assert!(executed.unwrap().cached);
    let skip = ExecuteOptions {
        skip_cache_lookup: true,
        ..patient()
    };
    let (executed, _) = execute(&client, &action(), &skip).await;
    assert!(!executed.unwrap().cached);
    assert_eq!(
        client.cached(&BlobDigest::of("another")).await.unwrap(),
        None
    );
}

#[tokio::test]
async fn a_worker_that_dies_puts_the_action_back_into_the_queue() {
    let (fake, client) = connected(Options::default()).await;
    fake.state().work(|_, _| {
        let mut steps = vec![Step::Queued, Step::Executing("w1")];
        steps.extend(completed(result(0)));
        steps
    });
    let (executed, told) = execute(&client, &action(), &patient()).await;
    assert_eq!(executed.unwrap().attempts, 1);
    let w1 = Progress::Executing {
        worker: "w1".to_owned(),
    };
    assert_eq!(
        told.get(..3),
        Some(&[Progress::Queued, w1, Progress::Queued][..])
    );
    assert_eq!(fake.state().cancelled().len(), 0);
}

#[tokio::test]
async fn the_status_is_looked_at_before_the_exit_code() {
    let (fake, client) = connected(Options::default()).await;
    let kinds = [
        (13, ErrorKind::Infrastructure),
        (14, ErrorKind::Infrastructure),
        (8, ErrorKind::Infrastructure),
        (10, ErrorKind::Infrastructure),
        (2, ErrorKind::Infrastructure),
        (99, ErrorKind::Infrastructure),
        (1, ErrorKind::Cancelled),
        (3, ErrorKind::Refused),
        (7, ErrorKind::Unauthorized),
    ];
    for (code, kind) in kinds {
        fake.state()
            .work(move |_, _| failed(status(code, "the runner could not start")));
        let (outcome, _) = execute(&client, &action(), &patient()).await;
        let error = outcome.unwrap_err();
        assert_eq!(error.kind, kind, "{code}");
        assert!(
            error.message.contains("the runner could not start"),
            "{error}"
        );
        fake.state()
            .work(move |_, _| vec![Step::Error(status(code, "no"))]);
        assert_eq!(
            execute(&client, &action(), &patient())
                .await
                .0
                .unwrap_err()
                .kind,
            kind,
            "{code}"
        );
    }
    // What ended by itself needs no cancelling.
    assert_eq!(fake.state().count("CancelOperation"), 0);
}

#[tokio::test]
async fn a_command_that_is_killed_for_its_time_keeps_what_it_wrote() {
    let (fake, client) = connected(Options::default()).await;
    fake.state().work(|_, _| {
        let result = proto::ActionResult {
            stdout_raw: b"so far".to_vec(),
            ..result(137)
        };
        vec![Step::Done(Box::new(proto::ExecuteResponse {
            result: Some(result),
            status: Some(status(4, "timed out")),
            ..proto::ExecuteResponse::default()
        }))]
    });
    let error = execute(&client, &action(), &patient()).await.0.unwrap_err();
    let ErrorKind::TimedOut(Some(partial)) = error.kind else {
        panic!("{error:?}");
    };
    assert_eq!(partial.exit_code, 137);
    assert_eq!(partial.stdout, Output::Inline("so far".into()));
}

#[tokio::test]
async fn missing_blobs_are_told_from_other_refusals() {
    let (fake, client) = connected(Options::default()).await;
    let (one, two) = (BlobDigest::of("one"), BlobDigest::of("two"));
    let violation = |kind: &str, subject: String| Violation {
        kind: kind.to_owned(),
        subject,
        description: String::new(),
    };
    let details = |violations: Vec<Violation>| {
        vec![bazel_remote_apis::google::protobuf::Any {
            type_url: "type.googleapis.com/google.rpc.PreconditionFailure".to_owned(),
            value: PreconditionFailure { violations }.encode_to_vec(),
        }]
    };
    let missing = details(vec![
        violation("MISSING", format!("blobs/{one}")),
        violation("MISSING", format!("blobs/{two}")),
    ]);
    let mut both = vec![one, two];
    both.sort_unstable();
    let other = details(vec![violation("PROPERTY", "pool".to_owned())]);
    for (code, text, details, kind) in [
        (9, "no".to_owned(), missing, ErrorKind::MissingBlobs(both)),
        (
            9,
            "no worker has pool=x".to_owned(),
            other,
            ErrorKind::Refused,
        ),
        (9, "no".to_owned(), Vec::new(), ErrorKind::Refused),
        // As buildbox says it.
        (
            5,
            format!("fetching \"{one}\" failed"),
            Vec::new(),
            ErrorKind::MissingBlobs(vec![one]),
        ),
        (
            5,
            "something".to_owned(),
            Vec::new(),
            ErrorKind::MissingBlobs(Vec::new()),
        ),
    ] {
        let status = RpcStatus {
            code,
            message: text.clone(),
            details,
        };
        // In the response, and as the answer to the call.
        let said = Status::with_details(code.into(), text, status.encode_to_vec().into());
        fake.state().work(move |_, _| failed(status.clone()));
        assert_eq!(
            execute(&client, &action(), &patient())
                .await
                .0
                .unwrap_err()
                .kind,
            kind
        );
        fake.state().fail_next("Execute", said);
        assert_eq!(
            execute(&client, &action(), &patient())
                .await
                .0
                .unwrap_err()
                .kind,
            kind
        );
    }
}

#[tokio::test]
async fn metadata_is_optional_and_names_may_be_odd() {
    let (fake, client) = connected(Options {
        metadata: false,
        operation_prefix: "#2f1c-".to_owned(),
        ..Options::default()
    })
    .await;
    let (executed, told) = execute(&client, &action(), &patient()).await;
    assert_eq!(executed.unwrap().operation, "#2f1c-0");
    assert_eq!(told, [Progress::Completed]);
    // Such a name is good for what names are for.
    fake.state()
        .work(|_, _| vec![Step::Executing("w"), Step::Wait]);
    let cancel = CancellationToken::new();
    let skip = ExecuteOptions {
        skip_cache_lookup: true,
        ..patient()
    };
    let action = action();
    let outcome = tokio::join!(client.execute(&action, &skip, &|_| {}, &cancel), async {
        until("it is under way", || fake.state().said("#2f1c-1") == 1).await;
        cancel.cancel();
    });
    assert_eq!(outcome.0.unwrap_err().kind, ErrorKind::Cancelled);
    assert_eq!(fake.state().cancelled(), ["#2f1c-1"]);
}

#[tokio::test]
async fn output_is_in_the_message_or_in_storage() {
    let (fake, client) = connected(Options::default()).await;
    let stored = fake.state().put("much of it");
    let file = fake.state().put("wheel");
    let tree = fake.state().put("tree");
    fake.state().work(move |_, _| {
        #[expect(deprecated, reason = "both are sent by servers of today")]
        completed(proto::ActionResult {
            stdout_raw: b"a little".to_vec(),
            stderr_digest: Some(stored.into()),
            output_files: vec![proto::OutputFile {
                path: "out/x.whl".to_owned(),
                digest: Some(file.into()),
                is_executable: true,
                contents: b"other content".to_vec(),
                ..proto::OutputFile::default()
            }],
            output_directories: vec![proto::OutputDirectory {
                path: "out".to_owned(),
                tree_digest: Some(tree.into()),
                ..proto::OutputDirectory::default()
            }],
            output_symlinks: vec![link("a", "b")],
            output_file_symlinks: vec![link("a", "b")],
            execution_metadata: Some(proto::ExecutedActionMetadata {
                worker: "w".to_owned(),
                queued_timestamp: Some(bazel_remote_apis::google::protobuf::Timestamp {
                    seconds: 10,
                    nanos: 500_000_000,
                }),
                ..proto::ExecutedActionMetadata::default()
            }),
            ..proto::ActionResult::default()
        })
    });
    let result = execute(&client, &action(), &patient())
        .await
        .0
        .unwrap()
        .result;
    assert_eq!(result.stdout, Output::Inline("a little".into()));
    assert_eq!(result.stderr, Output::Stored(stored));
    assert_eq!(client.read(&stored, 100).await.unwrap(), "much of it");
    // What is sent along is taken only if it is what was promised.
    assert_eq!(result.files[0].inline, None);
    assert_eq!(
        (result.files[0].digest, result.files[0].executable),
        (file, true)
    );
    assert_eq!(result.directories[0].tree, tree);
    assert_eq!(result.symlinks, [("a".to_owned(), "b".to_owned())]);
    let metadata = result.metadata.unwrap();
    assert_eq!(
        (metadata.worker.as_str(), metadata.queued),
        ("w", Some(10.5))
    );
    assert_eq!(metadata.worker_start, None);
}

fn link(path: &str, target: &str) -> proto::OutputSymlink {
    proto::OutputSymlink {
        path: path.to_owned(),
        target: target.to_owned(),
        ..proto::OutputSymlink::default()
    }
}

#[tokio::test]
async fn a_server_that_says_nonsense_is_told_so() {
    let (fake, client) = connected(Options::default()).await;
    let bad = proto::ActionResult {
        output_files: vec![proto::OutputFile {
            path: "x".to_owned(),
            ..proto::OutputFile::default()
        }],
        ..proto::ActionResult::default()
    };
    for response in [
        proto::ExecuteResponse::default(),
        proto::ExecuteResponse {
            result: Some(bad),
            ..proto::ExecuteResponse::default()
        },
    ] {
        fake.state()
            .work(move |_, _| vec![Step::Done(Box::new(response.clone()))]);
        let error = execute(
            &client,
            &action(),
            &ExecuteOptions {
                skip_cache_lookup: true,
                ..patient()
            },
        )
        .await;
        assert_eq!(error.0.unwrap_err().kind, ErrorKind::Protocol);
    }
}
