//! Any members: refused, or a wheel that holds them and nothing else.
#![no_main]

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use wheelfarm_wheel::{Deflated, Level, Wheel, WheelWriter};

#[derive(Debug, Arbitrary)]
struct Member<'a> {
    name: &'a str,
    content: &'a [u8],
    repeat: u8,
    executable: bool,
    deflated: bool,
}

fuzz_target!(|input: (u8, Vec<Member>)| {
    let (level, members) = input;
    let filename = || "x-1-py3-none-any.whl".parse().expect("a file name");
    let mut writer = WheelWriter::new(filename());
    let mut expected = BTreeMap::new();
    let info = format!("{}/WHEEL", writer.dist_info());
    writer
        .insert(&info, "Wheel-Version: 1.0\n", false)
        .expect("a member");
    for member in &members {
        let content = member.content.repeat(usize::from(member.repeat) + 1);
        let inserted = if member.deflated {
            let kept = Deflated::of(content.clone()).to_bytes();
            let kept = Deflated::from_bytes(&kept.into()).expect("what was kept");
            writer.insert_deflated(member.name, kept, member.executable)
        } else {
            writer.insert(member.name, content.clone(), member.executable)
        };
        if inserted.is_ok() {
            expected.insert(member.name, (content, member.executable));
        }
    }
    if let Some(level) = Level::new(level) {
        writer = writer.at_level(level);
    }
    let Ok(bytes) = writer.finish() else { return };
    let wheel = Wheel::from_bytes(bytes, filename()).expect("a wheel that was written");
    assert_eq!(wheel.verify_record().expect("a RECORD"), []);
    let record = format!("{}/RECORD", wheel.dist_info());
    for (name, (content, executable)) in &expected {
        if *name == record {
            continue;
        }
        assert!(&wheel.read(name).expect("a member") == content);
        assert_eq!(
            wheel.entry(name).map(|entry| entry.executable),
            Some(*executable)
        );
    }
    for entry in wheel.entries() {
        let name = entry.name.as_str();
        assert!(name == record || name == info || expected.contains_key(name));
    }
});
