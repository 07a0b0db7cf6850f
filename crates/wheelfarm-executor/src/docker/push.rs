//! Pushes images to registries.

use std::fmt;

use bollard::auth::DockerCredentials;
use bollard::query_parameters::{PushImageOptionsBuilder, TagImageOptionsBuilder};
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, LogSink};

use crate::docker::error::{detail, engine};
use crate::docker::{Docker, Shared};
use crate::error::{Result, cancelled, hinted};

/// Who pushes.
#[derive(Clone, PartialEq, Eq)]
pub enum RegistryLogin {
    /// By name and password.
    Password {
        /// Name.
        username: String,
        /// Password, or a token that stands for one.
        password: String,
    },
    /// By a token that the registry gave out at login.
    Token(String),
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RegistryLogin")
    }
}

impl Docker {
    /// Gives the image `id` the name `repository:tag` too.
    pub(crate) async fn tag(&self, id: &str, repository: &str, tag: &str) -> Result<()> {
        let options = TagImageOptionsBuilder::new()
            .repo(repository)
            .tag(tag)
            .build();
        let tagged = self.shared.client.tag_image(id, Some(options)).await;
        tagged.map_err(engine(format!("name {id} {repository}:{tag}")))
    }

    /// Pushes what the engine has as `repository:tag`, to `registry`; the digest by which that knows it, if it says so.
    pub async fn push(
        &self,
        repository: &str,
        tag: &str,
        registry: &str,
        login: Option<RegistryLogin>,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<Option<String>> {
        let name = format!("{repository}:{tag}");
        let (repository, tag) = (repository.to_owned(), tag.to_owned());
        let credentials = login.map(|login| credentials(login, registry));
        self.supervise(cancel, |shared, cancel| async move {
            let push = push(&shared, &repository, &tag, credentials, &progress);
            let pushed = Box::pin(cancel.run_until_cancelled(push)).await;
            pushed.ok_or_else(|| cancelled(format!("pushing {name}")))?
        })
        .await
    }
}

fn credentials(login: RegistryLogin, registry: &str) -> DockerCredentials {
    let mut credentials = DockerCredentials {
        serveraddress: Some(registry.to_owned()),
        ..DockerCredentials::default()
    };
    match login {
        RegistryLogin::Password { username, password } => {
            credentials.username = Some(username);
            credentials.password = Some(password);
        }
        RegistryLogin::Token(token) => credentials.identitytoken = Some(token),
    }
    credentials
}

async fn push(
    shared: &Shared,
    repository: &str,
    tag: &str,
    credentials: Option<DockerCredentials>,
    progress: &LogSink,
) -> Result<Option<String>> {
    let options = PushImageOptionsBuilder::new().tag(tag).build();
    let mut stream = std::pin::pin!(shared.transfer.push_image(
        repository,
        Some(options),
        credentials
    ));
    let (mut last, mut digest) = (String::new(), None);
    while let Some(info) = stream.next().await {
        let info = info.map_err(|source| {
            hinted(
                ExecutorErrorKind::RegistryUnavailable,
                format!(
                    "the registry did not take {repository}:{tag}: {}",
                    detail(&source)
                ),
                "Look at the name, whether the registry answers and wants `docker login`, and whether that user may push.",
            )
        })?;
        let Some(status) = info.status else { continue };
        digest = digest.or_else(|| digest_of(&status));
        // Each layer says the same several times.
        if status != last {
            progress(&status);
            last = status;
        }
    }
    Ok(digest)
}

/// The digest in `1: digest: sha256:... size: 528`, with which a push ends.
fn digest_of(status: &str) -> Option<String> {
    let (_, rest) = status.split_once("digest: ")?;
    let digest = rest.split(' ').next()?;
    digest.starts_with("sha256:").then(|| digest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_has_the_digest() {
        let line = "1: digest: sha256:00ff size: 528";
        assert_eq!(digest_of(line).as_deref(), Some("sha256:00ff"));
        assert_eq!(digest_of("Pushed"), None);
        assert_eq!(digest_of("digest: none"), None);
    }
}
