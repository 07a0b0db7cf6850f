//! Images that are pulled and unpacked, in the sandbox of this machine. Opt-in, as everything that starts the launcher.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tar::{Builder, Header};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};
use wheelfarm_build::catalogue::{BuilderImage, Catalogue, ImageFacts, ImageSource};
use wheelfarm_store::Store;
use wheelfarm_types::{Arch, Digest};

use super::fake::Fake;
use crate::image::ImageRole;
use crate::network::HostNetwork;
use crate::sandbox::images::{RECORD, no_login};
use crate::sandbox::tests::support::{asked_for, launcher};
use crate::sandbox::{Sandbox, SandboxSettings};

const GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";

struct Place {
    directory: TempDir,
    sandbox: Sandbox,
    fake: Fake,
}

impl Place {
    async fn new() -> Option<Self> {
        if !asked_for() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let settings = SandboxSettings {
            directory: directory.path().join("sandbox"),
            runs_dir: directory.path().join("runs"),
            store: Store::open("memory:").await.unwrap(),
            network: HostNetwork::default(),
            launcher: launcher(),
            registry_login: no_login(),
        };
        Some(Self {
            sandbox: Sandbox::connect(settings).await.unwrap(),
            fake: Fake::start().await,
            directory,
        })
    }

    fn reference(&self, manifest: &str) -> String {
        format!("127.0.0.1:{}/image@{manifest}", self.fake.port)
    }

    async fn pull(&self, manifest: &str) -> Result<(ImageFacts, usize), ExecutorError> {
        self.pull_named(&self.reference(manifest)).await
    }

    /// Returns how many lines were shown, too.
    async fn pull_named(&self, name: &str) -> Result<(ImageFacts, usize), ExecutorError> {
        let lines = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&lines);
        let order = std::sync::atomic::Ordering::Relaxed;
        let sink = move |_: &str| {
            counted.fetch_add(1, order);
        };
        let cancel = CancellationToken::new();
        let pull = self
            .sandbox
            .pull(name, Arch::X86_64, Arc::new(sink), &cancel);
        Ok((pull.await?, lines.load(order)))
    }

    fn names(&self, directory: &str) -> Vec<String> {
        self.sandbox.shared.names_in(directory).unwrap()
    }

    fn root(&self, id: &str) -> PathBuf {
        let root = self.sandbox.shared.image_root(id).unwrap();
        assert_eq!(root.environment, ["A=1"]);
        assert_eq!(root.entry_point, ["/enter"]);
        self.sandbox.shared.absolute(&root.layers[0])
    }

    async fn end(self) {
        self.sandbox.close().await;
        assert!(
            self.names("making").is_empty(),
            "{:?}",
            self.names("making")
        );
        let shared = &self.sandbox.shared;
        for directory in ["images", "making"] {
            shared.remove(Path::new(directory)).await;
        }
        self.directory.close().unwrap();
    }
}

fn layer(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = Header::new_gnu();
        header.set_mode(0o640);
        header.set_mtime(1);
        header.set_size(content.len() as u64);
        let content = content.as_bytes();
        builder.append_data(&mut header, path, content).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gzip(tar: &[u8]) -> (Vec<u8>, Digest) {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(tar).unwrap();
    (encoder.finish().unwrap(), Digest::of(tar))
}

fn builder(reference: String) -> BuilderImage {
    let catalogue = Catalogue::builtin(Arch::X86_64);
    let mut image = catalogue.get("debian-12").unwrap().clone();
    image.source = ImageSource::Registry { reference };
    image
}

#[tokio::test]
async fn an_image_is_its_layers_one_over_the_other() {
    let Some(place) = Place::new().await else {
        return;
    };
    let lower = layer(&[("a", "1"), ("b", "1"), ("d/low", "1")]);
    let upper = layer(&[
        (".wh.a", ""),
        ("b", "two"),
        ("d/.wh..wh..opq", ""),
        ("d/high", "2"),
    ]);
    let manifest = place.fake.put_image(GZIP, &[gzip(&lower), gzip(&upper)]);
    let image = builder(place.reference(&manifest));
    let find = || place.sandbox.find_image(&image, ImageRole::Builder);
    assert_eq!(find().await.unwrap(), None);
    let (facts, lines) = place.pull(&manifest).await.unwrap();
    assert_eq!(lines, 2, "one for each layer");
    assert_eq!(facts.size, 7);
    assert_eq!(find().await.unwrap().as_ref(), Some(&facts));
    let root = place.root(&facts.id);
    let mut names: Vec<_> = fs_err::read_dir(&root)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["b", "d"]);
    assert_eq!(fs_err::read_to_string(root.join("b")).unwrap(), "two");
    assert!(!root.join("d/low").exists() && root.join("d/high").exists());

    let (again, lines) = place.pull(&manifest).await.unwrap();
    assert_eq!((again, lines), (facts.clone(), 0), "nothing is to be done");
    let repository = format!("127.0.0.1:{}/image", place.fake.port);
    let other = builder(format!("{repository}@sha256:{}", "0".repeat(64)));
    let found = place.sandbox.find_image(&other, ImageRole::Builder).await;
    assert_eq!(
        found.unwrap(),
        Some(facts),
        "another of the repository will do"
    );
    let mut arm = other;
    arm.target.arch = Arch::Aarch64;
    let found = place.sandbox.find_image(&arm, ImageRole::Builder).await;
    assert_eq!(found.unwrap(), None);
    place.end().await;
}

#[tokio::test]
async fn a_layer_that_unpacks_to_something_else_is_refused() {
    let Some(place) = Place::new().await else {
        return;
    };
    let tar = layer(&[("a", "1")]);
    let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
    let wrong = (zstd.clone(), Digest::of("other"));
    let manifest = place.fake.put_image(ZSTD, &[wrong]);
    let error = place.pull(&manifest).await.unwrap_err();
    let (found, wanted) = (Digest::of(&tar), Digest::of("other"));
    let message = &error.message;
    assert!(
        message.contains(&found.to_string()) && message.contains(&wanted.to_string()),
        "{error}"
    );
    let hostile = gzip(&layer(&[("a", "1"), ("a/b", "2")]));
    let manifest = place.fake.put_image(GZIP, &[hostile]);
    let error = place.pull(&manifest).await.unwrap_err();
    assert!(error.message.contains("`a/b`"), "{error}");
    assert!(place.names("images").is_empty());
    assert!(place.names("names").is_empty());
    let manifest = place.fake.put_image(ZSTD, &[(zstd, found)]);
    place.pull(&manifest).await.unwrap();
    place.end().await;
}

#[tokio::test]
async fn an_image_without_a_name_stays_while_it_is_used() {
    let Some(place) = Place::new().await else {
        return;
    };
    let name = format!("127.0.0.1:{}/image:1", place.fake.port);
    let pull = async |content: &str| {
        let image = gzip(&layer(&[("a", content)]));
        let manifest = place.fake.put_image(GZIP, &[image]);
        let answer =
            place.fake.answers.lock().unwrap()[&format!("/v2/image/manifests/{manifest}")].clone();
        place.fake.put("manifests/1", answer);
        let (facts, _) = place.pull_named(&name).await.unwrap();
        facts.id.strip_prefix("sha256:").unwrap().to_owned()
    };
    let first = pull("1").await;
    let images = place.sandbox.images_directory();
    let record = images.join(&first).join(RECORD);
    let used = std::fs::File::open(record).unwrap();
    used.lock_shared().unwrap();
    let second = pull("2").await;
    let mut both = [first.clone(), second.clone()];
    both.sort();
    assert_eq!(place.names("images"), both, "a container runs in it");
    drop(used);
    let environment = place.sandbox.directory().join("environments/e");
    fs_err::create_dir_all(&environment).unwrap();
    let record = environment.join("environment.json");
    fs_err::write(&record, format!("{{\"image\": \"sha256:{second}\"}}")).unwrap();
    let third = pull("3").await;
    let mut both = [second, third.clone()];
    both.sort();
    assert_eq!(place.names("images"), both, "an environment stands on it");
    fs_err::remove_file(record).unwrap();
    let fourth = pull("4").await;
    assert_eq!(place.names("images"), [fourth]);
    place.end().await;
}

#[tokio::test]
async fn what_is_no_image_is_said_so() {
    let Some(place) = Place::new().await else {
        return;
    };
    for id in ["", "../..", "sha256:00", "debian"] {
        let error = place.sandbox.shared.image_root(id).unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable, "{error}");
    }
    let absent = format!("sha256:{}", Digest::of("absent"));
    let error = place.sandbox.shared.image_root(&absent).unwrap_err();
    assert!(error.message.contains(&absent), "{error}");
    place.end().await;
}
