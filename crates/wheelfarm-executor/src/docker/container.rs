//! The container of an action: what it may and may not do.

use std::collections::{BTreeMap, HashMap};

use bollard::models::{ContainerCreateBody, HostConfig, HostConfigLogConfig, Mount};
use wheelfarm_build::action::{Action, Limits, WORK_DIR};
use wheelfarm_build::pipeline::Capacity;

use crate::docker::flavour::Flavour;
use crate::docker::keep::SLEEP;
use crate::wrapper::{self, HOST_NAME, USER};

const NANO: f64 = 1e9;

/// The request that creates the container of `action`; `capacity` is what the engine has, `flavour` whose it is.
pub(crate) fn body(
    action: &Action,
    network: BTreeMap<String, String>,
    mounts: Vec<Mount>,
    capacity: Capacity,
    flavour: Flavour,
) -> ContainerCreateBody {
    let sleep = if action.keep_failed { SLEEP } else { "" };
    ContainerCreateBody {
        image: Some(action.image.clone()),
        // The image's own entry point stays: in the 32-bit build images it sets the personality.
        cmd: Some(wrapper::command(action, sleep)),
        env: Some(wrapper::environment(action, network)),
        hostname: Some(HOST_NAME.to_owned()),
        user: Some(format!("{USER}:{USER}")),
        working_dir: Some(WORK_DIR.to_owned()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        host_config: Some(HostConfig {
            mounts: Some(mounts),
            ..confinement(action, capacity, flavour)
        }),
        ..ContainerCreateBody::default()
    }
}

fn confinement(action: &Action, capacity: Capacity, flavour: Flavour) -> HostConfig {
    let limits = &action.limits;
    let memory = i64::try_from(limits.memory.min(capacity.memory)).unwrap_or(i64::MAX);
    HostConfig {
        network_mode: (!action.network).then(|| "none".to_owned()),
        readonly_rootfs: Some(true),
        tmpfs: Some(tmpfs(limits, flavour)),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        pids_limit: Some(limits.pids),
        memory: Some(memory),
        // The same: no swap.
        memory_swap: Some(memory),
        nano_cpus: Some(nano(limits.cores.min(f64::from(capacity.cores)))),
        // As the first process the shell would neither reap orphans nor take signals.
        init: Some(true),
        // The log is read from the connection; the engine need not keep a copy.
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        ..HostConfig::default()
    }
}

fn tmpfs(limits: &Limits, flavour: Flavour) -> HashMap<String, String> {
    let size = limits.scratch;
    let common = format!("rw,exec,nosuid,nodev,size={size}");
    HashMap::from([
        (
            "/tmp".to_owned(),
            format!("{common},{}", flavour.everybodys()),
        ),
        (
            WORK_DIR.to_owned(),
            format!("{common},{}", flavour.owned_by(USER)),
        ),
    ])
}

#[allow(
    clippy::cast_possible_truncation,
    reason = "a number of cores is small, and a cast from float saturates"
)]
fn nano(cores: f64) -> i64 {
    (cores * NANO).round() as i64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CAPACITY: Capacity = Capacity {
        slots: 2,
        cores: 2,
        memory: 1 << 29,
        each: None,
    };

    fn action() -> Action {
        Action {
            name: "test".to_owned(),
            image: "image".to_owned(),
            inputs: BTreeMap::new(),
            tools: BTreeMap::new(),
            trees: BTreeMap::new(),
            command: vec!["make".to_owned(), "all".to_owned()],
            environment: BTreeMap::new(),
            network: false,
            keep_failed: false,
            compiler_cache: None,
            cores: None,
            limits: Limits {
                cores: 8.0,
                memory: 1 << 30,
                pids: 100,
                time: Duration::from_secs(1),
                scratch: 1 << 20,
                output: 1,
                log: 1,
            },
        }
    }

    #[test]
    fn the_network_is_there_only_on_request() {
        let mut action = action();
        let mode = |action: &Action| {
            let body = body(
                action,
                BTreeMap::new(),
                Vec::new(),
                CAPACITY,
                Flavour::Docker,
            );
            body.host_config.unwrap().network_mode
        };
        assert_eq!(mode(&action).as_deref(), Some("none"));
        action.network = true;
        assert_eq!(mode(&action), None);
    }

    #[test]
    fn no_more_is_asked_for_than_there_is() {
        let body = body(
            &action(),
            BTreeMap::new(),
            Vec::new(),
            CAPACITY,
            Flavour::Docker,
        );
        let host = body.host_config.unwrap();
        assert_eq!(host.nano_cpus, Some(2_000_000_000));
        assert_eq!(host.memory, Some(1 << 29));
    }

    #[test]
    fn the_actions_environment_wins() {
        let mut action = action();
        let network = BTreeMap::from([("A".to_owned(), "network".to_owned())]);
        action.environment.insert("A".to_owned(), "1".to_owned());
        action
            .environment
            .insert("HOME".to_owned(), "/h".to_owned());
        let body = body(&action, network, Vec::new(), CAPACITY, Flavour::Docker);
        assert_eq!(body.env.unwrap(), ["A=1", "HOME=/h"]);
        let command = body.cmd.unwrap();
        assert_eq!(command[3..], ["/build/out", "alone", "make", "all"]);
    }
}
