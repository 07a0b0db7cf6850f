//! The configuration of a Remote Execution cluster made into what its executor needs: files are read, variables put in.

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use wheelfarm_executor::reapi::{ImageMode, InputPlace, ReapiSettings};
use wheelfarm_reapi::{Identity, Settings, Tls};

use crate::config::{ImageModeName, InputsName, Remote, Seconds};
use crate::docker_login;
use crate::environment::variable;
use crate::exit::Failure;

/// How many actions are in flight at a time where nothing is said.
const JOBS: u32 = 64;
/// How many cores an action may fill where nothing is said.
const CORES: u32 = 2;
/// How long an action may wait for a worker, in seconds, where nothing is said.
const QUEUE_TIMEOUT: u64 = 60 * 60;
/// How long the cluster may be away, in seconds, where nothing is said.
const PATIENCE: u64 = 5 * 60;
/// Uploads at a time: each holds some megabytes.
const UPLOADS: usize = 8;

/// What `remote` says, with the files it names.
pub(crate) fn settings(remote: &Remote) -> Result<ReapiSettings, Failure> {
    let endpoint = remote.endpoint.clone().ok_or_else(|| {
        Failure::usage("there is no address of a Remote Execution cluster").with_hint(Some(
            "name it with `--endpoint grpc://HOST:PORT`, or as `endpoint` of [remote]".to_owned(),
        ))
    })?;
    let registry = remote.registry.clone();
    let registry_login = match &registry {
        Some(registry) => docker_login::login(registry.split('/').next().unwrap_or(registry))?,
        None => None,
    };
    let property = |default: &str| {
        let named = remote.image_property.clone();
        named.unwrap_or_else(|| default.to_owned())
    };
    let seconds = |given: Option<Seconds>, default| {
        Duration::from_secs(given.map_or(default, Seconds::number))
    };
    Ok(ReapiSettings {
        connection: Settings {
            execution: endpoint,
            storage: remote.storage.clone(),
            instance: remote.instance.clone(),
            tls: tls(remote)?,
            headers: headers(remote)?,
            tool: ("wheelfarm".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
            invocation: invocation(),
            uploads: UPLOADS,
            patience: seconds(remote.patience, PATIENCE),
        },
        image_mode: match remote.image_mode {
            ImageModeName::ContainerImage => ImageMode::ContainerImage {
                property: property("container-image"),
                registry,
            },
            ImageModeName::Chroot => ImageMode::Chroot {
                property: property("chrootRootDigest"),
            },
            ImageModeName::InputRoot => ImageMode::InputRoot,
            ImageModeName::Pool => ImageMode::Pool,
        },
        inputs: match (remote.inputs, remote.image_mode) {
            (Some(InputsName::Directory), _) | (None, ImageModeName::Pool) => InputPlace::Directory,
            _ => InputPlace::Root,
        },
        properties: remote.properties.clone(),
        network_properties: remote.network_properties.clone(),
        registry_login,
        priority: remote.priority,
        jobs: JOBS,
        cores: remote.cores.map_or(CORES, NonZeroU32::get),
        queue_timeout: seconds(remote.queue_timeout, QUEUE_TIMEOUT),
    })
}

/// Who is trusted beside those that this machine trusts, and who we are.
fn tls(remote: &Remote) -> Result<Tls, Failure> {
    let identity = match (&remote.certificate, &remote.key) {
        (Some(certificate), Some(key)) => Some(Identity {
            certificate: read("certificate", certificate)?,
            key: read("key", key)?,
        }),
        (None, None) => None,
        _ => {
            return Err(Failure::usage(
                "`certificate` and `key` of [remote] belong together: one of them is missing",
            ));
        }
    };
    let roots = remote
        .ca
        .as_ref()
        .map(|path| read("ca", path))
        .transpose()?;
    Ok(Tls { roots, identity })
}

fn read(key: &str, path: &Path) -> Result<Bytes, Failure> {
    let read = fs_err::read(path);
    let bytes = read.map_err(|error| Failure::usage(format!("`{key}` of [remote]: {error}")))?;
    Ok(bytes.into())
}

/// The headers, with `${NAME}` replaced by environment variables, and the token.
fn headers(remote: &Remote) -> Result<Vec<(String, String)>, Failure> {
    let mut headers = Vec::new();
    for (name, value) in &remote.headers {
        headers.push((name.clone(), expanded(name, value)?));
    }
    if let Some(path) = &remote.token_file {
        let token = fs_err::read_to_string(path)
            .map_err(|error| Failure::usage(format!("`token-file` of [remote]: {error}")))?;
        headers.push((
            "authorization".to_owned(),
            format!("Bearer {}", token.trim()),
        ));
    }
    Ok(headers)
}

fn expanded(header: &str, text: &str) -> Result<String, Failure> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        let (name, after) = after.split_once('}').ok_or_else(|| {
            Failure::usage(format!(
                "the header `{header}` of [remote] has a `${{` without a `}}`"
            ))
        })?;
        result.push_str(before);
        let value = variable(name).ok_or_else(|| {
            Failure::usage(format!(
                "the header `{header}` of [remote] is to have the variable {name}, which is not set"
            ))
            .with_hint(Some(format!("set it: `export {name}=...`")))
        })?;
        result.push_str(&value);
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}

/// Names this run in the cluster's records.
fn invocation() -> String {
    format!(
        "wheelfarm-{}-{}",
        crate::environment::now(),
        std::process::id()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings_of(text: &str) -> Result<ReapiSettings, String> {
        let remote: Remote = toml::from_str(text).unwrap();
        settings(&remote).map_err(|failure| failure.message)
    }

    #[test]
    fn a_cluster_has_an_address() {
        let error = settings_of("").unwrap_err();
        assert!(error.contains("no address"), "{error}");
        let settings = settings_of("endpoint = 'grpc://h:1'\nimage-mode = 'chroot'").unwrap();
        assert_eq!(settings.connection.execution, "grpc://h:1");
        let property = "chrootRootDigest".to_owned();
        assert_eq!(settings.image_mode, ImageMode::Chroot { property });
    }

    #[test]
    fn a_certificate_goes_with_its_key() {
        let error = settings_of("endpoint = 'grpc://h:1'\nkey = '/k'").unwrap_err();
        assert!(error.contains("belong together"), "{error}");
        let text = "endpoint = 'grpc://h:1'\ncertificate = '/no/such/file'\nkey = '/k'";
        let error = settings_of(text).unwrap_err();
        assert!(error.contains("/no/such/file"), "{error}");
    }

    #[test]
    fn variables_are_put_into_headers_and_never_shown() {
        let header = |value: &str| {
            settings_of(&format!(
                "endpoint = 'grpc://h:1'\nheaders = {{ x-key = '{value}' }}"
            ))
        };
        let path = variable("PATH").unwrap();
        let settings = header("a-${PATH}-b").unwrap();
        assert_eq!(settings.connection.headers[0].1, format!("a-{path}-b"));
        assert!(!format!("{settings:?}").contains(&path));
        assert!(
            header("${WHEELFARM_NO_SUCH}")
                .unwrap_err()
                .contains("not set")
        );
        assert!(header("${PATH").unwrap_err().contains("without"));
    }
}
