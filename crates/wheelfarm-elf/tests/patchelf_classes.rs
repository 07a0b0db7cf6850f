//! The kinds of damage that users of `patchelf` have reported over the years, one test each. Small objects are
//! compiled for one question each, edited, and used.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::{Fixture, call, readelf, run, without_section_headers};
use wheelfarm_elf::constants::{
    PF_W, PT_DYNAMIC, PT_GNU_PROPERTY, PT_INTERP, PT_LOAD, PT_NOTE, PT_PHDR,
};
use wheelfarm_elf::{Edits, Elf, RpathEdit, Segment, edit};

const SHARED: [&str; 2] = ["-shared", "-fPIC"];
/// A path that no object has, long enough to need room.
const PATH: &str = "$ORIGIN/../somewhere.libs:$ORIGIN/lib";

fn renamed() -> Edits {
    Edits {
        soname: Some("librenamed-0a1b2c3d.so.1".into()),
        rpath: RpathEdit::SetRpath(PATH.into()),
        ..Edits::default()
    }
}

fn rpath() -> Edits {
    Edits {
        rpath: RpathEdit::SetRpath(PATH.into()),
        ..Edits::default()
    }
}

fn compile(fixture: &Fixture, name: &str, source: &str, options: &[&str]) -> Vec<u8> {
    fs_err::read(fixture.compile(name, source, options)).expect("a compiled fixture")
}

fn library(fixture: &Fixture, source: &str, options: &[&str]) -> Vec<u8> {
    compile(
        fixture,
        "libfixture.so",
        source,
        &[&SHARED[..], options].concat(),
    )
}

fn loads(elf: &Elf<'_>) -> Vec<Segment> {
    let segments = elf.segments().iter();
    segments
        .filter(|segment| segment.kind == PT_LOAD)
        .copied()
        .collect()
}

fn find(elf: &Elf<'_>, kind: u32) -> Option<Segment> {
    elf.segments()
        .iter()
        .find(|segment| segment.kind == kind)
        .copied()
}

fn write_program(fixture: &Fixture, name: &str, bytes: &[u8]) -> PathBuf {
    let path = fixture.write(name, bytes);
    fs_err::set_permissions(&path, PermissionsExt::from_mode(0o755)).expect("an own file");
    path
}

fn exit_code(program: &Path) -> Option<i32> {
    Command::new(program).status().expect("a program").code()
}

/// Whether a part of the file is mapped to the address its program header names.
fn is_mapped(elf: &Elf<'_>, part: &Segment) -> bool {
    loads(elf).iter().any(|load| {
        load.offset <= part.offset
            && part.offset + part.file_size <= load.offset + load.file_size
            && part.offset - load.offset == part.address - load.address
    })
}

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

/// Collision with a grown program header table, `PT_PHDR` not covered: kernels hand programs the address of the
/// table (`AT_PHDR`), old ones as the first segment's distance plus `e_phoff`.
#[test]
fn programs_find_their_own_headers() {
    let source = "#include <elf.h>
#include <link.h>
#include <sys/auxv.h>
int main(void) {
    const ElfW(Phdr) *header = (const void *)getauxval(AT_PHDR);
    unsigned long count = getauxval(AT_PHNUM), loads = 0, dynamic = 0;
    for (unsigned long i = 0; i < count; i++) {
        loads += header[i].p_type == PT_LOAD;
        dynamic += header[i].p_type == PT_DYNAMIC;
    }
    return dynamic == 1 ? loads : 99;
}";
    let fixture = Fixture::new();
    for (name, kind) in [
        ("pie", ["-pie", "-fPIE"]),
        ("fixed", ["-no-pie", "-fno-pie"]),
    ] {
        let whole = compile(&fixture, name, source, &kind);
        let bare = without_section_headers(&whole);
        for (program, kind) in [(whole, "whole"), (bare, "bare")] {
            let before = loads(&Elf::parse(&program).unwrap()).len();
            let edited = edit(&program, &rpath()).unwrap();
            let elf = Elf::parse(&edited).unwrap();
            let table = find(&elf, PT_PHDR).unwrap();
            assert_eq!(table.offset, elf.header().program_header_offset);
            assert_eq!(table.file_size, 56 * elf.segments().len() as u64);
            assert!(is_mapped(&elf, &table), "{name} {kind}: {table:?}");
            let first = *loads(&elf).first().unwrap();
            assert_eq!(
                table.address,
                first.address - first.offset + table.offset,
                "{name} {kind}"
            );
            let path = write_program(&fixture, &format!("{name}-{kind}"), &edited);
            assert_eq!(
                exit_code(&path),
                Some(i32::try_from(before + 1).unwrap()),
                "{name} {kind}"
            );
        }
    }
}

/// `PT_DYNAMIC` in a read-only segment, overlap with RELRO: loaders write to it.
#[test]
fn a_dynamic_section_that_moves_stays_writable() {
    let fixture = Fixture::new();
    let options = ["-Wl,--spare-dynamic-tags=0", "-Wl,-z,relro,-z,now"];
    let original = library(&fixture, "int answer(void) { return 42; }", &options);
    let edited = edit(&original, &renamed()).unwrap();
    let (old, new) = (Elf::parse(&original).unwrap(), Elf::parse(&edited).unwrap());
    let dynamic = find(&new, PT_DYNAMIC).unwrap();
    assert_ne!(
        dynamic.offset,
        find(&old, PT_DYNAMIC).unwrap().offset,
        "what this is about"
    );
    assert!(is_mapped(&new, &dynamic));
    let holder = loads(&new).into_iter().find(|load| {
        load.address <= dynamic.address && dynamic.address < load.address + load.memory_size
    });
    assert_ne!(holder.unwrap().flags & PF_W, 0);
    let relro = find(&new, 0x6474_e552).unwrap();
    assert!(dynamic.address >= relro.address + relro.memory_size);
    let path = fixture.write("edited.so", &edited);
    assert_eq!(call(&[], &path, "answer"), 42);
}

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

/// `DT_INIT`, `DT_FINI`, constructors and destructors run after an edit, with their arguments.
#[test]
fn constructors_and_destructors_run() {
    let source = "#include <stdio.h>
#include <stdlib.h>
static int state = 1;
void old_init(void) { state *= 2; }
void old_fini(void) { fputs(\"fini \", stdout); fflush(stdout); }
__attribute__((constructor)) static void construct(void) { state += 20; }
__attribute__((destructor)) static void destruct(void) { fputs(\"destruct \", stdout); fflush(stdout); }
int main(void) { printf(\"%d \", state); return 0; }";
    let fixture = Fixture::new();
    let options = [
        "-Wl,-init,old_init",
        "-Wl,-fini,old_fini",
        "-Wl,--spare-dynamic-tags=0",
    ];
    for kind in [["-pie", "-fPIE"], ["-no-pie", "-fno-pie"]] {
        let original = compile(&fixture, "program", source, &[&kind[..], &options].concat());
        let says = |bytes: &[u8]| {
            let path = write_program(&fixture, "started", bytes);
            String::from_utf8(run(&mut Command::new(path)).stdout).unwrap()
        };
        let before = says(&original);
        assert_eq!(before, "22 destruct fini ");
        assert_eq!(says(&edit(&original, &rpath()).unwrap()), before);
    }
}

/// Hash tables of either kind, or both, with and without section headers.
#[test]
fn every_hash_style_is_looked_up() {
    let fixture = Fixture::new();
    let symbols: Vec<String> = (0..200)
        .map(|number| format!("int symbol_{number}(void) {{ return {number}; }}"))
        .collect();
    let symbols = symbols.join(
        "
",
    );
    for style in ["sysv", "gnu", "both"] {
        let whole = library(&fixture, &symbols, &[&format!("-Wl,--hash-style={style}")]);
        for original in [without_section_headers(&whole), whole] {
            let edited = edit(&original, &renamed()).unwrap();
            let path = fixture.write("edited.so", &edited);
            for number in [0, 1, 99, 199] {
                assert_eq!(call(&[], &path, &format!("symbol_{number}")), number);
            }
        }
    }
}

/// Thread-local data, and relative relocations packed as `DT_RELR`.
#[test]
fn thread_local_data_and_packed_relocations() {
    let source = "static __thread int counter = 40;
static int two = 2;
static int *const table[] = {&two, &two, &two, &two};
int answer(void) { return counter++ + *table[3]; }";
    let fixture = Fixture::new();
    for options in [
        &[][..],
        &["-Wl,-z,pack-relative-relocs"],
        &["-ftls-model=initial-exec"],
    ] {
        let original = library(&fixture, source, options);
        let relr = readelf("-d", &fixture.write("original.so", &original)).contains("(RELR)");
        assert_eq!(relr, options.iter().any(|option| option.contains("pack")));
        let path = fixture.write("edited.so", &edit(&original, &renamed()).unwrap());
        assert_eq!(call(&[], &path, "answer"), 42);
        run(Command::new("strip").arg(&path));
        assert_eq!(call(&[], &path, "answer"), 42);
    }
}

/// Unwinding through an edited library, by tables that another program header finds.
#[test]
fn unwinding_finds_its_tables() {
    let source = "#include <stddef.h>
#include <unwind.h>
static _Unwind_Reason_Code step(struct _Unwind_Context *context, void *count) {
    *(int *)count += _Unwind_GetIP(context) != 0;
    return _URC_NO_REASON;
}
__attribute__((noinline)) static int deep(int level) {
    int count = 0;
    if (level) return deep(level - 1) + 0 * level;
    _Unwind_Backtrace(step, &count);
    return count > 5;
}
int answer(void) { return deep(8) ? 42 : 0; }";
    let fixture = Fixture::new();
    let options = ["-O0", "-fexceptions", "-lgcc_s", "-Wl,--eh-frame-hdr"];
    let original = library(&fixture, source, &options);
    let path = fixture.write("edited.so", &edit(&original, &renamed()).unwrap());
    assert_eq!(call(&[], &path, "answer"), 42);
}

/// Separate debug files have a dynamic section in name only: nothing to edit, and nothing is guessed.
#[test]
fn debug_files_are_refused() {
    let fixture = Fixture::new();
    let path = fixture.compile(
        "libfixture.so",
        "int answer(void) { return 42; }",
        &["-shared", "-fPIC", "-g"],
    );
    let debug = fixture.path().join("debug");
    run(Command::new("objcopy")
        .arg("--only-keep-debug")
        .args([&path, &debug]));
    let bytes = fs_err::read(&debug).unwrap();
    assert!(Elf::parse(&bytes).map_or(true, |elf| elf.needed().is_empty()));
    assert!(edit(&bytes, &renamed()).is_err());
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

/// Data behind the end of the object, as self-extracting programs have: they look for it at the end of their file,
/// or where the object used to end.
#[test]
fn a_trailing_payload_stays_where_programs_look_for_it() {
    let source = "#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <unistd.h>
int main(int count, char **words) {
    char data[8];
    int file = open(\"/proc/self/exe\", O_RDONLY);
    if (lseek(file, -8, SEEK_END) < 0 || read(file, data, 8) != 8 || memcmp(data, \"PAYLOAD!\", 8)) return 1;
    if (lseek(file, atol(words[1]), SEEK_SET) < 0 || read(file, data, 8) != 8 || memcmp(data, \"+payload\", 8)) return 2;
    return 0;
}";
    let fixture = Fixture::new();
    let mut original = compile(&fixture, "program", source, &["-pie", "-fPIE"]);
    let place = original.len().to_string();
    original.extend_from_slice(b"+payload and more of it, up to the PAYLOAD!");
    let mut sizes = Vec::new();
    let mut bytes = original;
    for round in 0..5 {
        let path = write_program(&fixture, "edited", &bytes);
        let status = Command::new(path).arg(&place).status().unwrap();
        assert_eq!(status.code(), Some(0), "after {round} edits");
        let edits = Edits {
            rpath: RpathEdit::SetRpath(format!("$ORIGIN/../somewhere.libs/{round}")),
            ..Edits::default()
        };
        bytes = edit(&bytes, &edits).unwrap();
        sizes.push(bytes.len());
    }
    // It is not copied once more by every edit.
    assert!(
        sizes
            .windows(2)
            .all(|pair| pair.iter().max().unwrap() - pair.iter().min().unwrap() < 128),
        "{sizes:?}"
    );
}

/// Offsets beyond 2 GiB: the file is a hole, but this editor holds the whole of it.
#[test]
#[ignore = "needs 8 GB of memory"]
fn offsets_beyond_two_gigabytes() {
    let fixture = Fixture::new();
    let mut original = library(
        &fixture,
        "int answer(void) { return 42; }",
        &["-Wl,--spare-dynamic-tags=0"],
    );
    // As if a huge section lay before the section headers, which then end the file.
    let header = usize::try_from(
        Elf::parse(&original)
            .unwrap()
            .header()
            .section_header_offset,
    )
    .unwrap();
    let table = original.split_off(header);
    original.resize(5 << 29, 0);
    original.splice(0x28..0x30, (5u64 << 29).to_le_bytes());
    original.extend(table);
    let edited = edit(&original, &renamed()).unwrap();
    assert!(edited.len() - original.len() < 1024);
    drop(original);
    let elf = Elf::parse(&edited).unwrap();
    assert!(loads(&elf).last().unwrap().offset > 5 << 29);
    let path = fixture.write("edited.so", &edited);
    drop(edited);
    assert_eq!(call(&[], &path, "answer"), 42);
}

/// What other linkers lay out otherwise: no room in the dynamic section, headers in other orders, other paddings.
#[test]
fn objects_of_every_linker() {
    let fixture = Fixture::new();
    let mut tried = 0;
    for linker in ["bfd", "gold", "lld", "mold"] {
        let option = format!("-fuse-ld={linker}");
        let probe = Command::new("gcc")
            .args(["-shared", "-x", "c", "/dev/null", "-o"])
            .arg(fixture.path().join("probe"))
            .arg(&option)
            .output();
        if !probe.is_ok_and(|output| output.status.success()) {
            continue; // Not installed.
        }
        tried += 1;
        let original = library(
            &fixture,
            "int answer(void) { return 42; }",
            &[&option, "-Wl,-soname,libx.so"],
        );
        let edited = edit(&original, &renamed()).unwrap();
        assert_eq!(edit(&edited, &renamed()).unwrap(), edited, "{linker}");
        let path = fixture.write("edited.so", &edited);
        assert_eq!(call(&[], &path, "answer"), 42, "{linker}");
        run(Command::new("strip").arg(&path));
        assert_eq!(call(&[], &path, "answer"), 42, "{linker}");
        for kind in [["-pie", "-fPIE"], ["-no-pie", "-fno-pie"]] {
            let program = compile(
                &fixture,
                "program",
                "int main(void) { return 40; }",
                &[&kind[..], &[&option]].concat(),
            );
            let path = write_program(&fixture, "edited", &edit(&program, &rpath()).unwrap());
            assert_eq!(exit_code(&path), Some(40), "{linker} {kind:?}");
            run(Command::new("strip").arg(&path));
            assert_eq!(exit_code(&path), Some(40), "{linker} {kind:?} stripped");
        }
    }
    assert!(tried > 0, "gcc has one of them at least");
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
