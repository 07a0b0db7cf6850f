//! File names of distributions: what is read is what is written, and nothing in it is a path.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wheelfarm_types::{ProjectName, SdistFilename, WheelFilename};

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<ProjectName>() {
        let written = name.to_string();
        assert_eq!(written.parse(), Ok(name));
    }
    if let Ok(name) = text.parse::<SdistFilename>() {
        assert!(!text.contains(['/', '\\', '\0']) && text.starts_with(name.stem()));
    }
    if let Ok(name) = text.parse::<WheelFilename>() {
        assert!(!text.contains(['/', '\\', '\0']));
        assert_eq!(name.to_string(), text);
        assert_eq!(
            name.tags().count(),
            name.pythons.len() * name.abis.len() * name.platforms.len()
        );
        assert!(name.project().is_ok() && name.parsed_version().is_ok());
        assert!(text.starts_with(&name.stem()));
    }
});
