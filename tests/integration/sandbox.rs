//! Builds with no container engine: which executor is taken, and that it makes no difference to the wheels.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use wheelfarm_tests::absent::without_docker;
use wheelfarm_tests::bare::BareRuntime;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::ordinary::User;
use wheelfarm_tests::postgres::Postgres;
use wheelfarm_tests::process::{run, start};
use wheelfarm_tests::psycopg2::query_over_tls;
use wheelfarm_tests::sandbox::Sandbox;
use wheelfarm_tests::sdist::Sdist;

use crate::support::{counting_ccache, failed, files, main_job, needs_docker, only};

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
    assert_eq!(user.ownerless().unwrap(), [""; 0]);
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

#[test]
fn what_a_failed_build_left_is_kept_on_request_and_can_be_entered() {
    needs_docker!();
    let broken = r#"
def build_wheel(directory, config_settings=None, metadata_directory=None):
    open("/build/trace", "w").write("was here")
    raise SystemExit(9)
"#;
    let endless = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    open('/build/trace', 'w').write('began')\n    while True: pass\n";
    let index = Index::start().unwrap();
    let index = index.with(&Sdist::with_backend("wfbroken", "1.0", &[], broken));
    let index = index.unwrap();
    let index = index.with(&Sdist::with_backend("wfendless", "1.0", &[], endless));
    let index = index.unwrap();
    let farm = only(Sandbox::ordinary().unwrap().farm().unwrap(), &index);
    let farm = farm.with("WHEELFARM_EXECUTOR", "sandbox");
    let kept = |project: &str, timeout: &str| {
        let options = [
            "--image",
            "debian-12",
            "--keep-failed",
            "--timeout",
            timeout,
        ];
        let run = farm.build([&[project], &options[..]].concat()).unwrap();
        let failures = failed(&run, 3, &[project], &["wheelfarm sandbox enter "]);
        let hint = failures[0].hint.clone().unwrap();
        let name = hint.rsplit("`wheelfarm sandbox remove ").next().unwrap();
        name.split('`').next().unwrap().to_owned()
    };
    let broken = kept("wfbroken", "10m");
    let endless = kept("wfendless", "4s");

    // A shell in it is confined as the build was.
    let look = |name: &str| {
        let mut enter = farm.command(["sandbox", "enter", name]).unwrap();
        let script = "cat trace; echo; id -u; touch /x 2>/dev/null || echo read-only\n";
        let output = run_with(&mut enter, script).unwrap();
        output.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(look(&broken), ["was here", "65532", "read-only"]);
    assert_eq!(look(&endless), ["began", "65532", "read-only"]);

    let listed = || {
        let run = farm.run(["sandbox", "list"]).unwrap();
        let names: Vec<_> = run.stdout.lines().map(str::to_owned).collect();
        names
    };
    assert!(
        [&broken, &endless]
            .iter()
            .all(|name| listed().contains(name))
    );
    let removed = farm.run(["sandbox", "remove", &broken, &endless]).unwrap();
    assert_eq!(removed.code, Some(0), "{}", removed.stderr);
    assert!(
        ![&broken, &endless]
            .iter()
            .any(|name| listed().contains(name))
    );
    failed(
        &farm.run(["sandbox", "enter", &broken]).unwrap(),
        4,
        &[&broken, "no kept container"],
        &[],
    );
}

#[test]
fn a_compiler_cache_works_in_the_sandbox() {
    needs_docker!();
    let sdist = counting_ccache();
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let farm = only(Sandbox::ordinary().unwrap().farm().unwrap(), &index);
    let farm = farm.with("WHEELFARM_EXECUTOR", "sandbox");
    for (variable, expected) in [("A=one", "0"), ("A=two", "1")] {
        let another_key = format!("package.wfcached.env.{variable}");
        let arguments = ["wfcached", "--image", "debian-12", "--no-prove"];
        let more = ["--compiler-cache", "--set", &another_key];
        let run = farm.build([&arguments[..], &more].concat()).unwrap();
        let report = run.success().unwrap();
        let path = &report.wheels.first().unwrap().path;
        let hits = wheelfarm_tests::wheel::read(path, "hits.txt").unwrap();
        assert_eq!(String::from_utf8(hits).unwrap(), expected);
    }
}

/// What `command` prints when it is told `input`.
fn run_with(command: &mut Command, input: &str) -> std::io::Result<String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
