//! `pip wheel` in a container of the same builder image, with the system packages of all recipes and with network.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::environment::{architecture, variable};
use wheelfarm_tests::process::words;

use super::records::Records;
use super::{Measured, Settings, projects};

const SCRIPT: &str = include_str!("pip.sh");

/// Variables that containers need where this machine needs them.
const NETWORK: [&str; 8] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "PIP_INDEX_URL",
    "PIP_DEFAULT_TIMEOUT",
];

/// What pip took.
pub(super) struct Pip {
    /// Installing the system packages.
    pub(super) install: f64,
    /// Building all wheels.
    pub(super) build: f64,
    /// Both.
    pub(super) total: Measured,
    pub(super) version: String,
    pub(super) wheels: usize,
}

/// Measures it. The image, pip itself and its environment are there before the clock starts.
pub(super) fn wheels(directory: &Path, settings: &Settings, records: &Records) -> Result<Pip> {
    let bench = directory.join("pip");
    if bench.exists() {
        fs_err::remove_dir_all(&bench)?;
    }
    fs_err::create_dir_all(&bench)?;
    fs_err::write(bench.join("pip.sh"), SCRIPT)?;
    fs_err::write(
        bench.join("packages.txt"),
        settings.requirements.join("\n") + "\n",
    )?;
    let mut docker = Command::new("docker");
    docker.args([
        "run",
        "--rm",
        "--init",
        "--user",
        "0:0",
        "--entrypoint",
        "sh",
    ]);
    docker
        .arg("--volume")
        .arg(format!("{}:/bench", bench.display()));
    for name in NETWORK {
        if let Some(value) = variable(name) {
            docker.args(["--env", &format!("{name}={value}")]);
        }
    }
    if let Some(bundle) = variable("SSL_CERT_FILE") {
        docker.args(["--volume", &format!("{bundle}:/ca.pem:ro")]);
        for name in ["PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"] {
            docker.args(["--env", &format!("{name}=/ca.pem")]);
        }
    }
    for (name, value) in &records.variables {
        docker.args(["--env", &format!("{name}={value}")]);
    }
    docker
        .arg(format!("wheelfarm/{}:{}", settings.image, architecture()))
        .args(["/bench/pip.sh", &projects(&settings.requirements)])
        .args(&records.system)
        .stdout(Stdio::piped());
    let text = words(&docker);
    eprintln!("$ {text}");
    let start = Instant::now();
    let output = docker
        .output()
        .with_context(|| format!("`{text}` could not be started"))?;
    ensure!(
        output.status.success(),
        "`{text}` failed ({}):\n{}{}",
        output.status,
        tail(&output.stdout),
        tail(&output.stderr)
    );
    eprintln!(
        "{:.1} s, with pip's own installation",
        start.elapsed().as_secs_f64()
    );
    let times = fs_err::read_to_string(bench.join("times"))?;
    let time = |name: &str| -> Result<f64> {
        let line = times.lines().find_map(|line| line.strip_prefix(name));
        let line = line.with_context(|| format!("there is no time of `{name}`"))?;
        Ok(line.trim().parse()?)
    };
    let (start, installed, end) = (time("start")?, time("installed")?, time("end")?);
    let wheels = fs_err::read_dir(bench.join("wheels"))?.count();
    Ok(Pip {
        install: installed - start,
        build: end - installed,
        total: Measured {
            seconds: end - start,
            containers: 1,
        },
        version: fs_err::read_to_string(bench.join("version"))?
            .trim()
            .to_owned(),
        wheels,
    })
}

fn tail(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<_> = text.lines().collect();
    let last = lines.len().saturating_sub(40);
    lines.get(last..).unwrap_or_default().join("\n")
}
