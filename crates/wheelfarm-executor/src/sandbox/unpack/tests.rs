use std::io::Write as _;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use tar::{Builder, EntryType, Header};

use super::*;

/// An entry: its path, and what it is.
enum Node<'a> {
    File(&'a str),
    Directory,
    Link(&'a str),
    HardLink(&'a str),
    Other(EntryType),
}
use Node::{Directory, File, HardLink, Link, Other};

fn header(node: &Node<'_>, mode: u32) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(mode);
    header.set_mtime(1_000_000_000);
    // Whoever runs the tests may own files.
    header.set_uid(rustix::process::getuid().as_raw().into());
    header.set_gid(rustix::process::getgid().as_raw().into());
    header.set_entry_type(match node {
        File(_) => EntryType::Regular,
        Directory => EntryType::Directory,
        Link(_) => EntryType::Symlink,
        HardLink(_) => EntryType::Link,
        Other(other) => *other,
    });
    header
}

/// An archive. Names are written as they are: the crate would refuse what leads elsewhere.
fn archive(entries: &[(&str, Node<'_>)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (path, node) in entries {
        let mode = if matches!(node, Directory) {
            0o755
        } else {
            0o644
        };
        let mut header = header(node, mode);
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        let content = match node {
            File(content) => content,
            Link(target) | HardLink(target) => {
                header.set_link_name_literal(target).unwrap();
                ""
            }
            Directory | Other(_) => "",
        };
        header.set_size(content.len() as u64);
        header.set_cksum();
        builder.append(&header, content.as_bytes()).unwrap();
    }
    builder.into_inner().unwrap()
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn add(&self, bytes: &[u8]) -> Result<u64, String> {
        self.add_checked(bytes, None)
    }

    fn add_checked(&self, bytes: &[u8], digest: Option<&str>) -> Result<u64, String> {
        let file = self.0.path().join("archive");
        fs_err::write(&file, bytes).unwrap();
        unpack_as(&file, &self.root(), true, digest, Owners::AsGiven)
    }

    fn root(&self) -> std::path::PathBuf {
        self.0.path().join("root")
    }

    fn read(&self, path: &str) -> String {
        fs_err::read_to_string(self.root().join(path)).unwrap()
    }

    /// Every path below the root, and nothing beside the root but the archive.
    fn paths(&self) -> Vec<String> {
        let beside = fs_err::read_dir(self.0.path()).unwrap().count();
        assert_eq!(beside, 2, "something was written outside of the root");
        let mut paths = Vec::new();
        let mut todo = vec![self.root()];
        while let Some(directory) = todo.pop() {
            for entry in fs_err::read_dir(directory).unwrap() {
                let entry = entry.unwrap();
                let path = entry.path();
                let name = path.strip_prefix(self.root()).unwrap();
                paths.push(name.to_str().unwrap().to_owned());
                if entry.file_type().unwrap().is_dir() {
                    todo.push(path);
                }
            }
        }
        paths.sort();
        paths
    }
}

#[test]
fn files_have_the_modes_times_and_links_of_the_archive() {
    let mut builder = Builder::new(Vec::new());
    let mut append = |path: &str, node: Node<'_>, mode: u32| {
        let mut header = header(&node, mode);
        let content = if let File(content) = node {
            content
        } else {
            ""
        };
        header.set_size(content.len() as u64);
        if let HardLink(target) | Link(target) = node {
            builder.append_link(&mut header, path, target).unwrap();
        } else {
            let content = content.as_bytes();
            builder.append_data(&mut header, path, content).unwrap();
        }
    };
    let long = "x".repeat(200);
    append("closed", Directory, 0o500);
    append("closed/program", File("#!"), 0o4755);
    append("closed/twin", HardLink("closed/program"), 0);
    append("link", Link("/closed"), 0o777);
    append("link/through", File("a link"), 0o600);
    append("pipe", Other(EntryType::Fifo), 0o622);
    append(&long, File("long"), 0o644);
    append("null", Other(EntryType::Char), 0o666);
    let bytes = builder.into_inner().unwrap();

    let place = Place::new();
    assert_eq!(place.add(&bytes), Ok(2 + 6 + 4));
    let expected = [
        "closed",
        "closed/program",
        "closed/through",
        "closed/twin",
        "link",
        "pipe",
    ];
    assert_eq!(place.paths()[..6], expected);
    assert_eq!(place.paths()[6..], [long.as_str()], "and no device");
    let meta = |path: &str| fs_err::symlink_metadata(place.root().join(path)).unwrap();
    assert_eq!(meta("closed").mode() & 0o7777, 0o500);
    assert_eq!(meta("closed").mtime(), 1_000_000_000);
    assert_eq!(meta("closed/program").mode() & 0o7777, 0o4755);
    assert_eq!(meta("closed/program").ino(), meta("closed/twin").ino());
    assert_eq!(meta("closed/program").mtime(), 1_000_000_000);
    assert_eq!(meta("link").mtime(), 1_000_000_000);
    assert!(meta("pipe").file_type().is_fifo());
    assert_eq!(meta("pipe").mode() & 0o7777, 0o622);
    let open = PermissionsExt::from_mode(0o700);
    fs_err::set_permissions(place.root().join("closed"), open).unwrap();
}

#[test]
fn compressed_archives_are_told_by_their_bytes_and_checked() {
    let plain = archive(&[("a", File("content"))]);
    let digest = Digest::of(&plain).to_string();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let gzip = gzip.finish().unwrap();
    let zstd = zstd::encode_all(plain.as_slice(), 1).unwrap();
    for bytes in [&plain, &gzip, &zstd] {
        let place = Place::new();
        assert_eq!(place.add_checked(bytes, Some(&digest)), Ok(7));
        assert_eq!(place.read("a"), "content");
        let other = Digest::of("other").to_string();
        let error = place.add_checked(bytes, Some(&other)).unwrap_err();
        assert!(error.contains(&other) && error.contains(&digest), "{error}");
        let half = &bytes[..bytes.len() / 2];
        let error = Place::new().add_checked(half, Some(&digest)).unwrap_err();
        assert!(!error.is_empty());
    }
    let error = Place::new().add(b"no archive at all").unwrap_err();
    assert!(error.starts_with("it is no whole tar archive"), "{error}");
}

#[test]
fn nothing_leads_out_of_the_root() {
    for bytes in [
        archive(&[("../out", File("x"))]),
        archive(&[("a/../../out", File("x"))]),
        archive(&[("up", Link("..")), ("up/../../out", File("x"))]),
        archive(&[("a", HardLink("../archive"))]),
        archive(&[("a", HardLink("../../../etc/passwd"))]),
        archive(&[("a", HardLink("/etc/passwd"))]),
        archive(&[("etc", Link("/etc")), ("a", HardLink("etc/passwd"))]),
        archive(&[("a/..", Directory)]),
        archive(&[(".wh...", File(""))]),
        archive(&[("..", Link("/etc"))]),
    ] {
        let place = Place::new();
        place.add(&bytes).unwrap_err();
        place.paths();
        assert!(place.0.path().join("archive").exists());
    }
}

#[test]
fn links_lead_to_places_in_the_root() {
    let place = Place::new();
    let bytes = archive(&[
        ("/absolute", File("name")),
        ("tmp", Directory),
        ("up", Link("../../../../tmp")),
        ("up/one", File("1")),
        ("abs", Link("/tmp")),
        ("abs/two", File("2")),
        ("outside", Link("/etc/passwd")),
        // Written in its place, and not through it.
        ("outside", File("mine")),
    ]);
    place.add(&bytes).unwrap();
    let expected = [
        "abs", "absolute", "outside", "tmp", "tmp/one", "tmp/two", "up",
    ];
    assert_eq!(place.paths(), expected);
    assert_eq!(place.read("outside"), "mine");
}

#[test]
fn a_link_to_a_link_that_leads_outside_is_the_link() {
    let place = Place::new();
    let bytes = archive(&[("a", Link("/etc/passwd")), ("b", HardLink("a"))]);
    place.add(&bytes).unwrap();
    let target = fs_err::read_link(place.root().join("b")).unwrap();
    assert_eq!(target, Path::new("/etc/passwd"));
}

#[test]
fn whiteouts_remove_what_lower_layers_have() {
    let place = Place::new();
    let lower = archive(&[
        ("kept", File("1")),
        ("gone", File("1")),
        ("tree", Directory),
        ("tree/deep", Directory),
        ("tree/deep/file", File("1")),
        ("opaque/low", File("1")),
        ("opaque/both/low", File("1")),
        ("link", Link("/kept")),
        ("twin", File("lower")),
        ("twin2", HardLink("twin")),
    ]);
    place.add(&lower).unwrap();
    let upper = archive(&[
        (".wh.gone", File("")),
        (".wh.tree", File("")),
        (".wh.never", File("")),
        ("nowhere/.wh.never", File("")),
        (".wh..wh.plnk", Directory),
        ("opaque/both/high", File("2")),
        // After what it is not about.
        ("opaque/.wh..wh..opq", File("")),
        (".wh.link", File("")),
        ("twin", File("upper")),
        ("again", File("2")),
        (".wh.again", File("")),
    ]);
    place.add(&upper).unwrap();
    let expected = [
        "again",
        "kept",
        "opaque",
        "opaque/both",
        "opaque/both/high",
        "twin",
        "twin2",
    ];
    assert_eq!(place.paths(), expected);
    assert_eq!(place.read("twin"), "upper");
    assert_eq!(place.read("twin2"), "lower", "a file is never written into");
}

#[test]
fn later_layers_replace_what_is_there() {
    let place = Place::new();
    let lower = archive(&[
        ("directory/file", File("1")),
        ("file", File("1")),
        ("kept/file", File("1")),
        ("link", Link("kept")),
    ]);
    place.add(&lower).unwrap();
    let upper = archive(&[
        ("directory", File("2")),
        ("file", Directory),
        ("file/inner", File("2")),
        ("kept", Directory),
        ("link", Directory),
    ]);
    place.add(&upper).unwrap();
    let expected = [
        "directory",
        "file",
        "file/inner",
        "kept",
        "kept/file",
        "link",
    ];
    assert_eq!(place.paths(), expected);
}

#[test]
fn an_error_names_the_entry() {
    let place = Place::new();
    let bytes = archive(&[("file", File("1")), ("file/below", File("2"))]);
    let error = place.add(&bytes).unwrap_err();
    assert!(error.starts_with("its entry `file/below`: "), "{error}");
    let bytes = archive(&[("strange", Other(EntryType::new(b'Z')))]);
    let error = place.add(&bytes).unwrap_err();
    assert!(error.contains("`strange`"), "{error}");
    let mut bytes = archive(&[("cut", File("content"))]);
    bytes.truncate(515);
    let error = place.add(&bytes).unwrap_err();
    assert!(error.contains("`cut`"), "{error}");
}

#[test]
fn owners_that_cannot_be_are_refused() {
    let place = Place::new();
    let mut header = header(&File(""), 0o644);
    header.set_path("a").unwrap();
    header.set_uid(u64::from(u32::MAX));
    header.set_size(0);
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, std::io::empty()).unwrap();
    let bytes = builder.into_inner().unwrap();
    let error = place.add(&bytes).unwrap_err();
    assert!(error.contains("`a`") && error.contains("owner"), "{error}");
    header.as_old_mut().uid = *b"nobody\0\0";
    header.set_cksum();
    let mut builder = Builder::new(Vec::new());
    builder.append(&header, std::io::empty()).unwrap();
    let error = place.add(&builder.into_inner().unwrap()).unwrap_err();
    assert!(error.contains("`a`") && error.contains("uid"), "{error}");
}

#[test]
fn paths_are_relative_to_the_directory() {
    let place = tempfile::tempdir().unwrap();
    let bytes = archive(&[("a", File("12345"))]);
    fs_err::write(place.path().join("x.tar"), &bytes).unwrap();
    let work = Unpack {
        archive: "x.tar".into(),
        into: "root".into(),
        whiteouts: false,
        digest: Some(Digest::of(&bytes).to_string()),
        summary: Some("size".into()),
    };
    unpack(place.path(), &work).unwrap();
    let size = fs_err::read_to_string(place.path().join("size")).unwrap();
    assert_eq!(size, "5");
}
