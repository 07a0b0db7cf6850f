//! An ordinary user, for what has to work without being root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::environment::{is_root, variable};
use crate::process::run;

/// The user that is made where no other is named.
const NAME: &str = "wheelfarm-test";

/// An ordinary user with subordinate ids.
#[derive(Debug, Clone)]
pub struct User {
    /// The name.
    pub name: String,
    group: String,
    /// The home directory.
    pub home: PathBuf,
}

impl User {
    /// The one that `WHEELFARM_TEST_USER` names, else one of our own, which is made if need be. Only root can become
    /// another user.
    pub fn ordinary() -> Result<Self> {
        if !is_root() {
            bail!("only root can run something as another user");
        }
        let name = variable("WHEELFARM_TEST_USER").unwrap_or_else(|| NAME.to_owned());
        let known = Command::new("id").arg(&name).output();
        if !known.is_ok_and(|output| output.status.success()) {
            run(Command::new("useradd").args(["--create-home", &name]))?;
        }
        let entries = fs_err::read_to_string("/etc/subuid")?;
        let has_ids = entries
            .lines()
            .any(|line| line.split(':').next() == Some(&name));
        if !has_ids {
            bail!("the user {name} has no entry in /etc/subuid");
        }
        let group = run(Command::new("id").args(["--group", "--name", &name]))?;
        let group = group.trim().to_owned();
        let home = "getent passwd \"$0\" | cut -d: -f6";
        let home = run(Command::new("sh").args(["-c", home, &name]))?;
        let home = PathBuf::from(home.trim());
        Ok(Self { name, group, home })
    }

    /// What stands before a command to run it as this user.
    pub fn switch(&self) -> [&str; 6] {
        let (name, group) = (&self.name, &self.group);
        [
            "setpriv",
            "--reuid",
            name,
            "--regid",
            group,
            "--init-groups",
        ]
    }

    /// A command that this user runs, in the directory `place`, which is root's. Devices of networks are open to it, as
    /// they are on most machines: those of others stay as they are.
    pub fn command(&self, place: &Path, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", OPEN_DEVICE, "sh"])
            .args(self.switch())
            .arg(program)
            .env("HOME", &self.home)
            .current_dir(place);
        command
    }
}

/// Puts a device that is open to all over the network's, in the working directory and its own namespace of mounts.
pub(crate) const OPEN_DEVICE: &str = "if [ -e /dev/net/tun ]; then
  [ -e tun ] || mknod tun c 10 200
  chmod 666 tun
  mount --bind tun /dev/net/tun
fi
exec \"$@\"";
