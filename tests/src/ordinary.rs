//! An ordinary user of this machine, for what root can do and others may not.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::environment::is_root;
use crate::process;

/// The user that tests make, with ranges of ids in `/etc/subuid` and `/etc/subgid`, as `useradd` gives them.
const NAME: &str = "wheelfarm-test";

/// Puts a device that is open to all over the network's.
const OPEN_DEVICE: &str = "if [ -e /dev/net/tun ]; then
  mount -t tmpfs tmpfs /mnt && mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun && umount /mnt
fi
exec \"$@\"";

/// An ordinary user with a home.
#[derive(Debug, Clone)]
pub struct User {
    /// The name.
    pub name: String,
    /// The user's number; the group has the same.
    pub id: u32,
    /// The home directory.
    pub home: PathBuf,
}

impl User {
    /// The tests' own, made if need be: only root can.
    pub fn ordinary() -> Result<Self> {
        ensure!(is_root(), "only root can make the user {NAME}");
        if Self::find()?.is_none() {
            let made = process::run(
                Command::new("useradd")
                    .args(["--create-home", "--user-group", "--shell", "/bin/sh"])
                    .arg(NAME),
            );
            // Another test may have been faster.
            if Self::find()?.is_none() {
                made?;
            }
        }
        Self::find()?.with_context(|| format!("there is no user {NAME} although it was made"))
    }

    fn find() -> Result<Option<Self>> {
        let users = fs_err::read_to_string("/etc/passwd")?;
        let Some(line) = users
            .lines()
            .find(|line| line.starts_with(&format!("{NAME}:")))
        else {
            return Ok(None);
        };
        let fields: Vec<_> = line.split(':').collect();
        let [name, _, id, _, _, home, _] = fields.as_slice() else {
            anyhow::bail!("/etc/passwd says of {NAME}: {line}");
        };
        Ok(Some(Self {
            name: (*name).to_owned(),
            id: id.parse()?,
            home: home.into(),
        }))
    }

    /// `program`, to be run as this user, with this process's environment but for the home.
    pub fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("setpriv");
        command
            .arg(format!("--reuid={}", self.name))
            .arg(format!("--regid={}", self.name))
            .args(["--init-groups", "--"])
            .arg(program.as_ref())
            .env("HOME", &self.home)
            .env("USER", &self.name)
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_RUNTIME_DIR")
            .current_dir(&self.home);
        command
    }

    /// `command` with the network's device open to all, as it is on most machines: only for this command, in a namespace of
    /// mounts. Containers of ordinary users reach the network through it.
    pub fn with_device(command: &Command) -> Command {
        let mut wrapped = Command::new("unshare");
        wrapped
            .args(["--mount", "sh", "-c", OPEN_DEVICE, "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => wrapped.env(name, value),
                None => wrapped.env_remove(name),
            };
        }
        if let Some(directory) = command.get_current_dir() {
            wrapped.current_dir(directory);
        }
        wrapped
    }

    /// Gives a file, or a directory with all that is in it, to this user.
    pub fn give(&self, path: &Path) -> Result<()> {
        let owner = format!("{}:{}", self.name, self.name);
        process::run(
            Command::new("chown")
                .args(["--recursive", &owner])
                .arg(path),
        )?;
        Ok(())
    }
}
