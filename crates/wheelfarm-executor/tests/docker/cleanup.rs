//! Nothing is left behind: after cancellation, a dropped future, a killed process.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Executor, ExecutorErrorKind};
use wheelfarm_executor::SweepReport;
use wheelfarm_store::Store;

use crate::support::{Engine, connect, engine, left, lines, volumes};

const VICTIM_RUNS: &str = "WHEELFARM_TEST_VICTIM_RUNS";
const FOREVER: &str = "echo running; sleep 600";

#[tokio::test]
async fn cancelling_removes_everything() {
    let Some(engine) = engine().await else { return };
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let (sink, _) = lines(move |_| token.cancel());
    let action = engine.action(FOREVER);
    let error = engine
        .docker
        .run(&action, sink.into(), &cancel)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::Cancelled);
    engine.assert_clean().await;

    let (sink, shown) = lines(|_| {});
    let error = engine
        .docker
        .run(&action, sink.into(), &cancel)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::Cancelled);
    assert!(
        shown.lock().unwrap().is_empty(),
        "started although cancelled"
    );
    engine.assert_clean().await;
}

#[tokio::test]
async fn dropping_the_future_removes_everything() {
    let Some(engine) = engine().await else { return };
    let cancel = CancellationToken::new();
    let running = Arc::new(Notify::new());
    let notify = Arc::clone(&running);
    let (sink, _) = lines(move |_| notify.notify_one());
    let action = engine.action(FOREVER);
    tokio::select! {
        _ = engine.docker.run(&action, sink.into(), &cancel) => unreachable!("it sleeps"),
        () = running.notified() => {}
    }
    engine.docker.close().await;
    engine.assert_clean().await;
    // And again while it is being prepared.
    drop(engine.docker.run(&action, lines(|_| {}).0.into(), &cancel));
    engine.docker.close().await;
    engine.assert_clean().await;
}

#[tokio::test]
async fn a_sweep_removes_what_a_killed_process_left_and_nothing_else() {
    let Some(engine) = engine().await else { return };
    let cancel = CancellationToken::new();
    let alive = Arc::new(Notify::new());
    let notify = Arc::clone(&alive);
    let (sink, _) = lines(move |_| notify.notify_one());
    let other = connect(engine.runs.path(), &engine.store).await;
    let action = engine.action(FOREVER);
    let mut running = std::pin::pin!(other.run(&action, sink.into(), &cancel));
    tokio::select! {
        _ = &mut running => unreachable!("it sleeps"),
        () = alive.notified() => {}
    }
    let of_the_living = left(engine.runs.path()).await;
    assert_eq!(of_the_living.len(), 2, "{of_the_living:?}");

    kill_one(&engine);
    assert_eq!(left(engine.runs.path()).await.len(), 4);
    let swept = engine.docker.sweep().await.unwrap();
    let expected = SweepReport {
        containers: 1,
        volumes: 1,
        runs: 1,
    };
    assert_eq!(swept, expected);
    assert_eq!(left(engine.runs.path()).await, of_the_living);
    assert_eq!(engine.docker.sweep().await.unwrap(), SweepReport::default());
    // The tool that the victim stored is kept, and found.
    assert_eq!(volumes(engine.runs.path()).await.len(), 1 + 2);

    cancel.cancel();
    assert!(running.await.is_err());
    engine.assert_clean().await;
    engine.remove_tools().await;
}

/// Starts this test binary again as [`victim`], waits until its container runs, and kills it.
fn kill_one(engine: &Engine) {
    #[allow(clippy::disallowed_methods, reason = "a test starts itself")]
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cleanup::victim", "--ignored", "--nocapture"])
        .env(VICTIM_RUNS, engine.runs.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(victim.stdout.take().unwrap());
    let ready = stdout
        .lines()
        .any(|line| line.unwrap().contains("victim: running"));
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(ready, "the victim did not get so far");
}

#[tokio::test]
#[ignore = "not a test: the process that another test kills"]
#[allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "it talks to the test that started it"
)]
async fn victim() {
    let Some(runs) = std::env::var_os(VICTIM_RUNS) else {
        return;
    };
    let runs = PathBuf::from(runs);
    let Some(mut engine) = engine().await else {
        return;
    };
    engine.store = Store::open("memory:").await.unwrap();
    engine.docker = connect(&runs, &engine.store).await;
    let mut action = engine.action(FOREVER);
    let tool = engine
        .store
        .put(format!("a tool in {}", runs.display()).into())
        .await
        .unwrap();
    action.tools.insert("tool".to_owned(), tool);
    let (sink, _) = lines(|line| println!("victim: {line}"));
    let cancel = CancellationToken::new();
    engine
        .docker
        .run(&action, sink.into(), &cancel)
        .await
        .unwrap();
}
