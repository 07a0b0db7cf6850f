//! Any archive: refused, or read within its limits; and what can be read can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wheelfarm_types::Digest;
use wheelfarm_wheel::{EntryKind, Limits, RecordFinding, Wheel, WheelWriter};

const NAME: &str = "x-1-py3-none-any.whl";
const LIMITS: Limits = Limits {
    archive: 1 << 20,
    entries: 64,
    member: 1 << 20,
    total: 2 << 20,
};

fuzz_target!(|data: &[u8]| {
    let filename = || NAME.parse().expect("a file name");
    let Ok(wheel) = Wheel::from_bytes_with(data.to_vec(), filename(), LIMITS) else {
        return;
    };
    check_entries(&wheel);
    let _ = (wheel.wheel_info(), wheel.metadata_file());
    if let Ok(findings) = wheel.verify_record() {
        let listed = |name: &str| {
            let finding = RecordFinding::NotListed(name.to_owned());
            !findings.contains(&finding)
        };
        let record = wheel.record().expect("a RECORD that was compared");
        for entry in wheel.entries() {
            let is_there = record.rows.iter().any(|row| row.path == entry.name);
            assert!(
                is_there
                    || !listed(&entry.name)
                    || entry.name.contains("/RECORD")
                    || entry.name.ends_with('/')
            );
        }
    }

    let Ok(writer) = WheelWriter::from_wheel(&wheel, filename()) else {
        return;
    };
    let Ok(written) = writer.finish() else {
        return;
    };
    let again = Wheel::from_bytes(written.clone(), filename()).expect("a wheel that was written");
    assert_eq!(again.verify_record().expect("a RECORD"), []);
    for entry in wheel.entries() {
        let signature = matches!(
            entry.name.strip_prefix(wheel.dist_info()),
            Some("/RECORD" | "/RECORD.jws" | "/RECORD.p7s")
        );
        if entry.kind == EntryKind::Directory || signature {
            continue;
        }
        let file = wheel.follow(entry).expect("a link that was followed");
        let content = wheel.read(&file.name).expect("a member that was copied");
        assert_eq!(again.read(&entry.name).expect("a member"), content);
        let kept = again.entry(&entry.name).expect("an entry");
        assert_eq!((kept.size, kept.executable), (file.size, file.executable));
    }
    let twice = WheelWriter::from_wheel(&again, filename()).and_then(WheelWriter::finish);
    assert!(
        twice.expect("a wheel") == written,
        "writing twice changes bytes"
    );
});

fn check_entries(wheel: &Wheel) {
    let mut total = 0;
    assert!(wheel.entries().len() <= LIMITS.entries);
    for entry in wheel.entries() {
        let name = entry.name.as_str();
        assert!(!name.starts_with('/') && !name.contains(['\\', '\0', '\n']));
        assert!(!name.split('/').any(|part| part == ".."));
        assert_eq!(wheel.entry(name), Some(entry));
        let _place = wheel.installed(name);
        total += entry.size;
        let start = wheel.read_start(name, 16);
        if let Ok(content) = wheel.read(name) {
            assert_eq!(content.len() as u64, entry.size);
            assert!(content.starts_with(&start.expect("a member that can be read")));
            let _digest = Digest::of(&content);
        }
        if let Ok(file) = wheel.follow(entry) {
            assert_ne!(file.kind, EntryKind::Symlink);
        }
    }
    assert!(total <= LIMITS.total);
}
