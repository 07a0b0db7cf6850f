//! Nothing is left behind: after cancellation, a dropped future, a killed process.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_executor::HostNetwork;
use wheelfarm_types::Digest;

use crate::engine::{Engine, Kind, lines, variable};

on_every_engine! {
    cancelling_removes_everything,
    dropping_the_future_removes_everything,
    a_sweep_removes_what_a_killed_process_left_and_nothing_else,
}

const VICTIM_RUNS: &str = "WHEELFARM_TEST_VICTIM_RUNS";
const VICTIM_KIND: &str = "WHEELFARM_TEST_VICTIM_KIND";
const FOREVER: &str = "echo running; sleep 600";

async fn cancelling_removes_everything(engine: Engine) {
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let (sink, _) = lines(move |_| token.cancel());
    let action = engine.action(FOREVER);
    let error = engine
        .tested
        .executor()
        .run(&action, sink.into(), &cancel)
        .await
        .unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::Cancelled);
    engine.assert_clean().await;

    let (sink, shown) = lines(|_| {});
    let error = engine
        .tested
        .executor()
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

async fn dropping_the_future_removes_everything(engine: Engine) {
    let cancel = CancellationToken::new();
    let running = Arc::new(Notify::new());
    let notify = Arc::clone(&running);
    let (sink, _) = lines(move |_| notify.notify_one());
    let action = engine.action(FOREVER);
    tokio::select! {
        _ = engine.tested.executor().run(&action, sink.into(), &cancel) => unreachable!("it sleeps"),
        () = running.notified() => {}
    }
    engine.tested.close().await;
    engine.assert_clean().await;
    // And again while it is being prepared.
    drop(
        engine
            .tested
            .executor()
            .run(&action, lines(|_| {}).0.into(), &cancel),
    );
    engine.tested.close().await;
    engine.assert_clean().await;
}

async fn a_sweep_removes_what_a_killed_process_left_and_nothing_else(engine: Engine) {
    let cancel = CancellationToken::new();
    let alive = Arc::new(Notify::new());
    let notify = Arc::clone(&alive);
    let (sink, _) = lines(move |_| notify.notify_one());
    // What tests left in a sandbox that were killed themselves.
    engine.tested.sweep().await;
    let other = engine
        .kind
        .connect(engine.runs.path(), &engine.store, HostNetwork::default());
    let other = other.await.unwrap();
    engine.watch(other.sandbox_run());
    let action = engine.action(FOREVER);
    let mut running = std::pin::pin!(other.executor().run(&action, sink.into(), &cancel));
    tokio::select! {
        _ = &mut running => unreachable!("it sleeps"),
        () = alive.notified() => {}
    }
    let of_the_living = engine.left().await;
    assert!(!of_the_living.is_empty());

    kill_one(&engine);
    // The same again is left of the dead.
    let dead = engine.left().await.len() - of_the_living.len();
    assert_eq!(dead, of_the_living.len());
    let swept = engine.tested.sweep().await;
    assert_eq!(engine.left().await, of_the_living);
    if engine.kind == Kind::Sandbox {
        // Other tests in its directory end meanwhile.
        assert!(swept >= (dead, 1), "{swept:?}");
    } else {
        assert_eq!(swept, (dead, 1));
        assert_eq!(engine.tested.sweep().await, (0, 0));
    }
    // The tool that the victim stored is kept.
    let tool = Digest::of(tool(engine.runs.path()));
    let kept = engine.kept(&tool).await;
    assert_eq!(kept.len(), engine.names_of_a_tool(), "{kept:?}");

    cancel.cancel();
    assert!(running.await.is_err());
    engine.assert_clean().await;
    engine.remove_kept(&tool).await;
}

/// What the victim's tool is: its own, since tools are shared between runs.
fn tool(runs: &Path) -> String {
    format!("a tool in {}", runs.display())
}

/// Starts this test binary again as [`victim`], waits until its container runs, and kills it.
fn kill_one(engine: &Engine) {
    #[allow(clippy::disallowed_methods, reason = "a test starts itself")]
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "cleanup::victim", "--ignored", "--nocapture"])
        .env(VICTIM_RUNS, engine.runs.path())
        .env(VICTIM_KIND, format!("{:?}", engine.kind))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = BufReader::new(victim.stdout.take().unwrap());
    let mut lines = stdout.lines().map(Result::unwrap);
    let run = lines.find_map(|line| Some(line.split_once("victim's run: ")?.1.to_owned()));
    engine.watch(run);
    let ready = lines.any(|line| line.contains("victim: running"));
    victim.kill().unwrap();
    victim.wait().unwrap();
    assert!(ready, "the victim did not get so far");
}

#[tokio::test]
#[ignore = "not a test: the process that another test kills"]
#[allow(clippy::print_stdout, reason = "it talks to the test that started it")]
async fn victim() {
    let Some(runs) = variable(VICTIM_RUNS) else {
        return;
    };
    let kind = variable(VICTIM_KIND);
    let kinds = [
        Kind::Docker,
        Kind::Podman,
        Kind::RootlessPodman,
        Kind::Sandbox,
    ];
    let kind = kinds
        .into_iter()
        .find(|one| kind == Some(format!("{one:?}")));
    let kind = kind.unwrap();
    let runs = PathBuf::from(runs);
    let mut engine = Engine::of(kind).await.unwrap();
    let connected = kind.connect(&runs, &engine.store, HostNetwork::default());
    engine.tested = connected.await.unwrap();
    let run = engine.tested.sandbox_run();
    println!("victim's run: {}", run.unwrap_or_default());
    let mut action = engine.action(FOREVER);
    let tool = engine.store.put(tool(&runs).into()).await.unwrap();
    action.tools.insert("tool".to_owned(), tool);
    let (sink, _) = lines(|line| println!("victim: {line}"));
    let cancel = CancellationToken::new();
    let executor = engine.tested.executor();
    executor.run(&action, sink.into(), &cancel).await.unwrap();
}
