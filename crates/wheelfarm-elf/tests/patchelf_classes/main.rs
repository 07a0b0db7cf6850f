//! The kinds of damage that users of `patchelf` have reported over the years, one test each. Small objects are
//! compiled for one question each, edited, and used.

mod layout;
mod programs;
mod running;
#[path = "../support/mod.rs"]
mod support;
mod tables;

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
