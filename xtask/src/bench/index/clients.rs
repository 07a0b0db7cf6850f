//! pip and uv, which fetch thirty packages.

use std::path::Path;
use std::time::Instant;

use wheelfarm_tests::anyhow::{Result, ensure};
use wheelfarm_tests::process::run;

use super::corpus::{APP, INSTALLED};
use super::directory;
use super::http::Url;
use super::process::{Server, client};
use super::python::{CLIENTS, program};

/// A client's work.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fetched {
    /// Seconds it took.
    pub(super) seconds: f64,
    /// Milliseconds of the server's processor time.
    pub(super) cpu: f64,
}

/// `pip download` of the thirty packages, with nothing kept from before: the mean of `turns`.
pub(super) fn pip(server: &Server, root: &Url, turns: u32) -> Result<Fetched> {
    let python = program(&CLIENTS.make()?, "python");
    repeat(server, turns, |out| {
        run(client(&python)
            .args(["-m", "pip", "--isolated", "download", "--quiet"])
            .args(["--no-cache-dir", "--disable-pip-version-check"])
            .args(["--index-url", &root.to_string(), "--dest"])
            .arg(out)
            .arg(APP)
            .env("PIP_CONFIG_FILE", "/dev/null"))?;
        count(out, ".whl")
    })
}

/// `uv pip install` of the thirty packages, with nothing kept from before: the mean of `turns`.
pub(super) fn uv(server: &Server, root: &Url, turns: u32) -> Result<Fetched> {
    let place = CLIENTS.make()?;
    repeat(server, turns, |out| {
        run(client(program(&place, "uv"))
            .args(["pip", "install", "--quiet", "--no-cache", "--no-config"])
            .args(["--default-index", &root.to_string(), "--python"])
            .arg(program(&place, "python"))
            .arg("--target")
            .arg(out)
            .arg(APP))?;
        count(out, ".dist-info")
    })
}

fn repeat(
    server: &Server,
    turns: u32,
    mut fetch: impl FnMut(&Path) -> Result<usize>,
) -> Result<Fetched> {
    let out = directory()?.join("fetched");
    let (mut seconds, cpu) = (0.0, server.cpu()?);
    for _ in 0..turns {
        if out.exists() {
            fs_err::remove_dir_all(&out)?;
        }
        fs_err::create_dir_all(&out)?;
        let start = Instant::now();
        let packages = fetch(&out)?;
        seconds += start.elapsed().as_secs_f64();
        ensure!(packages == INSTALLED, "{packages} packages were fetched");
    }
    let turns = f64::from(turns);
    Ok(Fetched {
        seconds: seconds / turns,
        cpu: (server.cpu()? - cpu) * 1e3 / turns,
    })
}

/// Entries of a directory whose names end so.
fn count(directory: &Path, end: &str) -> Result<usize> {
    let mut count = 0;
    for entry in fs_err::read_dir(directory)? {
        count += usize::from(entry?.file_name().to_string_lossy().ends_with(end));
    }
    Ok(count)
}
