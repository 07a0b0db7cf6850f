//! `strip` beside GNU strip, on objects fresh from the compiler, and as a guest of other tools.

mod support;

use std::path::Path;
use std::process::Command;

use support::{Fixture, call, loadable, readelf, run, system_libraries};
use wheelfarm_elf::{Edits, Elf, RpathEdit, edit, strip};

const SOURCE: &str = "\
#include <string.h>
__thread int counter = 3;
static int hidden(const char *text) { return (int)strlen(text); }
int answer(void) { return hidden(\"thirty-nine characters of text, no more\") + counter; }
";
const PROGRAM: &str = "\
#include <stdio.h>
static int quiet(int argc) { return argc * 21 + 21; }
int main(int argc, char **argv) { (void)argv; printf(\"%d\\n\", quiet(argc)); return 0; }
";

fn gnu_strip(path: &Path) -> Vec<u8> {
    let output = path.with_extension("gnu");
    run(Command::new("strip")
        .args(["-s", "-o"])
        .arg(&output)
        .arg(path));
    fs_err::read(output).expect("what strip wrote")
}

/// Names and types of the sections in `path`, and what else does not depend on places.
fn sections(path: &Path) -> Vec<String> {
    let text = readelf("-S", path);
    let rows = text.lines().filter_map(|line| line.split_once("] "));
    let mut rows: Vec<String> = rows
        .map(|(_, row)| row.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
        .collect();
    rows.sort();
    rows
}

/// Compiler options that put something else into the object, each with a name.
const KINDS: [(&str, &[&str]); 8] = [
    ("plain", &[]),
    ("debug", &["-g3", "-ggdb"]),
    ("compressed", &["-g", "-gz"]),
    ("relocations", &["-g", "-Wl,--emit-relocs"]),
    ("pages", &["-g", "-Wl,-z,max-page-size=0x200000"]),
    ("separate", &["-g", "-Wl,-z,separate-code", "-Wl,-z,now"]),
    (
        "merged",
        &["-g", "-Wl,-z,noseparate-code", "-Wl,--build-id=none"],
    ),
    ("system-v", &["-g", "-Wl,--hash-style=sysv"]),
];

#[test]
fn libraries_lose_what_gnu_strip_drops_and_nothing_else() {
    let fixture = Fixture::new();
    for (name, options) in KINDS {
        let options = [&["-shared", "-fPIC"], options].concat();
        let path = fixture.compile(&format!("lib{name}.so"), SOURCE, &options);
        let bytes = fs_err::read(&path).unwrap();
        let stripped = strip(&bytes).unwrap();
        let ours = fixture.write(&format!("lib{name}-ours.so"), &stripped);
        let reference = gnu_strip(&path);
        let theirs = fixture.write(&format!("lib{name}-gnu.so"), &reference);
        assert_eq!(sections(&ours), sections(&theirs), "{name}");
        assert!(
            stripped.len() <= reference.len() + 8,
            "{name}: {} bytes, GNU strip {}",
            stripped.len(),
            reference.len()
        );
        assert_eq!(call(&[], &ours, "answer"), 42, "{name}");
        assert_eq!(strip(&stripped).as_ref(), Ok(&stripped), "{name}");
        assert_eq!(readelf("-lW", &ours), readelf("-lW", &path), "{name}");
    }
}

#[test]
fn stripped_programs_run() {
    let fixture = Fixture::new();
    for (name, options) in [
        ("pie", &["-g", "-pie"][..]),
        ("fixed", &["-g", "-no-pie"]),
        ("static", &["-g", "-static"]),
        ("static-pie", &["-g", "-static-pie"]),
    ] {
        let path = fixture.compile(name, PROGRAM, options);
        let mode = fs_err::metadata(&path).unwrap().permissions();
        let stripped = strip(&fs_err::read(&path).unwrap()).unwrap();
        let ours = fixture.write(&format!("{name}-ours"), &stripped);
        fs_err::set_permissions(&ours, mode).unwrap();
        let output = run(Command::new(&ours).arg("x"));
        assert_eq!(output.stdout, b"63\n", "{name}");
        assert!(stripped.len() <= gnu_strip(&path).len() + 8, "{name}");
    }
}

#[test]
fn strip_edit_and_other_strips_come_in_any_order() {
    let fixture = Fixture::new();
    let path = fixture.compile("libx.so", SOURCE, &["-shared", "-fPIC", "-g"]);
    let bytes = fs_err::read(&path).unwrap();
    let edits = Edits {
        soname: Some("a-rather-long-name-for-a-library-0123456789abcdef.so.1".into()),
        rpath: RpathEdit::SetRpath("$ORIGIN/../a-rather-long-directory.libs".into()),
        ..Edits::default()
    };
    let edited_last = edit(&strip(&bytes).unwrap(), &edits).unwrap();
    let stripped_last = strip(&edit(&bytes, &edits).unwrap()).unwrap();
    // What was dropped before the appended segment leaves no hole: none is larger than a page.
    assert!(stripped_last.len() < edited_last.len() + 0x1000);
    let edited_again = edit(&stripped_last, &edits).unwrap();
    assert_eq!(edited_again, stripped_last);
    for (name, bytes) in [("edited", edited_last), ("stripped", stripped_last)] {
        let path = fixture.write(&format!("lib-{name}.so"), &bytes);
        assert_eq!(call(&[], &path, "answer"), 42, "{name}");
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!(elf.soname(), edits.soname.as_deref());
        let once_more = fixture.write(&format!("lib-{name}-gnu.so"), &gnu_strip(&path));
        assert_eq!(call(&[], &once_more, "answer"), 42, "{name}, GNU strip");
    }
}

#[test]
fn libraries_of_this_machine_load_with_all_symbols_bound() {
    let fixture = Fixture::new();
    let originals = system_libraries(60);
    let baseline = loadable(&originals);
    let mut stripped = Vec::new();
    for (original, loads) in originals.iter().zip(baseline) {
        let bytes = fs_err::read(original).unwrap();
        let result = strip(&bytes).unwrap_or_else(|e| panic!("{}: {e}", original.display()));
        assert!(result.len() <= bytes.len());
        if loads {
            let name = original.file_name().unwrap().to_str().unwrap();
            stripped.push(fixture.write(name, &result));
        }
    }
    assert!(stripped.len() * 2 > originals.len());
    for (path, loads) in stripped.iter().zip(loadable(&stripped)) {
        assert!(loads, "{} does not load", path.display());
    }
}

#[test]
fn damaged_objects_are_errors_or_stay_readable() {
    let fixture = Fixture::new();
    let path = fixture.compile("libx.so", SOURCE, &["-shared", "-fPIC", "-g"]);
    let bytes = fs_err::read(&path).unwrap();
    for length in (0..bytes.len()).step_by(37) {
        assert!(strip(bytes.get(..length).unwrap()).is_err(), "{length}");
    }
    let sections =
        usize::try_from(Elf::parse(&bytes).unwrap().header().section_header_offset).unwrap();
    let mut refused = 0;
    for position in (0..0x400).chain(sections..bytes.len()) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut damaged = bytes.clone();
            if let Some(byte) = damaged.get_mut(position) {
                *byte = value;
            }
            match strip(&damaged) {
                Ok(stripped) => assert!(Elf::parse(&stripped).is_ok(), "{position:#x}"),
                Err(error) => {
                    assert!(!error.to_string().is_empty());
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 0);
}
