//! Which users and groups of the machine stand for those in a sandbox.

mod found;

use std::fmt::Write as _;
use std::process::Stdio;

use tokio::process::Command;
use wheelfarm_build::action::ExecutorErrorKind;

pub(super) use found::candidates;

use super::runtime::tool;
use crate::error::{Result, error, io};

/// How ids of a sandbox relate to those of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// They are the same: user namespaces are forbidden, and this is root.
    Identity,
    /// Ranges that nobody else has.
    Range {
        /// Users.
        users: Vec<Extent>,
        /// Groups.
        groups: Vec<Extent>,
    },
    /// There is one user and one group, whoever runs this.
    Single {
        /// The user.
        user: u32,
        /// The group.
        group: u32,
    },
}

/// Consecutive ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// The first inside.
    pub inside: u32,
    /// The first outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

impl Ids {
    /// The machine's user and group that are root in the sandbox.
    pub(crate) fn owner(&self) -> (u32, u32) {
        let first = |extents: &[Extent]| extents.first().map_or(0, |extent| extent.outside);
        match self {
            Self::Identity => (0, 0),
            Self::Range { users, groups } => (first(users), first(groups)),
            Self::Single { user, group } => (*user, *group),
        }
    }

    /// Gives the process `pid`, which has made a user namespace, its ids.
    pub(super) async fn give(&self, pid: u32) -> Result<()> {
        match self {
            Self::Identity => Ok(()),
            Self::Range { users, groups } if rustix::process::geteuid().is_root() => {
                write(pid, "uid_map", &lines(users))?;
                write(pid, "gid_map", &lines(groups))
            }
            Self::Range { users, groups } => {
                run("newuidmap", pid, users).await?;
                run("newgidmap", pid, groups).await
            }
            Self::Single { user, group } => {
                // The kernel wants it first: else the owner could leave a group that is kept out of something.
                write(pid, "setgroups", "deny")?;
                write(pid, "uid_map", &format!("0 {user} 1"))?;
                write(pid, "gid_map", &format!("0 {group} 1"))
            }
        }
    }
}

fn write(pid: u32, file: &str, text: &str) -> Result<()> {
    let path = format!("/proc/{pid}/{file}");
    fs_err::write(path, text).map_err(io("give the sandbox its ids"))
}

fn lines(extents: &[Extent]) -> String {
    let mut text = String::new();
    for extent in extents {
        // Writing to a string cannot fail.
        writeln!(
            text,
            "{} {} {}",
            extent.inside, extent.outside, extent.count
        )
        .ok();
    }
    text
}

async fn run(name: &str, pid: u32, extents: &[Extent]) -> Result<()> {
    let program = tool(name).unwrap_or_else(|| name.into());
    let mut command = Command::new(program);
    command.arg(pid.to_string()).stdin(Stdio::null());
    for extent in extents {
        for number in [extent.inside, extent.outside, extent.count] {
            command.arg(number.to_string());
        }
    }
    let output = command.output().await.map_err(io(format!("run {name}")))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let text = text.trim();
    Err(error(
        ExecutorErrorKind::Engine,
        format!("{name} failed: {text}"),
    ))
}
