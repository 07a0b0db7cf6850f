use std::io::{Cursor, Write as _};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;
use crate::{RecordFinding, WheelProblem};

const NAME: &str = "demo-1.0-cp311-cp311-linux_x86_64.whl";
const WHEEL: &str = "Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\n";

fn source(method: CompressionMethod, reversed: bool) -> Wheel {
    let text = "some text ".repeat(500);
    let mut members = vec![
        ("demo-1.0.dist-info/RECORD", "", 0o644),
        ("demo-1.0.dist-info/RECORD.jws", "{}", 0o644),
        ("demo-1.0.dist-info/WHEEL", WHEEL, 0o600),
        ("demo/tool", "#!/bin/sh\n", 0o700),
        ("zoo.py", text.as_str(), 0o666),
    ];
    if reversed {
        members.reverse();
    }
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(method);
    writer.add_directory("demo", options).unwrap();
    for (name, content, mode) in members {
        writer
            .start_file(name, options.unix_permissions(mode))
            .unwrap();
        writer.write_all(content.as_bytes()).unwrap();
    }
    writer
        .add_symlink("demo/link.py", "../zoo.py", options)
        .unwrap();
    let bytes = writer.finish().unwrap().into_inner();
    Wheel::from_bytes(bytes, NAME.parse().unwrap()).unwrap()
}

fn opened(bytes: Vec<u8>) -> Wheel {
    Wheel::from_bytes(bytes, NAME.parse().unwrap()).unwrap()
}

fn writer(source: &Wheel) -> WheelWriter<'static> {
    WheelWriter::from_wheel(source, NAME.parse().unwrap()).unwrap()
}

fn bytes(source: &Wheel) -> Vec<u8> {
    writer(source).finish().unwrap()
}

#[test]
fn bytes_depend_on_contents_alone() {
    for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
        let one = bytes(&source(method, false));
        assert_eq!(one, bytes(&source(method, true)));
        assert_eq!(one, bytes(&opened(one.clone())));
    }
}

#[test]
fn a_level_makes_equal_bytes_of_equal_contents() {
    let level = Level::new(9).unwrap();
    let at_level = |method| writer(&source(method, false)).at_level(level).finish();
    let one = at_level(CompressionMethod::Stored).unwrap();
    assert_eq!(one, at_level(CompressionMethod::Deflated).unwrap());
    let stored = writer(&source(CompressionMethod::Stored, false))
        .at_level(Level::new(0).unwrap())
        .finish()
        .unwrap();
    assert!(stored.len() > one.len() + 4000);
}

#[test]
fn members_that_stay_keep_their_compressed_bytes() {
    let source = source(CompressionMethod::Deflated, false);
    let written = opened(bytes(&source));
    for name in ["zoo.py", "demo/tool", "demo-1.0.dist-info/WHEEL"] {
        let packed = |wheel: &Wheel| {
            let copied = wheel.copied(name, None).unwrap();
            let (start, packed) = (copied.place.start, copied.place.packed);
            copied.source.read_at(start, packed).unwrap()
        };
        assert_eq!(packed(&source), packed(&written), "{name}");
    }
}

#[test]
fn known_digests_are_taken_and_others_computed() {
    let source = source(CompressionMethod::Deflated, false);
    let told = wheelfarm_types::Digest::of("told");
    let known = |name: &str| (name == "zoo.py").then_some(told);
    let writer = WheelWriter::from_hashed(&source, NAME.parse().unwrap(), known).unwrap();
    let findings = writer.finish_wheel().unwrap().verify_record().unwrap();
    let expected = ["demo/link.py", "zoo.py"].map(|name| RecordFinding::WrongHash(name.to_owned()));
    assert_eq!(findings, expected);
}

#[test]
fn damaged_members_are_not_copied() {
    let mut archive = bytes(&source(CompressionMethod::Deflated, false));
    let at = (0..archive.len())
        .find(|at| archive[*at..].starts_with(b"zoo.py"))
        .unwrap();
    archive[at + 10] ^= 0xff;
    let error = writer(&opened(archive)).finish().unwrap_err();
    assert!(error.to_string().contains("zoo.py"), "{error}");
}

#[test]
fn windows_hold_all_members_in_their_order() {
    let sizes = [WINDOW + 1, 1, 1, WINDOW - 1, 0, WINDOW];
    let members = sizes.iter().enumerate().map(|(number, size)| {
        let content = Content::Plain(vec![0; usize::try_from(*size).unwrap()].into());
        let member = Member {
            content,
            executable: false,
        };
        (number.to_string(), member)
    });
    let counts: Vec<_> = windows(members)
        .map(|window| window.iter().map(|(name, _)| name.clone()).collect())
        .map(|names: Vec<_>| names.join(" "))
        .collect();
    assert_eq!(counts, ["0", "1 2", "3 4", "5"]);
}

#[test]
fn order_modes_links_and_record() {
    let wheel = opened(bytes(&source(CompressionMethod::Deflated, true)));
    let entries: Vec<_> = wheel
        .entries()
        .iter()
        .map(|entry| (entry.name.as_str(), entry.executable))
        .collect();
    assert_eq!(
        entries,
        [
            ("demo/link.py", false),
            ("demo/tool", true),
            ("zoo.py", false),
            ("demo-1.0.dist-info/WHEEL", false),
            ("demo-1.0.dist-info/RECORD", false),
        ]
    );
    assert_eq!(
        wheel.read("demo/link.py").unwrap(),
        wheel.read("zoo.py").unwrap()
    );
    assert_eq!(wheel.verify_record().unwrap(), []);
    let record = wheel.read("demo-1.0.dist-info/RECORD").unwrap();
    assert!(record.ends_with(b"\ndemo-1.0.dist-info/RECORD,,\n"));
}

#[test]
fn precompressed_members_make_the_same_wheel() {
    let source = source(CompressionMethod::Stored, false);
    let mut writer = writer(&source);
    let content = Deflated::of(source.read("zoo.py").unwrap());
    writer.insert_deflated("zoo.py", content, false).unwrap();
    assert_eq!(writer.finish().unwrap(), bytes(&source));
}

#[test]
fn members_are_replaced_and_checked() {
    let mut writer = WheelWriter::new(NAME.parse().unwrap());
    let wheel = format!("{}/WHEEL", writer.dist_info());
    writer.insert(&wheel, "old", false).unwrap();
    writer.insert(&wheel, WHEEL, false).unwrap();
    writer.insert("gone", "", false).unwrap();
    assert!(writer.remove("gone") && !writer.remove("gone"));
    assert!(writer.insert("../x", "", false).is_err());
    // It would be read as a directory, and its content with it.
    assert!(writer.insert("directory/", "x", true).is_err());
    writer.insert("a", "", false).unwrap();
    let mut clash = writer.clone();
    clash.insert("a/b", "", false).unwrap();
    assert!(clash.finish().is_err());
    let mut other = writer.clone();
    other.insert("x-2.dist-info/WHEEL", WHEEL, false).unwrap();
    assert!(other.finish().is_err());
    let wheel = writer.finish_wheel().unwrap();
    assert_eq!(wheel.wheel_info().unwrap().tags().len(), 1);
}

#[test]
fn links_out_of_the_wheel_are_errors() {
    let options = SimpleFileOptions::default();
    for target in ["/etc/passwd", "../../x", "gone", "loop"] {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        writer
            .start_file("demo-1.0.dist-info/WHEEL", options)
            .unwrap();
        writer.add_symlink("loop", target, options).unwrap();
        let bytes = writer.finish().unwrap().into_inner();
        let wheel = Wheel::from_bytes(bytes, NAME.parse().unwrap()).unwrap();
        let error = WheelWriter::from_wheel(&wheel, NAME.parse().unwrap()).unwrap_err();
        assert!(
            matches!(error.problem, WheelProblem::Link { .. }),
            "{error}"
        );
    }
}

#[test]
fn made_members_are_written_and_their_errors_come_back() {
    let source = source(CompressionMethod::Stored, false);
    let content = source.read("zoo.py").unwrap();
    let mut made = writer(&source);
    let make = || Ok(Deflated::of(content.clone()));
    made.insert_made("zoo.py", content.len() as u64, make, false)
        .unwrap();
    assert_eq!(made.finish().unwrap(), bytes(&source));

    let mut failing = writer(&source);
    failing
        .insert_made("zoo.py", 1, || Err("no such thing".into()), false)
        .unwrap();
    let error = failing.finish().unwrap_err();
    assert!(
        matches!(&error.problem, WheelProblem::Content { name, .. } if name == "zoo.py"),
        "{error}"
    );
    assert!(error.to_string().contains("no such thing"), "{error}");
}
