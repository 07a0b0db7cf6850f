//! Where a member lands when the wheel is installed.

/// An installation directory ([sysconfig](https://docs.python.org/3/library/sysconfig.html) scheme key).
///
/// `purelib` and `platlib` are one directory on every Linux system that wheels are built for, except
/// multilib distributions, where only `platlib` may hold ELF objects; both are [`Scheme::Site`] here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// `site-packages`.
    Site,
    /// The directory of executables.
    Scripts,
    /// The environment's prefix.
    Data,
    /// The directory of C headers.
    Headers,
}

/// An installed path: a scheme directory and a path below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Installed {
    /// Which directory.
    pub scheme: Scheme,
    /// `/`-separated path below it, without a leading slash.
    pub path: String,
}

impl Installed {
    /// Where `member` lands: `x-1.data/<scheme>/...` in that scheme's directory, all else in site-packages.
    ///
    /// `data_dir` is the wheel's own [`data_dir`](crate::Wheel::data_dir): one of another name is a package.
    pub fn of(member: &str, data_dir: &str) -> Self {
        let spread = member
            .strip_prefix(data_dir)
            .and_then(|rest| rest.strip_prefix('/')?.split_once('/'));
        let (scheme, path) = match spread {
            Some(("platlib" | "purelib", path)) => (Scheme::Site, path),
            Some(("scripts", path)) => (Scheme::Scripts, path),
            Some(("data", path)) => (Scheme::Data, path),
            Some(("headers", path)) => (Scheme::Headers, path),
            _ => (Scheme::Site, member),
        };
        Self {
            scheme,
            path: path.to_owned(),
        }
    }

    /// The directory part of the path; empty at the scheme's root.
    pub fn parent(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(parent, _)| parent)
    }
}

impl crate::Wheel {
    /// `<name>-<version>.data`, beside the `.dist-info` directory.
    pub fn data_dir(&self) -> String {
        let stem = self.dist_info().strip_suffix(".dist-info");
        format!("{}.data", stem.unwrap_or(self.dist_info()))
    }

    /// Where a member of this wheel lands when it is installed.
    pub fn installed(&self, member: &str) -> Installed {
        Installed::of(member, &self.data_dir())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_directories_are_spread() {
        for (member, scheme, path) in [
            ("pkg/x.so", Scheme::Site, "pkg/x.so"),
            ("p-1.data/platlib/pkg/x.so", Scheme::Site, "pkg/x.so"),
            ("p-1.data/purelib/x.so", Scheme::Site, "x.so"),
            ("p-1.data/scripts/x", Scheme::Scripts, "x"),
            ("p-1.data/data/lib/x.so", Scheme::Data, "lib/x.so"),
            ("p-1.data/other/x", Scheme::Site, "p-1.data/other/x"),
            ("q-1.data/data/x", Scheme::Site, "q-1.data/data/x"),
        ] {
            let installed = Installed::of(member, "p-1.data");
            assert_eq!((installed.scheme, installed.path.as_str()), (scheme, path));
        }
        assert_eq!(Installed::of("a/b/c", "p-1.data").parent(), "a/b");
        assert_eq!(Installed::of("c", "p-1.data").parent(), "");
    }
}
