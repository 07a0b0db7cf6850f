use std::os::unix::fs::symlink;

use super::*;

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

fn root() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn links_stay_inside() {
    let folder = root();
    let outside = root();
    fs_err::write(outside.path().join("secret"), "x").unwrap();
    write(folder.path(), "usr/lib/real.so.1.2", "x");
    for (target, link) in [
        ("usr/lib", "lib"),
        ("real.so.1.2", "usr/lib/relative.so"),
        ("/usr/lib/real.so.1.2", "usr/lib/absolute.so"),
        ("../../../../../../usr/lib/real.so.1.2", "usr/lib/dots.so"),
        ("loop", "usr/lib/loop"),
        (
            outside.path().join("secret").to_str().unwrap(),
            "usr/lib/escape.so",
        ),
    ] {
        symlink(target, folder.path().join(link)).unwrap();
    }
    let root = LibraryRoot::open(folder.path()).unwrap();
    let real = Some("/usr/lib/real.so.1.2".to_owned());
    for name in ["relative", "absolute", "dots"] {
        assert_eq!(root.resolve(&format!("/lib/{name}.so")), real, "{name}");
    }
    for name in ["loop", "escape.so", "gone.so", ""] {
        assert_eq!(root.resolve(&format!("/lib/{name}")), None, "{name}");
    }
    assert_eq!(root.read("/lib/dots.so").unwrap(), b"x");
    assert!(matches!(root.read("/gone"), Err(AuditError::NoLibrary(_))));
    assert_eq!(LibraryRoot::empty().resolve("/etc/passwd"), None);
}

#[test]
fn ld_so_conf_is_followed() {
    let folder = root();
    write(
        folder.path(),
        "etc/ld.so.conf",
        "# own\n/first # comment\ninclude ld.so.conf.d/*.conf\n/last\nhwcap 1 x\n",
    );
    write(folder.path(), "etc/ld.so.conf.d/b.conf", "/b\n");
    write(
        folder.path(),
        "etc/ld.so.conf.d/a.conf",
        "/a\ninclude /etc/ld.so.conf\n",
    );
    write(folder.path(), "etc/ld.so.conf.d/c.off", "/c\n");
    let root = LibraryRoot::open(folder.path()).unwrap();
    let paths = root.default_paths(
        LibcFamily::Glibc,
        Some(Arch::X86_64),
        Some("/lib64/ld-linux-x86-64.so.2"),
    );
    let index = |path: &str| paths.iter().position(|known| known == path);
    assert_eq!(index("/first"), Some(0));
    assert!(index("/a") < index("/b") && index("/b") < index("/last"));
    assert!(index("/last") < index("/lib/x86_64-linux-gnu"));
    assert!(index("/c").is_none() && index("/usr/lib64").is_some());
    let root = root.without_default_paths();
    assert!(root.default_paths(LibcFamily::Glibc, None, None).is_empty());
}

#[test]
fn musl_has_its_own_file() {
    let folder = root();
    write(folder.path(), "etc/os-release", "ID=alpine\n");
    let root = LibraryRoot::open(folder.path()).unwrap();
    let paths = |root: &LibraryRoot| root.default_paths(LibcFamily::Musl, Some(Arch::X86_64), None);
    assert_eq!(paths(&root), ["/lib", "/usr/local/lib", "/usr/lib"]);
    write(
        folder.path(),
        "etc/ld-musl-x86_64.path",
        "/one:/two\n/three\n",
    );
    let root = LibraryRoot::open(folder.path()).unwrap();
    assert_eq!(paths(&root), ["/one", "/two", "/three"]);
}

#[test]
fn owners_of_a_made_root() {
    let folder = root();
    write(folder.path(), "usr/lib/x86_64-linux-gnu/libpq.so.5.15", "x");
    write(folder.path(), "usr/lib/libz.so.1", "x");
    symlink("usr/lib", folder.path().join("lib")).unwrap();
    write(
        folder.path(),
        "etc/os-release",
        "NAME=\"Debian\"\nID=debian\nVERSION_ID=\"12\"\n",
    );
    write(folder.path(), ".wheelfarm/manager", "deb\n");
    write(
        folder.path(),
        ".wheelfarm/owners.tsv",
        "/usr/lib/x86_64-linux-gnu/libpq.so.5.15\tlibpq5\t15.3-0+deb12u1\tamd64\n/lib/libz.so.1\tzlib1g\t1:1.2\tamd64\n",
    );
    let open = || LibraryRoot::open(folder.path());
    let root = open().unwrap();
    let owner = root.owner("/lib/x86_64-linux-gnu/libpq.so.5.15").unwrap();
    assert_eq!(
        (owner.name.as_str(), owner.version.as_str()),
        ("libpq5", "15.3-0+deb12u1")
    );
    assert_eq!(owner.manager, Manager::Deb);
    assert_eq!(owner.distro.unwrap().version.as_deref(), Some("12"));
    assert_eq!(root.owner("/usr/lib/libz.so.1").unwrap().name, "zlib1g");
    assert_eq!(root.owner("/usr/lib/other"), None);
    assert_eq!(root.package_version("zlib1g"), Some("1:1.2".to_owned()));
    assert_eq!(root.owner("/usr/lib/libz.so.1").unwrap().licenses, [""; 0]);
    write(folder.path(), ".wheelfarm/licenses.tsv", "zlib1g\tZlib\n");
    let owner = open().unwrap().owner("/usr/lib/libz.so.1").unwrap();
    assert_eq!(owner.licenses, ["Zlib"]);

    write(folder.path(), ".wheelfarm/manager", "pacman\n");
    assert!(open().unwrap_err().to_string().contains("pacman"));
    write(folder.path(), ".wheelfarm/manager", "rpm\n");
    write(folder.path(), ".wheelfarm/owners.tsv", "/x\ty\n");
    assert!(open().unwrap_err().to_string().contains("line 1"));
}

#[test]
fn owners_of_live_systems() {
    let folder = root();
    write(
        folder.path(),
        "var/lib/dpkg/status",
        "Package: libpq5\nStatus: install ok installed\nArchitecture: amd64\nVersion: 15\n\n\
         Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n",
    );
    write(
        folder.path(),
        "var/lib/dpkg/info/libpq5:amd64.list",
        "/usr\n/lib/libpq.so.5\n",
    );
    write(
        folder.path(),
        "usr/share/doc/libpq5/copyright",
        "Format: 1.0\n\nFiles: *\nLicense: PostgreSQL\n",
    );
    let root = LibraryRoot::open(folder.path()).unwrap();
    let owner = root.licensed_owner("/usr/lib/libpq.so.5").unwrap();
    assert_eq!(
        (owner.version.as_str(), owner.licenses),
        ("15", vec!["PostgreSQL".to_owned()])
    );
    assert_eq!(root.package_version("gone"), None);

    let folder = self::root();
    write(
        folder.path(),
        "lib/apk/db/installed",
        "C:x\nP:musl\nV:1.2.5-r0\nA:x86_64\nF:lib\nR:ld-musl-x86_64.so.1\n\nP:libpq\nV:16\nA:x86_64\nL:PostgreSQL\nF:usr/lib\nR:libpq.so.5\n",
    );
    // Tools of another manager, that has installed nothing.
    write(folder.path(), "var/lib/dpkg/status", "");
    let root = LibraryRoot::open(folder.path()).unwrap();
    let owner = root.owner("/usr/lib/libpq.so.5").unwrap();
    assert_eq!(owner.manager, Manager::Apk);
    assert_eq!(owner.licenses, ["PostgreSQL"]);
    assert_eq!(root.package_version("musl"), Some("1.2.5-r0".to_owned()));
}

#[test]
fn libraries_read_in_parts_tell_the_same() {
    let policies = Policies::builtin().unwrap();
    let directories = fs_err::read_dir("/usr/lib").unwrap();
    let mut skipped = 0;
    for directory in directories.map(|entry| entry.unwrap().path()) {
        let is_multiarch = directory.to_string_lossy().ends_with("-linux-gnu");
        let files = is_multiarch.then(|| fs_err::read_dir(&directory).unwrap());
        for file in files.into_iter().flatten().take(400) {
            let path = file.unwrap().path();
            let Ok(bytes) = fs_err::read(&path) else {
                continue;
            };
            let Some(parts) = Parts::of(&bytes[..bytes.len().min(4096)], bytes.len() as u64) else {
                continue;
            };
            let at = |offset: u64| usize::try_from(offset).unwrap();
            let (head, tail) = (&bytes[..at(parts.head)], &bytes[at(parts.tail)..]);
            let of_parts = Elf::parse_parts(head, parts.tail, tail)
                .and_then(|elf| ElfFacts::of(&elf, policies));
            let of_all = ElfFacts::read(&bytes, policies);
            assert!(
                of_parts.is_err() || of_parts == of_all,
                "{}",
                path.display()
            );
            skipped += usize::from(of_parts.is_ok() && parts.tail > parts.head);
        }
    }
    assert!(skipped > 20, "{skipped}");
}
