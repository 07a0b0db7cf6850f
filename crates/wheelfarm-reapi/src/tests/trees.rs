//! Trees and actions that are made here.

use std::collections::BTreeMap;
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bytes::Bytes;
use prost::Message;

use crate::{BlobDigest, CommandSpec, ErrorKind, Tree, TreeBuilder, TreeFile, TreeLimits, action};

fn digest(content: &str) -> BlobDigest {
    BlobDigest::of(content)
}

/// A directory for each of `names` with a file in it, and a link.
fn sample(names: usize) -> Tree {
    let mut builder = TreeBuilder::new();
    for number in 0..names {
        builder
            .file(
                &format!("d{number}/sub/file"),
                digest(&number.to_string()),
                number % 2 == 0,
            )
            .unwrap();
    }
    builder.symlink("link", "/usr/lib").unwrap();
    builder.finish().unwrap()
}

#[test]
fn equal_trees_have_equal_digests_in_whatever_order_they_were_made() {
    let paths = ["b/z", "b/a", "a", "c/d/e/f", "é", "Z"];
    let make = |paths: &mut dyn Iterator<Item = &&str>| {
        let mut builder = TreeBuilder::new();
        for path in paths {
            builder.file(path, digest(path), false).unwrap();
        }
        builder.directory("empty").unwrap();
        builder.finish().unwrap()
    };
    let (one, other) = (make(&mut paths.iter()), make(&mut paths.iter().rev()));
    assert_eq!(one, other);
    // Names are sorted as bytes (`Directory` in `remote_execution.proto`).
    let root = proto::Directory::decode(one.directories[&one.root].as_ref()).unwrap();
    let names: Vec<_> = root.files.iter().map(|file| file.name.as_str()).collect();
    assert_eq!(names, ["Z", "a", "é"]);
    for (digest, bytes) in &one.directories {
        assert_eq!(BlobDigest::of(bytes), *digest);
    }
    // The digest of an empty directory is that of nothing.
    assert!(one.directories.contains_key(&BlobDigest::of("")));
}

#[test]
fn the_digest_of_a_tree_is_what_others_compute() {
    let mut builder = TreeBuilder::new();
    builder.file("hello", digest("hello\n"), true).unwrap();
    let tree = builder.finish().unwrap();
    // Written by hand after the protobuf encoding: FileNode { name, digest { hash, size }, is_executable }.
    let hash = digest("hello\n").hash.to_string();
    let mut inner = vec![0x0a, 64];
    inner.extend(hash.as_bytes());
    inner.extend([0x10, 6]);
    let mut node = vec![0x0a, 5];
    node.extend(b"hello");
    node.extend([0x12, u8::try_from(inner.len()).unwrap()]);
    node.extend(inner);
    node.extend([0x20, 1]);
    let mut directory = vec![0x0a, u8::try_from(node.len()).unwrap()];
    directory.extend(node);
    assert_eq!(tree.root, BlobDigest::of(directory));
}

#[test]
fn paths_that_lead_elsewhere_or_clash_are_refused() {
    let mut builder = TreeBuilder::new();
    builder.file("dir/file", digest("x"), false).unwrap();
    builder.symlink("link", "dir").unwrap();
    let long = "x".repeat(300);
    let deep = "x/".repeat(300) + "x";
    for path in [
        "",
        "/",
        "/etc/passwd",
        ".",
        "..",
        "a/../b",
        "a/./b",
        "a//b",
        "a/",
        "a\0b",
        "dir",
        "dir/file",
        "link",
        "dir/file/below",
        "link/below",
        &long,
        &deep,
    ] {
        let error = builder.file(path, digest("x"), false).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "{path:?}");
        assert!(builder.symlink(path, "x").is_err(), "{path:?}");
        assert!(builder.graft(path, &sample(1)).is_err(), "{path:?}");
    }
    for target in ["", "a\0b"] {
        assert!(builder.symlink("other", target).is_err());
    }
    for path in ["dir/file", "link", "/dir", ""] {
        assert!(builder.directory(path).is_err(), "{path:?}");
    }
    // A directory may be there already.
    builder.directory("dir").unwrap();
    builder.directory("dir/new").unwrap();
}

#[test]
fn additions_to_a_tree_leave_the_rest_as_it_is() {
    let base = sample(1000);
    let mut builder = TreeBuilder::over(&base);
    builder.file("d7/sub/more", digest("more"), false).unwrap();
    builder.file("work/input", digest("input"), false).unwrap();
    let tree = builder.finish().unwrap();
    // Root, d7, d7/sub and work are new; what they replaced is gone, the rest is the same.
    let new = tree
        .directories
        .keys()
        .filter(|digest| !base.directories.contains_key(digest))
        .count();
    let old = base
        .directories
        .keys()
        .filter(|digest| !tree.directories.contains_key(digest))
        .count();
    assert_eq!((new, old), (4, 3));
    // As if it were made from nothing.
    let mut builder = TreeBuilder::new();
    let listing = base.files(&TreeLimits::default()).unwrap();
    for file in &listing.files {
        builder
            .file(&file.path, file.digest, file.executable)
            .unwrap();
    }
    builder.symlink("link", "/usr/lib").unwrap();
    builder.file("work/input", digest("input"), false).unwrap();
    builder.file("d7/sub/more", digest("more"), false).unwrap();
    assert_eq!(builder.finish().unwrap(), tree);
    // What is there already is not replaced.
    let mut builder = TreeBuilder::over(&base);
    assert!(builder.file("d7/sub/file", digest("x"), false).is_err());
    assert!(builder.file("d7/sub", digest("x"), false).is_err());
    assert!(builder.file("link/x", digest("x"), false).is_err());
    assert_eq!(builder.finish().unwrap(), base);
}

#[test]
fn a_tree_is_grafted_whole() {
    let small = sample(2);
    let mut builder = TreeBuilder::new();
    builder.graft("usr/python", &small).unwrap();
    builder.graft("again", &small).unwrap();
    builder.file("again/d0/new", digest("new"), false).unwrap();
    let listing = builder
        .finish()
        .unwrap()
        .files(&TreeLimits::default())
        .unwrap();
    let paths: Vec<_> = listing
        .files
        .iter()
        .map(|file| file.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "again/d0/new",
            "again/d0/sub/file",
            "again/d1/sub/file",
            "usr/python/d0/sub/file",
            "usr/python/d1/sub/file"
        ]
    );
    assert_eq!(listing.symlinks.len(), 2);
}

#[test]
fn a_tree_is_read_as_it_was_written() {
    let tree = sample(5);
    let decoded = Tree::decode(tree.encode(), &TreeLimits::default()).unwrap();
    assert_eq!(decoded, tree);
    let listing = decoded.files(&TreeLimits::default()).unwrap();
    assert_eq!(
        listing.files.first(),
        Some(&TreeFile {
            path: "d0/sub/file".to_owned(),
            digest: digest("0"),
            executable: true
        })
    );
    assert_eq!(listing.directories.first().map(String::as_str), Some("d0"));
    assert_eq!(
        listing.symlinks,
        [("link".to_owned(), "/usr/lib".to_owned())]
    );
    // Files with the same content are one blob; so are directories.
    let blobs = tree.blobs().unwrap();
    assert_eq!(blobs.len(), tree.directories.len() + 5);
    // Others read it, too.
    let message = proto::Tree::decode(tree.encode()).unwrap();
    assert_eq!(message.root.unwrap().directories.len(), 5);
    assert_eq!(message.children.len(), tree.directories.len() - 1);
    // An empty tree is an empty message.
    let empty = Tree::decode(Bytes::new(), &TreeLimits::default()).unwrap();
    assert_eq!(empty, TreeBuilder::new().finish().unwrap());
}

#[test]
fn equal_actions_have_equal_digests() {
    let root = sample(1).root;
    let mut command = CommandSpec {
        arguments: vec!["sh".to_owned(), "b".to_owned(), "a".to_owned()],
        environment: BTreeMap::from([
            ("B".to_owned(), "2".to_owned()),
            ("A".to_owned(), "1".to_owned()),
        ]),
        output_paths: vec!["out/b".to_owned(), "out/a".to_owned(), "out/b".to_owned()],
        working_directory: "work".to_owned(),
        properties: vec![
            ("pool".to_owned(), "x".to_owned()),
            ("OSFamily".to_owned(), "linux".to_owned()),
        ],
    };
    let minutes = Duration::from_secs(90);
    let encoded = action(&command, &root, minutes, true, b"salt");
    command.output_paths.reverse();
    command.properties.reverse();
    assert_eq!(action(&command, &root, minutes, true, b"salt"), encoded);
    let [one, two] = &encoded.blobs[..] else {
        panic!()
    };
    assert_eq!(two.0, encoded.action);
    let message = proto::Action::decode(two.1.clone()).unwrap();
    assert_eq!(
        BlobDigest::try_from(message.command_digest.as_ref().unwrap()),
        Ok(one.0)
    );
    assert_eq!(
        BlobDigest::try_from(message.input_root_digest.as_ref().unwrap()),
        Ok(root)
    );
    assert_eq!(message.timeout.unwrap().seconds, 90);
    assert!(message.do_not_cache);
    let read = proto::Command::decode(one.1.clone()).unwrap();
    // Order of arguments means something, that of everything else does not.
    assert_eq!(read.arguments, ["sh", "b", "a"]);
    assert_eq!(read.output_paths, ["out/a", "out/b"]);
    let names: Vec<_> = read
        .environment_variables
        .iter()
        .map(|variable| variable.name.as_str())
        .collect();
    assert_eq!(names, ["A", "B"]);
    #[expect(deprecated, reason = "older servers look there")]
    let platform = read.platform;
    assert_eq!(platform, message.platform);
    let names: Vec<_> = platform
        .unwrap()
        .properties
        .into_iter()
        .map(|property| property.name)
        .collect();
    assert_eq!(names, ["OSFamily", "pool"]);
    // Everything counts.
    for other in [
        action(&command, &root, minutes, true, b"pepper"),
        action(&command, &root, minutes, false, b"salt"),
        action(&command, &root, Duration::ZERO, true, b"salt"),
        action(&command, &digest(""), minutes, true, b"salt"),
    ] {
        assert_ne!(other.action, encoded.action);
    }
}
