//! Notes, strings and names: what other tables refer to.

use super::*;

/// Notes split or left behind: sections, note segments and the GNU property tell the same before and after.
#[test]
fn notes_and_properties_stay_together() {
    let fixture = Fixture::new();
    let options = ["-Wl,--build-id=sha1", "-fcf-protection=full"];
    for (kind, options) in [
        ("library", [&SHARED[..], &options].concat()),
        ("program", [&["-pie"][..], &options].concat()),
    ] {
        let original = compile(&fixture, kind, "int main(void) { return 0; }", &options);
        let edited = edit(&original, &rpath()).unwrap();
        // By sections, then by segments.
        for strip in [
            <[u8]>::to_vec as fn(&[u8]) -> Vec<u8>,
            without_section_headers,
        ] {
            let notes = |bytes: &[u8]| {
                let text = readelf("-n", &fixture.write("noted", &strip(bytes)));
                let lines = text.lines().filter(|line| !line.starts_with("Displaying"));
                lines.map(str::to_owned).collect::<Vec<_>>()
            };
            assert!(
                notes(&original)
                    .iter()
                    .any(|line| line.contains("NT_GNU_BUILD_ID"))
            );
            assert_eq!(notes(&edited), notes(&original), "{kind}");
        }
        let elf = Elf::parse(&edited).unwrap();
        if let Some(property) = find(&elf, PT_GNU_PROPERTY) {
            let notes = elf
                .segments()
                .iter()
                .filter(|segment| segment.kind == PT_NOTE);
            assert!(
                notes
                    .clone()
                    .any(|note| note.offset == property.offset && note.address == property.address)
            );
            assert!(is_mapped(&elf, &property));
            assert!(notes.into_iter().all(|note| is_mapped(&elf, note)));
        }
    }
}

/// A note header that an old editor left within the program headers leads to no notes. It is no reason to refuse an
/// edit, and leads to its section again.
#[test]
fn notes_among_the_program_headers_are_found_again() {
    let fixture = Fixture::new();
    let mut library = library(
        &fixture,
        "int answer(void) { return 42; }",
        &["-Wl,--build-id=sha1"],
    );
    let elf = Elf::parse(&library).unwrap();
    let table = elf.header().program_header_offset;
    let note = elf
        .segments()
        .iter()
        .rposition(|segment| segment.kind == PT_NOTE)
        .unwrap();
    // The last row of the table, which an edit changes.
    let last = table + 56 * (elf.segments().len() as u64 - 1);
    let at = usize::try_from(table).unwrap() + note * 56 + 8;
    let place = elf.segments().get(note).unwrap().offset;
    library.splice(at..at + 8, last.to_le_bytes());
    let edited = edit(&library, &renamed()).unwrap();
    let elf = Elf::parse(&edited).unwrap();
    let note = elf
        .segments()
        .iter()
        .rfind(|segment| segment.kind == PT_NOTE)
        .unwrap();
    assert!(
        is_mapped(&elf, note) && (note.offset == place || note.offset > last),
        "{note:?}"
    );
    let path = fixture.write("edited.so", &edited);
    assert_eq!(call(&[], &path, "answer"), 42);
}

/// Several edits in one call clobber each other.
#[test]
fn all_edits_at_once() {
    let fixture = Fixture::new();
    for name in ["one", "two", "three"] {
        let source = format!("int {name}(void) {{ return 14; }}");
        fixture.write(
            "versions",
            format!("V_{name} {{ global: {name}; local: *; }};").as_bytes(),
        );
        let soname = format!("-Wl,-soname,lib{name}.so");
        let options = [&SHARED[..], &["-Wl,--version-script=versions", &soname]].concat();
        fixture.compile(&format!("lib{name}.so"), &source, &options);
    }
    let source = "int one(void); int two(void); int three(void); int answer(void) { return one() + two() + three(); }";
    let needed = [
        "-Wl,--no-as-needed",
        "libone.so",
        "libtwo.so",
        "libthree.so",
        "-lm",
        "-Wl,-soname,libuser.so",
    ];
    let original = library(&fixture, source, &needed);
    for name in ["one", "two", "three"] {
        let from = fixture.path().join(format!("lib{name}.so"));
        fs_err::rename(from, fixture.path().join(format!("lib{name}-0a1b2c3d.so"))).unwrap();
    }
    let replaced = ["one", "two", "three"]
        .map(|name| (format!("lib{name}.so"), format!("lib{name}-0a1b2c3d.so")));
    let edits = Edits {
        soname: Some("libuser-0a1b2c3d.so".into()),
        replace_needed: BTreeMap::from(replaced),
        remove_needed: BTreeSet::from(["libm.so.6".to_owned()]),
        add_needed: vec!["libdl.so.2".into()],
        rpath: RpathEdit::SetRpath("$ORIGIN".into()),
        no_default_libraries: false,
        debug_tag: true,
        executable_stack: Some(false),
        ..Edits::default()
    };
    let edited = edit(&original, &edits).unwrap();
    let elf = Elf::parse(&edited).unwrap();
    let needed = [
        "libdl.so.2",
        "libone-0a1b2c3d.so",
        "libtwo-0a1b2c3d.so",
        "libthree-0a1b2c3d.so",
    ];
    assert_eq!(elf.needed().get(..4), Some(&needed[..]));
    assert_eq!(elf.soname(), Some("libuser-0a1b2c3d.so"));
    let path = fixture.write("edited.so", &edited);
    assert_eq!(call(&[], &path, "answer"), 42);
}

/// `.dynstr` tail merging: the old search path is the end of a symbol's name.
#[test]
fn a_search_path_that_is_part_of_a_symbol_name() {
    let fixture = Fixture::new();
    let options = ["-Wl,-rpath,answer"];
    let original = library(&fixture, "int the_answer(void) { return 42; }", &options);
    let shared = original
        .windows(8)
        .filter(|bytes| bytes == b"\0answer\0")
        .count();
    assert_eq!(shared, 0, "the linker shares the end of `the_answer`");
    for rpath in [
        RpathEdit::Remove,
        RpathEdit::SetRpath("x".into()),
        RpathEdit::SetRunpath(PATH.into()),
    ] {
        let edits = Edits {
            rpath,
            ..Edits::default()
        };
        let path = fixture.write("edited.so", &edit(&original, &edits).unwrap());
        assert_eq!(call(&[], &path, "the_answer"), 42);
    }
}

/// Several string tables, duplicate names of sections: what a section is called does not matter.
#[test]
fn section_names_are_not_trusted() {
    let fixture = Fixture::new();
    let original = library(&fixture, "int answer(void) { return 42; }", &[]);
    for (old, new) in [
        (&b"\0.comment\0"[..], &b"\0.dynstr\0\0"[..]),
        (b"\0.comment\0", b"\0.dynamic\0"),
        (b"\0.dynstr\0", b"\0.strtab\0"),
        (b"\0.dynamic\0", b"\0.comment\0"),
    ] {
        let at = original
            .windows(old.len())
            .rposition(|bytes| bytes == old)
            .unwrap();
        let mut confusing = original.clone();
        confusing.splice(at..at + old.len(), new.iter().copied());
        let edited = edit(&confusing, &renamed()).unwrap();
        let elf = Elf::parse(&edited).unwrap();
        assert_eq!(elf.rpath(), Some(PATH));
        assert_eq!(elf.soname(), Some("librenamed-0a1b2c3d.so.1"));
        let path = fixture.write("edited.so", &edited);
        assert_eq!(call(&[], &path, "answer"), 42);
    }
}
