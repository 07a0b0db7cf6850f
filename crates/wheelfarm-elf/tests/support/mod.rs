//! Fixtures: objects compiled at test time, and the libraries of this machine.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// Where this machine keeps its libraries.
pub(crate) const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

/// A directory with objects compiled for one test.
pub(crate) struct Fixture {
    directory: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Fixture {
        let directory = tempfile::tempdir().expect("a temporary directory");
        Fixture { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes `bytes` to file `name`.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path().join(name);
        fs_err::write(&path, bytes).expect("a writable temporary directory");
        path
    }

    /// Compiles C `source` into `name` with gcc and `options`.
    pub(crate) fn compile(&self, name: &str, source: &str, options: &[&str]) -> PathBuf {
        let input = self.write(&format!("{name}.c"), source.as_bytes());
        let output = self.path().join(name);
        run(Command::new("gcc")
            .current_dir(self.path())
            .arg(&input)
            .arg("-o")
            .arg(&output)
            .args(options));
        output
    }
}

/// Runs `command`, which must be installed and succeed.
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| {
        panic!("these tests need gcc, binutils and python3: {command:?}: {error}")
    });
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// What `readelf --wide` prints about `path`.
pub(crate) fn readelf(option: &str, path: &Path) -> String {
    let output = run(Command::new("readelf").args(["--wide", option]).arg(path));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `count` distinct shared libraries of this machine, evenly spread over their
/// sorted names; fewer when it has fewer, never fewer than ten.
pub(crate) fn system_libraries(count: usize) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs_err::read_dir(LIBRARIES)
        .expect("these tests read the system's x86-64 libraries")
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.to_string_lossy().contains(".so"))
        .filter_map(|path| fs_err::canonicalize(path).ok())
        .filter(|path| fs_err::metadata(path).is_ok_and(|data| data.len() < 20_000_000))
        // ld.so itself is not a library: it cannot be loaded a second time.
        .filter(|path| !path.to_string_lossy().contains("/ld-"))
        .filter(|path| {
            fs_err::read(path).is_ok_and(|bytes| {
                wheelfarm_elf::Elf::parse(&bytes).is_ok_and(|elf| elf.soname().is_some())
            })
        })
        .collect();
    all.sort();
    all.dedup();
    assert!(
        all.len() >= 10,
        "too few libraries in {LIBRARIES}: {}",
        all.len()
    );
    let step = all.len().div_ceil(count).max(1);
    all.into_iter().step_by(step).collect()
}

/// `bytes` (ELF64, little-endian) with the section header table forgotten.
pub(crate) fn without_section_headers(bytes: &[u8]) -> Vec<u8> {
    let mut bare = bytes.to_vec();
    bare.splice(0x28..0x30, [0; 8]);
    bare.splice(0x3c..0x40, [0; 4]);
    bare
}

/// Which of `paths` a fresh process can load with all symbols bound at once. Each is
/// tried in a child of its own, so one that crashes only counts as not loading.
pub(crate) fn loadable(paths: &[PathBuf]) -> Vec<bool> {
    let script = "\
import ctypes, os, sys
for path in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        try:
            ctypes.CDLL(path, os.RTLD_NOW)
        except OSError as error:
            print(error, file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    print(int(os.waitpid(child, 0)[1] == 0), flush=True)
";
    let output = run(Command::new("python3")
        .env("LD_BIND_NOW", "1")
        .args(["-c", script])
        .args(paths));
    let loaded: Vec<bool> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| line == "1")
        .collect();
    assert_eq!(loaded.len(), paths.len());
    let errors = String::from_utf8_lossy(&output.stderr);
    if !errors.is_empty() {
        let mut stderr = std::io::stderr();
        std::io::Write::write_all(&mut stderr, errors.as_bytes()).expect("a standard error");
    }
    loaded
}

/// Loads `path` in a fresh process and returns what its `int name(void)` returns.
/// `before` are loaded first, for all to see.
pub(crate) fn call(before: &[&Path], path: &Path, name: &str) -> i32 {
    let script = "\
import ctypes, os, sys
*before, path, name = sys.argv[1:]
for library in before:
    ctypes.CDLL(library, os.RTLD_NOW | os.RTLD_GLOBAL)
print(ctypes.CDLL(path, os.RTLD_NOW)[name]())
";
    let output = run(Command::new("python3")
        .args(["-c", script])
        .args(before)
        .arg(path)
        .arg(name));
    let text = String::from_utf8_lossy(&output.stdout);
    text.trim().parse().expect("a number")
}
