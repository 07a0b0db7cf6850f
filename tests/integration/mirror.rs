//! The server with the index behind it that this machine is configured for, or pip's default one.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use wheelfarm_tests::asking::ask;
use wheelfarm_tests::farm::Farm;
use wheelfarm_tests::process;
use wheelfarm_tests::server::Server;

/// A package with dependencies, and one with compiled wheels.
const WANTED: [&str; 2] = ["requests==2.32.3", "markupsafe==3.0.2"];

fn pip(server: &Server, into: &Path, wanted: &[&str]) -> process::Output {
    let mut command = Command::new("python3");
    command
        .args(["-m", "pip", "--isolated", "--no-cache-dir", "download"])
        .args(["--disable-pip-version-check", "--no-input", "--retries=0"])
        .args(["--only-binary=:all:", "--index-url"])
        .arg(server.url("/simple/"))
        .arg("--dest")
        .arg(into)
        .args(wanted);
    let running = process::start(&mut command).unwrap();
    running.finish(Duration::from_secs(120)).unwrap()
}

#[test]
fn real_packages_come_through_and_stay_when_the_index_is_gone() {
    let farm = Farm::new().unwrap();
    let server = Server::start(&farm, &["--upstream"]).unwrap();
    let first = tempfile::tempdir().unwrap();
    let run = pip(&server, first.path(), &WANTED);
    assert!(run.status.success(), "{}", run.stderr);
    server.kill().unwrap();
    // Nobody answers at this address, so nothing leads to the index any more.
    let farm = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"]
        .iter()
        .flat_map(|name| [(*name).to_owned(), name.to_lowercase()])
        .fold(farm, |farm, name| farm.with(&name, "http://127.0.0.1:9"))
        .with("NO_PROXY", "")
        .with("no_proxy", "");
    let server = Server::start(&farm, &["--upstream"]).unwrap();
    let second = tempfile::tempdir().unwrap();
    let run = pip(&server, second.path(), &WANTED);
    assert!(run.status.success(), "{}", run.stderr);
    let names = |directory: &Path| {
        let entries = fs_err::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(first.path()), names(second.path()));
    assert!(names(first.path()).len() > WANTED.len());
    // What was never asked for may be there: to say that it is not would make resolvers take something else.
    let answer = ask(server.address(), "GET", "/simple/six/", &[]).unwrap();
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert!(!pip(&server, second.path(), &["six"]).status.success());
}
