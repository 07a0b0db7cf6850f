//! Actions that want more than they may have, or leave what they must not.

use std::time::{Duration, Instant};

use wheelfarm_build::action::{ExecutorErrorKind, Exit};

use crate::engine::{Engine, Kind};

on_every_engine! {
    an_action_that_takes_too_long_is_killed,
    too_much_memory_is_told_from_other_failures,
    the_work_directory_is_bounded,
    processes_are_bounded,
    outputs_are_bounded_by_size_while_they_arrive_and_afterwards,
    the_log_is_bounded,
    only_regular_files_are_taken,
    what_goes_on_in_the_background_does_not_hold_up_the_end,
}

async fn an_action_that_takes_too_long_is_killed(engine: Engine) {
    let mut action = engine.action("echo before; trap '' TERM; sleep 600");
    action.limits.time = Duration::from_secs(3);
    let start = Instant::now();
    let result = engine.run(&action).await.unwrap();
    assert_eq!(result.exit, Exit::TimedOut);
    assert_eq!(result.log, "before\n");
    assert!(start.elapsed() < Duration::from_secs(60));
}

async fn too_much_memory_is_told_from_other_failures(engine: Engine) {
    let hog = "python3 -c 'bytearray(500 << 20)'";
    for script in [
        hog.to_owned(),
        format!("exec {hog}"),
        format!("{hog} || exit 1"),
    ] {
        let mut action = engine.action(&script);
        action.limits.memory = 64 << 20;
        let result = engine.run(&action).await.unwrap();
        if engine.kind.has_cgroups() {
            assert_eq!(result.exit, Exit::OutOfMemory, "{script}");
        } else if engine.kind == Kind::Sandbox {
            assert_ne!(result.exit, Exit::Code(0), "{script}");
        }
    }
    let killed = engine.run(&engine.action("kill -9 $$")).await.unwrap();
    assert_eq!(killed.exit, Exit::Code(137));
}

async fn the_work_directory_is_bounded(engine: Engine) {
    let mut action = engine.action("head -c 3000000 /dev/zero >large");
    action.limits.scratch = 2 << 20;
    let result = engine.run(&action).await.unwrap();
    assert_eq!(result.exit, Exit::Code(1));
    let log = String::from_utf8_lossy(&result.log).into_owned();
    assert!(log.contains("No space left on device"), "{log}");
}

async fn processes_are_bounded(engine: Engine) {
    if engine.kind == Kind::RootlessPodman && !engine.kind.has_cgroups() {
        return;
    }
    let mut action = engine.action("for n in $(seq 100); do sleep 600 & done; true");
    action.limits.pids = 20;
    let result = engine.run(&action).await.unwrap();
    assert_ne!(result.exit, Exit::Code(0));
    let log = String::from_utf8_lossy(&result.log).into_owned();
    assert!(log.to_lowercase().contains("fork"), "{log}");
}

async fn outputs_are_bounded_by_size_while_they_arrive_and_afterwards(engine: Engine) {
    for size in [2_000_000, 60_000_000] {
        let mut action = engine.action(&format!("head -c {size} /dev/zero >out/x"));
        action.limits.output = 1_000_000;
        let error = engine.run(&action).await.unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::Output);
        assert!(error.message.contains("1000000 bytes"), "{error}");
    }
}

async fn the_log_is_bounded(engine: Engine) {
    let mut action = engine.action("yes | head -c 1000000");
    action.limits.log = 1000;
    let log = engine.log_of(&action).await;
    assert!(log.ends_with("999000 more bytes were dropped]\n"), "{log}");
    assert!(log.len() < 1200);
}

async fn only_regular_files_are_taken(engine: Engine) {
    for (script, what) in [
        ("ln -s /etc/passwd out/x", "symbolic link"),
        ("echo >out/x; ln out/x out/y", "hard link"),
        ("mkfifo out/x", "named pipe"),
        ("rmdir out; ln -s /etc out", "refused"),
        ("rmdir out", "tar could not pack"),
    ] {
        let error = engine.run(&engine.action(script)).await.unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::Output, "{script}");
        assert!(error.message.contains(what), "{script}: {error}");
        // The command's own failure says more.
        let failing = engine.action(&format!("{script}; exit 4"));
        let result = engine.run(&failing).await.unwrap();
        assert_eq!(result.exit, Exit::Code(4), "{script}");
    }
}

async fn what_goes_on_in_the_background_does_not_hold_up_the_end(engine: Engine) {
    let start = Instant::now();
    let result = engine.run(&engine.action("sleep 600 & true")).await;
    assert_eq!(result.unwrap().exit, Exit::Code(0));
    assert!(start.elapsed() < Duration::from_secs(50));
}
