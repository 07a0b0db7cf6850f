use std::io::{Cursor, Write as _};

use zip::CompressionMethod;
use zip::write::{SimpleFileOptions, ZipWriter};

use super::*;
use crate::WheelProblem;

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

fn written(source: &Wheel) -> Wheel {
    WheelWriter::from_wheel(source, NAME.parse().unwrap())
        .unwrap()
        .finish_wheel()
        .unwrap()
}

#[test]
fn bytes_depend_on_contents_alone() {
    let one = written(&source(CompressionMethod::Stored, false));
    let two = written(&source(CompressionMethod::Deflated, true));
    assert_eq!(one.bytes(), two.bytes());
    assert_eq!(one.bytes(), written(&one).bytes());
}

#[test]
fn order_modes_links_and_record() {
    let wheel = written(&source(CompressionMethod::Deflated, true));
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
    let source = source(CompressionMethod::Deflated, false);
    let mut writer = WheelWriter::from_wheel(&source, NAME.parse().unwrap()).unwrap();
    let content = Deflated::of(source.read("zoo.py").unwrap());
    writer.insert_deflated("zoo.py", content, false).unwrap();
    assert_eq!(&writer.finish().unwrap(), written(&source).bytes());
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
    writer.insert("a", "", false).unwrap();
    let mut clash = writer.clone();
    clash.insert("a/b", "", false).unwrap();
    assert!(clash.finish().is_err());
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
