//! What people are told of a machine.

use std::fmt;

use super::{Ids, Machine};

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `crun version 1.8.1` says `version` for nobody's sake.
        let runtime = self.runtime.version.replacen(" version ", " ", 1);
        write!(f, "{runtime}, ")?;
        match &self.ids {
            Ids::Identity => f.write_str("no user namespace, as root"),
            Ids::Single { .. } => f.write_str("user namespace with one id only"),
            Ids::Range { users, .. } => {
                let count: u32 = users.iter().map(|extent| extent.count).sum();
                let longest = users.iter().max_by_key(|extent| extent.count);
                let from = longest.map_or(0, |extent| extent.outside);
                write!(f, "user namespace with {count} ids from {from}")
            }
        }
    }
}

impl Machine {
    /// What is lost for want of ids, and what to do about it; None if nothing is.
    pub fn ids_advice(&self) -> Option<String> {
        let lost = match self.ids {
            Ids::Range { .. } => return None,
            Ids::Single { .. } => {
                "every file of an image belongs to one user, which a few system packages do not like"
            }
            Ids::Identity => {
                "root of a container is root of this machine, as in Docker, while system packages are installed"
            }
        };
        let why = self.ids_note.as_deref().unwrap_or("nothing better works");
        Some(format!("{lost} ({why})"))
    }

    /// What builds with network lack, and what to do about it; None if nothing.
    pub fn network_advice(&self) -> Option<String> {
        let missing = self.way_out.as_ref().err()?;
        Some(format!(
            "builds with network do not run, and package installation has the machine's own: {missing}"
        ))
    }

    /// What bounds the memory, processes and cores of actions.
    pub fn limits(&self) -> String {
        let (held, missing) = self.cgroups.kinds();
        let mut parts = Vec::new();
        if let Some(version) = self.cgroups.version() {
            parts.push(format!("{} by cgroups ({version})", listed(&held)));
        }
        for name in &missing {
            parts.push(match *name {
                "memory" => "memory per process only".to_owned(),
                "processes" => "processes by a resource limit".to_owned(),
                other => format!("{other} not at all"),
            });
        }
        let parts = parts.join(", ");
        if missing.is_empty() {
            return parts;
        }
        format!("{parts} ({})", self.cgroups.why())
    }

    /// What is not bounded as it should be, and what to do about it; None if everything is.
    pub fn limits_advice(&self) -> Option<String> {
        let (_, mut missing) = self.cgroups.kinds();
        // The resource limit holds those as well.
        missing.retain(|name| *name != "processes");
        if missing.is_empty() {
            return None;
        }
        let advice = if rustix::process::geteuid().is_root() {
            "control groups that are mounted writable would hold it"
        } else {
            "`systemd-run --user --scope COMMAND` gives a command control groups of its own, where systemd runs"
        };
        Some(format!(
            "an action may use more {} than it should; {advice}",
            listed(&missing)
        ))
    }
}

/// `a, b and c`.
fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_listed_as_people_do() {
        assert_eq!(listed(&[]), "");
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b", "c"]), "a, b and c");
    }
}
