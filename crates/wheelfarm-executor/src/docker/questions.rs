//! Questions whose answers the client library is too strict to read: containers of Podman may be `stopped`, a state that
//! Docker does not have, from their end until Podman has cleaned up.

use std::collections::HashMap;
use std::time::Duration;

use bollard::errors::Error;
use bollard::{ClientVersion, Docker as Client};
use reqwest::Url;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{REQUEST_SECONDS, UNIX};
use crate::error::{Result, io};

/// A connection to the engine for them.
#[derive(Debug)]
pub(crate) struct Questions {
    http: reqwest::Client,
    /// Ends with a slash.
    base: String,
}

/// A container, as the engine lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) names: Option<Vec<String>>,
    pub(crate) labels: Option<HashMap<String, String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
}

#[derive(Debug, Deserialize)]
struct State {
    #[serde(rename = "OOMKilled", default)]
    oom_killed: bool,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    message: String,
}

impl Questions {
    /// For the engine at `host`, with which `client` has agreed on a version.
    pub(crate) fn new(host: &str, client: &Client) -> Result<Self> {
        let builder = reqwest::Client::builder()
            .timeout(Duration::from_secs(REQUEST_SECONDS))
            .no_proxy()
            .tls_certs_only([]);
        let (builder, authority) = match host.strip_prefix(UNIX) {
            Some(socket) => (builder.unix_socket(socket), "engine"),
            None => (
                builder,
                host.split_once("://").map_or(host, |(_, rest)| rest),
            ),
        };
        let http = builder
            .build()
            .map_err(|source| io("make a client for the engine")(std::io::Error::other(source)))?;
        let ClientVersion {
            major_version,
            minor_version,
        } = client.client_version();
        let authority = authority.trim_end_matches('/');
        Ok(Self {
            http,
            base: format!("http://{authority}/v{major_version}.{minor_version}/"),
        })
    }

    /// Every container with `label`, running or not.
    pub(crate) async fn containers(&self, label: &str) -> Result<Vec<Listed>, Error> {
        let filters = serde_json::json!({ "label": [label] }).to_string();
        let parameters = [("all", "true"), ("filters", &filters)];
        self.ask("containers/json", &parameters).await
    }

    /// Whether the kernel ended `container` for want of memory.
    pub(crate) async fn was_out_of_memory(&self, container: &str) -> Result<bool, Error> {
        let path = format!("containers/{container}/json");
        let inspected: Inspected = self.ask(&path, &[]).await?;
        Ok(inspected.state.oom_killed)
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        path: &str,
        parameters: &[(&str, &str)],
    ) -> Result<T, Error> {
        let failed = |err| Error::IOError { err };
        let url = Url::parse_with_params(&format!("{}{path}", self.base), parameters);
        let url = url.map_err(|source| failed(std::io::Error::other(source)))?;
        let asked = async {
            let response = self.http.get(url).send().await?;
            let status = response.status();
            Ok::<_, reqwest::Error>((status, response.bytes().await?))
        };
        let (status, text) = asked
            .await
            .map_err(|source| failed(std::io::Error::other(source)))?;
        if status.is_success() {
            return Ok(serde_json::from_slice(&text)?);
        }
        let message = match serde_json::from_slice::<Refusal>(&text) {
            Ok(refusal) => refusal.message,
            Err(_) => String::from_utf8_lossy(&text).into_owned(),
        };
        Err(Error::DockerResponseServerError {
            status_code: status.as_u16(),
            message,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_that_podman_calls_stopped_are_read() {
        let listed = r#"[{"Id": "ab", "Names": ["/x"], "State": "stopped", "Labels": {"a": "b"}},
            {"Id": "cd", "Names": null, "State": "exited", "Labels": null}]"#;
        let listed: Vec<Listed> = serde_json::from_str(listed).unwrap();
        let [first, second] = &listed[..] else {
            panic!("{listed:?}")
        };
        assert_eq!(first.names.as_deref(), Some(&["/x".to_owned()][..]));
        assert_eq!(first.labels.as_ref().unwrap()["a"], "b");
        assert_eq!((second.id.as_str(), &second.labels), ("cd", &None));
        let inspected = r#"{"State": {"Status": "stopped", "OOMKilled": true}}"#;
        let inspected: Inspected = serde_json::from_str(inspected).unwrap();
        assert!(inspected.state.oom_killed);
    }
}
