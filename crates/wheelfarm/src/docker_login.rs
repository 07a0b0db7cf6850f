//! Who pushes to a registry, as Docker's own configuration says: `auths`, and credential helpers by their protocol
//! ([docker-credential-helpers](https://github.com/docker/docker-credential-helpers)).

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use wheelfarm_executor::RegistryLogin;

use crate::environment::{home, variable};
use crate::exit::Failure;

/// What a helper calls a user whose secret is a token of the registry.
const TOKEN: &str = "<token>";

/// What is read of `config.json`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Configuration {
    auths: BTreeMap<String, Auth>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    /// `name:password` in base64.
    auth: String,
    identitytoken: String,
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth(secret)")
    }
}

/// What a helper prints.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Given {
    username: String,
    secret: String,
}

/// The login for `registry`; none if Docker has none. Reads files and may run a helper: not for async code.
pub(crate) fn login(registry: &str) -> Result<Option<RegistryLogin>, Failure> {
    let directory = variable("DOCKER_CONFIG").map(PathBuf::from);
    let directory = directory.or_else(|| Some(home()?.join(".docker")));
    let Some(path) = directory.map(|directory| directory.join("config.json")) else {
        return Ok(None);
    };
    let text = match fs_err::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::usage(error.to_string())),
    };
    of_configuration(&text, &path, registry)
}

fn of_configuration(
    text: &str,
    path: &Path,
    registry: &str,
) -> Result<Option<RegistryLogin>, Failure> {
    let broken = |reason: &str| Failure::usage(format!("{}: {reason}", path.display()));
    // By way of a map: serde would take a list for a struct, too.
    let configuration: serde_json::Result<serde_json::Map<_, _>> = serde_json::from_str(text);
    let configuration =
        configuration.and_then(|map| Configuration::deserialize(serde_json::Value::Object(map)));
    let configuration = configuration.map_err(|error| broken(&error.to_string()))?;
    let helper = configuration.cred_helpers.get(registry);
    if let Some(name) = helper.or(configuration.creds_store.as_ref()) {
        return ask(name, registry);
    }
    let known = configuration
        .auths
        .iter()
        .find(|(name, _)| host(name) == host(registry));
    let Some((name, auth)) = known else {
        return Ok(None);
    };
    if !auth.identitytoken.is_empty() {
        return Ok(Some(RegistryLogin::Token(auth.identitytoken.clone())));
    }
    if auth.auth.is_empty() {
        return Ok(None);
    }
    let decoded = STANDARD.decode(auth.auth.trim()).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = decoded.as_deref().and_then(|pair| pair.split_once(':'));
    let (username, password) =
        pair.ok_or_else(|| broken(&format!("the `auth` of `{name}` is no `name:password`")))?;
    Ok(Some(RegistryLogin::Password {
        username: username.to_owned(),
        // Docker pads it so.
        password: password.trim_end_matches('\0').to_owned(),
    }))
}

/// The host of a key, which may be an address: `https://index.docker.io/v1/`.
fn host(name: &str) -> &str {
    let name = name.split_once("://").map_or(name, |(_, rest)| rest);
    name.split('/').next().unwrap_or(name)
}

/// Asks the helper `docker-credential-NAME`.
fn ask(name: &str, registry: &str) -> Result<Option<RegistryLogin>, Failure> {
    let program = format!("docker-credential-{name}");
    let failed = |detail: &str| {
        Failure::machine(format!("{program} gave no login for {registry}: {detail}")).with_hint(Some(
            "Docker's configuration names it under `credHelpers` or `credsStore`; `docker login` uses it too"
                .to_owned(),
        ))
    };
    let child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.map_err(|error| failed(&error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not read says why on its own.
        stdin.write_all(registry.as_bytes()).ok();
    }
    let output = child.wait_with_output();
    let output = output.map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        // That it has none is said so, on stdout.
        if said.contains("credentials not found") {
            return Ok(None);
        }
        return Err(failed(said.trim()));
    }
    // What it printed holds the secret, and is not repeated.
    let given: Given =
        serde_json::from_slice(&output.stdout).map_err(|_| failed("it printed something else"))?;
    Ok(Some(if given.username == TOKEN {
        RegistryLogin::Token(given.secret)
    } else {
        RegistryLogin::Password {
            username: given.username,
            password: given.secret,
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, registry: &str) -> Result<Option<RegistryLogin>, Failure> {
        of_configuration(text, Path::new("config.json"), registry)
    }

    fn password(username: &str, password: &str) -> RegistryLogin {
        RegistryLogin::Password {
            username: username.to_owned(),
            password: password.to_owned(),
        }
    }

    #[test]
    fn logins_are_found_by_the_registrys_host() {
        // `me:se:cret`
        let text = r#"{"auths": {"localhost:5000": {"auth": "bWU6c2U6Y3JldA=="},
            "https://index.docker.io/v1/": {"identitytoken": "token"}, "empty": {}}, "other": 1}"#;
        let login = |registry| read(text, registry).unwrap();
        assert!(login("localhost:5000") == Some(password("me", "se:cret")));
        let hub = login("https://index.docker.io/v1/");
        assert!(hub == Some(RegistryLogin::Token("token".to_owned())));
        assert!(login("localhost").is_none());
        assert!(login("empty").is_none());
        assert!(read("{}", "localhost").unwrap().is_none());
    }

    #[test]
    fn a_broken_configuration_is_named() {
        for text in ["", "[]", r#"{"auths": {"x": {"auth": "%"}}}"#] {
            let failure = read(text, "x").err().unwrap();
            assert!(failure.message.starts_with("config.json: "), "{text}");
        }
    }

    #[test]
    fn a_helper_that_is_not_there_is_named() {
        let text = r#"{"credHelpers": {"x": "wheelfarm-nowhere"}}"#;
        let failure = read(text, "x").err().unwrap();
        assert!(
            failure
                .message
                .contains("docker-credential-wheelfarm-nowhere")
        );
        assert!(read(text, "y").unwrap().is_none());
    }
}
