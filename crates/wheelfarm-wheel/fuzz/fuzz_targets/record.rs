//! RECORD: what is read is what is written, and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wheelfarm_wheel::Record;

fuzz_target!(|text: &str| {
    let Ok(record) = Record::parse(text) else {
        return;
    };
    assert!(record.rows.len() <= text.len());
    let written = record.to_text();
    assert_eq!(Record::parse(&written).as_ref(), Ok(&record));
    assert_eq!(
        Record::parse(&written.replace('\n', "\r\n")).map(|same| same.rows.len()),
        Ok(record.rows.len())
    );
});
