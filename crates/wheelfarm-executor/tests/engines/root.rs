//! Roots of images as trees.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::TryStreamExt;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_executor::ImageRole;
use wheelfarm_reapi::{BlobDigest, Source, TreeLimits};

use crate::engine::{Engine, debian};

on_docker_and_podman! {
    the_root_of_a_builder_is_the_same_tree_every_time,
    an_image_that_is_not_there_has_no_root,
    an_export_that_is_cancelled_leaves_nothing,
}

#[allow(clippy::print_stderr, reason = "what it takes is worth knowing")]
async fn the_root_of_a_builder_is_the_same_tree_every_time(engine: Engine) {
    let (_, image) = debian();
    let found = engine.tested.find_image(&image, ImageRole::Builder);
    let Some(builder) = found.await.unwrap() else {
        eprintln!("skipped: the image {} is not there", image.name);
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let mut roots = Vec::new();
    for _ in 0..2 {
        let start = Instant::now();
        let export = engine
            .tested
            .docker()
            .export_root(&builder.id, folder.path(), &cancel);
        let root = Arc::new(export.await.unwrap());
        let bytes: u64 = root.blobs().iter().map(|(blob, _)| blob.size).sum();
        eprintln!(
            "{}: {} directories, {} MiB in blobs, {:?}, {:.1} s",
            root.tree().root,
            root.tree().directories.len(),
            bytes >> 20,
            root.left_out(),
            start.elapsed().as_secs_f64()
        );
        roots.push(root);
    }
    engine.assert_clean().await;
    assert_eq!(roots[0].tree(), roots[1].tree());

    let root = &roots[0];
    let listing = root.tree().files(&TreeLimits::default()).unwrap();
    let links = &listing.symlinks;
    for (path, target) in [
        ("bin", "usr/bin"),
        ("usr/bin/gcc", "gcc-12"),
        ("usr/bin/python3", "python3.11"),
        ("etc/mtab", "/proc/mounts"),
    ] {
        let link = (path.to_owned(), target.to_owned());
        assert!(links.contains(&link), "{path}");
    }
    let file = |path: &str| listing.files.iter().find(|file| file.path == path).unwrap();
    assert!(file("usr/bin/python3.11").executable);
    assert!(!file("etc/passwd").executable);
    for path in ["build", "in", "tools", "tmp", "proc", "dev"] {
        assert!(listing.directories.iter().any(|other| other == path));
        let inside = format!("{path}/");
        assert!(
            !listing
                .files
                .iter()
                .any(|file| file.path.starts_with(&inside))
        );
    }
    // What is read is what was hashed.
    for file in listing.files.iter().step_by(100) {
        let stream = root.open(&file.digest, 0).await.unwrap();
        let bytes: Vec<_> = stream.try_collect().await.unwrap();
        assert_eq!(BlobDigest::of(bytes.concat()), file.digest, "{}", file.path);
    }
}

async fn an_image_that_is_not_there_has_no_root(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let name = "wheelfarm/nonexistent:1";
    let export = engine
        .tested
        .docker()
        .export_root(name, folder.path(), &cancel);
    let error = export.await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::ImageUnavailable);
    assert!(error.message.contains(name), "{error}");
    engine.assert_clean().await;
}

async fn an_export_that_is_cancelled_leaves_nothing(engine: Engine) {
    let folder = tempfile::tempdir().unwrap();
    let cancel = CancellationToken::new();
    let image = engine.runtime.id.clone();
    let export = engine
        .tested
        .docker()
        .export_root(&image, folder.path(), &cancel);
    let cancelled = async {
        // Its container is there: the export has begun.
        let begun = async {
            while engine.left().await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        let begun = tokio::time::timeout(Duration::from_secs(60), begun).await;
        cancel.cancel();
        begun.unwrap();
    };
    let (exported, ()) = tokio::join!(export, cancelled);
    assert_eq!(exported.unwrap_err().kind, ExecutorErrorKind::Cancelled);
    engine.assert_clean().await;
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
}
