use std::io::Write;

use futures::TryStreamExt;
use wheelfarm_reapi::Source;
use wheelfarm_types::Digest;

use super::testing::{DEVICE, DIRECTORY, FILE, HARD, LINK, PROGRAM, archive};
use super::*;

fn digest(text: &str) -> BlobDigest {
    BlobDigest {
        hash: Digest::of(text),
        size: text.len() as u64,
    }
}

async fn tree_of(bytes: Vec<u8>) -> Result<RootImage> {
    let folder = tempfile::tempdir().unwrap();
    tree_of_archive(Cursor::new(bytes), folder.path(), &CancellationToken::new()).await
}

fn root_of(bytes: &[u8]) -> RootImage {
    let folder = tempfile::tempdir().unwrap();
    let environment = vec!["PATH=/bin".to_owned()];
    RootImage::of_container(bytes, environment, folder.path(), &CancellationToken::new()).unwrap()
}

async fn bytes_of(image: &RootImage, text: &str, offset: u64) -> io::Result<Vec<u8>> {
    let stream = image.open(&digest(text), offset).await?;
    let chunks: Vec<_> = stream.try_collect().await?;
    Ok(chunks.concat())
}

#[tokio::test]
async fn an_archive_becomes_the_tree_of_what_unpacking_would_make() {
    let image = tree_of(archive(&[
        ("./", DIRECTORY, ""),
        ("./bin/python3.13", PROGRAM, "ELF"),
        ("./bin/python3", LINK, "python3.13"),
        ("./bin/python", HARD, "./bin/python3.13"),
        ("./empty", DIRECTORY, ""),
        ("./absolute", LINK, "/usr/lib"),
        ("./pipe", tar::EntryType::Fifo, ""),
        ("./null", DEVICE, ""),
        ("./null2", HARD, "null"),
        ("./text", FILE, "first"),
        ("./text", FILE, "second"),
    ]))
    .await
    .unwrap();
    let mut expected = TreeBuilder::new();
    for path in ["bin/python3.13", "bin/python"] {
        expected.file(path, digest("ELF"), true).unwrap();
    }
    expected.symlink("bin/python3", "python3.13").unwrap();
    expected.directory("empty").unwrap();
    expected.symlink("absolute", "/usr/lib").unwrap();
    expected.file("text", digest("second"), false).unwrap();
    assert_eq!(image.tree().root, expected.finish().unwrap().root);
    assert_eq!(image.left_out().special, 3);
    assert_eq!(bytes_of(&image, "second", 0).await.unwrap(), b"second");
    // Nothing of the tree needs it.
    assert!(bytes_of(&image, "first", 0).await.is_err());
}

#[tokio::test]
async fn compressed_archives_are_the_same_trees_and_are_verified() {
    let plain = archive(&[("a", FILE, "text")]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let compressed = gzip.finish().unwrap();
    let expected = tree_of(plain).await.unwrap();
    let image = tree_of(compressed.clone()).await.unwrap();
    assert_eq!(image.tree().root, expected.tree().root);
    assert_eq!(bytes_of(&image, "text", 1).await.unwrap(), b"ext");

    let mut damaged = compressed.clone();
    let checksum = damaged.len() - 8;
    damaged[checksum] ^= 1;
    for bytes in [damaged, compressed[..20].to_vec(), GZIP.to_vec(), vec![]] {
        let error = tree_of(bytes).await.unwrap_err();
        assert_eq!(error.kind, ExecutorErrorKind::Store);
        assert!(error.message.contains("cannot be used"), "{error}");
    }
}

#[test]
fn the_same_image_is_the_same_root_whatever_an_engine_puts_into_it() {
    let plain = root_of(&archive(&[
        ("usr/bin/gcc", LINK, "gcc-12"),
        ("usr/bin/gcc-12", PROGRAM, "ELF"),
        ("etc/passwd", FILE, "root"),
    ]));
    let docker = root_of(&archive(&[
        (".dockerenv", FILE, ""),
        ("dev/", DIRECTORY, ""),
        ("dev/console", DEVICE, ""),
        ("dev/pts/", DIRECTORY, ""),
        ("etc/", DIRECTORY, ""),
        ("etc/hostname", FILE, "4f3a"),
        ("etc/hosts", FILE, "10.0.0.1 4f3a"),
        ("etc/mtab", LINK, "/proc/mounts"),
        ("etc/passwd", FILE, "root"),
        ("etc/resolv.conf", FILE, "nameserver 10.0.0.1"),
        ("run/.containerenv", FILE, "engine"),
        ("tmp/gcc", PROGRAM, "ELF"),
        ("usr/bin/gcc-12", HARD, "tmp/gcc"),
        ("usr/bin/gcc", LINK, "gcc-12"),
    ]));
    assert_eq!(docker.tree().root, plain.tree().root);
    assert_eq!(docker.environment(), ["PATH=/bin"]);
    assert_eq!(docker.left_out(), LeftOut::default());
}

#[tokio::test]
async fn a_root_has_the_places_that_actions_need() {
    let image = root_of(&archive(&[("tmp", LINK, "/var/tmp"), ("a", FILE, "a")]));
    let mut expected = TreeBuilder::new();
    let places = [
        "dev", "proc", "run", "sys", "tmp", "in", "build", "tools", "etc",
    ];
    for path in places {
        expected.directory(path).unwrap();
    }
    expected.file("a", digest("a"), false).unwrap();
    expected
        .file("etc/hostname", digest("wheelfarm\n"), false)
        .unwrap();
    let hosts = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    expected.file("etc/hosts", digest(hosts), false).unwrap();
    expected.file("etc/resolv.conf", digest(""), false).unwrap();
    expected.symlink("etc/mtab", "/proc/mounts").unwrap();
    assert_eq!(image.tree().root, expected.finish().unwrap().root);
    for text in ["wheelfarm\n", hosts, "", "a"] {
        let bytes = bytes_of(&image, text, 0).await.unwrap();
        assert_eq!(bytes, text.as_bytes());
    }
}

#[tokio::test]
async fn files_are_read_where_they_lie_from_any_offset() {
    let large = "0123456789".repeat(100_000);
    let image = tree_of(archive(&[("a", FILE, "first"), ("b", FILE, &large)]))
        .await
        .unwrap();
    for offset in [0, 1, 262_144, 999_999, 1_000_000] {
        let bytes = bytes_of(&image, &large, offset).await.unwrap();
        let start = usize::try_from(offset).unwrap();
        assert!(bytes == large.as_bytes()[start..], "{offset}");
    }
    let error = bytes_of(&image, &large, 1_000_001).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotFound);
    assert!(bytes_of(&image, "other", 0).await.is_err());
}

#[tokio::test]
async fn every_blob_is_named_once() {
    let image = tree_of(archive(&[
        ("a/x", FILE, "same"),
        ("b/x", FILE, "same"),
        ("c", FILE, "other"),
    ]))
    .await
    .unwrap();
    let image = Arc::new(image);
    let blobs = image.blobs();
    let mut digests: Vec<_> = blobs.iter().map(|(digest, _)| *digest).collect();
    digests.sort();
    digests.dedup();
    assert_eq!(digests.len(), blobs.len());
    // The directories a and b are one message.
    assert_eq!(blobs.len(), 2 + 2);
    assert!(digests.contains(&image.tree().root));
}

#[tokio::test]
async fn a_full_disk_and_the_user_are_told_apart_from_a_broken_archive() {
    let bytes = archive(&[("a", FILE, "text")]);
    let missing = Path::new("/nonexistent/spool");
    let cancel = CancellationToken::new();
    let made = tree_of_archive(Cursor::new(bytes.clone()), missing, &cancel);
    let error = made.await.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::Engine);
    assert!(error.message.contains("/nonexistent/spool"), "{error}");
    assert!(error.hint.unwrap().contains("room"));

    cancel.cancel();
    let folder = tempfile::tempdir().unwrap();
    let made = tree_of_archive(Cursor::new(bytes), folder.path(), &cancel);
    assert_eq!(made.await.unwrap_err().kind, ExecutorErrorKind::Cancelled);
    assert_eq!(fs_err::read_dir(folder.path()).unwrap().count(), 0);
}
