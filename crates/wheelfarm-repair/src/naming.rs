//! Names of grafted libraries.

use wheelfarm_types::Digest;

/// The name of a grafted library: `libpq-508c89f2.so.5.15` for `libpq.so.5.15`.
///
/// The first part of the name gets eight digits of the file's digest, so that two wheels' copies of different
/// builds are different libraries to the loader. This is auditwheel's form; tools that look for grafted
/// libraries know it. A library that already has its digits keeps its name.
pub(crate) fn grafted(file_name: &str, digest: &Digest) -> String {
    let suffix = format!("-{}", digest.short());
    let (base, extension) = match file_name.split_once('.') {
        Some((base, extension)) => (base, Some(extension)),
        None => (file_name, None),
    };
    if base.ends_with(&suffix) {
        return file_name.to_owned();
    }
    match extension {
        Some(extension) => format!("{base}{suffix}.{extension}"),
        None => format!("{base}{suffix}"),
    }
}

/// The last part of a path.
pub(crate) fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The way from directory `from` to directory `to`, both below one root: `../x.libs`; `.` if they are one.
pub(crate) fn relative(from: &str, to: &str) -> String {
    let parts = |path: &str| -> Vec<String> {
        path.split('/')
            .filter(|part| !part.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let (from, to) = (parts(from), parts(to));
    let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
    let up = from.iter().skip(common).map(|_| "..");
    let down = to.iter().skip(common).map(String::as_str);
    let way: Vec<&str> = up.chain(down).collect();
    if way.is_empty() {
        ".".to_owned()
    } else {
        way.join("/")
    }
}

/// `$ORIGIN` with a way behind it.
pub(crate) fn origin(way: &str) -> String {
    if way == "." {
        "$ORIGIN".to_owned()
    } else {
        format!("$ORIGIN/{way}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_carry_the_digest() {
        // SHA-256 of "abc" begins with ba7816bf.
        let digest = Digest::of("abc");
        for (name, expected) in [
            ("libpq.so.5.15", "libpq-ba7816bf.so.5.15"),
            ("libldap-2.5.so.0.1.8", "libldap-2-ba7816bf.5.so.0.1.8"),
            ("libx", "libx-ba7816bf"),
            ("libpq-ba7816bf.so.5.15", "libpq-ba7816bf.so.5.15"),
        ] {
            assert_eq!(grafted(name, &digest), expected);
        }
    }

    #[test]
    fn ways_are_relative() {
        for (from, to, way) in [
            ("", "x.libs", "x.libs"),
            ("pkg", "x.libs", "../x.libs"),
            ("pkg/sub", "x.libs", "../../x.libs"),
            ("x.libs", "x.libs", "."),
            ("x.libs/sub", "x.libs", ".."),
            ("lib/a", "lib/x.libs", "../x.libs"),
        ] {
            assert_eq!(relative(from, to), way, "{from} {to}");
        }
        assert_eq!(origin("../x"), "$ORIGIN/../x");
        assert_eq!(origin("."), "$ORIGIN");
    }
}
