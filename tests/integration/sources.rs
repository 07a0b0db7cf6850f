//! Source distributions that are not what they should be.

use std::io::Write;

use wheelfarm_tests::farm::Run;
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::Sdist;
use wheelfarm_tests::tar::EntryType;

use crate::support::{failed, farm_of, files, needs_docker, store_is_whole};

const WORKING: &str = "def build_wheel(directory, config_settings=None, metadata_directory=None):\n    return write_wheel(directory, {\"broken.py\": \"\"})\n";

/// Builds `broken` from `index`, which must fail, and checks that nothing came of it.
fn build(index: &Index) -> Run {
    let farm = farm_of(index);
    let run = farm
        .build(["broken", "--image", "debian-12", "--no-prove"])
        .unwrap();
    assert_eq!(files(&farm.out()), [""; 0]);
    store_is_whole(&farm);
    run
}

#[test]
fn a_wrong_hash() {
    needs_docker!();
    // The resolver, which looks at the metadata inside, is the first to see it.
    let sdist = Sdist::with_backend("broken", "1.0", &[], WORKING);
    let claim = "0123456789abcdef".repeat(4);
    let bytes = sdist.bytes().unwrap();
    let index =
        Index::start()
            .unwrap()
            .with_claim("broken", &sdist.filename(), bytes, claim.clone());
    failed(
        &build(&index),
        3,
        &["broken", "1.0", "sha256", &claim],
        &["changed"],
    );
}

#[test]
fn a_file_that_changes_on_the_way() {
    needs_docker!();
    // The resolver gets what the index promises, the farm something else.
    let sdist = Sdist::with_backend("broken", "1.0", &[], WORKING);
    let promised = wheelfarm_tests::sha256(&sdist.bytes().unwrap());
    let other = sdist.clone().file("more", "of it").bytes().unwrap();
    let index = Index::start()
        .unwrap()
        .with(&sdist)
        .unwrap()
        .with_change(&sdist.filename(), other);
    failed(
        &build(&index),
        3,
        &["broken-1.0.tar.gz", "sha256", &promised],
        &["changed"],
    );
}

#[test]
fn the_right_hash() {
    needs_docker!();
    // Without this the tests here could all fail for another reason.
    let index = Index::start()
        .unwrap()
        .with(&Sdist::with_backend("broken", "1.0", &[], WORKING))
        .unwrap();
    let farm = farm_of(&index);
    let report = farm
        .build(["broken", "--image", "debian-12"])
        .unwrap()
        .success()
        .unwrap();
    assert_eq!(report.wheels.len(), 1);
    assert_eq!(files(&farm.out()).len(), 3);
}

#[test]
fn metadata_and_nothing_to_build() {
    needs_docker!();
    let index = Index::start()
        .unwrap()
        .with(&Sdist::new("broken", "1.0"))
        .unwrap();
    failed(
        &build(&index),
        3,
        &["broken-1.0.tar.gz", "pyproject.toml nor setup.py"],
        &[],
    );
}

#[test]
fn a_readme_and_nothing_else() {
    needs_docker!();
    let sdist = Sdist::new("broken", "1.0")
        .without("PKG-INFO")
        .file("README", "Not a package.");
    let index = Index::start().unwrap().with(&sdist).unwrap();
    failed(&build(&index), 3, &["broken"], &[]);
}

#[test]
fn no_archive_at_all() {
    needs_docker!();
    let index = Index::start().unwrap().with_file(
        "broken",
        "broken-1.0.tar.gz",
        b"<html>sign in</html>".to_vec(),
    );
    failed(&build(&index), 3, &["broken"], &[]);
}

#[test]
fn half_an_archive() {
    needs_docker!();
    let mut filler = Vec::new();
    for number in 0..20_000 {
        writeln!(filler, "line {number}").unwrap();
    }
    let sdist = Sdist::with_backend("broken", "1.0", &[], WORKING)
        .file("data", &String::from_utf8(filler).unwrap());
    let mut bytes = sdist.bytes().unwrap();
    bytes.truncate(bytes.len() / 2);
    let index = Index::start()
        .unwrap()
        .with_file("broken", &sdist.filename(), bytes);
    failed(&build(&index), 3, &["broken"], &[]);
}

#[test]
fn members_that_lead_out_of_the_directory() {
    needs_docker!();
    let host = "/etc/hostname";
    for (path, kind, link, said) in [
        ("broken-1.0/../../../evil", EntryType::Regular, "", "evil"),
        ("/evil", EntryType::Regular, "", "evil"),
        ("broken-1.0/link", EntryType::Symlink, host, host),
        ("broken-1.0/link", EntryType::Symlink, "../../evil", "evil"),
        ("broken-1.0/link", EntryType::Link, host, host),
        (
            "broken-1.0/device",
            EntryType::Char,
            "",
            "broken-1.0/device",
        ),
    ] {
        let sdist = Sdist::with_backend("broken", "1.0", &[], WORKING).strange(path, kind, link);
        let index = Index::start().unwrap().with(&sdist).unwrap();
        let failures = failed(&build(&index), 3, &["broken==1.0", said], &[]);
        assert_eq!(failures.len(), 1, "{path}: {failures:?}");
    }
}
