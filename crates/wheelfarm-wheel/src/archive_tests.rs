use std::io::{Cursor, Write as _};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;

const NAME: &str = "demo-1.0-py3-none-any.whl";
const WHEEL: &str = "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n";

fn zip_of(members: &[(&str, &str)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        writer.start_file(*name, options).unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn open(members: &[(&str, &str)]) -> Result<Wheel, WheelError> {
    Wheel::from_bytes(zip_of(members), NAME.parse().unwrap())
}

#[test]
fn a_wheel_is_read() {
    let wheel = open(&[
        ("demo.py", "x = 1\n"),
        ("demo-1.0.dist-info/WHEEL", WHEEL),
        (
            "demo-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n\ntext",
        ),
        (
            "demo-1.0.dist-info/RECORD",
            "demo.py,sha256=wrong,6\ngone.py,,\n",
        ),
    ])
    .unwrap();
    assert_eq!(wheel.dist_info(), "demo-1.0.dist-info");
    assert_eq!(wheel.read("demo.py").unwrap(), b"x = 1\n");
    assert_eq!(wheel.read_start("demo.py", 3).unwrap(), b"x =");
    assert_eq!(wheel.wheel_info().unwrap().tags().len(), 1);
    assert_eq!(wheel.metadata_file().unwrap().name(), "demo");
    let findings = wheel.verify_record().unwrap();
    for expected in [
        RecordFinding::WrongHash("demo.py".into()),
        RecordFinding::NotThere("gone.py".into()),
        RecordFinding::NotListed("demo-1.0.dist-info/WHEEL".into()),
    ] {
        assert!(findings.contains(&expected), "{findings:?}");
    }
    let error = wheel.read("nothing").unwrap_err();
    assert!(error.to_string().contains(NAME) && error.to_string().contains("nothing"));
}

#[test]
fn hostile_archives_are_refused() {
    let meta = ("demo-1.0.dist-info/WHEEL", WHEEL);
    for name in ["../evil", "/evil", "a\\b", "demo-1.0.dist-info"] {
        assert!(open(&[meta, (name, "")]).is_err(), "{name}");
    }
    assert!(open(&[("demo.py", "")]).is_err(), "no dist-info");
    assert!(open(&[meta, ("demo-2.dist-info/WHEEL", WHEEL)]).is_err());
    assert!(open(&[("other-1.0.dist-info/WHEEL", WHEEL)]).is_err());
    assert!(Wheel::from_bytes(&b"PK"[..], NAME.parse().unwrap()).is_err());
    let mut before = b"junk".to_vec();
    before.extend(zip_of(&[meta]));
    assert!(Wheel::from_bytes(before, NAME.parse().unwrap()).is_err());
}

#[test]
fn duplicate_names_are_refused() {
    // The zip library refuses to write duplicates: the second name is patched in.
    let mut bytes = zip_of(&[
        ("demo-1.0.dist-info/WHEEL", WHEEL),
        ("aa", "1"),
        ("ab", "2"),
    ]);
    let places: Vec<_> = (0..bytes.len() - 1)
        .filter(|at| &bytes[*at..at + 2] == b"ab")
        .collect();
    assert_eq!(places.len(), 2);
    for at in places {
        bytes[at + 1] = b'a';
    }
    assert!(Wheel::from_bytes(bytes, NAME.parse().unwrap()).is_err());
}

#[test]
fn damage_and_bombs_are_found() {
    let text = "0123456789".repeat(1000);
    let members = [("demo-1.0.dist-info/WHEEL", WHEEL), ("big", text.as_str())];
    let limits = Limits {
        member: 5000,
        ..Limits::default()
    };
    let error =
        Wheel::from_bytes_with(zip_of(&members), NAME.parse().unwrap(), limits).unwrap_err();
    assert!(
        matches!(error.problem, WheelProblem::TooLarge { .. }),
        "{error}"
    );
    for limits in [
        Limits {
            total: 10_001,
            ..Limits::default()
        },
        Limits {
            entries: 1,
            ..Limits::default()
        },
        Limits {
            archive: 10,
            ..Limits::default()
        },
    ] {
        assert!(Wheel::from_bytes_with(zip_of(&members), NAME.parse().unwrap(), limits).is_err());
    }

    let mut bytes = zip_of(&members);
    let at = (0..bytes.len())
        .find(|at| bytes[*at..].starts_with(b"big"))
        .unwrap();
    bytes[at + 10] ^= 0xff;
    let wheel = Wheel::from_bytes(bytes, NAME.parse().unwrap()).unwrap();
    let error = wheel.read("big").unwrap_err();
    assert!(
        matches!(error.problem, WheelProblem::Damaged { .. }),
        "{error}"
    );
}

#[test]
fn every_truncation_is_an_error_and_no_panic() {
    let bytes = zip_of(&[("demo-1.0.dist-info/WHEEL", WHEEL), ("demo.py", "x")]);
    for length in 0..bytes.len() {
        let cut = bytes[..length].to_vec();
        assert!(
            Wheel::from_bytes(cut, NAME.parse().unwrap()).is_err(),
            "{length}"
        );
    }
}

#[test]
fn files_are_opened_by_their_name() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = zip_of(&[("demo-1.0.dist-info/WHEEL", WHEEL)]);
    for (name, works) in [(NAME, true), ("demo.zip", false)] {
        let path = folder.path().join(name);
        fs_err::write(&path, &bytes).unwrap();
        assert_eq!(Wheel::open(&path).is_ok(), works, "{name}");
    }
    let error = Wheel::open(&folder.path().join("gone-1-py3-none-any.whl")).unwrap_err();
    assert!(error.to_string().contains("gone-1"), "{error}");
}
