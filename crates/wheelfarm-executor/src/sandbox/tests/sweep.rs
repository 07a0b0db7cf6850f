//! A process that begins while another one sweeps.

use std::path::Path;
use std::time::Duration;

use wheelfarm_store::Store;

use super::support::{asked_for, launcher};
use crate::network::HostNetwork;
use crate::sandbox::images::no_login;
use crate::sandbox::launch::Launcher;
use crate::sandbox::{Sandbox, SandboxSettings, SandboxSweep};

async fn settings(directory: &Path, launcher: Launcher) -> SandboxSettings {
    SandboxSettings {
        directory: directory.to_owned(),
        store: Store::open("memory:").await.unwrap(),
        network: HostNetwork::default(),
        launcher,
        registry_login: no_login(),
    }
}

/// One that says `reached` and waits for `go` before it does anything.
fn held_up(directory: &Path) -> Launcher {
    let script =
        r#": >"$0/reached"; while [ -e "$0" ] && [ ! -e "$0/go" ]; do sleep 0.01; done; exec "$@""#;
    let program = launcher().program.display().to_string();
    let directory = directory.display().to_string();
    Launcher {
        program: "/bin/sh".into(),
        arguments: vec!["-c".to_owned(), script.to_owned(), directory, program],
    }
}

#[tokio::test]
async fn what_a_machine_is_tried_with_is_not_swept() {
    if !asked_for() {
        return;
    }
    let (sandbox, signs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let first = settings(sandbox.path(), launcher()).await;
    let first = Sandbox::connect(first).await.unwrap();
    let second = settings(sandbox.path(), held_up(signs.path())).await;
    let second = tokio::spawn(Sandbox::connect(second));
    while !signs.path().join("reached").exists() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(first.sweep().await.unwrap(), SandboxSweep::default());
    fs_err::write(signs.path().join("go"), "").unwrap();
    let second = second.await.unwrap().unwrap();
    assert_eq!(second.machine().ids, first.machine().ids);
}
