//! An engine that does not answer.

use std::os::unix::net::UnixListener;

use wheelfarm_tests::farm::Farm;

use crate::support::{MAIN_JOB, failed, files, needs_docker};

/// `farm`, told to build with the engine at `host` and nothing else.
fn chosen(farm: Farm, host: &str) -> Farm {
    farm.with("WHEELFARM_EXECUTOR", "docker")
        .with("DOCKER_HOST", host)
}

#[test]
fn there_is_no_socket() {
    needs_docker!();
    let farm = Farm::new().unwrap();
    let socket = farm.work().join("no.sock");
    let host = format!("unix://{}", socket.display());
    let farm = chosen(farm, &host);
    failed(
        &farm.build(MAIN_JOB).unwrap(),
        4,
        &["Docker", &host],
        &["DOCKER_HOST"],
    );
    assert_eq!(files(&farm.out()), [""; 0]);
}

#[test]
fn nobody_listens_at_the_socket() {
    needs_docker!();
    let farm = Farm::new().unwrap();
    let socket = farm.work().join("dead.sock");
    // What a daemon that was killed leaves: the file, and nobody behind it.
    drop(UnixListener::bind(&socket).unwrap());
    let host = format!("unix://{}", socket.display());
    let farm = chosen(farm, &host);
    failed(
        &farm.build(MAIN_JOB).unwrap(),
        4,
        &["Docker", &host],
        &["daemon"],
    );
}
