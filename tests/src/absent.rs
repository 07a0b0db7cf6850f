//! A machine where Docker is absent, for one command: its socket and its program are covered.

use std::process::Command;

/// Covers what the arguments before `--` name, links followed, in a namespace of mounts of its own; then runs the rest.
const COVER: &str = r#"set -e
while [ "$1" != -- ]; do
    if file=$(readlink -e "$1"); then mount --bind /dev/null "$file"; fi
    shift
done
shift
exec "$@"
"#;

/// What there is of Docker on a machine.
const DOCKER: [&str; 7] = [
    "/var/run/docker.sock",
    "/usr/bin/docker",
    "/usr/sbin/docker",
    "/usr/local/bin/docker",
    "/usr/bin/dockerd",
    "/usr/sbin/dockerd",
    "/usr/local/bin/dockerd",
];

/// `command`, with the same arguments, environment and directory, on a machine without Docker. Only root can hide it.
#[must_use]
pub fn without_docker(command: &Command) -> Command {
    let mut hiding = Command::new("unshare");
    hiding
        .args(["--mount", "sh", "-c", COVER, "sh"])
        .args(DOCKER)
        .arg("--")
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => hiding.env(name, value),
            None => hiding.env_remove(name),
        };
    }
    if let Some(directory) = command.get_current_dir() {
        hiding.current_dir(directory);
    }
    hiding.env_remove("DOCKER_HOST");
    hiding
}
