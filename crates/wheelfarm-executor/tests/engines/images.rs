//! Images: found, pulled, made.

use bollard::query_parameters::{
    PushImageOptionsBuilder, RemoveImageOptionsBuilder, TagImageOptionsBuilder,
};
use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::catalogue::ImageSource;
use wheelfarm_executor::ImageRole;
use wheelfarm_types::Arch;

use crate::engine::{Engine, Kind, debian, lines, quiet};
use crate::left::client;
use crate::registry::Registry;

on_every_engine! {
    a_registry_that_does_not_answer_is_said_so,
    images_are_pulled_by_digest_and_found_again,
    an_image_made_again_is_the_same,
    making_an_image_can_be_cancelled,
}

async fn a_registry_that_does_not_answer_is_said_so(engine: Engine) {
    let reference = format!("localhost:1/x@sha256:{}", "0".repeat(64));
    let cancel = CancellationToken::new();
    let pulled = engine.tested.pull(&reference, quiet(), &cancel).await;
    let error = pulled.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::RegistryUnavailable);
    assert!(error.message.contains(&reference), "{error}");
}

/// Docker pushes, whoever pulls: all of them are to see the same image.
async fn images_are_pulled_by_digest_and_found_again(engine: Engine) {
    let Some(docker) = docker().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let registry = Registry::start(directory.path()).await;
    let repository = format!("localhost:{}/wheelfarm-test", registry.port);
    let reference = push(&docker.runtime.id, &repository).await;

    let mut image = debian().1;
    image.source = ImageSource::Registry {
        reference: reference.clone(),
    };
    let find = || engine.tested.find_image(&image, ImageRole::Builder);
    assert_eq!(find().await.unwrap(), None);
    let (sink, shown) = lines(|_| {});
    let cancel = CancellationToken::new();
    let pull = engine.tested.pull(&reference, sink, &cancel);
    let pulled = pull.await.unwrap();
    assert_eq!(pulled.content, docker.runtime.content);
    assert_eq!(find().await.unwrap(), Some(pulled));
    assert!(!shown.lock().unwrap().is_empty());

    // The same repository under another digest will do where the exact one is not there.
    image.source = ImageSource::Registry {
        reference: format!("{repository}@sha256:{}", "0".repeat(64)),
    };
    let found = engine.tested.find_image(&image, ImageRole::Builder);
    assert!(found.await.unwrap().is_some());
    image.target.arch = Arch::Aarch64;
    let found = engine.tested.find_image(&image, ImageRole::Builder);
    assert_eq!(found.await.unwrap(), None, "of another architecture");

    let absent = format!("{repository}@sha256:{}", "0".repeat(64));
    let pull = engine.tested.pull(&absent, quiet(), &cancel);
    let error = pull.await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable, "{error}");
    if engine.kind != Kind::Sandbox {
        remove(engine.kind, &reference).await;
    }
}

async fn an_image_made_again_is_the_same(engine: Engine) {
    let (catalogue, image) = debian();
    let (sink, shown) = lines(|_| {});
    let cancel = CancellationToken::new();
    let again = engine.tested.build_debian(
        &image,
        &catalogue.debian_recipe,
        ImageRole::Runtime,
        sink,
        &cancel,
    );
    assert_eq!(again.await.unwrap(), engine.runtime);
    assert!(shown.lock().unwrap().len() > 5);
    let listed = engine.tested.list(&catalogue).await.unwrap();
    let listed = listed.iter().find(|listed| listed.image == image).unwrap();
    assert_eq!(listed.runtime.as_ref(), Some(&engine.runtime));
    // And it is Docker's, so that what is built in the one is found by who builds in the other.
    if let Some(docker) = docker().await {
        assert_eq!(engine.runtime.content, docker.runtime.content);
    }
}

async fn making_an_image_can_be_cancelled(engine: Engine) {
    let (catalogue, image) = debian();
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let (sink, _) = lines(move |_| token.cancel());
    let recipe = &catalogue.debian_recipe;
    let made = engine
        .tested
        .build_debian(&image, recipe, ImageRole::Runtime, sink, &cancel);
    assert_eq!(made.await.unwrap_err().kind, ExecutorErrorKind::Cancelled);
}

/// Docker, where this user may use it.
#[allow(
    clippy::print_stderr,
    reason = "a test says when it leaves something out"
)]
async fn docker() -> Option<Engine> {
    if client(Kind::Docker).ping().await.is_err() {
        eprintln!("skipped: there is no Docker to compare with");
        return None;
    }
    Engine::of(Kind::Docker).await
}

/// Docker pushes `image` and removes the name again; returns the reference by digest.
async fn push(image: &str, repository: &str) -> String {
    let client = client(Kind::Docker);
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
    remove(Kind::Docker, &format!("{repository}:1")).await;
    // A push leaves the digest as a name, if the engine is an old one.
    let options = RemoveImageOptionsBuilder::new().build();
    client
        .remove_image(&reference, Some(options), None)
        .await
        .ok();
    reference
}

async fn remove(kind: Kind, name: &str) {
    let options = RemoveImageOptionsBuilder::new().build();
    let client = client(kind);
    client
        .remove_image(name, Some(options), None)
        .await
        .unwrap();
}
