//! How actions end.

use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Executor, ExecutorErrorKind, Exit, Listener, Place};
use wheelfarm_reapi::BlobDigest;
use wheelfarm_reapi::fake::{State, Step, completed, messages};

use crate::support::{Cluster, broken, digest, directory, output, result, status, success};

#[tokio::test]
async fn a_failed_command_has_its_code_log_and_outputs() {
    let cluster = Cluster::start().await;
    cluster
        .fake
        .state()
        .work(|state, _| completed(result(state, 7)));
    let action = cluster.action().await;
    let result = cluster.run(&action).await.unwrap();
    assert_eq!(result.exit, Exit::Code(7));
    assert_eq!(result.log, "log\n");
    assert_eq!(result.outputs["wheel"], "content");
}

#[tokio::test]
async fn the_status_of_a_success_is_known_by_its_digest_and_not_fetched() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|state, _| {
        let steps = success(state);
        state.expire(&BlobDigest::of("0\n"));
        steps
    });
    let action = cluster.action().await;
    let result = cluster.run(&action).await.unwrap();
    assert_eq!(result.exit, Exit::Code(0));
    assert_eq!(result.outputs["wheel"], "content");
}

#[tokio::test]
async fn a_status_counts_before_an_exit_code() {
    // Such results have exit code 0.
    for (code, kind) in [
        (13, ExecutorErrorKind::Lost),
        (14, ExecutorErrorKind::Lost),
        (1, ExecutorErrorKind::Lost),
        (3, ExecutorErrorKind::Engine),
    ] {
        let cluster = Cluster::start().await;
        cluster.fake.state().work(move |_, _| broken(code, "no"));
        let action = cluster.action().await;
        let error = cluster.run(&action).await.unwrap_err();
        assert_eq!(error.kind, kind, "{code}: {error}");
    }
}

#[tokio::test]
async fn the_time_limit_is_an_exit_and_the_log_is_kept() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|state, _| {
        let mut partial = result(state, 137);
        partial.output_files.clear();
        vec![Step::Done(Box::new(messages::ExecuteResponse {
            result: Some(partial),
            status: Some(wheelfarm_reapi::fake::RpcStatus {
                code: 4,
                message: "Action timeout reached".to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        }))]
    });
    let action = cluster.action().await;
    let result = cluster.run(&action).await.unwrap();
    assert_eq!(result.exit, Exit::TimedOut);
    assert_eq!(result.log, "log\n");
    assert!(result.outputs.is_empty());
}

#[tokio::test]
async fn a_sandbox_that_did_not_start_is_no_failed_build() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|state, _| {
        completed(messages::ActionResult {
            exit_code: 1,
            stderr_digest: Some(digest(state.put("bwrap: execvp /bin/sh: No such file"))),
            ..messages::ActionResult::default()
        })
    });
    let action = cluster.action().await;
    let error = cluster.run(&action).await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::Lost);
    assert!(error.message.contains("did not start"), "{error}");
    assert!(error.message.contains("bwrap: execvp"), "{error}");
}

#[tokio::test]
async fn what_was_killed_with_its_shell_is_told_from_what_failed() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|_, _| {
        completed(messages::ActionResult {
            exit_code: 137,
            ..messages::ActionResult::default()
        })
    });
    let action = cluster.action().await;
    let error = cluster.run(&action).await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::Lost);
    assert!(error.message.contains("killed"), "{error}");
    assert!(error.hint.unwrap().contains("memory"));
}

#[tokio::test]
async fn an_exit_code_that_the_shell_does_not_confirm_is_not_believed() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|state, _| {
        let mut wrong = result(state, 0);
        wrong.output_files = vec![status(state, 2)];
        completed(wrong)
    });
    let action = cluster.action().await;
    let error = cluster.run(&action).await.unwrap_err();
    assert!(error.message.contains("its shell says 2"), "{error}");
}

#[tokio::test]
async fn inputs_that_are_not_what_they_should_be_are_the_storages_fault() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|state, _| {
        let mut damaged = result(state, 1);
        damaged.output_files[0].digest = Some(digest(state.put("damaged\n")));
        damaged.stderr_digest = Some(digest(state.put("/in/a/b: FAILED\n")));
        completed(damaged)
    });
    let action = cluster.action().await;
    let error = cluster.run(&action).await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::Lost);
    assert!(error.message.contains("/in/a/b: FAILED"), "{error}");
}

#[tokio::test]
async fn a_failure_of_who_could_not_read_files_is_the_workers() {
    for (code, kind) in [(2, Err(ExecutorErrorKind::Lost)), (0, Ok(Exit::Code(0)))] {
        let cluster = Cluster::start().await;
        cluster.fake.state().work(move |state, _| {
            let mut unreadable = result(state, code);
            let log = "cc1: error: /usr/include/stdio.h: Input/output error\n";
            unreadable.stderr_digest = Some(digest(state.put(log)));
            completed(unreadable)
        });
        let action = cluster.action().await;
        let ended = cluster.run(&action).await;
        assert_eq!(
            ended.map(|result| result.exit).map_err(|error| error.kind),
            kind
        );
    }
}

#[tokio::test]
async fn a_log_without_end_is_not_fetched() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|state, _| {
        let mut endless = result(state, 0);
        endless.stderr_digest.as_mut().unwrap().size_bytes = i64::MAX;
        completed(endless)
    });
    let action = cluster.action().await;
    let ended = cluster.run(&action).await.unwrap();
    let log = String::from_utf8(ended.log.to_vec()).unwrap();
    assert!(log.contains("too much to be fetched"), "{log}");
    assert_eq!(ended.outputs["wheel"], "content");
}

/// Makes the output directory of an action.
type Output = Box<dyn Fn(&State) -> messages::OutputDirectory + Send + Sync>;

#[tokio::test]
async fn outputs_are_plain_files_within_the_limit() {
    let long = "x".repeat(1001);
    let cases: [(&str, Output); 3] = [
        (
            "is a link",
            Box::new(|state| {
                directory(
                    state,
                    messages::Directory {
                        symlinks: vec![messages::SymlinkNode {
                            name: "wheel".to_owned(),
                            target: "/etc/passwd".to_owned(),
                            ..Default::default()
                        }],
                        ..Default::default()
                    },
                )
            }),
        ),
        (
            "1001 bytes",
            Box::new(move |state| output(state, &[("wheel", &long)])),
        ),
        (
            "`../wheel`",
            Box::new(|state| output(state, &[("../wheel", "x")])),
        ),
    ];
    for (said, made) in cases {
        let cluster = Cluster::start().await;
        cluster.fake.state().work(move |state, _| {
            let mut result = result(state, 0);
            result.output_directories = vec![made(state)];
            completed(result)
        });
        let action = cluster.action().await;
        let error = cluster.run(&action).await.unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::Output, "{error}");
        assert!(error.message.contains(said), "{said}: {error}");
    }
}

#[tokio::test]
async fn a_log_is_cut_at_its_limit() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|state, _| {
        let mut loud = result(state, 0);
        loud.stderr_digest = Some(digest(state.put("y".repeat(5000))));
        completed(loud)
    });
    let action = cluster.action().await;
    let result = cluster.run(&action).await.unwrap();
    let log = String::from_utf8(result.log.to_vec()).unwrap();
    assert!(log.len() < 1200, "{}", log.len());
    assert!(log.contains("4000 more bytes were dropped"), "{log}");
}

#[tokio::test]
async fn queue_and_worker_are_told_and_cancelling_takes_the_action_back() {
    let cluster = Cluster::start().await;
    let state = cluster.fake.state();
    state.work(|_, _| vec![Step::Queued, Step::Executing("worker 7"), Step::Wait]);
    let places = Arc::new(Mutex::new(Vec::new()));
    let (told, cancel) = (Arc::clone(&places), CancellationToken::new());
    let stop = cancel.clone();
    let listener = Listener {
        log: Arc::new(|_| {}),
        place: Arc::new(move |place: Place| {
            let runs = matches!(place, Place::Worker(_));
            told.lock().unwrap().push(place);
            if runs {
                stop.cancel();
            }
        }),
    };
    let action = cluster.action().await;
    let error = cluster
        .reapi
        .run(&action, listener, &cancel)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::Cancelled);
    assert_eq!(
        *places.lock().unwrap(),
        [
            Place::Sending,
            Place::Queued,
            Place::Worker(Some("worker 7".to_owned()))
        ]
    );
    let cancelled = async {
        while state.cancelled().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let deadline = std::time::Duration::from_secs(30);
    tokio::time::timeout(deadline, cancelled)
        .await
        .expect("the operation was never cancelled");
}

#[tokio::test]
async fn what_the_worker_says_of_its_work_is_kept() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|state, _| {
        let at = |seconds| Some(wheelfarm_reapi::fake::Timestamp { seconds, nanos: 0 });
        let mut told = result(state, 0);
        told.execution_metadata = Some(messages::ExecutedActionMetadata {
            worker: "w1".to_owned(),
            queued_timestamp: at(100),
            worker_start_timestamp: at(103),
            input_fetch_start_timestamp: at(103),
            input_fetch_completed_timestamp: at(105),
            execution_start_timestamp: at(105),
            execution_completed_timestamp: at(112),
            ..Default::default()
        });
        completed(told)
    });
    let action = cluster.action().await;
    let execution = cluster.run(&action).await.unwrap().execution.unwrap();
    assert_eq!(execution.worker.as_deref(), Some("w1"));
    let times = (execution.queued, execution.fetching, execution.running);
    assert_eq!(times, (Some(3.0), Some(2.0), Some(7.0)));
}

#[tokio::test]
async fn many_at_a_time_each_get_their_own_result() {
    let cluster = Cluster::start().await;
    cluster.fake.state().work(|state, _| success(state));
    let base = cluster.action().await;
    let actions: Vec<_> = (0..200)
        .map(|number: i32| {
            let mut action = base.clone();
            action
                .environment
                .insert("NUMBER".to_owned(), number.to_string());
            action
        })
        .collect();
    let runs = actions.iter().map(|action| cluster.run(action));
    let results = futures::future::join_all(runs).await;
    assert!(
        results
            .iter()
            .all(|result| result.as_ref().unwrap().exit == Exit::Code(0))
    );
    assert_eq!(cluster.fake.state().count("Execute"), 200);
    assert_eq!(cluster.reapi.started(), 200);
}
