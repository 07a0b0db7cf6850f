//! What names say: platform tags of the file name, module names of files.

use wheelfarm_types::{Arch, Libc, Target, WheelFilename};

use crate::LibcFamily;

/// What a wheel's platform tags claim.
pub(super) struct Named {
    pub(super) arch: NamedArch,
    pub(super) libc: Option<LibcFamily>,
    /// The oldest musl version claimed.
    pub(super) musl: Option<(u16, u16)>,
}

/// The architecture that platform tags name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedArch {
    /// None, or several.
    Open,
    /// This one.
    Is(Arch),
    /// One that wheels do not exist for (`mips64`), which no object can be taken for.
    Unknown,
}

pub(super) fn of(filename: &WheelFilename) -> Named {
    let mut arches: Vec<Option<Arch>> = Vec::new();
    let mut families = Vec::new();
    let mut musl = None;
    for platform in &filename.platforms {
        if let Ok(target) = platform.parse::<Target>() {
            arches.push(Some(target.arch));
            families.push(LibcFamily::of(target.libc));
            if let Libc::Musl { major, minor } = target.libc {
                let claimed = (major, minor);
                musl = Some(musl.map_or(claimed, |oldest: (u16, u16)| oldest.min(claimed)));
            }
        } else if let Some(arch) = platform.strip_prefix("linux_") {
            arches.push(arch.parse().ok());
        }
    }
    arches.dedup();
    families.dedup();
    let single = |families: &[LibcFamily]| match families {
        [one] => Some(*one),
        _ => None,
    };
    Named {
        arch: match arches.as_slice() {
            [Some(arch)] => NamedArch::Is(*arch),
            [None] => NamedArch::Unknown,
            _ => NamedArch::Open,
        },
        libc: single(&families),
        musl,
    }
}

/// The dotted name of the module at an installed path: `pkg/_x.cpython-311-x86_64-linux-gnu.so` is `pkg._x`.
pub(super) fn dotted(path: &str) -> String {
    let (parent, file) = path.rsplit_once('/').unwrap_or(("", path));
    let module = file.split('.').next().unwrap_or(file);
    if parent.is_empty() {
        module.to_owned()
    } else if module == "__init__" {
        parent.replace('/', ".")
    } else {
        format!("{}.{module}", parent.replace('/', "."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(platforms: &str) -> Named {
        of(&format!("x-1-cp311-cp311-{platforms}.whl").parse().unwrap())
    }

    #[test]
    fn tags_are_claims() {
        let name = named("manylinux2014_x86_64.manylinux_2_17_x86_64");
        assert_eq!(
            (name.arch, name.libc),
            (NamedArch::Is(Arch::X86_64), Some(LibcFamily::Glibc))
        );
        let name = named("musllinux_1_1_aarch64.musllinux_1_2_aarch64");
        assert_eq!(name.musl, Some((1, 1)));
        assert_eq!(named("linux_armv6l").arch, NamedArch::Is(Arch::Armv6l));
        assert_eq!(named("linux_mips64").arch, NamedArch::Unknown);
        assert_eq!(named("any").arch, NamedArch::Open);
        assert_eq!(named("linux_x86_64.linux_i686").arch, NamedArch::Open);
    }

    #[test]
    fn modules_are_dotted() {
        assert_eq!(
            dotted("pkg/sub/_x.cpython-311-x86_64-linux-gnu.so"),
            "pkg.sub._x"
        );
        assert_eq!(dotted("_x.abi3.so"), "_x");
        assert_eq!(dotted("pkg/__init__.so"), "pkg");
    }
}
