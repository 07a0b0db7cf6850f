//! Any file of a library root: loader configuration, package databases, links. Nothing leads out of the root.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;
use wheelfarm_audit::LibraryRoot;

/// By the first byte of the input: the files that the rest is, cut at zero bytes. The last one gets all that is left.
const FILES: [&[&str]; 11] = [
    &["etc/ld.so.conf.d/x.conf", "etc/ld.so.conf"],
    &["etc/ld-musl-x86_64.path"],
    &[
        ".wheelfarm/manager",
        ".wheelfarm/licenses.tsv",
        ".wheelfarm/owners.tsv",
    ],
    &[
        "usr/share/doc/x/copyright",
        "var/lib/dpkg/info/x.list",
        "var/lib/dpkg/status",
    ],
    &["lib/apk/db/installed"],
    &["usr/lib/sysimage/rpm/rpmdb.sqlite"],
    &["usr/lib/sysimage/rpm/Packages.db"],
    &["var/lib/rpm/Packages"],
    &["usr/lib/os-release", "etc/os-release"],
    LINKS,
    // Whole, so that only the log is new.
    &["usr/lib/sysimage/rpm/rpmdb.sqlite-wal"],
];
const LINKS: &[&str] = &["lib/libx.so", "lib/a", "lib/b/c"];
const PATHS: [&str; 6] = [
    "/usr/lib/libx.so.1",
    "/usr/lib64/libsmall.so.1",
    "/lib/libx.so",
    "/lib/a/libx.so",
    "/lib/b/c",
    "/lib/b/c/../../a",
];
const SQLITE: &[u8] = include_bytes!("../seeds/rpmdb.sqlite");

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let files = FILES[usize::from(*kind) % FILES.len()];
    let root = made(files, rest);
    let Ok(opened) = LibraryRoot::open(root.path()) else {
        return;
    };
    let again = LibraryRoot::open(root.path()).expect("what could be opened once");
    for path in PATHS {
        let owner = opened.licensed_owner(path);
        assert_eq!(owner, again.licensed_owner(path));
        if let Some(owner) = owner {
            let _version = opened.package_version(&owner.name);
        }
        if let Some(real) = opened.resolve(path) {
            assert!(real.starts_with('/') && !real.split('/').any(|part| part == ".."));
            let file = root.path().join(real.trim_start_matches('/'));
            let kind = fs_err::symlink_metadata(&file).expect("a file in the root");
            assert!(kind.is_file());
            assert_eq!(opened.resolve(&real).as_deref(), Some(real.as_str()));
        }
    }
    assert_eq!(opened.distro(), again.distro());
});

fn made(files: &[&str], content: &[u8]) -> TempDir {
    let root = tempfile::tempdir().expect("a temporary directory");
    let write = |path: &str, content: &[u8]| {
        let path = root.path().join(path);
        fs_err::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs_err::write(path, content).expect("a file");
    };
    if files.iter().any(|file| file.ends_with("-wal")) {
        write("usr/lib/sysimage/rpm/rpmdb.sqlite", SQLITE);
    }
    write("usr/lib/libx.so.1", b"\x7fELF");
    let parts = content.splitn(files.len(), |byte| *byte == 0);
    for (file, part) in files.iter().zip(parts) {
        if files == LINKS {
            link(&root.path().join(file), part);
        } else {
            write(file, part);
        }
    }
    root
}

fn link(at: &Path, target: &[u8]) {
    fs_err::create_dir_all(at.parent().expect("a parent")).expect("a directory");
    let target = String::from_utf8_lossy(target);
    // The kernel wants some target, and not any length of it.
    let _made = fs_err::os::unix::fs::symlink(target.as_ref(), at);
}
