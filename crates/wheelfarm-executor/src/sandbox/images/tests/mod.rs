//! Pulls from registries that lie, break off or refuse, up to where an image is unpacked; and images that are.

mod fake;
mod whole;

use std::sync::Arc;

use serde_json::json;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind, LogSink};
use wheelfarm_store::Store;
use wheelfarm_types::{Arch, Digest};

use self::fake::{Answer, Fake};
use super::fetch::Fetch;
use super::pull::find;
use super::record::ImageRecord;
use super::registry::{Registry, RegistryLogins, no_login, parse};
use crate::docker::RegistryLogin;
use crate::network::HostNetwork;

const TAR: &str = "application/vnd.oci.image.layer.v1.tar";

impl Fake {
    /// An image with two layers; the digests of its manifest and of the layers.
    fn put_two(&self) -> (String, [String; 2]) {
        let layers = [vec![1; 100_000], vec![2; 50]].map(|layer| {
            let digest = Digest::of(&layer);
            (layer, digest)
        });
        let ids = layers.each_ref().map(|(_, id)| format!("sha256:{id}"));
        (self.put_image(TAR, &layers), ids)
    }

    async fn pull(
        &self,
        store: &Store,
        end: &str,
        arch: Arch,
    ) -> Result<(ImageRecord, Vec<Digest>), ExecutorError> {
        self.pull_as(store, end, arch, no_login()).await
    }

    async fn pull_as(
        &self,
        store: &Store,
        end: &str,
        arch: Arch,
        logins: RegistryLogins,
    ) -> Result<(ImageRecord, Vec<Digest>), ExecutorError> {
        let name = format!("127.0.0.1:{}/image{end}", self.port);
        let reference = parse(&name)?;
        let registry = Registry::new(reference.clone(), &HostNetwork::default(), logins)?;
        let progress: LogSink = Arc::new(|_: &str| {});
        let fetch = Fetch {
            registry: &registry,
            store,
            progress: &progress,
        };
        find(&fetch, &reference, &name, arch).await
    }
}

async fn memory() -> Store {
    Store::open("memory:").await.unwrap()
}

#[tokio::test]
async fn what_the_store_has_needs_no_registry() {
    let (fake, store) = (Fake::start().await, memory().await);
    let (manifest, layers) = fake.put_two();
    let end = format!("@{manifest}");
    let (record, found) = fake.pull(&store, &end, Arch::X86_64).await.unwrap();
    assert_eq!(record.layers, layers);
    assert_eq!(record.environment, ["A=1"]);
    assert_eq!(found.len(), 2);
    fake.answers.lock().unwrap().clear();
    fake.requests.lock().unwrap().clear();
    let again = fake.pull(&store, &end, Arch::X86_64).await.unwrap();
    assert_eq!(again, (record, found));
    assert!(fake.requests.lock().unwrap().is_empty());
    assert_eq!(store.records("images").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_tag_means_what_the_registry_says_now() {
    let (fake, store) = (Fake::start().await, memory().await);
    let (manifest, _) = fake.put_two();
    let index = |architecture: &str| {
        let platform = json!({"os": "linux", "architecture": architecture});
        let manifests = json!([{"digest": manifest, "platform": platform}]);
        json!({"schemaVersion": 2, "manifests": manifests}).to_string()
    };
    fake.put("manifests/latest", Answer::of(index("amd64")));
    fake.pull(&store, "", Arch::X86_64).await.unwrap();
    fake.put("manifests/latest", Answer::of(index("arm64")));
    let error = fake.pull(&store, "", Arch::X86_64).await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable);
    let reason = "it is not there for linux/amd64, but for linux/arm64";
    assert!(error.message.contains(reason), "{error}");
    // The list promises what the image is not.
    let error = fake.pull(&store, "", Arch::Aarch64).await.unwrap_err();
    let reason = "it is for linux/amd64, and not for linux/arm64";
    assert!(error.message.contains(reason), "{error}");
}

#[tokio::test]
async fn lies_are_found_out() {
    let fake = Fake::start().await;
    let (manifest, layers) = fake.put_two();
    let end = format!("@{manifest}");
    let paths = [
        format!("manifests/{manifest}"),
        format!("blobs/{}", layers[0]),
    ];
    for path in paths {
        let full = format!("/v2/image/{path}");
        let right = fake.answers.lock().unwrap()[&full].clone();
        let mut wrong = right.clone();
        *wrong.body.last_mut().unwrap() ^= 1;
        fake.put(&path, wrong);
        let store = memory().await;
        let error = fake.pull(&store, &end, Arch::X86_64).await.unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable, "{error}");
        let digest = path.rsplit(':').next().unwrap().parse().unwrap();
        assert!(!store.contains(&digest).await.unwrap(), "{path}");
        // Longer than the manifest says, without an end.
        let mut long = right.clone();
        long.body.extend([0; 1000]);
        fake.put(&path, long);
        let error = fake.pull(&store, &end, Arch::X86_64).await.unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable, "{error}");
        fake.put(&path, right);
        fake.pull(&store, &end, Arch::X86_64).await.unwrap();
    }
}

#[tokio::test]
async fn a_broken_connection_is_taken_up_again() {
    let (fake, store) = (Fake::start().await, memory().await);
    let (manifest, layers) = fake.put_two();
    let end = format!("@{manifest}");
    let path = format!("blobs/{}", layers[0]);
    let mut cut = Answer::of(vec![1; 100_000]);
    cut.cut = Some(40_000);
    fake.put(&path, cut.clone());
    // Three times 40 000 bytes are enough.
    fake.pull(&store, &end, Arch::X86_64).await.unwrap();
    let asked = fake.asked(&layers[0]);
    assert_eq!(asked, [None, Some(40_000), Some(80_000)]);

    let store = memory().await;
    cut.cut = Some(10);
    fake.put(&path, cut);
    fake.requests.lock().unwrap().clear();
    let error = fake.pull(&store, &end, Arch::X86_64).await.unwrap_err();
    assert_eq!(
        error.kind,
        ExecutorErrorKind::RegistryUnavailable,
        "{error}"
    );
    assert_eq!(fake.asked(&layers[0]).len(), 3);
    // What is whole is not fetched again.
    fake.put(&path, Answer::of(vec![1; 100_000]));
    fake.requests.lock().unwrap().clear();
    fake.pull(&store, &end, Arch::X86_64).await.unwrap();
    assert_eq!(fake.asked(&manifest), []);
    assert_eq!(fake.asked(&layers[0]), [None]);
}

#[tokio::test]
async fn refusals_are_told_from_silence() {
    let (fake, store) = (Fake::start().await, memory().await);
    let absent = format!("@sha256:{}", "0".repeat(64));
    let error = fake.pull(&store, &absent, Arch::X86_64).await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable);
    assert!(error.message.ends_with("manifest unknown"), "{error}");
    let mut failing = Answer::of("oh no");
    failing.status = 503;
    fake.put("manifests/1", failing);
    let error = fake.pull(&store, ":1", Arch::X86_64).await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::RegistryUnavailable);
    assert!(error.message.contains("503"), "{error}");
    let gone = Fake {
        port: 1,
        ..Fake::start().await
    };
    let error = gone.pull(&store, ":1", Arch::X86_64).await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::RegistryUnavailable);
    assert!(error.message.contains("127.0.0.1:1/image"), "{error}");
}

#[tokio::test]
async fn a_login_is_shown_to_who_asks_for_it() {
    let (fake, store) = (Fake::start().await, memory().await);
    let (manifest, _) = fake.put_two();
    for answer in fake.answers.lock().unwrap().values_mut() {
        // `me:secret`
        answer.authorization = Some("Basic bWU6c2VjcmV0".to_owned());
    }
    let end = format!("@{manifest}");
    let error = fake.pull(&store, &end, Arch::X86_64).await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable);
    assert!(error.hint.unwrap().contains("docker login"));
    let registry = format!("127.0.0.1:{}", fake.port);
    let logins: RegistryLogins = Arc::new(move |name| {
        assert_eq!(name, registry);
        Ok(Some(RegistryLogin::Password {
            username: "me".to_owned(),
            password: "secret".to_owned(),
        }))
    });
    let pulled = fake.pull_as(&store, &end, Arch::X86_64, logins).await;
    assert_eq!(pulled.unwrap().1.len(), 2);
    let broken: RegistryLogins = Arc::new(|_| Err("the helper is gone".to_owned()));
    let store = memory().await;
    let pulled = fake.pull_as(&store, &end, Arch::X86_64, broken);
    assert_eq!(pulled.await.unwrap_err().message, "the helper is gone");
}

#[tokio::test]
async fn an_identity_token_buys_one_for_the_image() {
    let (fake, store) = (Fake::start().await, memory().await);
    let (manifest, _) = fake.put_two();
    for answer in fake.answers.lock().unwrap().values_mut() {
        answer.authorization = Some("Bearer bought".to_owned());
    }
    let realm = format!("http://127.0.0.1:{}/token", fake.port);
    let challenge = format!("Bearer realm=\"{realm}\",service=\"fake\"");
    let root = Answer {
        authorization: Some("Bearer bought".to_owned()),
        challenge: Some(challenge),
        ..Answer::of("{}")
    };
    fake.put_at("/v2/", root);
    let form = "grant_type=refresh_token&service=fake&client_id=wheelfarm&scope=repository%3Aimage%3Apull&refresh_token=id";
    let bought = Answer::of(r#"{"access_token": "bought", "expires_in": 300}"#);
    fake.put_at(&format!("/token?{form}"), bought);
    let end = format!("@{manifest}");
    let pull = async |identity: &'static str| {
        let logins: RegistryLogins =
            Arc::new(move |_| Ok(Some(RegistryLogin::Token(identity.to_owned()))));
        fake.pull_as(&store, &end, Arch::X86_64, logins).await
    };
    let error = pull("old").await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable);
    assert!(error.message.contains("HTTP 404"), "{error}");
    assert!(!format!("{error:?}").contains("old"), "{error:?}");
    assert_eq!(pull("id").await.unwrap().1.len(), 2);
}
