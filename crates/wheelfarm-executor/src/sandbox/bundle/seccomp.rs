//! Which system calls a container may use: the data file says the names, here are the few that depend on arguments.

use serde::Deserialize;
use serde_json::{Value, json};

const EPERM: u32 = 1;
const ENOSYS: u32 = 38;
const CLONE_NEW_ANY: u64 = 0x7E02_0000;
const AF_VSOCK: u64 = 40;
/// Linux, 32 bit, and the same with addresses not random, and the question which it is.
const PERSONALITIES: [u64; 5] = [0, 8, 0x2_0000, 0x2_0008, 0xFFFF_FFFF];

#[derive(Deserialize)]
struct Names {
    allowed: Vec<String>,
    refused: Vec<String>,
    ownership: Vec<String>,
    identity: Vec<String>,
}

/// How the change of owners goes where only one user and group exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// As the kernel does it.
    Real,
    /// It succeeds and does nothing: package managers want to give files to users, and there is only one.
    Ignored,
}

/// The profile, as the `linux.seccomp` of a bundle.
///
/// What is not known gets `ENOSYS`, so that a C library tries what it did before the call was invented. That
/// includes `clone3`, whose flags no filter can see.
pub(crate) fn profile(ownership: Ownership) -> serde_json::Result<Value> {
    let mut names: Names = serde_json::from_str(include_str!("seccomp.json"))?;
    let mut rules = Vec::new();
    if ownership == Ownership::Ignored {
        let ignored = [names.ownership, names.identity].concat();
        names.allowed.retain(|name| !ignored.contains(name));
        rules.push(json!({ "names": ignored, "action": "SCMP_ACT_ERRNO", "errnoRet": 0 }));
    }
    rules.push(json!({ "names": names.allowed, "action": "SCMP_ACT_ALLOW" }));
    rules.push(json!({ "names": names.refused, "action": "SCMP_ACT_ERRNO", "errnoRet": EPERM }));
    for value in PERSONALITIES {
        rules.push(allow("personality", 0, value, 0, "SCMP_CMP_EQ"));
    }
    rules.push(allow("socket", 0, AF_VSOCK, 0, "SCMP_CMP_NE"));
    // The flags are the second argument there.
    let flags = u32::from(std::env::consts::ARCH == "s390x");
    rules.push(allow(
        "clone",
        flags,
        CLONE_NEW_ANY,
        0,
        "SCMP_CMP_MASKED_EQ",
    ));
    Ok(json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "architectures": architectures(std::env::consts::ARCH),
        "syscalls": rules,
    }))
}

fn allow(name: &str, index: u32, value: u64, second: u64, operator: &str) -> Value {
    let condition = json!({ "index": index, "value": value, "valueTwo": second, "op": operator });
    json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": [condition] })
}

/// The machine's own and what else it runs: 32-bit builder images run on 64-bit machines.
fn architectures(machine: &str) -> &'static [&'static str] {
    match machine {
        "x86_64" => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64" => &["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
        "s390x" => &["SCMP_ARCH_S390X", "SCMP_ARCH_S390"],
        // The runtime adds its own.
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(profile: &Value, action: &str, errno: Option<u64>) -> Vec<String> {
        let rules = profile["syscalls"].as_array().unwrap().iter();
        rules
            .filter(|rule| rule["action"] == action && rule["errnoRet"].as_u64() == errno)
            .filter(|rule| rule.get("args").is_none())
            .flat_map(|rule| rule["names"].as_array().unwrap())
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn no_call_is_allowed_and_refused() {
        let profile = profile(Ownership::Real).unwrap();
        let refused = names(&profile, "SCMP_ACT_ERRNO", Some(1));
        let allowed = names(&profile, "SCMP_ACT_ALLOW", None);
        assert!(allowed.len() > 300);
        assert!(allowed.iter().all(|name| !refused.contains(name)));
        for name in [
            "mount",
            "unshare",
            "setns",
            "keyctl",
            "bpf",
            "io_uring_setup",
        ] {
            assert!(refused.iter().any(|refused| refused == name), "{name}");
        }
        for name in ["clone", "clone3", "personality", "socket"] {
            assert!(!allowed.iter().any(|allowed| allowed == name), "{name}");
        }
    }

    #[test]
    fn owners_are_left_alone_where_there_is_only_one() {
        let profile = profile(Ownership::Ignored).unwrap();
        let ignored = names(&profile, "SCMP_ACT_ERRNO", Some(0));
        let allowed = names(&profile, "SCMP_ACT_ALLOW", None);
        assert!(ignored.iter().any(|name| name == "fchownat"));
        assert!(allowed.iter().all(|name| !ignored.contains(name)));
    }
}
