//! Servers and clients of the Python index, pinned, each in a virtual environment that is kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use wheelfarm_tests::anyhow::Result;
use wheelfarm_tests::process::run;

use super::directory;

/// A virtual environment and what is installed into it.
pub(super) struct Environment {
    pub(super) name: &'static str,
    pub(super) requirements: &'static [&'static str],
}

pub(super) const PYPISERVER: Environment = Environment {
    name: "pypiserver",
    // As its own image runs it: gunicorn with one gevent worker, and the cache that needs watchdog.
    requirements: &[
        "pypiserver==2.4.2",
        "gunicorn==27.0.1",
        "gevent==26.9.0",
        "watchdog==7.1.0",
    ],
};
pub(super) const DEVPI: Environment = Environment {
    name: "devpi",
    requirements: &["devpi-server==6.20.3"],
};
pub(super) const PROXPI: Environment = Environment {
    name: "proxpi",
    requirements: &["proxpi==1.3.1", "gunicorn==27.0.1"],
};
pub(super) const SIMPLEINDEX: Environment = Environment {
    name: "simpleindex",
    requirements: &["simpleindex==0.6.3"],
};
pub(super) const CLIENTS: Environment = Environment {
    name: "clients",
    requirements: &["pip==26.3", "uv==0.13.8"],
};

impl Environment {
    /// Its directory, made if need be.
    pub(super) fn make(&self) -> Result<PathBuf> {
        let place = directory()?.join("venvs").join(self.name);
        let wanted = self.requirements.join("\n");
        let done = place.join("installed.txt");
        if fs_err::read_to_string(&done).is_ok_and(|installed| installed == wanted) {
            return Ok(place);
        }
        eprintln!("installing {}", self.requirements.join(", "));
        if place.exists() {
            fs_err::remove_dir_all(&place)?;
        }
        run(Command::new("python3").args(["-m", "venv"]).arg(&place))?;
        run(Command::new(program(&place, "python"))
            .args(["-m", "pip", "install", "--quiet"])
            .arg("--disable-pip-version-check")
            .args(self.requirements))?;
        fs_err::write(done, wanted)?;
        Ok(place)
    }
}

/// A program of an environment.
pub(super) fn program(environment: &Path, name: &str) -> PathBuf {
    environment.join("bin").join(name)
}
