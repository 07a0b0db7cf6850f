//! Builds that are asked of a server: over HTTP, by `wheelfarm build --farm`, and by an installer that finds no wheel.

use std::time::Duration;

use serde_json::{Value, json};
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::farm::{Farm, Run, uv_wheel};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::process;
use wheelfarm_tests::sdist::Sdist;
use wheelfarm_tests::server::Server;

use crate::support::{failed, files, needs_docker, only, wheels};

const CELL: &str = "cp311-manylinux_2_36_x86_64";
const EMPTY: &str = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {NAME + \".py\": \"X = 1\"})\n";
const SLOW: &str = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    print('it begins', flush=True)\n    while True: time.sleep(1)\n";
/// An engine that does not answer.
const NO_ENGINE: &str = "unix:///nowhere/docker.sock";

/// A server that builds what `index` has, with more arguments.
fn serve(farm: &Farm, arguments: &[&str]) -> Server {
    let wheel = uv_wheel().unwrap().display().to_string();
    let uv = ["--uv-wheel", &wheel];
    Server::start(farm, &[&uv[..], arguments].concat()).unwrap()
}

fn token(farm: &Farm, scope: &str) -> String {
    let run = farm.run(["token", "create", "--scope", scope]).unwrap();
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    run.stdout.lines().last().unwrap().to_owned()
}

/// A farm elsewhere: another machine, as far as a test can make one.
fn client(server: &Server, token: &str) -> Farm {
    Farm::new()
        .unwrap()
        .with("DOCKER_HOST", NO_ENGINE)
        .with("WHEELFARM_FARM", server.address())
        .with("WHEELFARM_FARM_TOKEN", token)
}

fn build(client: &Farm, arguments: &[&str]) -> Run {
    let options = [
        &["build", "--format", "json", "--python", "3.11"],
        arguments,
    ]
    .concat();
    client.run(options).unwrap()
}

fn install(server: &Server, name: &str) -> process::Output {
    let mut command = std::process::Command::new("python3");
    command
        .args([
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-cache-dir",
            "--only-binary=:all:",
        ])
        .args([
            "--python-version",
            "3.11",
            "--platform",
            "manylinux_2_36_x86_64",
        ])
        .args(["--index-url", &server.url("/simple/"), "--dest"])
        .arg(
            wheelfarm_tests::environment::scratch_directory()
                .unwrap()
                .join(name),
        )
        .arg(name)
        .env("PIP_CONFIG_FILE", "/dev/null")
        .env_remove("PIP_EXTRA_INDEX_URL");
    let running = process::start(&mut command).unwrap();
    running.finish(Duration::from_secs(120)).unwrap()
}

#[test]
fn what_is_posted_is_built_followed_published_and_installed() {
    needs_docker!();
    let sdist = Sdist::with_backend("wfposted", "1.0", &[], EMPTY);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let farm = only(Farm::new().unwrap(), &index);
    let server = serve(&farm, &[]);
    let token = token(&farm, "build");
    let body = json!({ "requirements": ["wfposted"], "cells": [CELL] }).to_string();
    let (status, answer) = server.ask("POST", "/api/builds", &token, &body).unwrap();
    assert_eq!(status, 202, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let id = answer["build"]["id"].as_str().unwrap();
    // Read to its end: the stream ends with the build.
    let (status, events) = server
        .ask("GET", &format!("/api/builds/{id}/events"), &token, "")
        .unwrap();
    assert_eq!(status, 200);
    let events: Vec<Value> = events
        .lines()
        .filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok())
        .collect();
    let of = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!(
        (of("queued"), of("begin"), of("report"), of("end")),
        (1, 1, 1, 1)
    );
    assert!(of("log") > 0 && of("stage") > 2, "{events:?}");
    let end = events.last().unwrap();
    assert_eq!(end["state"], "done", "{end}");
    let published = end["published"][0].as_str().unwrap();
    assert!(published.starts_with("wfposted-1.0-"), "{published}");
    let installed = install(&server, "wfposted");
    assert!(installed.status.success(), "{}", installed.stderr);
    // Again: nothing to do, nothing new to publish, and no failure.
    let (status, answer) = server.ask("POST", "/api/builds", &token, &body).unwrap();
    assert_eq!(status, 202, "{answer}");
    let (_, builds) = server.ask("GET", "/api/builds", &token, "").unwrap();
    assert!(builds.contains(id), "{builds}");
}

#[test]
fn a_machine_without_an_engine_gets_what_the_farm_built() {
    needs_docker!();
    let broken = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    raise SystemExit('wfbad is broken')\n";
    let good = Sdist::with_backend("wfafar", "1.0", &[], EMPTY);
    let hash = wheelfarm_tests::sha256(&good.bytes().unwrap());
    let index = Index::start()
        .unwrap()
        .with(&good)
        .unwrap()
        .with(&Sdist::with_backend("wfbad", "1.0", &[], broken))
        .unwrap();
    let farm = only(Farm::new().unwrap(), &index);
    let server = serve(&farm, &[]);
    let client = client(&server, &token(&farm, "build"));

    let requirements = client.work().join("requirements.txt");
    fs_err::write(&requirements, format!("wfafar==1.0 --hash=sha256:{hash}\n")).unwrap();
    let run = build(&client, &["-r", "requirements.txt"]);
    let report = run.success().unwrap();
    assert_eq!(report.wheels.len(), 1);
    let wheel = report.wheels.first().unwrap();
    assert_eq!(wheel.path.parent(), Some(client.out().as_path()));
    let bytes = fs_err::read(&wheel.path).unwrap();
    assert_eq!(wheelfarm_tests::sha256(&bytes), wheel.sha256);
    let present = files(&client.out());
    for lock in [
        format!("requirements-{CELL}.txt"),
        format!("pylock.{CELL}.toml"),
    ] {
        assert!(present.contains(&lock), "{present:?}");
    }
    assert!(
        run.stderr.contains("wfafar 1.0"),
        "progress is shown: {}",
        run.stderr
    );

    // A hash that no file has; a package that fails, with its log; what no farm can have.
    fs_err::write(
        &requirements,
        format!("wfafar==1.0 --hash=sha256:{}\n", "0".repeat(64)),
    )
    .unwrap();
    let run = build(&client, &["-r", "requirements.txt"]);
    assert_ne!(run.code, Some(0), "{}", run.stderr);
    let run = build(&client, &["wfbad", "wfafar"]);
    failed(&run, 3, &["wfbad 1.0", "wfbad is broken"], &[]);
    assert_eq!(wheels(&client.out()).len(), 1);
    let log = run
        .stderr
        .lines()
        .find_map(|line| line.split("the full log is ").nth(1));
    let log = fs_err::read_to_string(log.unwrap()).unwrap();
    assert!(log.contains("wfbad is broken"), "{log}");
    let run = build(&client, &["./here"]);
    failed(&run, 2, &["on no index"], &["upload"]);
    let reader = client.with("WHEELFARM_FARM_TOKEN", &token(&farm, "read"));
    failed(
        &build(&reader, &["wfafar"]),
        2,
        &["does not allow"],
        &["token create"],
    );
}

#[test]
fn giving_up_ends_the_build_at_the_farm() {
    needs_docker!();
    let sdist = Sdist::with_backend("wfslow", "1.0", &[], SLOW);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let farm = only(Farm::new().unwrap(), &index);
    let server = serve(&farm, &[]);
    let token = token(&farm, "build");
    let client = client(&server, &token);
    let engine = Engine::connect().unwrap();
    let limit = Duration::from_secs(60);
    let runs = || {
        let containers = engine.farm_containers(&farm.cache())?;
        let of_build = |found: &wheelfarm_tests::docker::FarmContainer| {
            found.action.starts_with("build wfslow")
        };
        Ok::<_, wheelfarm_tests::anyhow::Error>(containers.iter().any(of_build))
    };
    let mut command = client
        .command(["build", "wfslow", "--python", "3.11"])
        .unwrap();
    let running = process::start(&mut command).unwrap();
    process::wait_for("the build", limit, || Ok(runs()?.then_some(()))).unwrap();
    running.signal("INT").unwrap();
    let output = running.finish(limit).unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", output.stderr);
    process::wait_for("its end", limit, || Ok((!runs()?).then_some(()))).unwrap();
    // The container is gone before the build is written off.
    let cancelled = || {
        let (_, builds) = server.ask("GET", "/api/builds", &token, "")?;
        let builds: Value = serde_json::from_str(&builds)?;
        Ok((builds["builds"][0]["state"] == "cancelled").then_some(()))
    };
    process::wait_for("the build to be cancelled", limit, cancelled).unwrap();
}

#[test]
fn the_first_installer_has_it_built() {
    needs_docker!();
    let sdist = Sdist::with_backend("wfdemand", "1.0", &[], EMPTY);
    let other = Sdist::with_backend("wfother", "1.0", &[], EMPTY);
    let index = Index::start()
        .unwrap()
        .with(&sdist)
        .unwrap()
        .with(&other)
        .unwrap();
    let farm = only(Farm::new().unwrap(), &index)
        .configure("[farm]\npython = [\"3.11\"]\n")
        .unwrap();
    let server = serve(&farm, &["--build-on-demand=wfdemand"]);
    let installed = install(&server, "wfdemand");
    assert!(installed.status.success(), "{}", installed.stderr);
    // Nobody else's name has anything built.
    let installed = install(&server, "wfother");
    assert!(!installed.status.success());
    let (_, builds) = server.ask("GET", "/api/builds", "", "").unwrap();
    assert_eq!(builds.matches("\"queued\":").count(), 1, "{builds}");
}

#[test]
fn a_server_that_was_killed_goes_on_and_two_servers_build_once() {
    needs_docker!();
    let sdist = Sdist::with_backend("wfkilled", "1.0", &[], EMPTY);
    let index = Index::start().unwrap().with(&sdist).unwrap();
    let farm = only(Farm::new().unwrap(), &index);
    let token = token(&farm, "build");
    let body = json!({ "requirements": ["wfkilled"], "cells": [CELL] }).to_string();
    let engine = Engine::connect().unwrap();
    let server = serve(&farm, &[]);
    server.ask("POST", "/api/builds", &token, &body).unwrap();
    let limit = Duration::from_secs(60);
    process::wait_for("a container", limit, || {
        Ok((!engine.farm_containers(&farm.cache())?.is_empty()).then_some(()))
    })
    .unwrap();
    server.kill().unwrap();

    let second = only(Farm::with_store(farm.store()).unwrap(), &index);
    let servers = [serve(&farm, &[]), serve(&second, &[])];
    let ids: Vec<String> = servers
        .iter()
        .map(|server| {
            let (status, answer) = server.ask("POST", "/api/builds", &token, &body).unwrap();
            assert_eq!(status, 202, "{answer}");
            let answer: Value = serde_json::from_str(&answer).unwrap();
            answer["build"]["id"].as_str().unwrap().to_owned()
        })
        .collect();
    let mut built = 0;
    for (server, id) in servers.iter().zip(&ids) {
        let path = format!("/api/builds/{id}/events");
        let (_, events) = server.ask("GET", &path, &token, "").unwrap();
        assert!(events.contains("\"state\":\"done\""), "{events}");
        built += events.matches("\"origin\":\"built\"").count();
    }
    assert_eq!(built, 1);
    crate::support::store_is_whole(&farm);
}
