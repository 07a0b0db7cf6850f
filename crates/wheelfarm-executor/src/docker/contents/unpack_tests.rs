use super::*;

/// A tar file of paths that are written as they are, with what is in them or what they link to.
fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o644);
        // Not `append_data`, which would refuse what is tested here.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        let mut bytes = content.as_bytes();
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
            bytes = &[];
        }
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

/// What came of an archive: the Pythons, and the directory.
fn unpacked(bytes: &[u8]) -> (Result<Vec<String>, String>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (unpack(bytes, &[], folder.path()), folder)
}

const FILE: EntryType = EntryType::Regular;
const LINK: EntryType = EntryType::Symlink;
const HARD: EntryType = EntryType::Link;

#[test]
fn what_is_wanted_gets_its_place() {
    let (pythons, folder) = unpacked(&archive(&[
        ("./", EntryType::Directory, ""),
        ("bin", LINK, "usr/bin"),
        ("dev/null", EntryType::Char, ""),
        ("etc/passwd", FILE, "root"),
        ("usr/bin/perl", FILE, "ELF"),
        ("usr/bin/python3", LINK, "python3.11"),
        ("usr/bin/python3.11", FILE, "ELF"),
        ("usr/bin/python3.12", HARD, "usr/bin/python3.11"),
        ("usr/bin/python3.13", HARD, "usr/bin/perl"),
        ("usr/lib/liba.so.1", LINK, "/usr/lib/liba.so.1.0"),
        ("usr/lib/liba.so.1.0", FILE, "library"),
    ]));
    let expected = [
        "/usr/bin/python3",
        "/usr/bin/python3.11",
        "/usr/bin/python3.12",
    ];
    assert_eq!(pythons.unwrap(), expected);
    let at = |path: &str| folder.path().join(path);
    assert_eq!(fs_err::read(at("usr/bin/python3.12")).unwrap(), b"ELF");
    assert_eq!(fs_err::read(at("usr/lib/liba.so.1.0")).unwrap(), b"library");
    let target = fs_err::read_link(at("usr/lib/liba.so.1")).unwrap();
    assert_eq!(target, Path::new("/usr/lib/liba.so.1.0"));
    for path in ["etc/passwd", "usr/bin/perl", "dev", ".aside"] {
        assert!(!at(path).exists(), "{path}");
    }
}

#[test]
fn nothing_is_written_through_a_link() {
    let outside = tempfile::tempdir().unwrap();
    let to = outside.path().to_str().unwrap();
    for entries in [
        [("lib", LINK, to), ("lib/liba.so", FILE, "x")],
        [("lib/liba.so", FILE, "x"), ("lib", LINK, to)],
        [("lib/liba.so", LINK, "x"), ("lib", LINK, to)],
        [("a.so", FILE, "x"), ("a.so/b.so", FILE, "x")],
    ] {
        let (unpacked, _folder) = unpacked(&archive(&entries));
        let reason = unpacked.unwrap_err();
        assert!(reason.contains("no directory"), "{reason}");
    }
    let (unpacked, _folder) = unpacked(&archive(&[
        ("liba.so", LINK, &format!("{to}/liba.so")),
        ("liba.so", FILE, "x"),
        ("libb.so", LINK, &format!("{to}/libb.so")),
        ("libc.so", HARD, "libb.so"),
    ]));
    unpacked.unwrap();
    assert_eq!(fs_err::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn what_leads_out_or_is_cut_off_is_refused() {
    for path in ["../a.so", "usr/../../a.so", "/a.so", "usr/.."] {
        let (unpacked, _folder) = unpacked(&archive(&[(path, FILE, "x")]));
        let reason = unpacked.unwrap_err();
        assert!(reason.contains("leads elsewhere"), "{path}: {reason}");
    }
    let whole = archive(&[("liba.so", FILE, "0123456789")]);
    for length in [100, 512, 515] {
        let (unpacked, _folder) = unpacked(&whole[..length]);
        assert!(unpacked.is_err() || length == 512, "{length}");
    }
    assert!(unpacked(b"this is no tar file").0.is_err());
    assert_eq!(unpacked(&archive(&[])).0.unwrap(), [""; 0]);
}

#[test]
fn a_size_that_is_too_large_is_not_believed() {
    let mut header = tar::Header::new_gnu();
    header.set_path("liba.so").unwrap();
    header.set_entry_type(FILE);
    header.set_size(MOST_BYTES + 1);
    header.set_cksum();
    let (unpacked, _folder) = unpacked(header.as_bytes());
    let reason = unpacked.unwrap_err();
    assert!(reason.contains("16 GiB"), "{reason}");
}
