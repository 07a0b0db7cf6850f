//! Reading any bytes ends, without a panic, and what is read keeps what the documentation promises.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wheelfarm_elf::{Elf, Parts};

fuzz_target!(|data: &[u8]| {
    let parsed = Elf::parse(data);
    check_parts(data, parsed.as_ref().ok());
    let Ok(elf) = parsed else { return };
    assert!(Elf::is_elf(data));
    let header = elf.header();
    assert_eq!(elf.segments().len() as u64, header.program_header_count);
    assert!(elf.dynamic_entries().iter().all(|entry| entry.tag != 0));
    assert!(elf.is_dynamic() || elf.dynamic_entries().is_empty());
    let symbols = elf.dynamic_symbols();
    for name in names(&elf) {
        // A name is a piece of the file: nothing is made up, nothing goes on behind its end.
        assert!(!name.contains('\0') && name.len() < data.len());
    }
    for symbol in symbols.iter().flatten() {
        assert!(!symbol.name.contains('\0'));
        assert!(symbol.version.is_some() || symbol.version_file.is_none());
    }

    // Nothing depends on where the file ends: more bytes behind it change nothing.
    let longer = [data, &[0x55; 64]].concat();
    let again = Elf::parse(&longer).expect("an object with something behind it");
    assert_eq!(again.header(), header);
    assert_eq!(again.segments(), elf.segments());
    assert_eq!(again.dynamic_entries(), elf.dynamic_entries());
    assert_eq!(names(&again), names(&elf));
    assert_eq!(again.is_executable(), elf.is_executable());
    assert_eq!(again.no_default_libraries(), elf.no_default_libraries());
    assert_eq!(again.has_executable_stack(), elf.has_executable_stack());
    if let Ok(symbols) = symbols {
        assert_eq!(again.dynamic_symbols(), Ok(symbols));
    }
    let _isa = elf.x86_isa_needed();
    assert_eq!(again.arm_cpu_arch(), elf.arm_cpu_arch());
});

/// Without the middle of the file either something is missed, or all is read as it is.
fn check_parts(data: &[u8], whole: Option<&Elf<'_>>) {
    let Some(parts) = Parts::of(data, data.len() as u64) else {
        return;
    };
    let part = |at: u64| usize::try_from(at).expect("an offset in the file");
    let (head, tail) = (&data[..part(parts.head)], &data[part(parts.tail)..]);
    let Ok(elf) = Elf::parse_parts(head, parts.tail, tail) else {
        return;
    };
    let whole = whole.expect("an object that could be read in parts");
    assert_eq!(elf.header(), whole.header());
    assert_eq!(elf.dynamic_entries(), whole.dynamic_entries());
    assert_eq!(names(&elf), names(whole));
    assert_eq!(elf.x86_isa_needed(), whole.x86_isa_needed());
    assert_eq!(elf.arm_cpu_arch(), whole.arm_cpu_arch());
    if let Ok(symbols) = elf.dynamic_symbols() {
        assert_eq!(whole.dynamic_symbols(), Ok(symbols));
    }
}

fn names<'a>(elf: &Elf<'a>) -> Vec<&'a str> {
    let needs = elf.version_needs().iter().flat_map(|need| {
        let versions = need.versions.iter().map(|version| version.name);
        versions.chain([need.file])
    });
    let definitions = elf.version_definitions().iter();
    let definitions = definitions.flat_map(|one| one.parents.iter().copied().chain([one.name]));
    let options = [elf.interpreter(), elf.soname(), elf.rpath(), elf.runpath()];
    elf.needed()
        .iter()
        .copied()
        .chain(options.into_iter().flatten())
        .chain(needs)
        .chain(definitions)
        .collect()
}
