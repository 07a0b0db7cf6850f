//! What stands around the command of an action in its container.

use std::collections::BTreeMap;

use wheelfarm_build::action::{Action, OUTPUT_DIR};

/// The user and group of every build: nobody's in any image.
pub(crate) const USER: u32 = 65532;
/// The real one would be a random number, and ends up in some build logs and artefacts.
pub(crate) const HOST_NAME: &str = "wheelfarm";

/// Runs the command with its output on stderr, the log; then sends the outputs and a line of our own on stdout.
/// The kernel counts what it killed for want of memory; the first file is of cgroups v2, the second of v1.
/// A core dump of a crashed compiler is of no use to anybody. Podman adds variables of its own, which builds elsewhere do
/// not see.
const WRAPPER: &str = r#"umask 022
ulimit -c 0
if [ "$container" = podman ]; then
  unset container
  if [ "$TERM" = xterm ]; then unset TERM; fi
  if [ "$1" != network ]; then
    unset http_proxy https_proxy ftp_proxy no_proxy HTTP_PROXY HTTPS_PROXY FTP_PROXY NO_PROXY
  fi
fi
shift
mkdir -p "$0"
exec 3>&1 1>&2
"$@" 3>&-
code=$?
tar -cf - -C "$0" . >&3
packed=$?
killed=0
for file in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
  if [ -r "$file" ]; then
    while read -r key value; do if [ "$key" = oom_kill ]; then killed=$value; fi; done <"$file"
  fi
done
echo "wheelfarm $code $packed $killed" >&3
"#;

/// What the container of `action` runs; `after` is shell code to run when everything is sent.
pub(crate) fn command(action: &Action, after: &str) -> Vec<String> {
    let wrapper = [WRAPPER, after].concat();
    let network = if action.network { "network" } else { "alone" };
    let mut command: Vec<String> = ["/bin/sh", "-c", &wrapper, OUTPUT_DIR, network]
        .map(str::to_owned)
        .into();
    command.extend(action.command.iter().cloned());
    command
}

/// The environment of the container of `action` beside what the image sets, with the variables of `network`.
pub(crate) fn environment(action: &Action, network: BTreeMap<String, String>) -> Vec<String> {
    let mut environment = BTreeMap::from([("HOME".to_owned(), "/tmp".to_owned())]);
    environment.extend(network);
    environment.extend(action.environment.clone());
    environment
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect()
}
