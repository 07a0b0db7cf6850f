//! Containers of tests that were killed: they are found by who made them.

use std::sync::Once;

use anyhow::{Context, Result};

use super::docker;

/// Which process a container belongs to.
const OWNER: &str = "wheelfarm.tests.owner";
/// The project that a container of Compose belongs to.
const PROJECT: &str = "com.docker.compose.project";
/// How names of projects begin.
const PREFIX: &str = "wheelfarm-tests-";

/// This process, as the label of what is its own.
pub(super) fn label() -> Result<String> {
    Ok(format!("{OWNER}={}", this()?))
}

/// A name for a project that is this process's own.
pub(super) fn project(name: &str) -> Result<String> {
    Ok(format!("{PREFIX}{}-{name}", this()?))
}

/// Removes, once in a process, the containers, volumes and networks whose owners have ended.
pub(super) fn sweep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Who needs the engine will be told by it what is wrong.
        remove().ok();
    });
}

fn remove() -> Result<()> {
    let list = format!("{{{{.ID}}}} {{{{.Label \"{OWNER}\"}}}} {{{{.Label \"{PROJECT}\"}}}}");
    let containers = docker(&["ps", "--all", "--format", &list])?;
    let mut ids = vec!["rm", "--force", "--volumes"];
    for line in containers.lines() {
        let mut words = line.split(' ');
        let id = words.next().unwrap_or_default();
        if words.any(is_of_the_dead) {
            ids.push(id);
        }
    }
    if ids.len() > 3 {
        // One that another process removes at the same time is no harm.
        docker(&ids).ok();
    }
    for kind in ["volume", "network"] {
        let list = format!("{{{{.Name}}}} {{{{.Label \"{PROJECT}\"}}}}");
        let found = docker(&[kind, "ls", "--format", &list])?;
        for line in found.lines() {
            if let Some((name, project)) = line.split_once(' ')
                && is_of_the_dead(project)
            {
                docker(&[kind, "rm", name]).ok();
            }
        }
    }
    Ok(())
}

/// Whether a label names a process that has ended.
fn is_of_the_dead(label: &str) -> bool {
    let owner = label.strip_prefix(PREFIX).unwrap_or(label);
    let mut numbers = owner.split('-');
    match (numbers.next(), numbers.next()) {
        (Some(id), Some(began)) if id.parse::<u32>().is_ok() && began.parse::<u64>().is_ok() => {
            beginning(id).is_none_or(|is| is != began)
        }
        _ => false,
    }
}

/// Process id and beginning: no two processes of a machine have both.
fn this() -> Result<String> {
    let id = std::process::id().to_string();
    let began = beginning(&id).context("the kernel does not say when this process began")?;
    Ok(format!("{id}-{began}"))
}

/// When a process began, in ticks of the machine's clock; nothing if there is none. See proc(5).
fn beginning(id: &str) -> Option<String> {
    let text = fs_err::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The second field is the program's name, and may have spaces and brackets.
    let (_, fields) = text.rsplit_once(") ")?;
    fields.split(' ').nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_owner_of_a_container_is_dead_or_alive() {
        let mine = project("here").unwrap();
        assert!(!is_of_the_dead(&mine), "{mine}");
        assert!(!is_of_the_dead(&this().unwrap()));
        // A process that has this one's id began at another time.
        let id = std::process::id();
        assert!(is_of_the_dead(&format!("{id}-1")));
        assert!(is_of_the_dead(&format!("wheelfarm-tests-{id}-1-there")));
        // Those of others.
        for label in [
            "",
            "guestbook",
            "wheelfarm-tests-",
            "4711",
            "wheelfarm-example-4711",
        ] {
            assert!(!is_of_the_dead(label), "{label}");
        }
        let mut child = Command::new("true").spawn().unwrap();
        let id = child.id().to_string();
        let began = beginning(&id).unwrap();
        child.wait().unwrap();
        assert!(is_of_the_dead(&format!("{id}-{began}")));
    }
}
