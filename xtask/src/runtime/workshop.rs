//! A copy of an example that is worked on, with the program and a store of its own.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::environment::{repository, target_directory};
use wheelfarm_tests::process::{run, words};

/// What a build of wheels leaves beside a Dockerfile.
const MADE: [&str; 8] = [
    "wheelhouse",
    "app-wheelhouse",
    "site",
    "venv",
    "pythons",
    "venvs",
    "mail/wheelhouse",
    "mail/site",
];

/// An example's directory, as it would be on the machine of who copied it.
#[derive(Debug)]
pub(super) struct Workshop {
    wheelfarm: PathBuf,
    base: PathBuf,
    /// The copy.
    pub(super) directory: PathBuf,
}

impl Workshop {
    /// A copy of `images/runtime/<name>`, and no store yet.
    pub(super) fn new(wheelfarm: &Path, name: &str) -> Result<Self> {
        Self::named(wheelfarm, name, name)
    }

    /// The same, with a copy of `store`; `called` tells two copies of one example apart.
    pub(super) fn with_store(
        wheelfarm: &Path,
        called: &str,
        name: &str,
        store: &Path,
    ) -> Result<Self> {
        let workshop = Self::named(wheelfarm, called, name)?;
        run(Command::new("cp")
            .arg("-r")
            .arg(store)
            .arg(workshop.store()))?;
        Ok(workshop)
    }

    fn named(wheelfarm: &Path, called: &str, name: &str) -> Result<Self> {
        let base = target_directory()?.join("runtime").join(called);
        if base.exists() {
            fs_err::remove_dir_all(&base)?;
        }
        fs_err::create_dir_all(&base)?;
        let directory = base.join("project");
        let original = repository().join("images/runtime").join(name);
        run(Command::new("cp").arg("-r").arg(original).arg(&directory))?;
        let workshop = Self {
            wheelfarm: wheelfarm.to_owned(),
            base,
            directory,
        };
        workshop.forget_exports()?;
        Ok(workshop)
    }

    /// Where its store is.
    pub(super) fn store(&self) -> PathBuf {
        self.base.join("store")
    }

    /// Runs the program, its words written as on a command line, in the copy; how many seconds it took.
    pub(super) fn wheelfarm(&self, line: &str) -> Result<f64> {
        self.command(line, &[]).map(|(seconds, _)| seconds)
    }

    /// The same; what it printed. Exit codes in `accepted` are no error.
    pub(super) fn command(&self, line: &str, accepted: &[i32]) -> Result<(f64, String)> {
        let mut command = Command::new(&self.wheelfarm);
        command
            .args(line.split_whitespace())
            .env("WHEELFARM_STORE", self.store())
            .env("WHEELFARM_CACHE", self.base.join("cache"))
            .current_dir(&self.directory);
        eprintln!("$ wheelfarm {line}");
        let start = Instant::now();
        let output = command.output();
        let output =
            output.with_context(|| format!("`{}` could not be started", words(&command)))?;
        let stderr = String::from_utf8_lossy(&output.stderr);
        let is_fine = output.status.success()
            || output
                .status
                .code()
                .is_some_and(|code| accepted.contains(&code));
        ensure!(
            is_fine,
            "`wheelfarm {line}` failed ({}):\n{stderr}",
            output.status
        );
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok((start.elapsed().as_secs_f64(), printed))
    }

    /// Replaces `old` in a file by `new`: somebody changed a line.
    pub(super) fn edit(&self, file: &str, old: &str, new: &str) -> Result<()> {
        let path = self.directory.join(file);
        let text = fs_err::read_to_string(&path)?;
        ensure!(text.contains(old), "{file} has no `{old}`");
        fs_err::write(&path, text.replacen(old, new, 1))?;
        Ok(())
    }

    /// Removes what was exported: the next build needs it again.
    pub(super) fn forget_exports(&self) -> Result<()> {
        for name in MADE {
            let path = self.directory.join(name);
            if path.exists() {
                fs_err::remove_dir_all(path)?;
            }
        }
        Ok(())
    }
}
