//! What goes wrong with a cluster, done to a real one: each ends in a result or in a clear error, in time, and never in a
//! wrong result.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::task::spawn_blocking;
use wheelfarm_build::action::{ActionResult, Executor as _, ExecutorError, Exit};
use wheelfarm_tests::process::wait_for;
use wheelfarm_tests::remote_execution::{Cable, Casd, CasdSettings, Client};
use wheelfarm_tests::sha256;

use crate::support::needs_docker;

/// No test takes longer, however busy the machine is: nothing hangs.
const LIMIT: Duration = Duration::from_secs(300);
/// How long a cluster may be away here.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the network is cut.
const CUT: Duration = Duration::from_secs(30);
/// The time limit of actions that do not reach it.
const AMPLE: Duration = Duration::from_secs(200);
/// Gives its input back, and takes a while for it.
const SLOW: &str = "sleep 8; cp /in/input out/answer";
const QUICK: &str = "cp /in/input out/answer";

/// Runs a test on a cluster of its own, with a client that reaches it through a cable.
fn on_a_cluster<F: Future<Output = ()>>(
    settings: CasdSettings<'_>,
    test: impl FnOnce(Arc<Casd>, Cable, Client) -> F,
) {
    let casd = Arc::new(Casd::with(&settings).unwrap());
    let cable = Cable::to(casd.port()).unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let test = async {
        let client = Client::connect(&cable.address(), &[], PATIENCE).await;
        test(casd, cable, client.unwrap()).await;
    };
    runtime
        .block_on(async { tokio::time::timeout(LIMIT, test).await })
        .expect("it hangs");
}

fn answers(result: Result<ActionResult, ExecutorError>, expected: &str) {
    let result = result.unwrap();
    assert_eq!(result.exit, Exit::Code(0));
    let answer = &result.outputs["answer"];
    assert!(
        *answer == expected,
        "{} bytes instead of {}",
        answer.len(),
        expected.len()
    );
}

/// Waits until the cluster runs `sleep 8`, and does something to it then.
async fn meanwhile(casd: &Arc<Casd>, then: impl FnOnce(&Casd) + Send + 'static) {
    let casd = Arc::clone(casd);
    let done = spawn_blocking(move || {
        let look = [
            "sh",
            "-c",
            "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep --quiet 'slee[p] 8'",
        ];
        wait_for("the action to begin", LIMIT, || {
            Ok(casd.run(&look).is_ok().then_some(()))
        })
        .unwrap();
        then(&casd);
    });
    done.await.unwrap();
}

#[test]
fn an_action_survives_a_server_that_is_killed_and_starts_again() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |casd, _cable, client| {
        let action = client.script(SLOW, "killed", AMPLE).await.unwrap();
        let (result, ()) = tokio::join!(
            client.run(&action),
            meanwhile(&casd, |casd| {
                casd.kill().unwrap();
                casd.restart().unwrap();
            })
        );
        answers(result, "killed");
    });
}

#[test]
fn an_action_survives_a_network_that_is_cut_for_half_a_minute() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |casd, cable, client| {
        let action = client.script(SLOW, "cut", AMPLE).await.unwrap();
        let cut = async {
            meanwhile(&casd, |_| {}).await;
            cable.cut();
            tokio::time::sleep(CUT).await;
            cable.mend();
        };
        let (result, ()) = tokio::join!(client.run(&action), cut);
        answers(result, "cut");
    });
}

#[test]
fn an_action_survives_connections_that_are_reset() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |casd, cable, client| {
        let action = client.script(SLOW, "reset", AMPLE).await.unwrap();
        let reset = async {
            meanwhile(&casd, |_| {}).await;
            cable.reset();
        };
        let (result, ()) = tokio::join!(client.run(&action), reset);
        answers(result, "reset");
        assert_eq!(client.reapi.started(), 1, "the action was run twice");
    });
}

#[test]
fn an_upload_survives_a_cut_in_the_middle() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |_casd, cable, client| {
        let large = "0123456789abcdef".repeat(1 << 20);
        let action = client.script(QUICK, &large, AMPLE).await.unwrap();
        cable.cut_after(5 << 20);
        let mend = async {
            while !cable.is_cut() {
                tokio::task::yield_now().await;
            }
            cable.reset();
            cable.mend();
        };
        let (result, ()) = tokio::join!(client.run(&action), mend);
        answers(result, &large);
    });
}

#[test]
fn a_server_that_is_frozen_for_a_while_is_waited_for() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |casd, _cable, client| {
        let action = client.script(SLOW, "frozen", AMPLE).await.unwrap();
        let freeze = meanwhile(&casd, |casd| {
            casd.freeze().unwrap();
            std::thread::sleep(Duration::from_secs(10));
            casd.thaw().unwrap();
        });
        let (result, ()) = tokio::join!(client.run(&action), freeze);
        answers(result, "frozen");
    });
}

#[test]
fn inputs_and_root_that_expire_after_they_were_sent_are_sent_again() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |casd, _cable, client| {
        // The root was sent a moment ago, and is taken to be there still.
        let action = client.script(QUICK, "first", AMPLE).await.unwrap();
        answers(client.run(&action).await, "first");
        casd.storage().remove_all().unwrap();
        let action = client.script(QUICK, "second", AMPLE).await.unwrap();
        answers(client.run(&action).await, "second");
    });
}

#[test]
fn what_expires_while_an_action_runs_makes_it_run_again() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |casd, _cable, client| {
        // What it leaves is not what it was given, which would be in storage again by that.
        let script = "sleep 8; tr a-z A-Z </in/input >out/answer";
        let action = client.script(script, "expired", AMPLE).await.unwrap();
        let digest = sha256(b"expired");
        let remove = meanwhile(&casd, move |casd| casd.storage().remove(&digest).unwrap());
        let (result, ()) = tokio::join!(client.run(&action), remove);
        answers(result, "EXPIRED");
        assert_eq!(
            client.reapi.started(),
            2,
            "a result without its inputs was taken"
        );
    });
}

#[test]
fn a_corrupted_blob_is_never_an_output() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |casd, _cable, client| {
        let script = "printf right >out/answer; cat /in/input >/dev/null";
        let action = client.script(script, "input", AMPLE).await.unwrap();
        answers(client.run(&action).await, "right");
        casd.storage().corrupt(&sha256(b"right")).unwrap();
        // It is in the action cache. The server keeps what it has under this name, so it may go on giving out what it has.
        match client.run(&action).await {
            Ok(result) => assert_eq!(result.outputs["answer"], "right"),
            Err(error) => assert!(error.message.contains(&sha256(b"right")), "{error}"),
        }
    });
}

#[test]
fn nothing_is_made_of_an_input_that_is_corrupted_in_storage() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |casd, _cable, client| {
        let action = client.script(QUICK, "input", AMPLE).await.unwrap();
        answers(client.run(&action).await, "input");
        casd.storage().corrupt(&sha256(b"input")).unwrap();
        let other = client.script(SLOW, "input", AMPLE).await.unwrap();
        let error = client.run(&other).await.unwrap_err();
        assert!(error.message.contains("/in/input: FAILED"), "{error}");
    });
}

#[test]
fn a_full_disk_is_an_error_that_says_so() {
    needs_docker!();
    let settings = CasdSettings {
        disk: Some("600m"),
        ..CasdSettings::default()
    };
    on_a_cluster(settings, async |casd, _cable, client| {
        casd.storage().fill().unwrap();
        let large = "x".repeat(8 << 20);
        let action = client.script(QUICK, &large, AMPLE).await.unwrap();
        let error = client.run(&action).await.unwrap_err();
        let said = error.message.to_lowercase();
        assert!(said.contains("space") || said.contains("quota"), "{error}");
        casd.storage().empty().unwrap();
        // The server may have kept a part of it, under the name of all of it. That is found out, and never taken.
        match client.run(&action).await {
            Err(error) => assert!(error.message.contains("/in/input"), "{error}"),
            whole => answers(whole, &large),
        }
    });
}

#[test]
fn the_time_limit_holds_and_nothing_is_left_running() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |casd, _cable, client| {
        let script = "echo started; sleep 8; sleep 1000";
        let action = client.script(script, "", Duration::from_secs(9)).await;
        let result = client.run(&action.unwrap()).await.unwrap();
        assert_eq!(result.exit, Exit::TimedOut);
        assert_eq!(result.log, "started\n");
        let look = [
            "sh",
            "-c",
            "cat /proc/[0-9]*/cmdline | grep --quiet 'slee[p]'",
        ];
        assert!(casd.run(&look).is_err(), "it runs on");
    });
}

#[test]
fn what_takes_too_much_memory_is_no_success() {
    needs_docker!();
    let settings = CasdSettings {
        memory: Some("700m"),
        ..CasdSettings::default()
    };
    on_a_cluster(settings, async |_casd, _cable, client| {
        let script = "python3 -c 'x = b\"x\" * (3 << 30)'; cp /in/input out/answer";
        let action = client.script(script, "", AMPLE).await.unwrap();
        match client.run(&action).await {
            Ok(result) => assert!(matches!(result.exit, Exit::Code(1..)), "{result:?}"),
            Err(error) => assert!(!error.message.is_empty()),
        }
        // The server lives, and so does what comes next.
        let action = client.script(QUICK, "next", AMPLE).await.unwrap();
        answers(client.run(&action).await, "next");
    });
}

#[test]
fn many_actions_at_a_time_each_get_their_own_answer() {
    needs_docker!();
    on_a_cluster(CasdSettings::default(), async |_casd, _cable, client| {
        let numbers: Vec<_> = (0..60).map(|number: u32| number.to_string()).collect();
        let runs = numbers.iter().map(async |number| {
            let action = client.script(QUICK, number, AMPLE).await.unwrap();
            (client.run(&action).await, number)
        });
        for (result, number) in join_all(runs).await {
            answers(result, number);
        }
        assert_eq!(client.reapi.started(), 60);
    });
}
