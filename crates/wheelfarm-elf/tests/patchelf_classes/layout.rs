//! Where things lie: segments, alignment, growth, strips afterwards.

use super::*;

/// Strip and llvm-strip corrupt, alignment of segments: the header that begins the new segment together with it
/// would be taken for its owner by `llvm-strip`, and then the segment for one that needs no alignment.
#[test]
fn strips_keep_the_new_segment_aligned() {
    let fixture = Fixture::new();
    for (name, kind) in [
        ("pie", ["-pie", "-fPIE"]),
        ("fixed", ["-no-pie", "-fno-pie"]),
    ] {
        let program = compile(&fixture, name, "int main(void) { return 40; }", &kind);
        let edited = edit(&program, &rpath()).unwrap();
        let elf = Elf::parse(&edited).unwrap();
        let new = *loads(&elf).last().unwrap();
        assert_eq!(
            find(&elf, PT_INTERP).unwrap().offset,
            new.offset,
            "what this is about"
        );
        let index = elf
            .segments()
            .iter()
            .position(|segment| *segment == new)
            .unwrap();
        for segment in elf.segments().iter().take(index) {
            let begins_it = segment.offset == new.offset && segment.file_size > 0;
            assert!(!begins_it || segment.align == new.align, "{segment:?}");
        }
        let path = write_program(&fixture, "edited", &edited);
        for (tool, options) in [
            ("strip", ["-s"]),
            ("strip", ["--strip-unneeded"]),
            ("llvm-strip", ["-s"]),
        ] {
            let stripped = fixture.path().join("stripped");
            let mut command = Command::new(tool);
            command.args(options).arg("-o").args([&stripped, &path]);
            if tool == "llvm-strip" && command.output().is_err() {
                continue; // Not everywhere; what it needs was looked at above.
            }
            run(&mut command);
            let bytes = fs_err::read(&stripped).unwrap();
            let elf = Elf::parse(&bytes).unwrap();
            for load in loads(&elf) {
                assert_eq!(
                    load.offset % load.align,
                    load.address % load.align,
                    "{name} {tool}"
                );
            }
            assert_eq!(exit_code(&stripped), Some(40), "{name} {tool}");
        }
    }
}

/// Notes may stand before loadable segments too, as `mold` has them.
#[test]
fn notes_do_not_own_the_new_segment() {
    let fixture = Fixture::new();
    let options = ["-Wl,--build-id=sha1", "-Wl,-z,separate-code"];
    let mut library = library(&fixture, "int answer(void) { return 42; }", &options);
    // All note headers before the others.
    let elf = Elf::parse(&library).unwrap();
    let start = usize::try_from(elf.header().program_header_offset).unwrap();
    let is_note = |segment: &&Segment| matches!(segment.kind, PT_NOTE | PT_GNU_PROPERTY);
    let (notes, others): (Vec<&Segment>, Vec<&Segment>) = elf.segments().iter().partition(is_note);
    assert!(!notes.is_empty());
    let rows: Vec<Vec<u8>> = notes
        .iter()
        .chain(&others)
        .map(|wanted| {
            let index = elf
                .segments()
                .iter()
                .position(|segment| segment == *wanted)
                .unwrap();
            library
                .get(start + index * 56..start + (index + 1) * 56)
                .unwrap()
                .to_vec()
        })
        .collect();
    let rows = rows.concat();
    library.splice(start..start + rows.len(), rows);
    let edited = edit(&library, &renamed()).unwrap();
    let elf = Elf::parse(&edited).unwrap();
    let new = *loads(&elf).last().unwrap();
    let index = elf
        .segments()
        .iter()
        .position(|segment| *segment == new)
        .unwrap();
    for segment in elf.segments().iter().take(index) {
        assert!(
            segment.offset != new.offset || segment.file_size == 0,
            "{segment:?}"
        );
    }
    assert!(
        elf.segments()
            .iter()
            .any(|segment| segment.kind == PT_NOTE && segment.offset == new.offset)
    );
    let path = fixture.write("edited.so", &edited);
    assert_eq!(call(&[], &path, "answer"), 42);
}

/// Segment alignment on pages of 64 KiB and more, and file inflation: no padding whatever the page size.
#[test]
fn large_pages_cost_no_bytes() {
    for page in ["0x1000", "0x4000", "0x10000", "0x200000"] {
        let fixture = Fixture::new();
        let option = format!("-Wl,-z,max-page-size={page}");
        let original = library(&fixture, "int answer(void) { return 42; }", &[&option]);
        let edited = edit(&original, &renamed()).unwrap();
        assert!(
            edited.len() - original.len() < 1024,
            "{page}: {} bytes",
            edited.len() - original.len()
        );
        let elf = Elf::parse(&edited).unwrap();
        let all = loads(&elf);
        let align = all.iter().map(|load| load.align).max().unwrap();
        assert_eq!(format!("{align:#x}"), page);
        for pair in all.windows(2) {
            let [one, next] = pair else { continue };
            // No page belongs to two segments.
            assert!(
                (one.address + one.memory_size).next_multiple_of(align)
                    <= next.address / align * align + align
            );
        }
        let new = all.last().unwrap();
        assert_eq!(new.align, align);
        assert_eq!(new.offset % align, new.address % align);
        let path = fixture.write("edited.so", &edited);
        assert_eq!(call(&[], &path, "answer"), 42);
    }
}

/// File inflation by repeated edits: there and back again takes no more room than there.
#[test]
fn repeated_edits_do_not_inflate() {
    let fixture = Fixture::new();
    let library = library(
        &fixture,
        "int answer(void) { return 42; }",
        &["-Wl,--spare-dynamic-tags=0"],
    );
    let with = |bytes: &[u8], path: &str| {
        let edits = Edits {
            rpath: RpathEdit::SetRunpath(path.into()),
            ..Edits::default()
        };
        edit(bytes, &edits).unwrap()
    };
    let mut bytes = with(&with(&library, "/first/path"), "/second/path");
    let (size, segments) = (bytes.len(), Elf::parse(&bytes).unwrap().segments().len());
    for _ in 0..20 {
        bytes = with(&with(&bytes, "/first/path"), "/second/path");
    }
    assert_eq!(bytes.len(), size);
    // New names cost their own bytes and not a new copy of all others.
    for round in 0..100 {
        bytes = with(&bytes, &format!("/path/number/{round}"));
    }
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.segments().len(), segments);
    assert!(
        bytes.len() - size < 100 * 20 + 1024,
        "{} bytes",
        bytes.len() - size
    );
    let path = fixture.write("edited.so", &bytes);
    assert_eq!(call(&[], &path, "answer"), 42);
}

/// The segment that earlier editors added at the end is no reason for another table: an edit of an object that was
/// edited and stripped, over and over.
#[test]
fn edits_and_strips_take_turns() {
    let fixture = Fixture::new();
    let mut bytes = library(&fixture, "int answer(void) { return 42; }", &["-g"]);
    for round in 0..5 {
        let edits = Edits {
            soname: Some(format!("libround-{round}.so")),
            ..renamed()
        };
        let path = fixture.write("edited.so", &edit(&bytes, &edits).unwrap());
        run(Command::new("strip").arg(&path));
        assert_eq!(call(&[], &path, "answer"), 42, "round {round}");
        bytes = fs_err::read(&path).unwrap();
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!(elf.soname(), Some(format!("libround-{round}.so").as_str()));
        assert!(bytes.len() < 64 << 10, "{} bytes", bytes.len());
    }
}

/// An empty section between the bytes of a segment and its zeros stays there when `llvm-strip` looks: it is made one
/// without bytes in the file. Linkers of the LLVM project leave `.tm_clone_table` like that.
#[test]
fn empty_sections_stay_at_their_address() {
    let fixture = Fixture::new();
    let source = "int data = 1; int zero[64]; int answer(void) { return 41 + data + zero[3]; }";
    let mut original = library(&fixture, source, &[]);
    let elf = Elf::parse(&original).unwrap();
    let edge = loads(&elf)
        .into_iter()
        .find(|load| load.file_size < load.memory_size)
        .unwrap();
    let table = usize::try_from(elf.header().section_header_offset).unwrap();
    let row = |bytes: &[u8], index: usize| {
        bytes
            .get(table + index * 64..table + (index + 1) * 64)
            .unwrap()
            .to_vec()
    };
    let number = |bytes: &[u8], at: usize| {
        u64::from_le_bytes(bytes.get(at..at + 8).unwrap().try_into().unwrap())
    };
    // .comment: mergeable strings.
    let count = usize::try_from(elf.header().section_header_count).unwrap();
    let comment = (0..count)
        .find(|index| number(&row(&original, *index), 8) == 0x30)
        .unwrap();
    let fields = [
        3,
        edge.address + edge.file_size,
        edge.offset + edge.file_size,
        0,
    ];
    let fields: Vec<u8> = fields.into_iter().flat_map(u64::to_le_bytes).collect();
    let at = table + comment * 64 + 8;
    original.splice(at..at + fields.len(), fields.clone());
    let edited = edit(&original, &renamed()).unwrap();
    let (before, after) = (row(&original, comment), row(&edited, comment));
    assert_eq!(after.get(4..8), Some(&8u32.to_le_bytes()[..]), "SHT_NOBITS");
    assert_eq!(before.get(8..), after.get(8..));
    assert_eq!(edit(&edited, &renamed()).unwrap(), edited);
    let path = fixture.write("edited.so", &edited);
    assert_eq!(call(&[], &path, "answer"), 42);
}
