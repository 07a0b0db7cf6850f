//! Where the environment's loader looks: `ld.so.conf`, `ld-musl-*.path`, default directories
//! (ld.so(8), ldconfig(8); musl's `ldso/dynlink.c`).

use std::collections::HashSet;
use std::path::Path;

use globset::Glob;
use wheelfarm_types::Arch;

use super::walk;
use crate::{AuditError, LibcFamily};

/// Most configuration files read.
const FILES: usize = 1000;
/// Most directories taken from configuration.
const DIRECTORIES: usize = 1000;

type Read<'a> = &'a dyn Fn(&str) -> Result<Option<String>, AuditError>;

/// The loader's configuration.
#[derive(Debug, Default)]
pub(super) struct Configured {
    glibc: Vec<String>,
    /// None: no file, so musl's default.
    musl: Option<Vec<String>>,
}

impl Configured {
    pub(super) fn read(root: &Path, read: Read<'_>) -> Result<Self, AuditError> {
        let mut glibc = Vec::new();
        ld_so_conf(
            root,
            read,
            "/etc/ld.so.conf",
            &mut HashSet::new(),
            &mut glibc,
        )?;
        let musl = walk::names(root, "/etc").into_iter().find(|name| {
            name.strip_prefix("ld-musl-")
                .is_some_and(|rest| rest.strip_suffix(".path").is_some())
        });
        let musl = match musl {
            Some(name) => read(&format!("/etc/{name}"))?.map(|text| {
                // musl takes colons and newlines alike.
                text.split([':', '\n'])
                    .map(str::trim)
                    .filter(|path| path.starts_with('/'))
                    .take(DIRECTORIES)
                    .map(str::to_owned)
                    .collect()
            }),
            None => None,
        };
        Ok(Self { glibc, musl })
    }

    /// Drops what glibc's configuration names.
    pub(super) fn forget_glibc(&mut self) {
        self.glibc.clear();
    }

    /// All directories, in the order of the search.
    pub(super) fn paths(
        &self,
        family: LibcFamily,
        arch: Option<Arch>,
        interpreter: Option<&str>,
    ) -> Vec<String> {
        let mut paths: Vec<String> = match (family, &self.musl) {
            (LibcFamily::Musl, Some(configured)) => configured.clone(),
            (LibcFamily::Musl, None) => strings(&["/lib", "/usr/local/lib", "/usr/lib"]),
            (LibcFamily::Glibc, _) => self.glibc.clone(),
        };
        if family == LibcFamily::Glibc {
            if let Some(triplet) = arch.map(multiarch) {
                paths.extend([format!("/lib/{triplet}"), format!("/usr/lib/{triplet}")]);
            }
            // Objects of the other width in them are passed over like any that do not fit.
            paths.extend(strings(&["/lib", "/lib64", "/usr/lib", "/usr/lib64"]));
            if matches!(arch, Some(Arch::I686)) {
                paths.extend(strings(&["/lib32", "/usr/lib32"]));
            }
            let own = interpreter.and_then(|path| path.rsplit_once('/'));
            if let Some((directory, _)) = own.filter(|(directory, _)| directory.starts_with('/')) {
                paths.extend([directory.to_owned(), format!("/usr{directory}")]);
            }
        }
        let mut seen = HashSet::new();
        paths.retain(|path| seen.insert(path.clone()));
        paths
    }
}

/// Adds the directories of one configuration file, includes followed where they stand.
fn ld_so_conf(
    root: &Path,
    read: Read<'_>,
    path: &str,
    seen: &mut HashSet<String>,
    found: &mut Vec<String>,
) -> Result<(), AuditError> {
    // Each file once: they may include each other.
    if seen.len() >= FILES || !seen.insert(path.to_owned()) {
        return Ok(());
    }
    let Some(text) = read(path)? else {
        return Ok(());
    };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let (word, rest) = line.split_once([' ', '\t']).unwrap_or((line, ""));
        match word {
            "include" => {
                for pattern in rest.split_whitespace() {
                    for file in expand(root, path, pattern) {
                        ld_so_conf(root, read, &file, seen, found)?;
                    }
                }
            }
            "hwcap" | "" => {}
            // ldconfig also takes `directory=TYPE`, from libc5 times.
            _ if line.starts_with('/') && found.len() < DIRECTORIES => {
                let directory = line.split('=').next().unwrap_or(line).trim_end();
                found.push(directory.to_owned());
            }
            _ => {}
        }
    }
    Ok(())
}

/// The files that an include pattern means, sorted as `glob` sorts them. Only its last part may be a pattern.
fn expand(root: &Path, from: &str, pattern: &str) -> Vec<String> {
    let (directory, pattern) = match pattern.rsplit_once('/') {
        Some((directory, last)) if directory.starts_with('/') || directory.is_empty() => {
            (directory.to_owned(), last)
        }
        Some((directory, last)) => (format!("{}/{directory}", parent(from)), last),
        None => (parent(from).to_owned(), pattern),
    };
    let Ok(glob) = Glob::new(pattern) else {
        return Vec::new();
    };
    let matcher = glob.compile_matcher();
    walk::names(root, &directory)
        .into_iter()
        // As in a shell, `*` does not match a hidden file.
        .filter(|name| {
            (pattern.starts_with('.') || !name.starts_with('.')) && matcher.is_match(name)
        })
        .map(|name| format!("{directory}/{name}"))
        .collect()
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn strings(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

/// Debian's directory names ([multiarch tuples](https://wiki.debian.org/Multiarch/Tuples)).
pub(crate) fn multiarch(arch: Arch) -> &'static str {
    match arch {
        Arch::Aarch64 => "aarch64-linux-gnu",
        Arch::Armv6l | Arch::Armv7l => "arm-linux-gnueabihf",
        Arch::I686 => "i386-linux-gnu",
        Arch::Loongarch64 => "loongarch64-linux-gnu",
        Arch::Ppc64 => "powerpc64-linux-gnu",
        Arch::Ppc64le => "powerpc64le-linux-gnu",
        Arch::Riscv64 => "riscv64-linux-gnu",
        Arch::S390x => "s390x-linux-gnu",
        Arch::X86_64 => "x86_64-linux-gnu",
    }
}
