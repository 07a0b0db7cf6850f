//! What resolving takes: uv, which pip downloads once, and a package index.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use reqwest::{StatusCode, Url};
use tokio::process::Command;
use wheelfarm_resolve::{IndexSettings, Uv, UvPin, chain};
use wheelfarm_store::Store;
use wheelfarm_types::Arch;

use super::report::Finding;
use crate::exit::Failure;
use crate::index_settings::{
    configured_index, credential, default_index_of_pip, without_credentials,
};
use crate::units;

/// How long the index may take for a connection, and for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// What installers ask for (PEP 691), and what every index has.
const ACCEPT: &str = "application/vnd.pypi.simple.v1+json, text/html;q=0.5";
/// The project whose page is asked for: the resolver itself is fetched from there once.
const PROJECT: &str = "uv";

/// Whether uv is in the store and runs, or can be downloaded.
pub(super) async fn uv(store: &Store, cache: &Path, arch: Arch) -> Finding {
    let version = UvPin::builtin().version;
    match Uv::is_stored(store, arch).await {
        Ok(false) => absent(&version).await,
        Ok(true) => match runs(store, cache, arch).await {
            Ok(said) => Finding::ok(format!("{said} runs, and is in the store")),
            Err(failure) => failure.into(),
        },
        Err(error) => Failure::from(wheelfarm_build::JobError::from(error)).into(),
    }
}

async fn runs(store: &Store, cache: &Path, arch: Arch) -> Result<String, Failure> {
    let tools = cache.join("tools");
    let uv = Uv::obtain(store, &tools, arch, None)
        .await
        .map_err(wheelfarm_build::JobError::from)?;
    said(Command::new(&uv.path).arg("--version"))
        .await
        .map_err(|reason| {
            Failure::machine(format!("{} does not run: {reason}", uv.path.display())).with_hint(
                Some("The cache directory must be on a file system from which programs may be run (no `noexec`).".to_owned()),
            )
        })
}

/// What can be done about a uv that is not in the store.
async fn absent(version: &str) -> Finding {
    match said(Command::new("python3").args(["-m", "pip", "--version"])).await {
        Ok(pip) => {
            // `pip 23.0.1 from /usr/lib/... (python 3.11)`
            let pip = pip.split(" from ").next().unwrap_or_default();
            Finding::ok(format!(
                "uv {version} is not here yet: {pip} downloads it when it is first needed"
            ))
        }
        Err(reason) => Finding::failed(
            format!(
                "uv {version} is not here, and neither is pip, which would download it: {reason}"
            ),
            "Install pip for python3, or download uv's wheel yourself and name it once with `--uv-wheel FILE`.",
        ),
    }
}

/// The first line that a program prints.
async fn said(command: &mut Command) -> Result<String, String> {
    let command = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(PATIENCE, command).await;
    let output = output
        .map_err(|_| format!("it says nothing within {} s", PATIENCE.as_secs()))?
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        let line = errors.lines().rfind(|line| !line.trim().is_empty());
        return Err(line.map_or_else(|| output.status.to_string(), |line| line.trim().to_owned()));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().trim().to_owned())
}

/// Whether the index that pip and uv are told to use, or the one they use if they are told nothing, answers.
pub(super) async fn index(settings: &IndexSettings) -> Finding {
    let configured = configured_index(settings);
    let address = match configured.clone() {
        Some(address) => address,
        None => match default_index_of_pip().await {
            Some(address) => address,
            None => {
                return Finding::skipped(
                    "no index is configured, and there is no pip that would say its default",
                );
            }
        },
    };
    let whose = if configured.is_some() {
        "configured"
    } else {
        "pip's default"
    };
    let shown = format!("{} ({whose})", without_credentials(&address));
    let start = Instant::now();
    match ask(settings, &address).await {
        Ok(status) => judged(&shown, status, &units::time(start.elapsed().as_secs_f64())),
        Err(reason) => Finding::failed(
            format!("{shown} does not answer: {reason}"),
            "Look at pip's and uv's configuration (`pip config debug`), at `https_proxy`, and at SSL_CERT_FILE if a proxy has an authority of its own.",
        ),
    }
}

async fn ask(settings: &IndexSettings, address: &str) -> Result<StatusCode, String> {
    let mut url = Url::parse(address).map_err(|error| error.to_string())?;
    let mut settings = settings.clone();
    // In front: the address that is named counts more than what files say of its host.
    settings.credentials.splice(0..0, credential(address));
    let path = format!("{}/{PROJECT}/", url.path().trim_end_matches('/'));
    url.set_path(&path);
    // They go into a header; what is left of them here would show up in errors.
    let _no_host = url.set_username("");
    let _no_host = url.set_password(None);
    let client = settings
        .client(PATIENCE, PATIENCE)
        .map_err(|error| error.to_string())?;
    let credential = settings.credential_for(&url).cloned();
    let mut request = client.get(url).header("accept", ACCEPT).timeout(PATIENCE);
    if let Some(credential) = credential {
        request = request.basic_auth(credential.user, Some(credential.password));
    }
    let answer = request.send().await;
    let answer = answer.map_err(|error| chain(&error.without_url()))?;
    Ok(answer.status())
}

fn judged(shown: &str, status: StatusCode, time: &str) -> Finding {
    match status {
        status if status.is_success() => Finding::ok(format!("{shown} answers in {time}")),
        StatusCode::NOT_FOUND => Finding::warning(
            format!("{shown} answers in {time}, but has no project `{PROJECT}`"),
            "wheelfarm takes its resolver from there once: if it is not in the store, name its wheel with `--uv-wheel FILE`.",
        ),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Finding::failed(
            format!("{shown} refuses us: {status}"),
            "Put a user name and a password, or token, for its host into `~/.netrc` or into its address.",
        ),
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => Finding::failed(
            format!("the proxy in front of {shown} refuses us: {status}"),
            "Put a user name and a password into the address in `https_proxy`.",
        ),
        status => Finding::failed(
            format!("{shown} answers {status}"),
            "Its address should end where project names begin, such as `/simple`.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;

    #[test]
    fn what_an_index_answers_is_judged() {
        for (status, state, word) in [
            (StatusCode::OK, State::Ok, "answers in 1 s"),
            (StatusCode::NOT_FOUND, State::Warning, "no project"),
            (StatusCode::UNAUTHORIZED, State::Failed, "refuses"),
            (
                StatusCode::PROXY_AUTHENTICATION_REQUIRED,
                State::Failed,
                "proxy",
            ),
            (StatusCode::BAD_GATEWAY, State::Failed, "502"),
        ] {
            let finding = judged("https://index.example/simple", status, "1 s");
            assert_eq!(finding.state, state, "{status}");
            assert!(finding.found.contains(word), "{finding:?}");
            assert_eq!(finding.hint.is_none(), state == State::Ok);
        }
    }

    #[tokio::test]
    async fn an_address_is_shown_without_its_password() {
        let address = "http://me:secret@127.0.0.1:1/simple";
        let settings = IndexSettings::default();
        let reason = ask(&settings, address).await.unwrap_err();
        assert!(!reason.contains("secret"), "{reason}");
    }

    #[tokio::test]
    async fn a_program_that_fails_says_why_last() {
        let mut command = Command::new("sh");
        let reason = said(command.args(["-c", "echo first >&2; echo last >&2; exit 1"])).await;
        assert_eq!(reason.unwrap_err(), "last");
        let line = said(Command::new("sh").args(["-c", "echo one; echo two"])).await;
        assert_eq!(line.unwrap(), "one");
        let reason = said(&mut Command::new("/nonexistent/program")).await;
        assert!(reason.is_err());
    }
}
