//! Roots of images as trees.

use std::sync::Arc;
use std::time::Instant;

use tokio_util::sync::CancellationToken;
use wheelfarm_executor::ImageRole;

use crate::support::{debian, engine};

#[tokio::test]
#[allow(clippy::print_stderr, reason = "what it takes is worth knowing")]
async fn the_root_of_a_builder_is_the_same_tree_every_time() {
    let Some(engine) = engine().await else { return };
    let (_, image) = debian();
    let found = engine.docker.find_image(&image, ImageRole::Builder);
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
            .docker
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
}
