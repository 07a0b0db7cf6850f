//! The registry of one image: where it is, by whom it is asked, and what its refusals mean.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use oci_client::client::SizedStream;
use oci_client::errors::OciDistributionError;
use oci_client::secrets::RegistryAuth;
use oci_client::{Client, Reference};
use tokio::sync::OnceCell;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};
use wheelfarm_types::Digest;

use super::reach::Reach;
use super::token;
use crate::docker::RegistryLogin;
use crate::error::{Result, error, hinted};
use crate::network::HostNetwork;

/// What manifests are understood.
const MANIFESTS: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
/// Under this name Docker keeps the login for its own registry.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// Says who asks a registry; `None` if nobody in particular. It may read files and run programs, and says so if that
/// fails.
pub type RegistryLogins = Arc<dyn Fn(&str) -> Result<Option<RegistryLogin>, String> + Send + Sync>;

/// Asks every registry as nobody in particular.
pub fn no_login() -> RegistryLogins {
    Arc::new(|_| Ok(None))
}

/// The registry of one image.
pub(super) struct Registry {
    client: Client,
    reach: Reach,
    logins: RegistryLogins,
    /// Asked for only when the registry is.
    login: OnceCell<RegistryAuth>,
    reference: Reference,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.reference)
    }
}

/// The reference in `text`.
pub(super) fn parse(text: &str) -> Result<Reference> {
    text.parse().map_err(|source| {
        error(
            ExecutorErrorKind::ImageUnavailable,
            format!("`{text}` is no reference of an image: {source}"),
        )
    })
}

impl Registry {
    pub(super) fn new(
        reference: Reference,
        network: &HostNetwork,
        logins: RegistryLogins,
    ) -> Result<Self> {
        let reach = Reach::of(reference.resolve_registry(), network)?;
        let client = Client::try_from(reach.for_images());
        let client = client.map_err(|source| {
            let message = format!(
                "the client of registries cannot be set up: {}",
                chain(&source)
            );
            error(ExecutorErrorKind::Engine, message)
        })?;
        Ok(Self {
            client,
            reach,
            logins,
            login: OnceCell::new(),
            reference,
        })
    }

    /// The bytes of a manifest and their digest: the one with `digest`, or what the reference means now.
    pub(super) async fn manifest(&self, digest: Option<&Digest>) -> Result<(Bytes, Digest)> {
        let reference = match digest {
            Some(digest) => self.reference.clone_with_digest(format!("sha256:{digest}")),
            None => self.reference.clone(),
        };
        let login = self.login().await?;
        let pulled = self.client.pull_manifest_raw(&reference, login, &MANIFESTS);
        let (bytes, _) = pulled.await.map_err(|source| self.refused(&source))?;
        let found = Digest::of(&bytes);
        match digest {
            // The client looked at it too, if the registry said by which algorithm.
            Some(digest) if *digest != found => Err(self.lied(digest, &found)),
            _ => Ok((bytes, found)),
        }
    }

    /// The bytes of `digest` from `offset` on, or all of them if the registry gives no parts: then the number is 0. They
    /// are not verified.
    pub(super) async fn blob(&self, digest: &Digest, offset: u64) -> Result<(u64, SizedStream)> {
        use oci_client::client::BlobResponse::{Full, Partial};
        let login = self.login().await?;
        let registry = self.reference.resolve_registry();
        self.client.store_auth_if_needed(registry, login).await;
        let name = format!("sha256:{digest}");
        let failed = |source| self.refused(&source);
        if offset == 0 {
            let stream = self.client.pull_blob_stream(&self.reference, name.as_str());
            return Ok((0, stream.await.map_err(failed)?));
        }
        let part =
            self.client
                .pull_blob_stream_partial(&self.reference, name.as_str(), offset, None);
        match part.await.map_err(failed)? {
            Full(stream) => Ok((0, stream)),
            Partial(stream) => Ok((offset, stream)),
        }
    }

    async fn login(&self) -> Result<&RegistryAuth> {
        let login = self.login.get_or_try_init(async || {
            let registry = match self.reference.registry() {
                "docker.io" => DOCKER_HUB,
                registry => registry,
            };
            let (logins, name) = (Arc::clone(&self.logins), registry.to_owned());
            let asked = tokio::task::spawn_blocking(move || logins(&name)).await;
            let login = asked.unwrap_or_else(|source| Err(source.to_string()));
            let login =
                login.map_err(|message| error(ExecutorErrorKind::ImageUnavailable, message))?;
            match login {
                None => Ok(RegistryAuth::Anonymous),
                Some(RegistryLogin::Password { username, password }) => {
                    Ok(RegistryAuth::Basic(username, password))
                }
                Some(RegistryLogin::Token(token)) => {
                    let bought = token::exchange(&self.reach, &self.reference, &token).await;
                    bought.map(RegistryAuth::Bearer)
                }
            }
        });
        login.await
    }

    /// Turns what the client says into an error.
    pub(super) fn refused(&self, source: &OciDistributionError) -> ExecutorError {
        let reference = &self.reference;
        let detail = detail(source);
        if is_unreachable(source) {
            return hinted(
                ExecutorErrorKind::RegistryUnavailable,
                format!("no registry answers for {reference}: {detail}"),
                "The proxy and the certificates of this machine count (`https_proxy`, `SSL_CERT_FILE`). Without a registry, make a Debian-based image: `wheelfarm images build`.",
            );
        }
        hinted(
            ExecutorErrorKind::ImageUnavailable,
            format!("the registry does not give out {reference}: {detail}"),
            "Look at the name and the digest, and whether the registry wants `docker login`.",
        )
    }

    /// The registry's bytes are not those that were asked for.
    pub(super) fn lied(&self, wanted: &Digest, found: &Digest) -> ExecutorError {
        error(
            ExecutorErrorKind::ImageUnavailable,
            format!(
                "the registry gave something else for {}: it has the digest sha256:{found} instead of sha256:{wanted}",
                self.reference
            ),
        )
    }

    /// What the registry has is of no use, for `reason`: "it has 0 layers".
    pub(super) fn useless(&self, reason: &str) -> ExecutorError {
        error(
            ExecutorErrorKind::ImageUnavailable,
            format!("{} cannot be used: {reason}", self.reference),
        )
    }
}

/// Whether nothing answered, rather than somebody who refused.
fn is_unreachable(source: &OciDistributionError) -> bool {
    match source {
        OciDistributionError::RequestError(source) => source.status().is_none(),
        OciDistributionError::IoError(_) => true,
        OciDistributionError::ServerError { code, .. } => *code >= 500 || *code == 429,
        _ => false,
    }
}

fn detail(source: &OciDistributionError) -> String {
    match source {
        OciDistributionError::RegistryError { envelope, .. } => {
            let errors = envelope.errors.iter().map(|error| {
                let code = format!("{:?}", error.code);
                match error.message.as_str() {
                    "" => code,
                    message => message.to_owned(),
                }
            });
            errors.collect::<Vec<_>>().join(", ")
        }
        OciDistributionError::UnauthorizedError { .. } => "it wants a login".to_owned(),
        OciDistributionError::ServerError { code, .. } => format!("it answers with HTTP {code}"),
        other => chain(other),
    }
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let inner = error.to_string();
        // Some repeat what they are caused by.
        if !text.ends_with(&inner) {
            text = format!("{text}: {inner}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_a_registry_and_a_tag() {
        for (text, registry, repository, tag) in [
            ("debian", "docker.io", "library/debian", Some("latest")),
            ("localhost:5000/a/b:1", "localhost:5000", "a/b", Some("1")),
            ("quay.io/pypa/x", "quay.io", "pypa/x", Some("latest")),
        ] {
            let reference = parse(text).unwrap();
            assert_eq!(reference.registry(), registry);
            assert_eq!(reference.repository(), repository);
            assert_eq!(reference.tag(), tag);
        }
        let pinned = format!("quay.io/pypa/x@sha256:{}", "0".repeat(64));
        let reference = parse(&pinned).unwrap();
        assert_eq!(reference.digest(), Some(&pinned[15..]));
        let error = parse("not a reference").unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable);
    }
}
