use super::super::testing::{DEVICE, DIRECTORY, FILE, HARD, LINK, archive};
use super::*;

fn contents(bytes: &[u8]) -> Result<Contents, String> {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(folder.path(), tokio_util::sync::CancellationToken::new()).unwrap();
    read(bytes, &spool)
}

fn refused(entries: &[(&str, tar::EntryType, &str)]) -> String {
    contents(&archive(entries)).unwrap_err()
}

#[test]
fn paths_that_lead_elsewhere_are_refused() {
    for path in ["../a", "usr/../../a", "/a", "usr/.."] {
        let reason = refused(&[(path, FILE, "x")]);
        assert!(reason.contains("leads elsewhere"), "{path}: {reason}");
    }
    let deep = ["a/"; 40].concat();
    assert!(contents(&archive(&[(&deep, FILE, "x")])).is_ok());
}

#[test]
fn nothing_lies_below_a_link_or_a_file() {
    for entries in [
        [("lib", LINK, "usr/lib"), ("lib/a", FILE, "x")],
        [("lib/a", FILE, "x"), ("lib", LINK, "usr/lib")],
        [("a", FILE, "x"), ("a/b", FILE, "x")],
        [("a", DEVICE, ""), ("a/b", DIRECTORY, "")],
    ] {
        let reason = refused(&entries);
        assert!(reason.contains("no directory"), "{reason}");
    }
}

#[test]
fn other_names_of_nothing_are_refused() {
    for entries in [
        [("a", HARD, "b"), ("b", FILE, "x")],
        [("b", DIRECTORY, ""), ("a", HARD, "b")],
        [("b", FILE, "x"), ("a", HARD, "../b")],
        [("b", FILE, "x"), ("a", HARD, "")],
    ] {
        let reason = refused(&entries);
        assert!(
            reason.contains("no file") || reason.contains("nowhere"),
            "{reason}"
        );
    }
    assert!(refused(&[("a", LINK, "")]).contains("leads nowhere"));
}

#[test]
fn a_sparse_file_is_refused_since_its_bytes_are_not_all_there() {
    let reason = refused(&[("a", tar::EntryType::GNUSparse, "x")]);
    assert!(!reason.is_empty());
}

#[test]
fn an_archive_that_was_not_finished_is_refused() {
    let whole = archive(&[("a", FILE, "0123456789"), ("b", FILE, "x")]);
    assert!(contents(&whole).is_ok());
    for length in [0, 100, 512, 515, 1024, 2048] {
        let reason = contents(&whole[..length]).unwrap_err();
        assert!(
            ["ends", "broken"].iter().any(|word| reason.contains(word)),
            "{length}: {reason}"
        );
    }
    // What an engine writes when it cannot go on.
    let mut failed = whole[..2048].to_vec();
    failed.extend(b"{\"message\":\"no such layer\"}\n");
    failed.resize(2048 + 512, b' ');
    assert!(contents(&failed).unwrap_err().contains("broken"));
    assert!(contents(b"this is no tar file").is_err());
}

#[test]
fn sizes_are_not_believed() {
    let mut header = tar::Header::new_gnu();
    header.set_path("a").unwrap();
    header.set_entry_type(FILE);
    header.set_size(MOST_BYTES + 1);
    header.set_cksum();
    let reason = contents(header.as_bytes()).unwrap_err();
    assert!(reason.contains("64 GiB"), "{reason}");

    // A name of 5 MiB.
    let mut long = Vec::new();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::GNULongName);
    header.set_size(5 << 20);
    header.set_cksum();
    long.extend(header.as_bytes());
    long.resize(512 + (5 << 20), b'a');
    let reason = contents(&long).unwrap_err();
    assert!(reason.contains("too much about one file"), "{reason}");
}

#[test]
fn a_long_path_is_taken_if_linux_would_take_it() {
    let build = |length: usize| {
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        header.set_mode(0o644);
        let path = "n".repeat(length);
        builder
            .append_data(&mut header, path, b"x".as_slice())
            .unwrap();
        builder.into_inner().unwrap()
    };
    let taken = contents(&build(4000)).unwrap();
    assert!(taken.nodes.contains_key(&"n".repeat(4000)));
    assert!(contents(&build(5000)).unwrap_err().contains("too long"));
    let deep = archive(&[(&"a/".repeat(45), FILE, "x")]);
    assert!(contents(&deep).is_ok());
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(0);
    builder
        .append_data(&mut header, "a/".repeat(300) + "b", b"".as_slice())
        .unwrap();
    let deep = builder.into_inner().unwrap();
    assert!(contents(&deep).unwrap_err().contains("too long"));
}

#[test]
fn links_say_what_they_said_without_what_trees_forbid() {
    for (target, expected) in [
        ("usr/bin", "usr/bin"),
        ("/usr/bin", "/usr/bin"),
        ("//usr//bin/", "/usr/bin"),
        ("../a/./b", "../a/b"),
        ("./a", "./a"),
        ("/", "/"),
        (".", "."),
    ] {
        assert_eq!(normal(target), expected, "{target}");
    }
}
