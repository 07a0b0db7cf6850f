//! What the wrapper does, in a shell of this machine.

use std::process::{Command, Output};

use wheelfarm_types::Digest;

use super::inputs::WRAPPER;

/// What came of a command in the wrapper: how the shell ended, and what it left as its status.
struct Wrapped {
    output: Output,
    status: String,
}

/// Runs `true` with one input, in the wrapper, where `content` is what lies there. Programs are those of `path`.
fn wrapped(list: &str, content: &str, path: Option<&str>) -> Wrapped {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs_err::write(at("input"), content).unwrap();
    let list = list.replace("INPUT", at("input").to_str().unwrap());
    fs_err::write(at("list"), &list).unwrap();
    if let Some(program) = path {
        use std::os::unix::fs::PermissionsExt;
        let file = at("sha256sum");
        fs_err::write(&file, program).unwrap();
        fs_err::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let usual = "/usr/local/bin:/usr/bin:/bin";
    let output = Command::new("/bin/sh")
        .args(["-c", WRAPPER, "wheelfarm"])
        .arg(at("list"))
        .arg(Digest::of(&list).to_string())
        .arg("true")
        .env("PATH", format!("{}:{usual}", directory.path().display()))
        .current_dir(directory.path())
        .output()
        .unwrap();
    Wrapped {
        output,
        status: fs_err::read_to_string(at("status")).unwrap(),
    }
}

fn line(content: &str) -> String {
    format!("{}  INPUT\n", Digest::of(content))
}

#[test]
fn a_command_runs_if_its_inputs_are_right_or_there_are_none() {
    for list in [line("right"), String::new()] {
        let wrapped = wrapped(&list, "right", None);
        assert_eq!(wrapped.status, "0\n", "{:?}", wrapped.output);
        assert!(wrapped.output.status.success());
    }
}

#[test]
fn inputs_that_are_wrong_or_gone_are_named_and_nothing_runs() {
    let gone = format!("{}  INPUT-2\n", Digest::of("right"));
    for (list, content) in [(line("right"), "wrong"), (gone, "right")] {
        let wrapped = wrapped(&list, content, None);
        assert_eq!(wrapped.status, "damaged\n");
        assert_eq!(wrapped.output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&wrapped.output.stderr).into_owned();
        assert!(said.contains("/input"), "{said}");
    }
}

#[test]
fn what_cannot_be_compared_is_not_right() {
    // As a shell ends that could not read the program.
    let wrapped = wrapped(&line("right"), "right", Some("#!/bin/sh\nexit 126\n"));
    assert_eq!(wrapped.status, "damaged\n");
}
