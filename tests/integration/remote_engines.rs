//! The engines of Remote Execution that tests run against are what the documentation says of them.

use std::time::Duration;

use wheelfarm_tests::environment::variable;
use wheelfarm_tests::process::wait_for;
use wheelfarm_tests::remote_execution::{Casd, CasdSettings, Cluster};
use wheelfarm_tests::sha256;

use crate::support::needs_docker;

/// How long an action may take until another worker has done it, on a busy machine.
const LIMIT: Duration = Duration::from_secs(180);
/// A shell, a program and what they need, for a root file system.
const ROOT: [&str; 4] = [
    "--input-path=/usr/bin/dash:bin/sh",
    "--input-path=/usr/bin/sleep:bin/sleep",
    "--input-path=/lib64/ld-linux-x86-64.so.2:lib64/ld-linux-x86-64.so.2",
    "--input-path=/lib/x86_64-linux-gnu/libc.so.6:lib/x86_64-linux-gnu/libc.so.6",
];
/// What a sandbox must not let an action do. It writes nothing, it only opens.
const ATTEMPTS: &str = r#"
    for setting in kernel/core_pattern kernel/panic vm/overcommit_memory; do
        if (true >>/proc/sys/$setting) 2>/dev/null; then echo "may write $setting"; fi
    done
    while read -r interface rest; do
        case $interface in lo:|Inter-*|face) ;; *) echo "has the network interface $interface" ;; esac
    done </proc/net/dev
    while read -r name value; do
        case $name in
            CapEff:|CapPrm:|CapBnd:) [ "$value" = 0000000000000000 ] || echo "has capabilities" ;;
            NoNewPrivs:) [ "$value" = 1 ] || echo "may gain privileges" ;;
        esac
    done </proc/self/status
    for process in /proc/[0-9]*; do
        case $process in /proc/1|/proc/$$) ;; *) echo "sees $process" ;; esac
    done
    [ -z "$QUOTA$RUNNER$HOME" ] || echo "has variables of the server"
    echo looked
"#;

/// The words that have `remote` run a shell script with nothing but a shell.
fn shell<'a>(remote: &'a str, script: &'a str) -> Vec<&'a str> {
    let mut words = vec!["trexe", remote];
    words.extend(ROOT);
    words.extend(["--skip-cache-lookup", "/bin/sh", "-c", script]);
    words
}

#[test]
fn an_action_reaches_nothing_of_the_machine() {
    needs_docker!();
    let casd = Casd::shared().unwrap();
    let remote = "--remote=http://127.0.0.1:50061";
    let printed = casd.run(&shell(remote, ATTEMPTS)).unwrap();
    assert_eq!(printed.trim(), "looked");
}

#[test]
fn what_is_done_to_a_server_is_seen() {
    needs_docker!();
    let casd = Casd::start().unwrap();
    casd.run(&["sh", "-c", "echo some text >/tmp/blob"])
        .unwrap();
    let upload = ["casupload", "--remote=http://127.0.0.1:50061", "/tmp/blob"];
    casd.run(&upload).unwrap();
    let storage = casd.storage();
    let digest = sha256(b"some text\n");
    assert!(storage.blobs().unwrap().contains(&digest));
    let at = format!(
        "/var/lib/casd/cas/objects/{}/{}",
        &digest[..2],
        &digest[2..]
    );

    // What it has survives.
    casd.kill().unwrap();
    assert!(!casd.is_running().unwrap());
    casd.restart().unwrap();
    assert_eq!(casd.run(&["cat", &at]).unwrap(), "some text\n");
    casd.stop().unwrap();
    casd.restart().unwrap();
    assert_eq!(casd.run(&["cat", &at]).unwrap(), "some text\n");

    storage.corrupt(&digest).unwrap();
    let corrupt = casd.run(&["od", "--address-radix", "n", "--format", "x1", &at]);
    let corrupt = corrupt.unwrap();
    assert_eq!(corrupt.trim(), "73 6f 6d 65 20 74 65 78 74 8a");
    storage.truncate(&digest).unwrap();
    assert_eq!(casd.run(&["cat", &at]).unwrap(), "some ");
    storage.remove(&digest).unwrap();
    assert!(!storage.blobs().unwrap().contains(&digest));
    assert!(storage.remove(&digest).is_err());
    // It is missed: uploaded again, it is there again.
    casd.run(&upload).unwrap();
    assert_eq!(casd.run(&["cat", &at]).unwrap(), "some text\n");
    storage.remove_all().unwrap();
    assert_eq!(storage.blobs().unwrap(), [""; 0]);
}

#[test]
fn a_servers_disk_can_be_full() {
    needs_docker!();
    let settings = CasdSettings {
        disk: Some("40m"),
        ..CasdSettings::default()
    };
    let casd = Casd::with(&settings).unwrap();
    let make = "head --bytes 1000000 /dev/urandom >/tmp/blob";
    casd.run(&["sh", "-c", make]).unwrap();
    let upload = ["casupload", "--remote=http://127.0.0.1:50061", "/tmp/blob"];
    casd.storage().fill().unwrap();
    assert!(casd.run(&upload).is_err());
    casd.storage().empty().unwrap();
    casd.run(&upload).unwrap();
}

#[test]
fn what_a_killed_worker_had_is_done_by_another() {
    needs_docker!();
    if variable("WHEELFARM_TEST_CLUSTER").is_none() {
        return;
    }
    let cluster = Cluster::start("killed-worker").unwrap();
    let remote = "--remote=http://buildgrid:50051";
    let mut words = shell(remote, "/bin/sleep 1000");
    words.splice(2..2, ["--platform-properties=pool=wheels", "--no-wait"]);
    let operation = cluster.run(&words).unwrap();
    let busy = |number| cluster.runs_an_action(number).unwrap();
    let first = wait_for("a worker to begin", LIMIT, || {
        Ok([1, 2].into_iter().find(|number| busy(*number)))
    });
    let first = first.unwrap();
    cluster.kill_worker(first).unwrap();
    let other = 3 - first;
    wait_for("the other worker to begin", LIMIT, || {
        Ok(busy(other).then_some(()))
    })
    .unwrap();
    let operation = format!("--operation={}", operation.trim());
    let cancel = ["trexe", remote, "--cancel", operation.as_str()];
    cluster.run(&cancel).unwrap();
    wait_for("the other worker to end it", LIMIT, || {
        Ok((!busy(other)).then_some(()))
    })
    .unwrap();

    // Who was killed takes part again, and works while it is the only one.
    cluster.start_worker(first).unwrap();
    cluster.kill_worker(other).unwrap();
    let mut words = shell(remote, "echo done");
    words.insert(2, "--platform-properties=pool=wheels");
    assert_eq!(cluster.run(&words).unwrap(), "done\n");

    // A worker that nobody hears of is as good as dead, and one that is heard of again is as good as new.
    cluster.disconnect_worker(first).unwrap();
    cluster.connect_worker(first).unwrap();
    cluster.restart_server().unwrap();
    assert_eq!(cluster.run(&words).unwrap(), "done\n");
}
