//! Fixtures: objects compiled at test time, and the libraries of this machine.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

const LIBRARIES: &str = "/usr/lib/x86_64-linux-gnu";

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
