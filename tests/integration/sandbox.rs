//! Builds with no container engine: which executor is taken, and that it makes no difference to the wheels.

use std::process::Command;

use serde_json::Value;
use wheelfarm_tests::absent::without_docker;
use wheelfarm_tests::bare::BareRuntime;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::ordinary::User;
use wheelfarm_tests::postgres::Postgres;
use wheelfarm_tests::process::{run, start};
use wheelfarm_tests::psycopg2::query_over_tls;
use wheelfarm_tests::sandbox::Sandbox;

use crate::support::{failed, files, main_job, needs_docker};

/// One column of the main job.
const JOB: [&str; 3] = ["psycopg2", "--python", "3.11"];
/// Where the engine listens if nothing else is said.
const SOCKET: &str = "/var/run/docker.sock";
/// Nobody listens there.
const NOWHERE: &str = "unix:///nowhere/docker.sock";

#[test]
fn where_docker_is_absent_the_sandbox_builds_the_same_bytes() {
    needs_docker!();
    let docker = main_job().report.wheel("psycopg2", "3.11").unwrap();
    let sandbox = Sandbox::shared().unwrap();
    let farm = sandbox.farm().unwrap().without_docker();
    let run = farm.build(JOB).unwrap();
    let report = run.success().unwrap();
    let first = run.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("builds run in the sandbox ("), "{first}");
    assert!(first.contains(SOCKET), "it does not say why: {first}");
    let wheel = report.wheel("psycopg2", "3.11").unwrap();
    assert_eq!(wheel.origin, "built");
    assert_eq!(
        (&wheel.filename, &wheel.sha256),
        (&docker.filename, &docker.sha256)
    );

    // Nor do the proofs need an engine: this runtime is run by another program.
    let runtime = BareRuntime::of_sandbox(sandbox.directory(), "debian-12").unwrap();
    runtime.is_bare().unwrap();
    let postgres = Postgres::start().unwrap();
    let query = query_over_tls(&runtime, &postgres, &wheel.path).unwrap();
    assert!(query.tls.starts_with("TLSv1."), "{query:?}");
    assert!(query.outside.is_empty(), "{query:?}");
}

#[test]
fn docker_can_be_hidden_from_a_command() {
    needs_docker!();
    let mut look = Command::new("sh");
    // The shell's own search, and a connection.
    look.args([
        "-c",
        "command -v docker || curl --silent --unix-socket \"$0\" http://engine/_ping || echo absent",
        SOCKET,
    ]);
    let seen = run(&mut look).unwrap();
    let hidden = run(&mut without_docker(&look)).unwrap();
    assert_eq!(hidden.trim(), "absent");
    assert_ne!(seen.trim(), "absent");
}

#[test]
fn an_ordinary_user_builds_the_same_bytes() {
    needs_docker!();
    let docker = main_job().report.wheel("psycopg2", "3.11").unwrap();
    let user = Sandbox::ordinary().unwrap();
    let farm = user.farm().unwrap().without_docker();
    let report = farm.build(JOB).unwrap().success().unwrap();
    let wheel = report.wheel("psycopg2", "3.11").unwrap();
    assert_eq!(wheel.origin, "built");
    assert_eq!(
        (&wheel.filename, &wheel.sha256),
        (&docker.filename, &docker.sha256)
    );
    // Also where other ids own what was installed.
    let left = ["actions", "making"].map(|directory| files(&user.directory().join(directory)));
    assert_eq!(left, [vec![""; 0], vec![""; 0]]);
}

#[test]
fn what_docker_built_is_a_hit_for_the_sandbox() {
    needs_docker!();
    main_job();
    let sandbox = Sandbox::shared().unwrap();
    let farm = sandbox.on(Farm::sharing().unwrap());
    let run = farm.build(JOB.into_iter().chain(["--executor", "sandbox"]));
    let run = run.unwrap();
    let report = run.success().unwrap();
    assert_eq!(report.containers, 0, "{}", run.stderr);
    assert_eq!(report.wheel("psycopg2", "3.11").unwrap().origin, "cached");
    let first = run.stderr.lines().next().unwrap_or_default();
    assert!(first.ends_with(": as chosen"), "{first}");
}

#[test]
fn docker_is_taken_if_it_answers() {
    needs_docker!();
    main_job();
    let run = Farm::sharing().unwrap().build(JOB).unwrap();
    run.success().unwrap();
    let first = run.stderr.lines().next().unwrap_or_default();
    assert!(first.starts_with("builds run in containers of "), "{first}");
    assert!(first.ends_with(": it answers"), "{first}");
}

#[test]
fn where_nothing_can_run_builds_the_ways_out_are_named() {
    needs_docker!();
    let user = User::ordinary().unwrap();
    let farm = Farm::of_user(&user).unwrap().with("DOCKER_HOST", NOWHERE);
    let build = farm.command(["build", "--no-deps", "psycopg2"]).unwrap();
    // An ordinary user, and no namespace can be made.
    let mut forbidden = user.command("bwrap");
    forbidden.args(["--unshare-user", "--disable-userns", "--dev-bind", "/", "/"]);
    // What stands before it makes the user that this is already.
    forbidden.args(build.get_args().skip_while(|word| *word != "--"));
    for (name, value) in build.get_envs() {
        match value {
            Some(value) => forbidden.env(name, value),
            None => forbidden.env_remove(name),
        };
    }
    let run = farm.finish(start(&mut forbidden).unwrap()).unwrap();
    let ways = ["DOCKER_HOST", "user namespaces", "--endpoint URL"];
    failed(&run, 4, &ways, &[]);
    let errors: Vec<_> = run
        .stderr
        .lines()
        .filter(|line| line.contains("error: "))
        .collect();
    assert_eq!(errors.len(), 1, "{}", run.stderr);
    assert!(ways.iter().all(|way| errors[0].contains(way)), "{errors:?}");
    assert_eq!(files(&farm.out()), [""; 0]);
}

#[test]
fn the_doctor_looks_at_the_sandbox_where_there_is_no_engine() {
    needs_docker!();
    let farm = Sandbox::ordinary().unwrap().farm().unwrap();
    let farm = farm.with("DOCKER_HOST", NOWHERE);
    let run = farm.run(["doctor", "--format", "json"]).unwrap();
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(run.code, Some(0), "{report:#}");
    assert_eq!(report["executor"], "sandbox");
    let checks = report["checks"].as_array().unwrap();
    let state = |id: &str| {
        let check = checks.iter().find(|check| check["id"] == id);
        check.unwrap()["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state("sandbox"), "ok", "{report:#}");
    assert_eq!(state("container"), "ok", "{report:#}");
    // What bounds builds depends on the machine, and is said in any case.
    assert!(["ok", "warning"].contains(&state("limits").as_str()));
}
