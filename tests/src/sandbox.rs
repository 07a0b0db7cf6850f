//! Farms that build in the sandbox, with images that all tests share.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use anyhow::{Result, bail};
use serde_json::Value;

use crate::farm::Farm;
use crate::ordinary::User;
use crate::process;

/// The builder image that tests use, with its bare runtime.
const IMAGE: &str = "debian-12";

/// A sandbox with images.
#[derive(Debug)]
pub struct Sandbox {
    directory: PathBuf,
    user: Option<User>,
}

impl Sandbox {
    /// That of whoever runs the tests.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: LazyLock<Result<Sandbox, String>> =
            LazyLock::new(|| Sandbox::made(None).map_err(|error| format!("{error:#}")));
        of(&SHARED)
    }

    /// That of an ordinary user.
    pub fn ordinary() -> Result<&'static Self> {
        static SHARED: LazyLock<Result<Sandbox, String>> = LazyLock::new(|| {
            let made = User::ordinary().and_then(|user| Sandbox::made(Some(user)));
            made.map_err(|error| format!("{error:#}"))
        });
        of(&SHARED)
    }

    /// The one of `user`, or else of whoever runs this, as the tests of the crates have it, with its images.
    fn made(user: Option<User>) -> Result<Self> {
        let id = user.as_ref().map_or(0, |user| user.id);
        let directory = std::env::temp_dir().join(format!("wheelfarm-test-sandbox-{id}"));
        let sandbox = Self { directory, user };
        let farm = sandbox.farm()?;
        let arguments = ["--executor", "sandbox", "--format", "json"];
        let listed = process::run(farm.command(["images", "list"])?.args(arguments))?;
        let listed: Value = serde_json::from_str(&listed)?;
        let images = listed.get("images").and_then(Value::as_array);
        let is_here = images.into_iter().flatten().any(|image| {
            let is = |key: &str| image.get(key).and_then(Value::as_bool) == Some(true);
            let name = image.get("name").and_then(Value::as_str);
            name == Some(IMAGE) && is("here") && is("runtime_here")
        });
        if !is_here {
            let mut build = farm.command(["images", "build", IMAGE])?;
            process::run(build.args(["--executor", "sandbox"]))?;
        }
        Ok(sandbox)
    }

    /// A farm with an empty store that has this sandbox's images, and runs as its user.
    pub fn farm(&self) -> Result<Farm> {
        let farm = match &self.user {
            Some(user) => Farm::of_user(user)?,
            None => Farm::new()?,
        };
        Ok(self.on(farm))
    }

    /// `farm`, with this sandbox's images.
    pub fn on(&self, farm: Farm) -> Farm {
        farm.with(
            "WHEELFARM_SANDBOX_DIR",
            &self.directory.display().to_string(),
        )
    }

    /// Where its images are.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Directories that belong to no live run, and locks of dead ones.
    pub fn ownerless(&self) -> Result<Vec<String>> {
        let locks = self.directory.join("runs");
        let is_dead = |lock: &Path| match fs_err::File::open(lock) {
            Ok(file) => file.file().try_lock_shared().is_ok(),
            Err(_) => true,
        };
        let mut found = Vec::new();
        for parent in ["actions", "making", "runs"].map(|name| self.directory.join(name)) {
            if !parent.exists() {
                continue;
            }
            for entry in fs_err::read_dir(parent)? {
                let entry = entry?;
                let name = entry.file_name().to_string_lossy().into_owned();
                let run = name.split(['-', '.']).next().unwrap_or_default();
                let lock = locks.join(format!("{run}.lock"));
                // A run that ends in order removes its directories, and then its lock, before it lets go of that.
                if name != "identity" && is_dead(&lock) && entry.path().exists() {
                    found.push(name);
                }
            }
        }
        Ok(found)
    }
}

fn of(shared: &'static LazyLock<Result<Sandbox, String>>) -> Result<&'static Sandbox> {
    match &**shared {
        Ok(sandbox) => Ok(sandbox),
        Err(message) => bail!("{message}"),
    }
}
