//! Why containers do not run here, and what to do about it.

use std::fmt::Write as _;

use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};

use super::runtime::Runtime;
use crate::error::hinted;

/// Settings of the kernel that forbid user namespaces: file, the value that forbids, and what to do.
const SETTINGS: [(&str, &str, &str); 3] = [
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "`sysctl user.max_user_namespaces=10000` as root allows them",
    ),
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "`sysctl kernel.unprivileged_userns_clone=1` as root allows them",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "`sysctl kernel.apparmor_restrict_unprivileged_userns=0` as root, or an AppArmor profile for this program, allows them",
    ),
];

/// The answer where not even namespaces can be had; `failures` are those of each attempt.
pub(super) fn forbidden(failures: &[String]) -> ExecutorError {
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    let found = SETTINGS
        .iter()
        .find(|(path, value, _)| read(path).trim() == *value);
    let mut message = format!("this machine allows no sandbox: {}", failures.join("; "));
    let hint = if let Some((path, value, hint)) = found {
        // Writing to a string cannot fail.
        write!(message, " ({path} is {value})").ok();
        (*hint).to_owned()
    } else if is_filtered(&read("/proc/self/status")) {
        message.push_str(" (a system call filter is in force here: this seems to be a container)");
        OUTER.to_owned()
    } else {
        "run it as root, or use Docker, or a Remote Execution cluster".to_owned()
    };
    hinted(ExecutorErrorKind::EngineUnavailable, message, hint)
}

/// The answer where namespaces work but no runtime does.
pub(super) fn unfit(runtime: &Runtime, error: &ExecutorError) -> ExecutorError {
    let message = format!(
        "{} starts no containers here: {}",
        runtime.version, error.message
    );
    let read = |path: &str| fs_err::read_to_string(path).unwrap_or_default();
    let hint = if !runtime.knows_other_than_root() {
        "install crun, which does more without root"
    } else if is_filtered(&read("/proc/self/status")) || has_covered_proc(&read(MOUNTS)) {
        OUTER
    } else {
        "run it as root, or use Docker, or a Remote Execution cluster"
    };
    hinted(ExecutorErrorKind::EngineUnavailable, message, hint)
}

const MOUNTS: &str = "/proc/self/mountinfo";
const OUTER: &str = "if this is a container of Docker or Podman, start that with `--security-opt seccomp=unconfined \
    --security-opt systempaths=unconfined --security-opt apparmor=unconfined`, or give it an engine's socket";

/// Whether a system call filter is in force, from the text of `/proc/self/status`.
fn is_filtered(status: &str) -> bool {
    let mode = status
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp:"));
    mode.is_some_and(|mode| mode.trim() == "2")
}

/// Whether something is mounted over parts of `/proc`: the kernel lets nobody mount a whole one then.
fn has_covered_proc(mounts: &str) -> bool {
    mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(4))
        .any(|place| place.starts_with("/proc/") && place != "/proc/sys/fs/binfmt_misc")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_seen() {
        assert!(is_filtered("Name:\tx\nSeccomp:\t2\nSeccomp_filters:\t1\n"));
        assert!(!is_filtered("Seccomp:\t0\n"));
        assert!(!is_filtered(""));
    }

    #[test]
    fn covered_parts_of_proc_are_seen() {
        assert!(has_covered_proc("1 2 0:1 / /proc/sys ro - proc proc rw\n"));
        assert!(!has_covered_proc("1 2 0:1 / /proc rw - proc proc rw\n"));
        assert!(!has_covered_proc(
            "1 2 0:1 / /proc/sys/fs/binfmt_misc rw - autofs x rw\n"
        ));
    }
}
