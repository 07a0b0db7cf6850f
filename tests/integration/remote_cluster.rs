//! Builds on a cluster: `BuildGrid` with `PostgreSQL`, storage and two workers, in five containers. Run when asked for
//! (`WHEELFARM_TEST_CLUSTER=1`, as `cargo xtask test --full` sets it).

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use tokio::task::spawn_blocking;
use wheelfarm_build::action::{Executor as _, Exit, Place};
use wheelfarm_tests::environment::variable;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process::wait_for;
use wheelfarm_tests::remote_execution::{Client, Cluster, Places};

use crate::support::needs_docker;

/// No test takes longer, however busy the machine is: nothing hangs.
const LIMIT: Duration = Duration::from_secs(900);
/// How long a cluster may be away here.
const PATIENCE: Duration = Duration::from_secs(180);
const AMPLE: Duration = Duration::from_secs(300);
const SLOW: &str = "sleep 20; cp /in/input out/answer";
const QUICK: &str = "cp /in/input out/answer";
const PROJECTS: [&str; 3] = ["psycopg2", "lxml", "pyyaml"];

/// Ends the test where no cluster is to be started.
macro_rules! needs_cluster {
    () => {
        needs_docker!();
        if variable("WHEELFARM_TEST_CLUSTER").is_none() {
            return;
        }
    };
}

fn farm_on(cluster: &Cluster) -> Farm {
    let text = format!(
        "[farm]\nexecutor = 'reapi'\n[remote]\nendpoint = '{}'\nstorage = '{}'\nimage-mode = 'chroot'\n\
         properties = {{ pool = 'wheels', unixUID = '65532', unixGID = '65532' }}\n",
        cluster.address(),
        cluster.storage_address()
    );
    Farm::new().unwrap().configure(&text).unwrap()
}

fn with_client<F: Future<Output = ()>>(cluster: &Cluster, test: impl FnOnce(Client) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let test = async {
        let properties = Cluster::properties();
        let client = Client::connect(&cluster.address(), &properties, PATIENCE).await;
        test(client.unwrap()).await;
    };
    runtime
        .block_on(async { tokio::time::timeout(LIMIT, test).await })
        .expect("it hangs");
}

/// Waits until a worker runs an action: its number.
fn busy(cluster: &Cluster) -> usize {
    wait_for("a worker to begin", LIMIT, || {
        let busy = |number: &usize| cluster.runs_an_action(*number).unwrap_or(false);
        Ok([1, 2].into_iter().find(busy))
    })
    .unwrap()
}

#[test]
fn real_packages_for_two_pythons_are_built_once_and_a_second_client_executes_nothing() {
    needs_cluster!();
    let cluster = Cluster::start("builds").unwrap();
    let mut wanted: Vec<&str> = PROJECTS.into();
    wanted.extend(["--from-source", "all", "--python", "3.11,3.13"]);
    let first = farm_on(&cluster);
    let report = first.build(&wanted).unwrap().success().unwrap();
    assert_eq!(report.wheels.len(), 6);
    assert!(report.containers >= 8, "{}", report.containers);
    let docker = Farm::sharing().unwrap();
    let docker = docker.build(&wanted).unwrap().success().unwrap();
    let second = farm_on(&cluster);
    let again = second.build(&wanted).unwrap().success().unwrap();
    assert_eq!(again.containers, 0);
    for project in PROJECTS {
        for python in ["3.11", "3.13"] {
            let wheel = report.wheel(project, python).unwrap();
            for other in [&docker, &again] {
                let other = other.wheel(project, python).unwrap();
                assert_eq!(other.sha256, wheel.sha256, "{}", wheel.filename);
            }
        }
    }
    // Who ran it, and how long it took, is on record.
    let logs = first.run(["logs", "psycopg2", "--format", "json"]).unwrap();
    assert!(logs.stdout.contains("\"worker\""), "{}", logs.stdout);
}

#[test]
fn an_action_goes_to_another_worker_when_its_own_is_killed() {
    needs_cluster!();
    let cluster = Arc::new(Cluster::start("killed").unwrap());
    with_client(&cluster, async |client| {
        let action = client.script(SLOW, "killed", AMPLE).await.unwrap();
        let places = Arc::new(Places::default());
        let victim = Arc::clone(&cluster);
        let kill = spawn_blocking(move || victim.kill_worker(busy(&victim)).unwrap());
        let (result, killed) = tokio::join!(client.watched(&action, &places), kill);
        killed.unwrap();
        let result = result.unwrap();
        assert_eq!(result.outputs["answer"], "killed");
        let told = places.told();
        let workers: Vec<_> = told
            .iter()
            .filter(|place| matches!(place, Place::Worker(Some(_))))
            .collect();
        assert!(workers.len() >= 2, "{told:?}");
        assert_ne!(workers.first(), workers.last(), "{told:?}");
        assert!(result.execution.unwrap().worker.is_some());
    });
}

#[test]
fn an_action_survives_a_scheduler_that_is_killed_and_starts_again() {
    needs_cluster!();
    let cluster = Arc::new(Cluster::start("restarted").unwrap());
    with_client(&cluster, async |client| {
        let action = client.script(SLOW, "restarted", AMPLE).await.unwrap();
        let server = Arc::clone(&cluster);
        let restart = spawn_blocking(move || {
            busy(&server);
            server.kill_server().unwrap();
            server.start_server().unwrap();
        });
        let (result, restarted) = tokio::join!(client.run(&action), restart);
        restarted.unwrap();
        assert_eq!(result.unwrap().outputs["answer"], "restarted");
    });
}

#[test]
fn an_action_goes_to_another_worker_when_its_own_is_off_the_network() {
    needs_cluster!();
    let cluster = Arc::new(Cluster::start("cut").unwrap());
    with_client(&cluster, async |client| {
        let action = client.script(SLOW, "cut", AMPLE).await.unwrap();
        let victim = Arc::clone(&cluster);
        let cut = spawn_blocking(move || {
            let number = busy(&victim);
            victim.disconnect_worker(number).unwrap();
            std::thread::sleep(Duration::from_secs(30));
            victim.connect_worker(number).unwrap();
        });
        let (result, done) = tokio::join!(client.run(&action), cut);
        done.unwrap();
        assert_eq!(result.unwrap().outputs["answer"], "cut");
        // Both work again.
        let more = ["1", "2", "3", "4"].map(async |number| {
            let action = client.script(QUICK, number, AMPLE).await.unwrap();
            client.run(&action).await.unwrap().outputs["answer"] == number
        });
        assert!(join_all(more).await.into_iter().all(|right| right));
    });
}

#[test]
fn an_unknown_property_is_refused_by_name_and_a_pool_without_workers_is_not_waited_for_for_ever() {
    needs_cluster!();
    let cluster = Cluster::start("properties").unwrap();
    let farm = farm_on(&cluster);
    let build = |property: &str| {
        let run = farm.build([
            "--set",
            property,
            "--set",
            "remote.queue-timeout=5s",
            "pyyaml",
            "--from-source",
            "pyyaml",
            "--python",
            "3.11",
        ]);
        let run = run.unwrap();
        assert_eq!(run.code, Some(4), "{}", run.stderr);
        run.report().unwrap().failures[0].message.clone()
    };
    let refused = build("remote.properties={pool='wheels', colour='red'}");
    assert!(refused.contains("colour"), "{refused}");
    let waited = build("remote.properties={pool='nobody'}");
    assert!(waited.contains("worker"), "{waited}");
}

#[test]
fn two_thousand_actions_are_run_once_each() {
    needs_cluster!();
    let cluster = Cluster::start("many").unwrap();
    with_client(&cluster, async |client| {
        let numbers: Vec<_> = (0..2000).map(|number: u32| number.to_string()).collect();
        let slots = tokio::sync::Semaphore::new(64);
        let runs = numbers.iter().map(async |number| {
            let _slot = slots.acquire().await.unwrap();
            let action = client.script(QUICK, number, AMPLE).await.unwrap();
            (client.run(&action).await, number)
        });
        for (result, number) in join_all(runs).await {
            let result = result.unwrap();
            assert_eq!(result.exit, Exit::Code(0));
            assert_eq!(result.outputs["answer"], number.as_bytes());
        }
        assert_eq!(client.reapi.started(), 2000);
    });
}
