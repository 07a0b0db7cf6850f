//! The editor on small objects compiled for one question each.

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::Command;

use support::{Fixture, call, readelf, run};
use wheelfarm_elf::constants::{EM_386, PT_LOAD};
use wheelfarm_elf::{Class, EditError, Edits, Elf, RpathEdit, edit};

const DEPENDENCY: &str = "int base(void) { return 40; }";
const VERSIONS: &str = "DEP_1.0 { global: base; local: *; };";
// getenv makes it need libc.
const USER: &str = "#include <stdlib.h>
int base(void);
int answer(void) { return getenv(\"\") ? 0 : base() + 2; }";

/// `libdep.so.1`, which defines `base@@DEP_1.0`, and `libuser.so`, which needs it.
struct Pair {
    fixture: Fixture,
    dependency: PathBuf,
    user: PathBuf,
}

fn pair(options: &[&str]) -> Pair {
    let fixture = Fixture::new();
    fixture.write("versions", VERSIONS.as_bytes());
    let library = ["-shared", "-fPIC", "-Wl,-soname,libdep.so.1"];
    let versions = ["-Wl,--version-script=versions"];
    let dependency = fixture.compile(
        "libdep.so.1",
        DEPENDENCY,
        &[&library[..], &versions].concat(),
    );
    let user = ["-shared", "-fPIC", "libdep.so.1", "-Wl,-soname,libuser.so"];
    let user = fixture.compile("libuser.so", USER, &[&user[..], options].concat());
    Pair {
        fixture,
        dependency,
        user,
    }
}

fn renamed() -> Edits {
    Edits {
        replace_needed: BTreeMap::from([("libdep.so.1".into(), "libdep-0123456789.so.1".into())]),
        rpath: RpathEdit::SetRpath("$ORIGIN".into()),
        ..Edits::default()
    }
}

fn edit_file(path: &PathBuf, edits: &Edits) -> Vec<u8> {
    let original = fs_err::read(path).expect("a compiled fixture");
    edit(&original, edits).expect("an edited fixture")
}

fn loads(elf: &Elf<'_>) -> usize {
    let segments = elf.segments().iter();
    segments.filter(|segment| segment.kind == PT_LOAD).count()
}

/// Renames the dependency of `options`' libuser, loads and calls it.
fn rename_and_call(options: &[&str]) -> Vec<u8> {
    let pair = pair(options);
    let soname = Edits {
        soname: Some("libdep-0123456789.so.1".into()),
        ..Edits::default()
    };
    let dependency = edit_file(&pair.dependency, &soname);
    pair.fixture.write("libdep-0123456789.so.1", &dependency);
    // Only the new name is there, so a forgotten vn_file cannot load.
    fs_err::remove_file(&pair.dependency).expect("the old library");
    let edited = edit_file(&pair.user, &renamed());
    let path = pair.fixture.write("libuser.so", &edited);
    assert_eq!(call(&[], &path, "answer"), 42);
    edited
}

#[test]
fn versions_follow_a_renamed_library() {
    let bytes = rename_and_call(&[]);
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.needed().first(), Some(&"libdep-0123456789.so.1"));
    assert_eq!(elf.rpath(), Some("$ORIGIN"));
    let files: Vec<_> = elf.version_needs().iter().map(|need| need.file).collect();
    assert!(files.contains(&"libdep-0123456789.so.1"), "{files:?}");
    assert!(!files.contains(&"libdep.so.1"), "{files:?}");
    // The dynamic section had room: nothing writable was added.
    let writable = |elf: &Elf<'_>| elf.segments().iter().filter(|s| s.flags & 2 != 0).count();
    let original = pair(&[]);
    let original = fs_err::read(original.user).unwrap();
    assert_eq!(writable(&elf), writable(&Elf::parse(&original).unwrap()));
}

#[test]
fn the_base_definition_follows_the_soname() {
    let pair = pair(&[]);
    let soname = Edits {
        soname: Some("libother.so.7".into()),
        ..Edits::default()
    };
    let bytes = edit_file(&pair.dependency, &soname);
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.soname(), Some("libother.so.7"));
    let names: Vec<_> = elf
        .version_definitions()
        .iter()
        .map(|def| def.name)
        .collect();
    assert_eq!(names, ["libother.so.7", "DEP_1.0"]);
    let path = pair.fixture.write("libother.so.7", &bytes);
    assert_eq!(call(&[], &path, "base"), 40);
    let versions = readelf("-V", &path);
    assert!(versions.contains("Name: libother.so.7"), "{versions}");
}

#[test]
fn removing_a_library_removes_its_versions() {
    let pair = pair(&[]);
    let edits = Edits {
        remove_needed: BTreeSet::from(["libdep.so.1".to_owned()]),
        ..Edits::default()
    };
    let bytes = edit_file(&pair.user, &edits);
    let elf = Elf::parse(&bytes).unwrap();
    assert!(!elf.needed().contains(&"libdep.so.1"));
    assert!(
        elf.version_needs()
            .iter()
            .all(|need| need.file != "libdep.so.1")
    );
    let symbols = elf.dynamic_symbols().unwrap();
    let base = symbols.iter().find(|symbol| symbol.name == "base").unwrap();
    assert_eq!(base.version, None);
    let path = pair.fixture.write("libuser.so", &bytes);
    // ld.so asserts that the library of each record is loaded.
    assert_eq!(call(&[&pair.dependency], &path, "answer"), 42);
    assert!(!readelf("-V", &path).contains("DEP_1.0"));
    run(Command::new("strip").arg(&path));
    assert_eq!(call(&[&pair.dependency], &path, "answer"), 42);
}

#[test]
fn removing_the_only_versioned_library_leaves_no_version_table() {
    let pair = pair(&["-nostdlib"]);
    let original = fs_err::read(&pair.user).unwrap();
    assert_eq!(Elf::parse(&original).unwrap().version_needs().len(), 1);
    let edits = Edits {
        remove_needed: BTreeSet::from(["libdep.so.1".to_owned()]),
        ..Edits::default()
    };
    let bytes = edit(&original, &edits).unwrap();
    assert_eq!(bytes.len(), original.len(), "fits in place");
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.needed(), Vec::<&str>::new());
    assert_eq!(elf.version_needs(), []);
    let path = pair.fixture.write("libuser.so", &bytes);
    assert_eq!(call(&[&pair.dependency], &path, "answer"), 42);
    run(Command::new("strip").arg(&path));
    assert_eq!(call(&[&pair.dependency], &path, "answer"), 42);
}

#[test]
fn a_full_dynamic_section_moves() {
    let full = ["-Wl,--spare-dynamic-tags=0"];
    let bytes = rename_and_call(&full);
    let fixture = Fixture::new();
    let path = fixture.write("libuser.so", &bytes);
    let header = readelf("-S", &path);
    let line = header
        .lines()
        .find(|line| line.contains(" .dynamic "))
        .unwrap();
    let address = line.split_whitespace().rev().nth(7).unwrap();
    // nm prints the link-time symbol: debuggers find the section by it.
    let names = run(Command::new("nm").arg(&path));
    let names = String::from_utf8_lossy(&names.stdout).into_owned();
    let symbol = names
        .lines()
        .find(|line| line.ends_with(" _DYNAMIC"))
        .unwrap();
    assert!(
        symbol.starts_with(address),
        "{symbol:?} is not at {address}"
    );

    run(Command::new("strip").arg(&path));
    let stripped = fs_err::read(&path).unwrap();
    let stripped = Elf::parse(&stripped).unwrap();
    assert_eq!(stripped.needed().first(), Some(&"libdep-0123456789.so.1"));
}

#[test]
fn section_headers_are_not_needed() {
    let pair = pair(&[]);
    let bare = support::without_section_headers(&fs_err::read(&pair.user).unwrap());
    let bytes = edit(&bare, &renamed()).unwrap();
    let dependency = fs_err::read(&pair.dependency).unwrap();
    pair.fixture.write("libdep-0123456789.so.1", &dependency);
    fs_err::remove_file(&pair.dependency).unwrap();
    let path = pair.fixture.write("libuser.so", &bytes);
    assert_eq!(call(&[], &path, "answer"), 42);
}

#[test]
fn edits_32_bit_objects() {
    let fixture = Fixture::new();
    let options = [
        "-m32",
        "-shared",
        "-fPIC",
        "-nostdlib",
        "-Wl,-soname,lib32.so",
    ];
    let path = fixture.compile("lib32.so", DEPENDENCY, &options);
    let edits = Edits {
        soname: Some("lib32-renamed.so".into()),
        add_needed: vec!["libc.so.6".into(), "libm.so.6".into()],
        rpath: RpathEdit::SetRunpath("$ORIGIN/lib".into()),
        ..Edits::default()
    };
    let bytes = edit_file(&path, &edits);
    let elf = Elf::parse(&bytes).unwrap();
    assert_eq!(elf.header().class, Class::Elf32);
    assert_eq!(elf.header().machine, EM_386);
    assert_eq!(elf.soname(), Some("lib32-renamed.so"));
    assert_eq!(elf.needed(), ["libc.so.6", "libm.so.6"]);
    assert_eq!(elf.runpath(), Some("$ORIGIN/lib"));
    let path = fixture.write("lib32-renamed.so", &bytes);
    assert!(readelf("-d", &path).contains("[$ORIGIN/lib]"));
    run(Command::new("strip").arg(&path));
    let stripped = fs_err::read(&path).unwrap();
    assert_eq!(
        Elf::parse(&stripped).unwrap().needed(),
        ["libc.so.6", "libm.so.6"]
    );
}

#[test]
fn edited_objects_can_be_edited_again() {
    let pair = pair(&["-Wl,--spare-dynamic-tags=0"]);
    let mut bytes = fs_err::read(&pair.user).unwrap();
    let before = loads(&Elf::parse(&bytes).unwrap());
    for round in 0..4 {
        let edits = Edits {
            soname: Some(format!("libuser-{round}.so")),
            rpath: RpathEdit::SetRpath(format!("$ORIGIN:/round/{round}")),
            ..Edits::default()
        };
        bytes = edit(&bytes, &edits).unwrap();
        let path = pair.fixture.write("edited.so", &bytes);
        assert_eq!(call(&[], &path, "answer"), 42);
        // One segment is enough however often an object is edited.
        assert_eq!(loads(&Elf::parse(&bytes).unwrap()), before + 1);
    }
    let path = pair.fixture.write("stripped.so", &bytes);
    run(Command::new("strip").arg(&path));
    assert_eq!(call(&[], &path, "answer"), 42);
    let again = Edits {
        soname: Some("after-strip.so".into()),
        ..Edits::default()
    };
    let path = pair.fixture.write("again.so", &edit_file(&path, &again));
    assert_eq!(call(&[], &path, "answer"), 42);
}

#[test]
fn programs_still_run() {
    let fixture = Fixture::new();
    fixture.write("versions", VERSIONS.as_bytes());
    let options = ["-shared", "-fPIC", "-Wl,--version-script=versions"];
    fixture.compile("libdep.so.1", DEPENDENCY, &options);
    let source = "int base(void); int main(void) { return base(); }";
    for (name, kind) in [
        ("pie", ["-pie", "-fPIE"]),
        ("fixed", ["-no-pie", "-fno-pie"]),
    ] {
        let options = [&kind[..], &["libdep.so.1"]].concat();
        let program = fs_err::read(fixture.compile(name, source, &options)).unwrap();
        let interpreter = Elf::parse(&program)
            .unwrap()
            .interpreter()
            .unwrap()
            .to_owned();
        let link = fixture.path().join(format!("loader-of-{name}"));
        fs_err::os::unix::fs::symlink(interpreter, &link).unwrap();
        let edits = Edits {
            interpreter: Some(link.to_str().unwrap().to_owned()),
            rpath: RpathEdit::SetRunpath("$ORIGIN".into()),
            ..Edits::default()
        };
        // Without section headers the program header table moves to the end.
        let bare = support::without_section_headers(&program);
        for (kind, program) in [("whole", program), ("bare", bare)] {
            let bytes = edit(&program, &edits).unwrap();
            let path = fixture.write(&format!("{name}-{kind}"), &bytes);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            fs_err::set_permissions(&path, mode).unwrap();
            let status = Command::new(&path).status().unwrap();
            assert_eq!(status.code(), Some(40), "{}: {status}", path.display());
        }
    }
}

#[test]
fn search_paths_are_replaced_and_removed() {
    let pair = pair(&["-Wl,-rpath,/old/place", "-Wl,--enable-new-dtags"]);
    let original = fs_err::read(&pair.user).unwrap();
    assert_eq!(Elf::parse(&original).unwrap().runpath(), Some("/old/place"));
    let with = |rpath| {
        let edits = Edits {
            rpath,
            ..Edits::default()
        };
        edit(&original, &edits).unwrap()
    };
    let removed = with(RpathEdit::Remove);
    let elf = Elf::parse(&removed).unwrap();
    assert_eq!((elf.rpath(), elf.runpath()), (None, None));
    assert_eq!(removed.len(), original.len());
    // The string is there already: only the tag changes.
    let converted = with(RpathEdit::SetRpath("/old/place".into()));
    let elf = Elf::parse(&converted).unwrap();
    assert_eq!((elf.rpath(), elf.runpath()), (Some("/old/place"), None));
    assert_eq!(converted.len(), original.len());
    let replaced = with(RpathEdit::SetRunpath("$ORIGIN/../x.libs".into()));
    let elf = Elf::parse(&replaced).unwrap();
    assert_eq!(
        (elf.rpath(), elf.runpath()),
        (None, Some("$ORIGIN/../x.libs"))
    );
}

#[test]
fn what_changes_nothing_returns_the_input() {
    let pair = pair(&["-Wl,-rpath,/here"]);
    let original = fs_err::read(&pair.user).unwrap();
    let nothing = Edits {
        soname: Some("libuser.so".into()),
        replace_needed: BTreeMap::from([("libabsent.so".into(), "libx.so".into())]),
        remove_needed: BTreeSet::from(["libabsent.so".to_owned()]),
        add_needed: vec!["libdep.so.1".into()],
        rpath: RpathEdit::SetRunpath("/here".into()),
        executable_stack: Some(false),
        interpreter: None,
        ..Edits::default()
    };
    assert_eq!(edit(&original, &Edits::default()).unwrap(), original);
    assert_eq!(edit(&original, &nothing).unwrap(), original);
    let edits = renamed();
    assert_eq!(edit(&original, &edits), edit(&original, &edits));
}

#[test]
fn names_may_be_swapped() {
    let pair = pair(&[]);
    let bytes = edit_file(
        &pair.user,
        &Edits {
            replace_needed: BTreeMap::from([
                ("libdep.so.1".into(), "libc.so.6".into()),
                ("libc.so.6".into(), "libdep.so.1".into()),
            ]),
            ..Edits::default()
        },
    );
    let original = fs_err::read(&pair.user).unwrap();
    let original = Elf::parse(&original).unwrap();
    let swapped: Vec<&str> = original.needed().iter().rev().copied().collect();
    assert_eq!(Elf::parse(&bytes).unwrap().needed(), swapped);
}

#[test]
fn the_executable_stack_can_be_cleared() {
    let pair = pair(&["-Wl,-z,execstack"]);
    let edits = Edits {
        executable_stack: Some(false),
        ..Edits::default()
    };
    let original = fs_err::read(&pair.user).unwrap();
    assert!(Elf::parse(&original).unwrap().has_executable_stack());
    let bytes = edit(&original, &edits).unwrap();
    assert!(!Elf::parse(&bytes).unwrap().has_executable_stack());
    assert_eq!(bytes.len(), original.len());
}

#[test]
fn what_cannot_be_done_is_an_error() {
    let pair = pair(&[]);
    let library = fs_err::read(&pair.user).unwrap();
    let soname = |name: &str| Edits {
        soname: Some(name.into()),
        ..Edits::default()
    };
    for name in ["", "lib\0.so"] {
        let error = edit(&library, &soname(name)).unwrap_err();
        assert!(
            matches!(error, EditError::InvalidName { what: "soname", .. }),
            "{error}"
        );
    }
    let interpreter = Edits {
        interpreter: Some("/lib/ld.so".into()),
        ..Edits::default()
    };
    assert_eq!(edit(&library, &interpreter), Err(EditError::NoInterpreter));
    let object = pair.fixture.compile("object.o", DEPENDENCY, &["-c"]);
    let object = fs_err::read(object).unwrap();
    assert_eq!(
        edit(&object, &soname("libx.so")),
        Err(EditError::NotDynamic)
    );
}
