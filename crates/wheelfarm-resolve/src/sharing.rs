//! Whether a source distribution looks as if its wheel served several Pythons.

use std::io::Read;

use flate2::read::GzDecoder;
use wheelfarm_types::SdistFilename;

/// Bounds of what is looked through.
const ENTRY_LIMIT: usize = 100_000;
const UNPACKED_LIMIT: u64 = 2 << 30;
const FILE_LIMIT: u64 = 1 << 20;

/// Endings of files that are compiled.
const COMPILED: [&str; 14] = [
    ".c", ".cc", ".cpp", ".cxx", ".c++", ".pyx", ".pxd", ".rs", ".f", ".f90", ".for", ".go", ".m",
    ".zig",
];
/// Files that say how a package is built.
const BUILD_FILES: [&str; 6] = [
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    "Cargo.toml",
    "meson.build",
    "CMakeLists.txt",
];
/// What they say of the stable ABI.
const WORDS: [&str; 4] = ["abi3", "limited_api", "stable_abi", "sabi"];

#[derive(Default)]
struct Seen {
    compiled: bool,
    stable: bool,
}

/// Whether `bytes`, a source distribution, looks as if one wheel of it served several Pythons: it has nothing to be
/// compiled, or its build files name the stable ABI. A guess; what cannot be read is guessed not to.
pub fn hints_at_sharing(filename: &SdistFilename, bytes: &[u8]) -> bool {
    let seen = match filename.extension() {
        ".zip" => zip(bytes),
        _ => tar(bytes),
    };
    seen.is_ok_and(|seen| seen.stable || !seen.compiled)
}

impl Seen {
    /// Looks at a file; true once nothing more can be learned.
    fn note(&mut self, path: &str, content: impl Read) -> std::io::Result<bool> {
        let path = path.trim_start_matches("./");
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        // Tests and documentation are not built.
        let aside = folders.split('/').skip(1).any(|folder| {
            matches!(
                folder,
                "test" | "tests" | "doc" | "docs" | "examples" | "benchmarks"
            )
        });
        if aside {
            return Ok(false);
        }
        let lower = name.to_ascii_lowercase();
        self.compiled |= COMPILED.iter().any(|ending| lower.ends_with(ending));
        if BUILD_FILES.contains(&name) {
            let mut text = Vec::new();
            content.take(FILE_LIMIT).read_to_end(&mut text)?;
            let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
            self.stable |= WORDS.iter().any(|word| text.contains(word));
        }
        Ok(self.stable)
    }
}

fn tar(bytes: &[u8]) -> std::io::Result<Seen> {
    let mut seen = Seen::default();
    let mut archive = tar::Archive::new(GzDecoder::new(bytes).take(UNPACKED_LIMIT));
    for entry in archive.entries()?.take(ENTRY_LIMIT) {
        let entry = entry?;
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if entry.header().entry_type().is_file() && seen.note(&path, entry)? {
            break;
        }
    }
    Ok(seen)
}

fn zip(bytes: &[u8]) -> std::io::Result<Seen> {
    let mut seen = Seen::default();
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes))?;
    for index in 0..archive.len().min(ENTRY_LIMIT) {
        let entry = archive.by_index(index)?;
        let path = entry.name()?.into_owned();
        if entry.is_file() && seen.note(&path, entry)? {
            break;
        }
    }
    Ok(seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sdist::tests::archive;

    fn hints(files: &[(&str, &str)]) -> bool {
        hints_at_sharing(&"x-1.tar.gz".parse().unwrap(), &archive(files))
    }

    #[test]
    fn pure_sources_and_the_stable_abi_hint_at_it() {
        let setup = ("x-1/setup.py", "setup()");
        assert!(hints(&[setup, ("x-1/x.py", "")]));
        assert!(!hints(&[setup, ("x-1/x.c", "")]));
        assert!(hints(&[setup, ("x-1/tests/x.c", "")]));
        assert!(hints(&[
            ("x-1/src/x.rs", ""),
            ("x-1/Cargo.toml", "pyo3 = { features = [\"abi3-py39\"] }"),
        ]));
        assert!(hints(&[
            ("x-1/setup.py", "Extension('x', py_limited_api=True)"),
            ("x-1/x.C", ""),
        ]));
    }

    #[test]
    fn what_cannot_be_read_does_not() {
        assert!(!hints_at_sharing(&"x-1.tar.gz".parse().unwrap(), b"none"));
        assert!(!hints_at_sharing(&"x-1.zip".parse().unwrap(), b"none"));
    }
}
