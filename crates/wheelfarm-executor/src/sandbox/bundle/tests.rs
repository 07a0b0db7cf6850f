//! What is in a bundle.

use std::path::Path;

use serde_json::Value;

use super::{Network, Surroundings, Unheld, spec};
use crate::sandbox::launch::{Bind, Bounds, Container, Tmpfs};

fn container(user: u32) -> Container {
    Container {
        name: "one".to_owned(),
        place: "actions/one".into(),
        layers: Vec::new(),
        upper: None,
        binds: vec![Bind {
            source: "trees/a".into(),
            target: "/build/tree".to_owned(),
            read_only: true,
        }],
        tmpfs: vec![Tmpfs {
            target: "/build".to_owned(),
            size: 4096,
            mode: 0o755,
            user: 65532,
        }],
        files: vec![("/etc/hosts".to_owned(), String::new())],
        command: vec!["true".to_owned()],
        environment: Vec::new(),
        directory: "/".to_owned(),
        user,
        network: false,
        limits: Some(Bounds {
            cores: 1.0,
            memory: 1 << 20,
            pids: 9,
        }),
    }
}

fn made(container: &Container, single: bool, network: Network, bounds: Unheld) -> Value {
    let around = Surroundings {
        root: Path::new("/tmp/root"),
        directory: Path::new("/tmp"),
        files: &["/tmp/files/0".to_owned()],
        single,
        network,
        bounds,
    };
    spec(container, &around).unwrap()
}

fn namespaces(spec: &Value) -> Vec<&str> {
    let found = spec["linux"]["namespaces"].as_array().unwrap().iter();
    found.map(|one| one["type"].as_str().unwrap()).collect()
}

#[test]
fn builds_have_no_capability_and_a_root_that_they_cannot_change() {
    let build = made(&container(65532), false, Network::None, Unheld::default());
    let process = &build["process"];
    for set in [
        "bounding",
        "effective",
        "permitted",
        "inheritable",
        "ambient",
    ] {
        assert_eq!(process["capabilities"][set], serde_json::json!([]), "{set}");
    }
    assert_eq!(process["noNewPrivileges"], true);
    assert_eq!(build["root"]["readonly"], true);
    assert_eq!(
        namespaces(&build),
        ["pid", "mount", "ipc", "uts", "network"]
    );
    let mut installation = container(0);
    installation.upper = Some("upper".into());
    let installation = made(&installation, false, Network::Host, Unheld::default());
    assert_eq!(installation["root"]["readonly"], false);
    let held = installation["process"]["capabilities"]["effective"].to_string();
    assert!(held.contains("CAP_CHOWN"));
    for dangerous in [
        "CAP_SYS_ADMIN",
        "CAP_NET_ADMIN",
        "CAP_SYS_PTRACE",
        "CAP_MKNOD",
    ] {
        assert!(!held.contains(dangerous), "{dangerous}");
    }
    assert!(!namespaces(&installation).contains(&"network"));
}

#[test]
fn where_one_user_exists_a_build_is_renamed() {
    let build = made(&container(65532), true, Network::None, Unheld::default());
    assert!(namespaces(&build).contains(&"user"));
    assert_eq!(
        build["linux"]["uidMappings"],
        serde_json::json!([{ "containerID": 65532, "hostID": 0, "size": 1 }])
    );
    assert!(!build["mounts"].to_string().contains("gid=5\""));
    let installation = made(&container(0), true, Network::None, Unheld::default());
    assert!(!namespaces(&installation).contains(&"user"));
    // Nobody else can own the directory there.
    assert!(installation["mounts"].to_string().contains("uid=0,gid=0"));
}

#[test]
fn what_lies_in_another_mount_comes_after_it() {
    let build = made(&container(65532), false, Network::None, Unheld::default());
    let mounts = build["mounts"].as_array().unwrap();
    let place = |target: &str| {
        let found = mounts
            .iter()
            .position(|mount| mount["destination"] == target);
        found.unwrap()
    };
    assert!(place("/build") < place("/build/tree"));
    let tree = &mounts[place("/build/tree")];
    assert_eq!(tree["source"], "/tmp/trees/a");
    assert_eq!(tree["options"][1], "ro");
}

#[test]
fn resource_limits_stand_in_for_control_groups() {
    let kinds = |bounds: Unheld| {
        let build = made(&container(65532), false, Network::None, bounds);
        let limits = build["process"]["rlimits"].as_array().unwrap().clone();
        let kind = |limit: Value| {
            let soft = limit["soft"].as_u64().unwrap();
            (limit["type"].as_str().unwrap().to_owned(), soft)
        };
        limits.into_iter().map(kind).collect::<Vec<_>>()
    };
    let core = ("RLIMIT_CORE".to_owned(), 0);
    assert_eq!(kinds(Unheld::default()), std::slice::from_ref(&core));
    let all = Unheld {
        memory: true,
        pids: true,
    };
    let (pids, memory) = (
        ("RLIMIT_NPROC".to_owned(), 9),
        ("RLIMIT_DATA".to_owned(), 1 << 20),
    );
    assert_eq!(kinds(all), [core, pids, memory]);
}
