//! The reader against the libraries of this machine, and against `readelf`.

mod support;

use std::collections::BTreeSet;

use support::{Fixture, readelf, system_libraries};
use wheelfarm_elf::{Elf, constants};

/// The names in brackets on the `readelf -d` lines with `(tag)`.
fn bracketed(text: &str, tag: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.contains(tag))
        .filter_map(|line| Some(line.split_once('[')?.1.rsplit_once(']')?.0.to_owned()))
        .collect()
}

#[test]
fn agrees_with_readelf_on_system_libraries() {
    let libraries = system_libraries(40);
    for path in &libraries {
        let bytes = fs_err::read(path).unwrap();
        let elf = Elf::parse(&bytes).unwrap();

        let dynamic = readelf("-d", path);
        let soname: Vec<_> = elf.soname().into_iter().collect();
        assert_eq!(
            soname,
            bracketed(&dynamic, "(SONAME)"),
            "{}",
            path.display()
        );
        assert_eq!(
            elf.needed(),
            bracketed(&dynamic, "(NEEDED)"),
            "{}",
            path.display()
        );

        // `name@VERSION (index)` of needed, `name@@VERSION` of defined symbols.
        let listed: BTreeSet<String> = readelf("--dyn-syms", path)
            .lines()
            .filter(|line| line.trim_start().starts_with(|c: char| c.is_ascii_digit()))
            .filter_map(|line| {
                let mut columns = line.split_whitespace().skip(6);
                let section = columns.next()?;
                let name = columns.next().unwrap_or_default();
                Some(format!("{} {name}", section != "UND"))
            })
            .collect();
        let ours: BTreeSet<String> = elf
            .dynamic_symbols()
            .unwrap()
            .iter()
            .map(|symbol| {
                let at = if symbol.defined && !symbol.hidden {
                    "@@"
                } else {
                    "@"
                };
                // readelf does not repeat it for the symbol of the version itself.
                let version = symbol.version.filter(|version| symbol.name != *version);
                let version = version.map(|version| format!("{at}{version}"));
                let version = version.unwrap_or_default();
                format!("{} {}{version}", symbol.defined, symbol.name)
            })
            .collect();
        // readelf shows symbol 0, which has no name.
        let listed: BTreeSet<String> = listed.into_iter().filter(|line| line != "false ").collect();
        assert_eq!(ours, listed, "{}", path.display());
        assert!(!ours.is_empty(), "{}", path.display());
    }
}

#[test]
fn section_headers_are_not_needed() {
    for path in &system_libraries(40) {
        let bytes = fs_err::read(path).unwrap();
        let bare = support::without_section_headers(&bytes);
        let with = Elf::parse(&bytes).unwrap();
        let without = Elf::parse(&bare).unwrap();
        assert_eq!(with.needed(), without.needed());
        assert_eq!(with.version_needs(), without.version_needs());
        assert_eq!(with.version_definitions(), without.version_definitions());
        assert_eq!(
            with.dynamic_symbols().unwrap(),
            without.dynamic_symbols().unwrap(),
            "{}",
            path.display()
        );
    }
}

#[test]
fn reads_the_isa_level_and_executable_stack() {
    let fixture = Fixture::new();
    let source = "int answer(void) { return 42; }";
    let plain = fixture.compile("plain", source, &["-shared", "-fPIC"]);
    let plain = fs_err::read(plain).unwrap();
    let plain = Elf::parse(&plain).unwrap();
    assert!(!plain.has_executable_stack());
    assert!(!plain.is_executable());
    assert_eq!(
        plain.x86_isa_needed() & constants::GNU_PROPERTY_X86_ISA_1_V3,
        0
    );

    let options = ["-shared", "-fPIC", "-Wl,-z,execstack", "-Wl,-z,x86-64-v3"];
    let demanding = fixture.compile("demanding", source, &options);
    let demanding = fs_err::read(demanding).unwrap();
    let demanding = Elf::parse(&demanding).unwrap();
    assert!(demanding.has_executable_stack());
    assert_ne!(
        demanding.x86_isa_needed() & constants::GNU_PROPERTY_X86_ISA_1_V3,
        0
    );
}

#[test]
fn tells_programs_from_libraries_and_objects() {
    let fixture = Fixture::new();
    let source = "int main(void) { return 0; }";
    let program = fs_err::read(fixture.compile("program", source, &["-pie", "-fPIE"])).unwrap();
    let program = Elf::parse(&program).unwrap();
    assert!(program.is_executable());
    assert!(program.is_dynamic());
    assert!(
        program
            .interpreter()
            .is_some_and(|path| path.contains("/ld"))
    );

    let object = fs_err::read(fixture.compile("object.o", source, &["-c"])).unwrap();
    let object = Elf::parse(&object).unwrap();
    assert_eq!(object.header().kind, constants::ET_REL);
    assert!(!object.is_dynamic());
    assert_eq!(object.dynamic_symbols().unwrap(), []);

    let fixed = fixture.compile("static", source, &["-static", "-nostdlib", "-Wl,-e,main"]);
    let fixed = fs_err::read(fixed).unwrap();
    let fixed = Elf::parse(&fixed).unwrap();
    assert!(fixed.is_executable());
    assert!(!fixed.is_dynamic());
}
