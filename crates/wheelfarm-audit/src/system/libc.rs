//! The C library that is really there, and its version, read from its file.

use wheelfarm_types::{Arch, Libc};

use crate::{AuditError, LibcFamily, LibraryRoot, Policies};

/// glibc's file.
const GLIBC: &str = "libc.so.6";
/// What stands before its version in what it prints, in the first so many bytes of that.
const RELEASE: &[u8] = b" release version ";
const BANNER: usize = 256;

/// The C library of `family` for code of `arch`; `interpreter` is the loader that a program names. None if it is not
/// there, or does not say which version it is.
pub(super) fn of(
    root: &LibraryRoot,
    family: LibcFamily,
    arch: Option<Arch>,
    interpreter: Option<&str>,
    policies: &Policies,
) -> Result<Option<Libc>, AuditError> {
    match family {
        LibcFamily::Glibc => glibc(root, arch, interpreter, policies),
        LibcFamily::Musl => musl(root, arch, interpreter, policies),
    }
}

fn glibc(
    root: &LibraryRoot,
    arch: Option<Arch>,
    interpreter: Option<&str>,
    policies: &Policies,
) -> Result<Option<Libc>, AuditError> {
    for directory in root.default_paths(LibcFamily::Glibc, arch, interpreter) {
        let Some(real) = root.resolve(&format!("{directory}/{GLIBC}")) else {
            continue;
        };
        let Some(facts) = root.library(&real, policies)? else {
            continue;
        };
        if arch.is_none_or(|arch| facts.is_for(arch)) {
            // Not every release has new versions of symbols: 2.31 defines none in this file.
            let said = glibc_banner(&root.read(&real)?);
            let versions = facts.defined_versions.iter();
            let newest = said.or_else(|| versions.filter_map(|name| glibc_version(name)).max());
            return Ok(newest.map(|(major, minor)| Libc::Glibc { major, minor }));
        }
    }
    Ok(None)
}

/// `(2, 31)` of what glibc prints when it is run as a program:
/// `GNU C Library (Debian GLIBC 2.31-13) stable release version 2.31.`
fn glibc_banner(bytes: &[u8]) -> Option<(u16, u16)> {
    let start = find(bytes, b"GNU C Library (")?;
    let banner = bytes.get(start..)?.get(..BANNER)?;
    let at = find(banner, RELEASE)? + RELEASE.len();
    let version = banner.get(at..)?;
    let end = version
        .iter()
        .position(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
    let version = std::str::from_utf8(version.get(..end)?).ok()?;
    numbers(version.trim_end_matches('.'))
}

fn find(bytes: &[u8], text: &[u8]) -> Option<usize> {
    bytes.windows(text.len()).position(|part| part == text)
}

/// `(2, 36)` of `GLIBC_2.36`; none of `GLIBC_PRIVATE` and the like.
fn glibc_version(name: &str) -> Option<(u16, u16)> {
    numbers(name.strip_prefix("GLIBC_")?)
}

/// musl is one file with its loader: no version of a symbol tells which, but it prints its version, so that is in it.
fn musl(
    root: &LibraryRoot,
    arch: Option<Arch>,
    interpreter: Option<&str>,
    policies: &Policies,
) -> Result<Option<Libc>, AuditError> {
    let loaders = match interpreter {
        Some(path) => vec![path.to_owned()],
        None => root.musl_loaders(),
    };
    for loader in loaders {
        let Some(real) = root.resolve(&loader) else {
            continue;
        };
        let Some(facts) = root.library(&real, policies)? else {
            continue;
        };
        if arch.is_none_or(|arch| facts.is_for(arch)) {
            let version = musl_version(&root.read(&real)?);
            return Ok(version.map(|(major, minor)| Libc::Musl { major, minor }));
        }
    }
    Ok(None)
}

/// `(1, 2)` where `1.2.5` stands by itself among the strings of the file.
fn musl_version(bytes: &[u8]) -> Option<(u16, u16)> {
    bytes
        .split(|byte| *byte == 0)
        .filter(|text| text.len() >= "1.0.0".len() && text.len() < 32)
        .filter_map(|text| {
            let text = std::str::from_utf8(text).ok()?;
            // Development versions are called `1.2.5-git-17-g...`.
            let release = text.split_once("-git").map_or(text, |(release, _)| release);
            (release.split('.').count() == 3).then(|| numbers(release))?
        })
        .max()
}

/// The first two of numbers with dots between them, if there is nothing else.
fn numbers(text: &str) -> Option<(u16, u16)> {
    let mut numbers = text.split('.').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| part.parse::<u16>().ok()).flatten()
    });
    let (major, minor) = (numbers.next()??, numbers.next()??);
    numbers
        .all(|number| number.is_some())
        .then_some((major, minor))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_glibc_are_told_from_its_other_names() {
        for (name, expected) in [
            ("GLIBC_2.36", Some((2, 36))),
            ("GLIBC_2.2.5", Some((2, 2))),
            ("GLIBC_PRIVATE", None),
            ("GLIBC_ABI_DT_RELR", None),
            ("GLIBC_2", None),
            ("GLIBC_2.", None),
            ("GLIBC_2.99999999", None),
            ("GCC_3.0", None),
        ] {
            assert_eq!(glibc_version(name), expected, "{name}");
        }
    }

    #[test]
    fn glibc_says_its_release() {
        let rest = "x".repeat(BANNER);
        for (text, expected) in [
            (
                "GNU C Library (Debian GLIBC 2.31-13+deb11u5) stable release version 2.31.\n",
                Some((2, 31)),
            ),
            (
                "GNU C Library (GNU libc) development release version 2.36.9000.\n",
                Some((2, 36)),
            ),
            ("GNU C Library (GNU libc) stable release version .\n", None),
            ("GNU C Library (GNU libc) 2.31", None),
            ("stable release version 2.31.\n", None),
        ] {
            let bytes = format!("\0{text}{rest}");
            assert_eq!(glibc_banner(bytes.as_bytes()), expected, "{text}");
        }
        assert_eq!(glibc_banner(b"GNU C Library ("), None);
        assert_eq!(glibc_banner(b""), None);
    }

    #[test]
    fn musl_says_its_version_among_other_strings() {
        for (bytes, expected) in [
            (
                &b"\x7fELF\0musl libc\0Version %s\n\x001.2.3\0%s\0"[..],
                Some((1, 2)),
            ),
            (b"\x001.1.24\0", Some((1, 1))),
            (b"\x001.2.5-git-17-gabcdef\0", Some((1, 2))),
            (b"\x001.2\x001.2.x\0v1.2.3\0", None),
            (b"\x001.2.3", Some((1, 2))),
            (b"\0..\0\xff\xff1.2.3\0", None),
            (b"", None),
        ] {
            assert_eq!(musl_version(bytes), expected, "{bytes:?}");
        }
    }
}
