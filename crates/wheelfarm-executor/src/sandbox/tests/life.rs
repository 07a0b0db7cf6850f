//! Beginning and end of containers.

use tokio::io::AsyncBufReadExt;

use super::support::{Place, place};
use crate::sandbox::launch::{Running, Work};

#[tokio::test]
async fn a_command_prints_and_ends_with_its_code() {
    let Some(place) = place().await else { return };
    let container = place.container(
        "code",
        "echo out; echo err >&2; echo $A; id -u; pwd; exit 7",
    );
    let (ended, printed) = place.run(&container).await.unwrap();
    assert_eq!((ended.code, ended.killed), (7, 0), "{printed}");
    assert_eq!(printed, "out\n1\n65532\n/build\nerr\n");
    let (ended, _) = place
        .run(&place.container("killed", "kill -9 $$; sh -c 'kill -9 $$'"))
        .await
        .unwrap();
    assert_eq!(ended.code, 137);
}

#[tokio::test]
async fn what_the_runtime_cannot_do_is_an_error_in_its_words() {
    let Some(place) = place().await else { return };
    let mut container = place.container("absent", "");
    container.command = vec!["/no/such/program".to_owned()];
    let error = place.run(&container).await.unwrap_err();
    assert!(error.message.contains("/no/such/program"), "{error}");
    let mut container = place.container("layer", "true");
    container.layers = vec!["no-such-layer".into()];
    let error = place.run(&container).await.unwrap_err();
    assert!(error.message.contains("overlay"), "{error}");
    let mut container = place.container("target", "true");
    container.binds[0].target = "/in/../usr".to_owned();
    let error = place.run(&container).await.unwrap_err();
    assert!(error.message.contains("/in/../usr"), "{error}");
    // What a command prints is no message of the runtime's.
    let script = r#"echo '{"level":"error","msg":"mine"}'; exit 1"#;
    let (ended, _) = place.run(&place.container("own", script)).await.unwrap();
    assert_eq!(ended.code, 1);
}

/// Starts a container that goes on for long, in the background as well; returns when it runs.
async fn long(place: &Place, name: &str) -> Running {
    let script = "trap '' TERM INT; (setsid sleep 4242 &); echo runs; sleep 4242; sleep 4242";
    let mut running = place.start(&place.container(name, script)).await.unwrap();
    let mut line = String::new();
    running.stdout.read_line(&mut line).await.unwrap();
    assert_eq!(line, "runs\n");
    running
}

/// Waits for the end of the pipe that every process of the container holds.
async fn all_gone(mut stdout: impl tokio::io::AsyncRead + Unpin) {
    tokio::io::copy(&mut stdout, &mut tokio::io::sink())
        .await
        .unwrap();
}

#[tokio::test]
async fn killing_ends_everything() {
    let Some(place) = place().await else { return };
    let mut running = long(&place, "life-kill").await;
    let pid = running.pid().unwrap();
    // The pipe of the launcher's complaints is open in every process of the container.
    let stderr = std::mem::replace(&mut running.stderr, another_pipe());
    running.kill().await;
    all_gone(stderr).await;
    assert_eq!(place.groups(), Vec::<String>::new());
    assert!(!std::path::Path::new(&format!("/proc/{pid}/ns")).exists());
    let work = Work::Remove {
        paths: vec!["actions".into()],
    };
    place.machine.to_the_end(place.path(), &work).await.ok();
}

#[tokio::test]
async fn dropping_ends_everything() {
    let Some(place) = place().await else { return };
    let mut running = long(&place, "life-drop").await;
    let stderr = std::mem::replace(&mut running.stderr, another_pipe());
    drop(running);
    all_gone(stderr).await;
    // The group goes in the background.
    let start = std::time::Instant::now();
    while !place.groups().is_empty() {
        assert!(start.elapsed() < std::time::Duration::from_secs(20));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_killed_launcher_takes_everything_with_it() {
    let Some(place) = place().await else { return };
    let mut running = long(&place, "life-launcher").await;
    let pid = i32::try_from(running.pid().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    let stderr = std::mem::replace(&mut running.stderr, another_pipe());
    all_gone(stderr).await;
    let ended = running.ended().await.unwrap();
    assert_eq!(ended.code, 137);
    assert_eq!(place.groups(), Vec::<String>::new());
}

/// Something to leave in the place of a pipe that is taken out.
fn another_pipe() -> tokio::process::ChildStderr {
    let mut command = tokio::process::Command::new("true");
    let mut child = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    child.stderr.take().unwrap()
}
