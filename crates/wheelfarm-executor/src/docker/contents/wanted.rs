//! Which files of an image are looked at.

use std::path::{Path, PathBuf};

/// Directories of packages of Python and of others that bring libraries of their own: no loader looks there.
const PRIVATE: [&str; 4] = [
    "site-packages",
    "dist-packages",
    "lib-dynload",
    "node_modules",
];

/// What a file is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Good {
    /// To be read: a library, or what configures the loader.
    ToRead,
    /// It may be a Python.
    Python,
}

/// What the file at `path`, relative to the root, is good for; none if it is left out. `programs` are absolute paths of
/// further Pythons.
pub(super) fn good(path: &str, programs: &[PathBuf]) -> Option<Good> {
    let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
    let last = directory.rsplit('/').next().unwrap_or_default();
    if programs
        .iter()
        .any(|program| program.strip_prefix("/") == Ok(Path::new(path)))
        || last == "bin" && is_python(name)
    {
        return Some(Good::Python);
    }
    let is_private = || directory.split('/').any(|part| PRIVATE.contains(&part));
    let is_library = (name.contains(".so.")
        || name.rsplit_once('.').is_some_and(|(_, end)| end == "so"))
        && !is_private();
    let configures = directory == "etc"
        && (name.starts_with("ld.so.") || name.starts_with("ld-musl-"))
        || directory == "etc/ld.so.conf.d"
        || directory.starts_with("etc/ld-musl-")
        || matches!(path, "etc/os-release" | "usr/lib/os-release");
    // Its directory says which Python's library it is.
    let marks = name == "os.py" && last.starts_with("python3.");
    (is_library || configures || marks).then_some(Good::ToRead)
}

/// `python`, `python3`, `python3.11`, `python3.13t`.
fn is_python(name: &str) -> bool {
    let Some(version) = name.strip_prefix("python") else {
        return false;
    };
    let minor = version
        .strip_prefix("3.")
        .map(|rest| rest.trim_end_matches('t'));
    matches!(version, "" | "3")
        || minor.is_some_and(|minor| {
            !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loaders_libraries_and_pythons_are_looked_at() {
        let programs = [PathBuf::from("/app/snake")];
        for (path, expected) in [
            ("usr/lib/x86_64-linux-gnu/libpq.so.5.15", Some(Good::ToRead)),
            ("lib64/ld-linux-x86-64.so.2", Some(Good::ToRead)),
            ("opt/x/libx.so", Some(Good::ToRead)),
            ("etc/ld.so.conf", Some(Good::ToRead)),
            ("etc/ld.so.cache", Some(Good::ToRead)),
            ("etc/ld.so.conf.d/x.conf", Some(Good::ToRead)),
            ("etc/ld-musl-x86_64.path", Some(Good::ToRead)),
            (
                "etc/ld-musl-x86_64.d/x86_64-linux-musl.path",
                Some(Good::ToRead),
            ),
            ("usr/lib/python3.11/os.py", Some(Good::ToRead)),
            ("usr/bin/python3.11", Some(Good::Python)),
            ("opt/python/bin/python", Some(Good::Python)),
            ("usr/local/bin/python3.13t", Some(Good::Python)),
            ("app/snake", Some(Good::Python)),
            ("usr/bin/python3.11-config", None),
            ("usr/bin/python3.", None),
            ("usr/share/python3", None),
            (
                "usr/lib/python3/dist-packages/x.cpython-311-x86_64-linux-gnu.so",
                None,
            ),
            ("usr/lib/python3.11/lib-dynload/_ssl.so", None),
            ("usr/lib/libx.so.txt/readme", None),
            ("etc/passwd", None),
            ("so", None),
            ("", None),
        ] {
            assert_eq!(good(path, &programs), expected, "{path}");
        }
    }
}
