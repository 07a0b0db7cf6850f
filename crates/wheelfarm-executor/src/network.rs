//! How this machine reaches the network.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wheelfarm_build::action::{Action, INPUT_DIR};

use crate::error::{Result, io};
use crate::input_file::{Content, InputFile};

/// Where the authorities' certificates lie among the inputs of an action with network.
const CA_PATH: &str = ".wheelfarm/ca-certificates.pem";

/// How this machine reaches the network; handed to containers that may use it, and to no others.
#[derive(Debug, Clone, Default)]
pub struct HostNetwork {
    /// Certificates of the authorities that this machine trusts, in PEM form.
    pub ca_bundle: Option<PathBuf>,
    /// `http_proxy`, `https_proxy`, `no_proxy` and their upper-case forms.
    pub proxies: BTreeMap<String, String>,
    /// Variables that name the Python package index: `UV_INDEX_URL`, `PIP_INDEX_URL`.
    pub index: BTreeMap<String, String>,
}

/// Variables by which programs find the certificates of authorities.
const CA_VARIABLES: [&str; 6] = [
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    // apk's own name for it.
    "SSL_CA_CERT_FILE",
    "SSL_CERT_FILE",
];

impl HostNetwork {
    /// The environment, and the certificates, of an action: nothing if it may not use the network.
    pub(crate) fn of_action(
        &self,
        action: &Action,
    ) -> Result<(BTreeMap<String, String>, Vec<InputFile>)> {
        if !action.network {
            return Ok((BTreeMap::new(), Vec::new()));
        }
        let Some(bundle) = &self.ca_bundle else {
            return Ok((self.environment(None), Vec::new()));
        };
        let bytes = fs_err::read(bundle).map_err(io("read the certificates of this machine"))?;
        let file = InputFile {
            path: CA_PATH.to_owned(),
            content: Content::Given(bytes.into()),
            executable: false,
        };
        let path = format!("{INPUT_DIR}/{CA_PATH}");
        Ok((self.environment(Some(&path)), vec![file]))
    }

    /// The environment of a container with network; `ca_file` is where the bundle lies in it.
    pub(crate) fn environment(&self, ca_file: Option<&str>) -> BTreeMap<String, String> {
        let mut environment = self.proxies.clone();
        environment.extend(
            self.index
                .iter()
                .map(|(name, value)| (name.clone(), value.clone())),
        );
        if let Some(file) = ca_file {
            environment.extend(CA_VARIABLES.map(|name| (name.to_owned(), file.to_owned())));
        }
        environment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_named_only_when_there_are_some() {
        let network = HostNetwork {
            proxies: BTreeMap::from([("http_proxy".to_owned(), "http://p:1".to_owned())]),
            ..HostNetwork::default()
        };
        assert_eq!(network.environment(None), network.proxies);
        let with = network.environment(Some("/c.pem"));
        assert_eq!(with["SSL_CERT_FILE"], "/c.pem");
        assert_eq!(with["http_proxy"], "http://p:1");
    }
}
