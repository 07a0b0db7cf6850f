//! Images: found, pulled, made.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bollard::query_parameters::{
    PushImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::catalogue::ImageSource;
use wheelfarm_executor::{Docker, DockerSettings, HostNetwork, ImageRole};
use wheelfarm_store::Store;
use wheelfarm_types::Arch;

use crate::support::{client, debian, engine, lines, quiet};

#[tokio::test]
async fn an_engine_that_is_not_there_comes_with_a_hint() {
    let runs = tempfile::tempdir().unwrap();
    let store = Store::open("memory:").await.unwrap();
    let closed = runs.path().join("closed.sock");
    drop(std::os::unix::net::UnixListener::bind(&closed).unwrap());
    for (host, hint) in [
        (
            "unix:///nonexistent/docker.sock".to_owned(),
            "Start the daemon",
        ),
        (format!("unix://{}", closed.display()), "Start the daemon"),
        ("tcp://127.0.0.1:1".to_owned(), "Start the daemon"),
        ("ssh://host".to_owned(), "unix:// or tcp://"),
    ] {
        let settings = DockerSettings {
            host: Some(host.clone()),
            runs_dir: runs.path().to_owned(),
            store: store.clone(),
            network: HostNetwork::default(),
        };
        let error = Docker::connect(settings).await.unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::EngineUnavailable, "{host}");
        assert!(error.message.contains(&host), "{error}");
        let given = error.hint.unwrap();
        assert!(given.contains(hint), "{host}: {given}");
    }
}

#[tokio::test]
async fn a_registry_that_does_not_answer_is_said_so() {
    let Some(engine) = engine().await else { return };
    let reference = format!("localhost:1/x@sha256:{}", "0".repeat(64));
    let pulled = engine
        .docker
        .pull(&reference, Arch::X86_64, quiet(), &CancellationToken::new())
        .await;
    let error = pulled.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::RegistryUnavailable);
    assert!(error.message.contains(&reference), "{error}");
}

#[tokio::test]
async fn images_are_pulled_by_digest_and_found_again() {
    let Some(engine) = engine().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start(directory.path()).await;
    let repository = format!("localhost:{}/wheelfarm-test", registry.port);
    let reference = push(&engine.runtime.id, &repository).await;

    let mut image = debian().1;
    image.source = ImageSource::Registry {
        reference: reference.clone(),
    };
    let find = || engine.docker.find_image(&image, ImageRole::Builder);
    assert_eq!(find().await.unwrap(), None);
    let (sink, shown) = lines(|_| {});
    let cancel = CancellationToken::new();
    let pull = engine.docker.pull(&reference, Arch::X86_64, sink, &cancel);
    let pulled = pull.await.unwrap();
    assert_eq!(pulled.content, engine.runtime.content);
    assert_eq!(find().await.unwrap(), Some(pulled));
    assert!(!shown.lock().unwrap().is_empty());

    // The same repository under another digest will do where the exact one is not there.
    image.source = ImageSource::Registry {
        reference: format!("{repository}@sha256:{}", "0".repeat(64)),
    };
    let found = engine.docker.find_image(&image, ImageRole::Builder);
    assert!(found.await.unwrap().is_some());
    image.target.arch = Arch::Aarch64;
    let found = engine.docker.find_image(&image, ImageRole::Builder);
    assert_eq!(found.await.unwrap(), None, "of another architecture");

    let absent = format!("{repository}@sha256:{}", "0".repeat(64));
    let pull = engine.docker.pull(&absent, Arch::X86_64, quiet(), &cancel);
    let error = pull.await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable, "{error}");
    remove(&reference).await;
}

#[tokio::test]
async fn an_image_made_again_is_the_same() {
    let Some(engine) = engine().await else { return };
    let (catalogue, image) = debian();
    let (sink, shown) = lines(|_| {});
    let cancel = CancellationToken::new();
    let again = engine.docker.build_debian(
        &image,
        &catalogue.debian_recipe,
        ImageRole::Runtime,
        sink,
        &cancel,
    );
    assert_eq!(again.await.unwrap(), engine.runtime);
    assert!(shown.lock().unwrap().len() > 5);
    let listed = engine.docker.list(&catalogue).await.unwrap();
    let listed = listed.iter().find(|listed| listed.image == image).unwrap();
    assert_eq!(listed.runtime.as_ref(), Some(&engine.runtime));
}

#[tokio::test]
async fn making_an_image_can_be_cancelled() {
    let Some(engine) = engine().await else { return };
    let (catalogue, image) = debian();
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let (sink, _) = lines(move |_| token.cancel());
    let recipe = &catalogue.debian_recipe;
    let made = engine
        .docker
        .build_debian(&image, recipe, ImageRole::Runtime, sink, &cancel);
    assert_eq!(made.await.unwrap_err().kind, ExecutorErrorKind::Cancelled);
}

/// Pushes `image` and removes the name again; returns the reference by digest.
async fn push(image: &str, repository: &str) -> String {
    let client = client();
    let tag = TagImageOptionsBuilder::new()
        .repo(repository)
        .tag("1")
        .build();
    client.tag_image(image, Some(tag)).await.unwrap();
    let options = PushImageOptionsBuilder::new().tag("1").build();
    let pushed: Vec<_> = client
        .push_image(repository, Some(options), None)
        .try_collect()
        .await
        .unwrap();
    let status = pushed.iter().filter_map(|info| info.status.as_deref());
    let digest = status
        .filter_map(|status| status.split_once("digest: "))
        .find_map(|(_, rest)| rest.split(' ').next())
        .unwrap();
    let reference = format!("{repository}@{digest}");
    remove(&format!("{repository}:1")).await;
    // A push leaves the digest as a name, if the engine is an old one.
    let options = RemoveImageOptionsBuilder::new().build();
    client
        .remove_image(&reference, Some(options), None)
        .await
        .ok();
    reference
}

async fn remove(name: &str) {
    let options = RemoveImageOptionsBuilder::new().build();
    let removed = client().remove_image(name, Some(options), None).await;
    removed.unwrap();
}

/// Debian's `docker-registry` on a free port.
struct Registry {
    process: Child,
    port: u16,
}

impl Registry {
    async fn start(directory: &Path) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let config = directory.join("config.yml");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            directory.join("data").display()
        );
        fs_err::write(&config, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's package docker-registry is installed");
        let registry = Self { process, port };
        let start = Instant::now();
        while tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
        {
            assert!(start.elapsed() < Duration::from_secs(30), "no registry");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        registry
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}
