//! The image that the usual builds begin with: a slim image with pip, and this machine's settings for getting at
//! packages, which a build on the open network would not need. They are a few kilobytes.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::environment::target_directory;
use wheelfarm_tests::process::run;

use super::docker::docker;
use crate::bases;

const TAG: &str = "wheelfarm/usual-base:3.11";
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";
const SLIM: &str = "wheelfarm/python-slim:3.11";
const DOCKERFILE: &str = "FROM wheelfarm/python-slim:3.11\n\
    COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt\n\
    COPY pip.conf /etc/pip.conf\n\
    ENV PIP_DISABLE_PIP_VERSION_CHECK=1\n";

/// Makes the image; its name.
pub(crate) fn base(wheelfarm: &Path) -> Result<String> {
    bases::missing(wheelfarm, &[SLIM])?;
    let directory = target_directory()?.join("runtime/usual-base");
    fs_err::create_dir_all(&directory)?;
    fs_err::write(directory.join("Dockerfile"), DOCKERFILE)?;
    fs_err::copy(CERTIFICATES, directory.join("ca-certificates.crt"))?;
    fs_err::write(directory.join("pip.conf"), pip_configuration()?)?;
    let context = directory.to_str().context("a path that is no text")?;
    docker(&["build", "--quiet", "--tag", TAG, context])?;
    Ok(TAG.to_owned())
}

/// The machine's index, as pip has it, and the certificates.
fn pip_configuration() -> Result<String> {
    let mut text = format!("[global]\ncert = {CERTIFICATES}\n");
    let settings = run(Command::new("python3").args(["-m", "pip", "config", "list"]))?;
    for line in settings.lines() {
        let Some((name, value)) = line.split_once('=') else {
            continue;
        };
        let key = name.rsplit('.').next().unwrap_or_default();
        if ["index-url", "extra-index-url", "trusted-host", "proxy"].contains(&key) {
            writeln!(text, "{key} = {}", value.trim_matches('\'')).ok();
        }
    }
    Ok(text)
}
