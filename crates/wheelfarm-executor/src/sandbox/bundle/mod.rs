//! What the OCI runtime is told: the `config.json` of a container.

mod seccomp;
#[cfg(test)]
mod tests;

use std::path::Path;

use serde_json::{Value, json};

use crate::sandbox::launch::{Bounds, Container};
use crate::wrapper::HOST_NAME;
use seccomp::Ownership;

/// What Docker gives; more in shared memory than that, and a build would not work there.
const SHM_SIZE: u64 = 64 << 20;
/// What package managers need to own, to hand over and to look into files, and to change the user for a download.
const INSTALLER: [&str; 9] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];
/// As Docker has them: what tells of the machine, or of other containers on it.
const MASKED: [&str; 13] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/kmsg",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];
const READ_ONLY: [&str; 5] = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];
/// The kernel should take its memory from a build rather than from what else runs here.
const OOM_SCORE: i32 = 500;

/// What a bundle depends on beside the container itself.
#[derive(Debug, Clone)]
pub(crate) struct Surroundings<'a> {
    /// The mounted root, absolute.
    pub(crate) root: &'a Path,
    /// The sandbox's directory, absolute: sources of binds are relative to it.
    pub(crate) directory: &'a Path,
    /// Where the files of [`Container::files`] were written, in their order.
    pub(crate) files: &'a [String],
    /// Whether only one user and one group exist.
    pub(crate) single: bool,
    /// Which network it sees.
    pub(crate) network: Network,
    /// Bounds that no control group holds: resource limits stand in for them.
    pub(crate) bounds: Unheld,
}

/// The network of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) enum Network {
    /// A loopback device and nothing else.
    None,
    /// A namespace of the launcher's, with a way out that a program in user space provides.
    Translated,
    /// The machine's own.
    Host,
}

/// Bounds that resource limits are to hold, because no control group does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Unheld {
    /// Memory.
    pub(crate) memory: bool,
    /// Processes.
    pub(crate) pids: bool,
}

/// The `config.json` of `container`.
pub(crate) fn spec(container: &Container, around: &Surroundings<'_>) -> serde_json::Result<Value> {
    let installer = container.user == 0;
    let ownership = if installer && around.single {
        Ownership::Ignored
    } else {
        Ownership::Real
    };
    Ok(json!({
        "ociVersion": "1.0.2",
        "hostname": HOST_NAME,
        "root": { "path": around.root, "readonly": container.upper.is_none() },
        "process": {
            "terminal": false,
            "user": { "uid": container.user, "gid": container.user, "additionalGids": [] },
            "args": container.command,
            "env": container.environment,
            "cwd": container.directory,
            "capabilities": capabilities(installer),
            "rlimits": resource_limits(container.limits, around.bounds),
            "noNewPrivileges": true,
            "oomScoreAdj": OOM_SCORE,
        },
        "mounts": mounts(container, around),
        "linux": {
            "namespaces": namespaces(container, around),
            "uidMappings": mappings(container, around),
            "gidMappings": mappings(container, around),
            "seccomp": seccomp::profile(ownership)?,
            "maskedPaths": MASKED,
            "readonlyPaths": READ_ONLY,
        },
    }))
}

fn capabilities(installer: bool) -> Value {
    let held: &[&str] = if installer { &INSTALLER } else { &[] };
    json!({
        "bounding": held,
        "effective": held,
        "permitted": held,
        "inheritable": [],
        "ambient": [],
    })
}

fn resource_limits(bounds: Option<Bounds>, unheld: Unheld) -> Vec<Value> {
    let limit = |kind: &str, value: u64| json!({ "type": kind, "soft": value, "hard": value });
    // Core dumps of a crashed compiler are of no use to anybody.
    let mut limits = vec![limit("RLIMIT_CORE", 0)];
    if let Some(bounds) = bounds {
        if unheld.pids {
            limits.push(limit("RLIMIT_NPROC", bounds.pids.unsigned_abs()));
        }
        if unheld.memory {
            // Of each process, not of all together.
            limits.push(limit("RLIMIT_DATA", bounds.memory));
        }
    }
    limits
}

/// Whether the container sees itself as another user than the one that exists: that takes a user namespace more.
fn is_renamed(container: &Container, around: &Surroundings<'_>) -> bool {
    around.single && container.user != 0
}

fn mappings(container: &Container, around: &Surroundings<'_>) -> Vec<Value> {
    if is_renamed(container, around) {
        vec![json!({ "containerID": container.user, "hostID": 0, "size": 1 })]
    } else {
        Vec::new()
    }
}

fn namespaces(container: &Container, around: &Surroundings<'_>) -> Vec<Value> {
    let mut kinds = vec!["pid", "mount", "ipc", "uts"];
    if around.network == Network::None {
        kinds.push("network");
    }
    if is_renamed(container, around) {
        kinds.push("user");
    }
    kinds
        .into_iter()
        .map(|kind| json!({ "type": kind }))
        .collect()
}

fn mounts(container: &Container, around: &Surroundings<'_>) -> Vec<Value> {
    let mut mounts = vec![
        mount(
            "/proc",
            "proc",
            "proc",
            &["nosuid", "noexec", "nodev"].map(str::to_owned),
        ),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"].map(str::to_owned),
        ),
        mount("/dev/pts", "devpts", "devpts", &terminals(around.single)),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"].map(str::to_owned),
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &[
                "nosuid".to_owned(),
                "noexec".to_owned(),
                "nodev".to_owned(),
                "mode=1777".to_owned(),
                format!("size={SHM_SIZE}"),
            ],
        ),
        system(shows_own_network(container, around)),
    ];
    // Those that lie in others come after them.
    let mut own: Vec<(&str, Value)> = Vec::new();
    for tmpfs in &container.tmpfs {
        let mut options: Vec<String> = ["rw", "exec", "nosuid", "nodev"].map(str::to_owned).into();
        options.push(format!("size={}", tmpfs.size));
        options.push(format!("mode={:04o}", tmpfs.mode));
        let user = if around.single {
            // Nobody else exists.
            container.user
        } else {
            tmpfs.user
        };
        options.push(format!("uid={user},gid={user}"));
        own.push((
            &tmpfs.target,
            mount(&tmpfs.target, "tmpfs", "tmpfs", &options),
        ));
    }
    for bind in &container.binds {
        let source = around.directory.join(&bind.source);
        own.push((
            &bind.target,
            bound(&bind.target, &source.to_string_lossy(), bind.read_only),
        ));
    }
    for ((target, _), source) in container.files.iter().zip(around.files) {
        own.push((target, bound(target, source, true)));
    }
    own.sort_by_key(|(target, _)| target.matches('/').count());
    mounts.extend(own.into_iter().map(|(_, mount)| mount));
    mounts
}

fn mount(target: &str, kind: &str, source: &str, options: &[String]) -> Value {
    json!({ "destination": target, "type": kind, "source": source, "options": options })
}

fn bound(target: &str, source: &str, read_only: bool) -> Value {
    let access = if read_only { "ro" } else { "rw" };
    let options = ["bind", access, "nosuid", "nodev"].map(str::to_owned);
    mount(target, "bind", source, &options)
}

fn terminals(single: bool) -> Vec<String> {
    let mut options: Vec<String> = [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
    ]
    .map(str::to_owned)
    .into();
    if !single {
        // The group `tty`, which does not exist where only one group does.
        options.push("gid=5".to_owned());
    }
    options
}

/// Whether the network namespace belongs to the user namespace that the container is in.
fn shows_own_network(container: &Container, around: &Surroundings<'_>) -> bool {
    match around.network {
        Network::None => true,
        Network::Translated => !is_renamed(container, around),
        Network::Host => false,
    }
}

/// A user namespace may mount what shows a network of its own only.
fn system(own_network: bool) -> Value {
    let common = ["nosuid", "noexec", "nodev", "ro"].map(str::to_owned);
    if own_network {
        return mount("/sys", "sysfs", "sysfs", &common);
    }
    let options = [&["rbind".to_owned()], common.as_slice()].concat();
    mount("/sys", "none", "/sys", &options)
}
