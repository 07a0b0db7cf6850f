//! Bytes from servers and workers that mean harm.

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::longrunning::Operation;
use bytes::Bytes;
use prost::Message;

use super::noise;
use crate::{BlobDigest, ErrorKind, Tree, TreeBuilder, TreeLimits};

fn file(name: &str) -> proto::FileNode {
    proto::FileNode {
        name: name.to_owned(),
        digest: Some(BlobDigest::of("content").into()),
        ..proto::FileNode::default()
    }
}

fn child(name: &str, directory: &proto::Directory) -> proto::DirectoryNode {
    proto::DirectoryNode {
        name: name.to_owned(),
        digest: Some(BlobDigest::of(directory.encode_to_vec()).into()),
    }
}

fn tree(root: proto::Directory, children: Vec<proto::Directory>) -> Tree {
    let message = proto::Tree {
        root: Some(root),
        children,
    };
    Tree::decode(message.encode_to_vec().into(), &TreeLimits::default()).unwrap()
}

fn refusal(tree: &Tree, limits: &TreeLimits) -> ErrorKind {
    tree.files(limits).unwrap_err().kind
}

#[test]
fn names_that_lead_out_of_a_tree_are_refused() {
    let long = "x".repeat(256);
    for name in [
        "",
        ".",
        "..",
        "/",
        "/etc/passwd",
        "../x",
        "a/b",
        "a\0b",
        &long,
    ] {
        let link = proto::SymlinkNode {
            name: name.to_owned(),
            target: "x".to_owned(),
            ..proto::SymlinkNode::default()
        };
        let empty = proto::Directory::default();
        for root in [
            proto::Directory {
                files: vec![file(name)],
                ..proto::Directory::default()
            },
            proto::Directory {
                symlinks: vec![link],
                ..proto::Directory::default()
            },
            proto::Directory {
                directories: vec![child(name, &empty)],
                ..proto::Directory::default()
            },
        ] {
            let tree = tree(root, vec![empty.clone()]);
            assert_eq!(
                refusal(&tree, &TreeLimits::default()),
                ErrorKind::Corrupt,
                "{name:?}"
            );
            assert!(
                TreeBuilder::over(&tree)
                    .file("x", BlobDigest::of(""), false)
                    .is_err()
            );
        }
    }
}

#[test]
fn a_name_is_in_a_directory_once() {
    let empty = proto::Directory::default();
    let root = proto::Directory {
        files: vec![file("x")],
        directories: vec![child("x", &empty)],
        ..proto::Directory::default()
    };
    let both = tree(root, vec![empty]);
    assert_eq!(refusal(&both, &TreeLimits::default()), ErrorKind::Corrupt);
    assert!(
        TreeBuilder::over(&both)
            .file("y", BlobDigest::of(""), false)
            .is_err()
    );
    let root = proto::Directory {
        files: vec![file("x"), file("x")],
        ..proto::Directory::default()
    };
    assert_eq!(
        refusal(&tree(root, Vec::new()), &TreeLimits::default()),
        ErrorKind::Corrupt
    );
}

#[test]
fn directories_and_digests_that_are_missing_are_noticed() {
    let there = proto::Directory {
        files: vec![file("x")],
        ..proto::Directory::default()
    };
    let root = proto::Directory {
        directories: vec![child("d", &there)],
        ..proto::Directory::default()
    };
    let incomplete = tree(root, Vec::new());
    assert_eq!(
        refusal(&incomplete, &TreeLimits::default()),
        ErrorKind::Corrupt
    );
    assert!(TreeBuilder::over(&incomplete).finish().is_err());
    let nameless = proto::FileNode {
        digest: None,
        ..file("x")
    };
    let root = proto::Directory {
        files: vec![nameless],
        ..proto::Directory::default()
    };
    let tree = tree(root, Vec::new());
    assert_eq!(refusal(&tree, &TreeLimits::default()), ErrorKind::Corrupt);
    assert!(tree.blobs().is_err());
}

#[test]
fn a_tree_that_unfolds_without_end_is_given_up() {
    // Thirty directories, each with the next one twice: a billion paths.
    let mut directory = proto::Directory {
        files: vec![file("x")],
        ..proto::Directory::default()
    };
    let mut children = Vec::new();
    for _ in 0..30 {
        let above = proto::Directory {
            directories: vec![child("a", &directory), child("b", &directory)],
            ..proto::Directory::default()
        };
        children.push(std::mem::replace(&mut directory, above));
    }
    let tree = tree(directory, children);
    let limits = TreeLimits {
        entries: 10_000,
        ..TreeLimits::default()
    };
    assert_eq!(refusal(&tree, &limits), ErrorKind::TooLarge);
    let limits = TreeLimits {
        depth: 20,
        ..TreeLimits::default()
    };
    assert_eq!(refusal(&tree, &limits), ErrorKind::TooLarge);
    // What is put together from it does not unfold it.
    let mut builder = TreeBuilder::over(&tree);
    builder.file("a/b/new", BlobDigest::of(""), false).unwrap();
    assert!(builder.finish().unwrap().directories.len() < 40);
    // A directory that claims to contain itself.
    let digest = BlobDigest::of("no such content");
    let root = proto::Directory {
        directories: vec![proto::DirectoryNode {
            name: "d".to_owned(),
            digest: Some(digest.into()),
        }],
        ..proto::Directory::default()
    };
    let cycle = Tree {
        root: digest,
        directories: [(digest, Bytes::from(root.encode_to_vec()))].into(),
    };
    assert_eq!(refusal(&cycle, &TreeLimits::default()), ErrorKind::TooLarge);
    assert!(TreeBuilder::over(&cycle).finish().is_ok());
    assert_eq!(cycle.blobs().unwrap(), [digest]);
}

#[test]
fn a_tree_that_is_too_large_is_not_read() {
    let limits = TreeLimits {
        bytes: 9,
        ..TreeLimits::default()
    };
    let error = Tree::decode(Bytes::from_static(&[0; 10]), &limits).unwrap_err();
    assert_eq!(error.kind, ErrorKind::TooLarge);
}

#[test]
fn nothing_panics_on_bytes_that_are_changed() {
    let mut builder = TreeBuilder::new();
    builder.file("a/b/c", BlobDigest::of("c"), true).unwrap();
    builder.file("a/d", BlobDigest::of("d"), false).unwrap();
    builder.symlink("e", "a").unwrap();
    let good = builder.finish().unwrap().encode();
    let limits = TreeLimits {
        entries: 1000,
        ..TreeLimits::default()
    };
    let mut read = 0;
    for (seed, changes) in (0..20_000u64).zip((1..=4).cycle()) {
        let dice = noise(seed, 16);
        let mut bytes = good.to_vec();
        for pair in dice.chunks(2).take(changes) {
            let at = usize::from(pair[0]) * bytes.len() / 256;
            match seed % 3 {
                0 => bytes[at] = pair[1],
                1 => bytes.truncate(at),
                _ => bytes.insert(at, pair[1]),
            }
            if bytes.is_empty() {
                break;
            }
        }
        if let Ok(tree) = Tree::decode(bytes.clone().into(), &limits) {
            read += usize::from(tree.files(&limits).is_ok());
            drop(tree.blobs());
            let mut builder = TreeBuilder::over(&tree);
            drop(builder.file("a/b/x", BlobDigest::of("x"), false));
            drop(builder.finish());
        }
        if let Ok(result) = proto::ActionResult::decode(bytes.as_slice()) {
            drop(crate::result::read(result));
        }
        drop(Operation::decode(bytes.as_slice()));
        drop(crate::violations::meaning(
            tonic::Code::FailedPrecondition,
            &String::from_utf8_lossy(&bytes),
            &bytes,
            String::new(),
        ));
        drop(String::from_utf8_lossy(&bytes).parse::<BlobDigest>());
    }
    // Not all of them were nonsense from the start.
    assert!(read > 100, "{read}");
}
