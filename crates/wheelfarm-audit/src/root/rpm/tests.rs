//! Databases in all three forms, with one header each of a kind, whole and damaged.

use std::process::Command;

use super::*;

/// A header with these entries: tag, type, count, data.
fn header_of(entries: &[(u32, u32, u32, Vec<u8>)]) -> Vec<u8> {
    let (mut index, mut data) = (Vec::new(), Vec::new());
    for (tag, kind, count, content) in entries {
        if *kind == 4 {
            data.resize(usize::next_multiple_of(data.len(), 4), 0);
        }
        let offset = u32::try_from(data.len()).unwrap();
        index.extend([*tag, *kind, offset, *count].map(u32::to_be_bytes).concat());
        data.extend(content);
    }
    let lengths = [entries.len(), data.len()].map(|length| u32::try_from(length).unwrap());
    [lengths.map(u32::to_be_bytes).concat(), index, data].concat()
}

fn text(tag: u32, value: &str) -> (u32, u32, u32, Vec<u8>) {
    (tag, 6, 1, [value.as_bytes(), b"\0"].concat())
}

fn texts(tag: u32, values: &[String]) -> (u32, u32, u32, Vec<u8>) {
    let data = values
        .iter()
        .flat_map(|value| [value.as_bytes(), b"\0"].concat());
    (tag, 8, u32::try_from(values.len()).unwrap(), data.collect())
}

fn numbers(tag: u32, values: &[u32]) -> (u32, u32, u32, Vec<u8>) {
    let data = values.iter().flat_map(|value| value.to_be_bytes());
    (tag, 4, u32::try_from(values.len()).unwrap(), data.collect())
}

/// Package `name` with `files` documents beside its one library.
fn package_of(name: &str, epoch: Option<u32>, files: usize) -> Vec<u8> {
    let mut names: Vec<String> = (0..files).map(|n| format!("a-document-{n}")).collect();
    names.push(format!("lib{name}.so.1"));
    let mut places = vec![1; files];
    places.push(0);
    let mut entries = vec![
        text(header::NAME, name),
        text(header::VERSION, "1.2"),
        text(header::RELEASE, "3.el9"),
        text(header::ARCH, "x86_64"),
        text(header::LICENSE, "MIT"),
        numbers(header::DIRINDEXES, &places),
        texts(header::BASENAMES, &names),
        texts(
            header::DIRNAMES,
            &["/usr/lib64/".into(), "/usr/share/doc/".into()],
        ),
    ];
    entries.extend(epoch.map(|epoch| numbers(header::EPOCH, &[epoch])));
    header_of(&entries)
}

fn expected(name: &str, version: &str) -> Installed {
    Installed {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: "x86_64".to_owned(),
        license: "MIT".to_owned(),
        libraries: vec![format!("/usr/lib64/lib{name}.so.1")],
    }
}

/// A key of a repository, as `rpm --import` keeps it; a small package; one that needs many pages.
fn headers() -> Vec<Vec<u8>> {
    let key = header_of(&[text(header::NAME, "gpg-pubkey"), text(header::VERSION, "1")]);
    vec![
        key,
        package_of("small", None, 3),
        package_of("large", Some(2), 9000),
    ]
}

fn both() -> Vec<Installed> {
    vec![
        expected("small", "1.2-3.el9"),
        expected("large", "2:1.2-3.el9"),
    ]
}

fn root_with(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (path, content) in files {
        let path = root.path().join(path);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, content).unwrap();
    }
    root
}

/// An SQLite file that `python3` writes: rpm's tables, one of them with more rows than a page has room for. `end` is
/// done before the writer is killed.
fn sqlite(page_size: u32, mode: &str, end: &str) -> tempfile::TempDir {
    sqlite_of(&headers(), page_size, mode, end)
}

fn sqlite_of(headers: &[Vec<u8>], page_size: u32, mode: &str, end: &str) -> tempfile::TempDir {
    let root = root_with(&[]);
    let directory = root.path().join("usr/lib/sysimage/rpm");
    fs_err::create_dir_all(&directory).unwrap();
    for (index, header) in headers.iter().enumerate() {
        fs_err::write(directory.join(format!("{index}.header")), header).unwrap();
    }
    let script = format!(
        "\
import os, sqlite3
db = sqlite3.connect('rpmdb.sqlite', isolation_level=None)
db.execute('PRAGMA page_size = {page_size}')
db.execute('PRAGMA journal_mode = {mode}')
db.execute('PRAGMA wal_autocheckpoint = 0')
db.execute('CREATE TABLE Name (key TEXT NOT NULL, hnum INTEGER NOT NULL)')
db.execute(\"CREATE TABLE 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT, blob BLOB NOT NULL)\")
db.execute('BEGIN')
for number in range(300):
    db.execute('INSERT INTO Packages (blob) VALUES (?)', (b'no header',))
    db.execute('INSERT INTO Name VALUES (?, ?)', ('name', number))
for number in range({}):
    blob = open(f'{{number}}.header', 'rb').read()
    db.execute('INSERT INTO Packages (blob) VALUES (?)', (blob,))
db.execute('COMMIT')
{end}
os._exit(0)
",
        headers.len()
    );
    let run = Command::new("python3")
        .args(["-c", &script])
        .current_dir(&directory)
        .output()
        .expect("this test needs python3");
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    root
}

#[test]
fn sqlite_databases_with_pages_of_any_size() {
    for page_size in [512, 4096, 65536] {
        let root = sqlite(page_size, "delete", "db.close()");
        assert_eq!(installed(root.path()).unwrap(), both(), "{page_size}");
    }
}

#[test]
fn sqlite_logs_count_as_far_as_they_are_complete() {
    let log = "usr/lib/sysimage/rpm/rpmdb.sqlite-wal";
    let size = |root: &tempfile::TempDir| fs_err::metadata(root.path().join(log)).unwrap().len();
    // Nothing was written back: the file itself is as good as empty.
    let root = sqlite(4096, "wal", "");
    assert!(size(&root) > 4096);
    assert_eq!(installed(root.path()).unwrap(), both());

    // A transaction that was not finished is none.
    let unfinished = "\
db.execute('PRAGMA cache_size = 1')
db.execute('BEGIN')
db.execute('DELETE FROM Packages')
db.execute('INSERT INTO Packages (blob) VALUES (?)', (b'x' * 100000,))
";
    let root = sqlite(4096, "wal", unfinished);
    assert_eq!(installed(root.path()).unwrap(), both());
    // One that was is.
    let root = sqlite(4096, "wal", &format!("{unfinished}db.execute('COMMIT')\n"));
    assert_eq!(installed(root.path()).unwrap(), []);

    // A log whose pages are not what was summed up.
    let root = sqlite(4096, "wal", "");
    let mut bytes = fs_err::read(root.path().join(log)).unwrap();
    *bytes.get_mut(100).unwrap() ^= 1;
    fs_err::write(root.path().join(log), bytes).unwrap();
    assert_eq!(installed(root.path()).unwrap(), []);
}

/// rpm's own form: one page of slots, then blobs.
fn ndb(headers: &[Vec<u8>]) -> Vec<u8> {
    let words =
        |words: &[u32]| -> Vec<u8> { words.iter().flat_map(|word| word.to_le_bytes()).collect() };
    let magic = |text: &[u8; 4]| u32::from_le_bytes(*text);
    let mut file = words(&[magic(b"RpmP"), 0, 7, 1, 4, 0, 0, 0]);
    let mut blobs = Vec::new();
    for (number, header) in headers.iter().enumerate() {
        let number = u32::try_from(number + 1).unwrap();
        let place = u32::try_from((4096 + blobs.len()) / 16).unwrap();
        let length = u32::try_from(header.len()).unwrap();
        blobs.extend(words(&[magic(b"BlbS"), number, 7, length]));
        blobs.extend(header);
        blobs.resize(blobs.len().next_multiple_of(16), 0);
        blobs.extend(words(&[0, 0, length, magic(b"BlbE")]));
        let end = u32::try_from((4096 + blobs.len()) / 16).unwrap();
        file.extend(words(&[magic(b"Slot"), number, place, end - place]));
    }
    while file.len() < 4096 {
        file.extend(words(&[magic(b"Slot"), 0, 0, 0]));
    }
    file.extend(blobs);
    file
}

#[test]
fn rpms_own_database() {
    let root = root_with(&[("var/lib/rpm/Packages.db", &ndb(&headers()))]);
    assert_eq!(installed(root.path()).unwrap(), both());
}

/// A hash of Berkeley DB: one page of it, and the large values on pages of their own.
fn bdb(headers: &[Vec<u8>], big_endian: bool) -> Vec<u8> {
    const PAGE: usize = 4096;
    let order = |mut bytes: Vec<u8>| {
        if big_endian {
            bytes.reverse();
        }
        bytes
    };
    let number = |value: usize| order(u32::try_from(value).unwrap().to_le_bytes().to_vec());
    let short = |value: usize| order(u16::try_from(value).unwrap().to_le_bytes().to_vec());
    let put = |page: &mut [u8], at: usize, bytes: &[u8]| {
        page.get_mut(at..at + bytes.len())
            .unwrap()
            .copy_from_slice(bytes);
    };
    let mut meta = vec![0; PAGE];
    put(&mut meta, 12, &number(0x0006_1561));
    put(&mut meta, 20, &number(PAGE));
    meta.splice(25..26, [8]);
    let mut hash = vec![0; PAGE];
    hash.splice(25..26, [13]);
    let mut items = vec![(number(0), [vec![1], number(3)].concat())];
    let mut overflow: Vec<Vec<u8>> = Vec::new();
    for (index, header) in headers.iter().enumerate() {
        let value = if header.len() < 500 {
            [vec![1], header.clone()].concat()
        } else {
            let first = 2 + overflow.len();
            let parts: Vec<_> = header.chunks(PAGE - 26).collect();
            for (part, content) in parts.iter().enumerate() {
                let mut page = vec![0; PAGE];
                let next = if part + 1 < parts.len() {
                    first + part + 1
                } else {
                    0
                };
                put(&mut page, 16, &number(next));
                put(&mut page, 22, &short(content.len()));
                page.splice(25..26, [7]);
                put(&mut page, 26, content);
                overflow.push(page);
            }
            [vec![3, 0, 0, 0], number(first), number(header.len())].concat()
        };
        items.push((number(index + 1), value));
    }
    put(&mut hash, 20, &short(items.len() * 2));
    let mut end = PAGE;
    for (index, (key, value)) in items.into_iter().enumerate() {
        for (item, bytes) in [[vec![1], key].concat(), value].into_iter().enumerate() {
            end -= bytes.len();
            put(&mut hash, end, &bytes);
            put(&mut hash, 26 + 4 * index + 2 * item, &short(end));
        }
    }
    [vec![meta, hash], overflow].concat().concat()
}

#[test]
fn berkeley_databases_of_both_byte_orders() {
    for big_endian in [false, true] {
        let root = root_with(&[("var/lib/rpm/Packages", &bdb(&headers(), big_endian))]);
        assert_eq!(installed(root.path()).unwrap(), both(), "{big_endian}");
    }
}

#[test]
fn values_that_share_bytes_are_not_read_over_and_over() {
    // Every slot names the one blob.
    let mut file = ndb(&[package_of("large", None, 9000)]);
    let slot = file.get(32..48).unwrap().to_vec();
    for place in (48..4096).step_by(16) {
        file.splice(place..place + 16, slot.iter().copied());
    }
    let mut total = 0;
    ndb::blobs(&file, &mut |blob| total += blob.len());
    assert!(total > 9000 && total <= file.len(), "{total}");

    // Every pair of places is the first one's.
    let mut file = bdb(&[package_of("small", None, 3)], false);
    let item = file.get(4096 + 30..4096 + 34).unwrap().to_vec();
    for place in (26..2026).step_by(4) {
        file.splice(4096 + place..4096 + place + 4, item.iter().copied());
    }
    file.splice(4096 + 20..4096 + 22, 1000_u16.to_le_bytes());
    let mut total = 0;
    bdb::blobs(&file, &mut |blob| total += blob.len());
    assert!(total > 100 && total <= file.len(), "{total}");
}

#[test]
fn a_long_directory_of_many_names_is_not_written_out_for_each() {
    let count = 20_000;
    let blob = header_of(&[
        text(header::NAME, "long"),
        text(header::VERSION, "1"),
        text(header::RELEASE, "1"),
        text(header::ARCH, "x86_64"),
        numbers(header::DIRINDEXES, &vec![0; count]),
        texts(header::BASENAMES, &vec![".so".to_owned(); count]),
        texts(header::DIRNAMES, &["/long".repeat(20_000)]),
    ]);
    let libraries = package(&blob).unwrap().libraries;
    let total: usize = libraries.iter().map(String::len).sum();
    assert!(!libraries.is_empty() && total <= EXPANSION * blob.len());
}

/// What is damaged, and who reads it.
type Case<'c> = (&'c [u8], &'c dyn Fn(&[u8]));

#[test]
fn damage_is_passed_over() {
    let small = [
        package_of("small", None, 40),
        package_of("large", Some(2), 300),
    ];
    let file = |root: &tempfile::TempDir, name: &str| {
        let directory = root.path().join("usr/lib/sysimage/rpm");
        fs_err::read(directory.join(name)).unwrap()
    };
    let whole = file(
        &sqlite_of(&small, 512, "delete", "db.close()"),
        "rpmdb.sqlite",
    );
    let begun = sqlite_of(&small, 512, "wal", "");
    let (begun, log) = (
        file(&begun, "rpmdb.sqlite"),
        file(&begun, "rpmdb.sqlite-wal"),
    );
    let log = log.get(..20_000).unwrap();
    let rows =
        |bytes: &[u8]| sqlite::blobs(bytes, &[], b"Packages", &mut |blob| drop(package(blob)));
    let logs =
        |bytes: &[u8]| sqlite::blobs(&begun, bytes, b"Packages", &mut |blob| drop(package(blob)));
    let ndbs = |bytes: &[u8]| ndb::blobs(bytes, &mut |blob| drop(package(blob)));
    let bdbs = |bytes: &[u8]| bdb::blobs(bytes, &mut |blob| drop(package(blob)));
    let headers = |bytes: &[u8]| drop(package(bytes));
    let cases: [Case<'_>; 5] = [
        (&whole, &rows),
        (log, &logs),
        (&ndb(&small), &ndbs),
        (&bdb(&small, false), &bdbs),
        (&small[0], &headers),
    ];
    for (bytes, read) in cases {
        for position in (0..bytes.len()).step_by(bytes.len().div_ceil(60)) {
            read(bytes.get(..position).unwrap());
            for value in [0, 1, 0x7f, 0xff] {
                let mut damaged = bytes.to_vec();
                let end = damaged.len().min(position + 4);
                damaged.get_mut(position..end).unwrap().fill(value);
                read(&damaged);
            }
        }
    }
    let none = root_with(&[("var/lib/rpm/rpmdb.sqlite", b"no database")]);
    assert_eq!(installed(none.path()).unwrap(), []);
    assert_eq!(installed(root_with(&[]).path()).unwrap(), []);
}
