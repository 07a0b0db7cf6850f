//! The headers of WHEEL and METADATA: what is read is what is written, and back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wheelfarm_wheel::{Headers, WheelWriter};

fuzz_target!(|text: &str| {
    let Ok(headers) = Headers::parse(text) else {
        return;
    };
    let written = headers.to_string();
    assert_eq!(Headers::parse(&written).as_ref(), Ok(&headers));
    for name in ["Tag", "tag", "Name"] {
        assert_eq!(headers.get(name), headers.get_all(name).next());
    }

    // As a file of a wheel: what it says of itself is read, changed and read again.
    let filename = "x-1-py3-none-any.whl".parse().expect("a file name");
    let mut writer = WheelWriter::new(filename);
    for file in ["WHEEL", "METADATA"] {
        let name = format!("x-1.dist-info/{file}");
        writer
            .insert(&name, text.to_owned(), false)
            .expect("a member");
    }
    let wheel = writer.finish_wheel().expect("a wheel");
    let _metadata = wheel.metadata_file().map(|metadata| {
        assert!(!metadata.name().is_empty() && !metadata.version().is_empty());
        (
            metadata.requires_dist().len(),
            metadata.requires_python().map(str::len),
        )
    });
    let Ok(mut info) = wheel.wheel_info() else {
        return;
    };
    let tags = info.tags();
    info.set_tags(&tags);
    info.set_root_is_purelib(true);
    info.set_build(None);
    assert_eq!(info.tags(), tags);
    assert!(info.root_is_purelib() && info.build().is_none());
    assert_eq!(Headers::parse(&info.headers.to_string()), Ok(info.headers));
});
