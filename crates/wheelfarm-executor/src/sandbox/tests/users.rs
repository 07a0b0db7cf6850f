//! The other tests as ordinary users: this program again, for root can become anybody.

use std::process::Stdio;

use tokio::process::Command;

use super::support::{asked_for, place};
use wheelfarm_build::action::ExecutorErrorKind;

use crate::sandbox::machine::{Ids, Runtime};

/// A user that no machine has.
const NOBODY_IN_PARTICULAR: u32 = 54_321;

#[tokio::test]
async fn a_user_without_ids_to_spare() {
    if asked_for() && rustix::process::geteuid().is_root() {
        again_as(NOBODY_IN_PARTICULAR).await;
    }
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "it says why it is skipped")]
async fn a_user_with_ids_to_spare() {
    if !asked_for() || !rustix::process::geteuid().is_root() {
        return;
    }
    match user_with_ids() {
        Some(user) => again_as(user).await,
        None => eprintln!("skipped: no ordinary user is in /etc/subuid"),
    }
}

/// The first one in `/etc/subuid` that is no system user.
fn user_with_ids() -> Option<u32> {
    let subordinate = fs_err::read_to_string("/etc/subuid").ok()?;
    let users = fs_err::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| {
        let fields: Vec<_> = line.split(':').collect();
        let user: u32 = fields.get(2)?.parse().ok()?;
        let prefix = format!("{}:", fields.first()?);
        let has_ids = subordinate.lines().any(|line| line.starts_with(&prefix));
        (user >= 1000 && has_ids).then_some(user)
    })
}

async fn again_as(user: u32) {
    let home = tempfile::tempdir().unwrap();
    fs_err::os::unix::fs::chown(home.path(), Some(user), Some(user)).unwrap();
    let output = Command::new("setpriv")
        .args([format!("--reuid={user}"), format!("--regid={user}")])
        .arg("--clear-groups")
        .arg(std::env::current_exe().unwrap())
        .args(["sandbox::tests::", "--test-threads=1"])
        .env("TMPDIR", home.path())
        .stdin(Stdio::null())
        .current_dir("/")
        .output()
        .await
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}{complaints}");
}

#[tokio::test]
#[allow(clippy::print_stderr, reason = "it says why it is skipped")]
async fn the_other_runtime_does_the_same() {
    let Some(mut place) = place().await else {
        return;
    };
    let runtimes = Runtime::find().await;
    let Some(other) = runtimes.get(1) else {
        eprintln!("skipped: one runtime only is installed");
        return;
    };
    if !place.machine.maps_several_ids() && !other.knows_other_than_root() {
        let mut machine = place.machine.clone();
        let tried = machine
            .try_runtimes(place.path(), "tried", vec![other.clone()])
            .await;
        let error = tried.unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::EngineUnavailable);
        assert!(error.hint.unwrap().contains("install crun"));
        return;
    }
    place.machine.runtime = other.clone();
    let printed = place.output("runtime", "id -u; pwd; cat /etc/hosts").await;
    assert_eq!(printed, "65532\n/build\n127.0.0.1 localhost\n");
    let mut container = place.container("absent", "");
    container.command = vec!["/no/such/program".to_owned()];
    let error = place.run(&container).await.unwrap_err();
    assert!(error.message.contains("/no/such/program"), "{error}");
}

#[tokio::test]
async fn the_best_ids_are_taken() {
    let Some(place) = place().await else { return };
    let user = rustix::process::geteuid().as_raw();
    let is_single = matches!(place.machine.ids, Ids::Single { .. });
    assert_eq!(is_single, user == NOBODY_IN_PARTICULAR);
    let (owner, _) = place.machine.owner();
    assert_eq!(owner == user, user != 0);
}
