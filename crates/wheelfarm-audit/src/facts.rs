//! What an audit needs to know of one ELF object.

use std::collections::{BTreeMap, BTreeSet};

use wheelfarm_elf::constants as elf_constants;
use wheelfarm_elf::{Binding, Class, Elf, ElfError, Endian, SymbolKind};
use wheelfarm_types::Arch;

use crate::{LibcFamily, Policies, musl};

/// Facts about an ELF object, read once and owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ElfFacts {
    /// Address width, byte order and `e_machine`: what loaders compare.
    pub(crate) platform: (Class, Endian, u16),
    pub(crate) os_abi: u8,
    pub(crate) flags: u32,
    pub(crate) executable: bool,
    pub(crate) interpreter: Option<String>,
    pub(crate) soname: Option<String>,
    pub(crate) needed: Vec<String>,
    pub(crate) rpath: Option<String>,
    pub(crate) runpath: Option<String>,
    pub(crate) no_default_libraries: bool,
    /// Library -> version -> the symbols needed in it, in the order of the symbol table.
    pub(crate) versions: BTreeMap<String, BTreeMap<String, Vec<String>>>,
    /// The versions of symbols that it defines.
    pub(crate) defined_versions: BTreeSet<String>,
    /// Undefined, not weak, and named by some blacklist, by the rule about `PyFPE`, or by the table of musl.
    pub(crate) watched: BTreeSet<String>,
    /// Functions of later releases of musl that the object has itself.
    pub(crate) musl_defined: BTreeSet<String>,
    /// Functions that make it an extension module: `PyInit_x` and its relatives.
    pub(crate) inits: BTreeSet<String>,
    /// Undefined names that are Python's: `Py...` and `_Py...`.
    pub(crate) python_used: BTreeSet<String>,
    /// Names of that kind that the object has itself.
    pub(crate) python_defined: BTreeSet<String>,
    pub(crate) isa_level: u8,
    /// `Tag_CPU_arch` of an ARM object.
    pub(crate) arm_cpu: Option<u64>,
    pub(crate) executable_stack: bool,
}

impl ElfFacts {
    /// Reads an object.
    pub(crate) fn read(bytes: &[u8], policies: &Policies) -> Result<Self, ElfError> {
        Self::of(&Elf::parse(bytes)?, policies)
    }

    /// Reads what was parsed.
    pub(crate) fn of(elf: &Elf<'_>, policies: &Policies) -> Result<Self, ElfError> {
        let header = elf.header();
        let mut facts = Self {
            platform: (header.class, header.endian, header.machine),
            os_abi: header.os_abi,
            flags: header.flags,
            executable: elf.is_executable(),
            interpreter: elf.interpreter().map(str::to_owned),
            soname: elf.soname().map(str::to_owned),
            needed: elf.needed().iter().map(|name| (*name).to_owned()).collect(),
            rpath: elf.rpath().map(str::to_owned),
            runpath: elf.runpath().map(str::to_owned),
            no_default_libraries: elf.no_default_libraries(),
            versions: BTreeMap::new(),
            defined_versions: elf
                .version_definitions()
                .iter()
                .filter(|version| !version.base)
                .map(|version| version.name.to_owned())
                .collect(),
            watched: BTreeSet::new(),
            musl_defined: BTreeSet::new(),
            inits: BTreeSet::new(),
            python_used: BTreeSet::new(),
            python_defined: BTreeSet::new(),
            isa_level: isa_level(elf.x86_isa_needed()),
            arm_cpu: elf.arm_cpu_arch(),
            executable_stack: elf.has_executable_stack(),
        };
        for need in elf.version_needs() {
            let versions = facts.versions.entry(need.file.to_owned()).or_default();
            for version in &need.versions {
                versions.entry(version.name.to_owned()).or_default();
            }
        }
        for symbol in elf.dynamic_symbols()? {
            if symbol.defined {
                if is_python(&symbol.name) {
                    facts.python_defined.insert(symbol.name.to_string());
                }
                if musl::added(&symbol.name).is_some() {
                    facts.musl_defined.insert(symbol.name.to_string());
                }
                if symbol.kind == SymbolKind::Func && is_init(&symbol.name) {
                    facts.inits.insert(symbol.name.into_owned());
                }
                continue;
            }
            if let (Some(file), Some(version)) = (symbol.version_file, symbol.version)
                && let Some(symbols) = facts
                    .versions
                    .get_mut(file)
                    .and_then(|v| v.get_mut(version))
            {
                symbols.push(symbol.name.to_string());
            }
            if is_python(&symbol.name) {
                facts.python_used.insert(symbol.name.to_string());
            }
            if symbol.binding != Binding::Weak
                && (policies.watches(&symbol.name)
                    || is_pyfpe(&symbol.name)
                    || musl::added(&symbol.name).is_some())
            {
                facts.watched.insert(symbol.name.into_owned());
            }
        }
        Ok(facts)
    }

    /// The architecture, if wheels exist for it. 32-bit ARM has to be EABI 5 with hard floats, whichever processor
    /// it is for, and x86-64 not the x32 kind.
    pub fn arch(&self) -> Option<Arch> {
        const ARM_EABI_MASK: u32 = 0xff00_0000;
        const ARM_EABI_5: u32 = 0x0500_0000;
        const ARM_HARD_FLOAT: u32 = 0x0000_0400;
        use elf_constants as em;
        let hard_float =
            self.flags & ARM_EABI_MASK == ARM_EABI_5 && self.flags & ARM_HARD_FLOAT != 0;
        Some(match self.platform {
            (Class::Elf64, Endian::Little, em::EM_X86_64) => Arch::X86_64,
            (Class::Elf32, Endian::Little, em::EM_386) => Arch::I686,
            (Class::Elf64, Endian::Little, em::EM_AARCH64) => Arch::Aarch64,
            (Class::Elf32, Endian::Little, em::EM_ARM) if hard_float => Arch::Armv7l,
            (Class::Elf64, Endian::Little, em::EM_PPC64) => Arch::Ppc64le,
            (Class::Elf64, Endian::Big, em::EM_PPC64) => Arch::Ppc64,
            (Class::Elf64, Endian::Big, em::EM_S390) => Arch::S390x,
            (Class::Elf64, Endian::Little, em::EM_RISCV) => Arch::Riscv64,
            (Class::Elf64, Endian::Little, em::EM_LOONGARCH) => Arch::Loongarch64,
            _ => return None,
        })
    }

    /// Whether its code may run where wheels for `arch` do, but for what single instructions ask. `ARMv6` and
    /// `ARMv7` are told apart by the wheel's name: code for the first runs on both.
    pub(crate) fn is_for(&self, arch: Arch) -> bool {
        self.arch() == Some(arch) || arch == Arch::Armv6l && self.arch() == Some(Arch::Armv7l)
    }

    /// Whether ARM code is for newer processors than wheels for `arch` may count on, by its `Tag_CPU_arch` (Addenda
    /// to the ABI for the Arm Architecture): `ARMv6` are the values to 7 and 9, `ARMv7` those to 13.
    pub(crate) fn is_newer_arm(&self, arch: Arch) -> bool {
        self.arm_cpu.is_some_and(|cpu| match arch {
            Arch::Armv6l => !matches!(cpu, 0..=7 | 9),
            Arch::Armv7l => cpu > 13,
            _ => false,
        })
    }

    /// The C library it is linked to, if it says so. `name` is its file name: extension modules of CPython 3.11
    /// and later carry the platform triplet there.
    pub(crate) fn libc(&self, name: &str) -> Option<LibcFamily> {
        if let Some(interpreter) = &self.interpreter {
            let base = interpreter.rsplit('/').next().unwrap_or(interpreter);
            return Some(if base.starts_with("ld-musl-") {
                LibcFamily::Musl
            } else {
                LibcFamily::Glibc
            });
        }
        for library in &self.needed {
            // glibc's soname is another; `libc.so` is what its development files have.
            if library.starts_with("libc.musl-")
                || library.starts_with("ld-musl-")
                || library == "libc.so"
            {
                return Some(LibcFamily::Musl);
            }
            if library == "libc.so.6" || is_glibc_loader(library) {
                return Some(LibcFamily::Glibc);
            }
        }
        libc_of_name(name)
    }

    /// Whether a program of `other`'s kind can load this object.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        // EI_OSABI: System V and GNU are one in practice.
        let usual = |abi| matches!(abi, 0 | 3);
        self.platform == other.platform
            && (self.os_abi == other.os_abi || usual(self.os_abi) && usual(other.os_abi))
    }

    /// The module that the object is, if it exports an initialisation function for its file name.
    ///
    /// `PyInit_` is PEP 489's, `PyInitU_` for names that are not ASCII, `PyModExport_` PEP 793's, `init` is
    /// Python 2's, `_cffi_pypyinit_` that of PyPy.
    pub(crate) fn module(&self, file_name: &str) -> Option<String> {
        let module = file_name.split('.').next()?;
        self.inits
            .iter()
            .any(|init| {
                init.starts_with("PyInitU_")
                    || ["PyInit_", "PyModExport_", "init", "_cffi_pypyinit_"]
                        .iter()
                        .any(|prefix| init.strip_prefix(prefix) == Some(module))
            })
            .then(|| module.to_owned())
    }

    /// How many bytes a character of Python 2 has for the object: 2 or 4, by the names of the functions for text
    /// (PEP 261). None if it uses none of them.
    pub(crate) fn unicode_width(&self) -> Option<u8> {
        let uses = |prefix: &str| {
            self.python_used
                .iter()
                .any(|symbol| symbol.starts_with(prefix))
        };
        if uses("PyUnicodeUCS2_") {
            Some(2)
        } else {
            uses("PyUnicodeUCS4_").then_some(4)
        }
    }

    /// Whether it uses floating-point traps that only special interpreters have.
    pub(crate) fn uses_pyfpe(&self) -> bool {
        self.watched.iter().any(|symbol| is_pyfpe(symbol))
    }
}

/// The C library in the name of an extension module: `_x.cpython-311-x86_64-linux-musl.so`. Before 3.11, CPython
/// called itself `linux-gnu` with musl too.
fn libc_of_name(name: &str) -> Option<LibcFamily> {
    let (_, infix) = name.strip_suffix(".so")?.rsplit_once('.')?;
    if infix.ends_with("-linux-musl") || infix.ends_with("-linux-musleabihf") {
        return Some(LibcFamily::Musl);
    }
    if !infix.ends_with("-linux-gnu") && !infix.ends_with("-linux-gnueabihf") {
        return None;
    }
    let version = infix.strip_prefix("cpython-3")?.split('-').next()?;
    let minor = version.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    (minor.parse::<u16>().ok()? >= 11).then_some(LibcFamily::Glibc)
}

fn is_init(symbol: &str) -> bool {
    ["PyInit", "PyModExport_", "init", "_cffi_pypyinit_"]
        .iter()
        .any(|prefix| symbol.starts_with(prefix))
}

fn is_python(symbol: &str) -> bool {
    symbol.starts_with("Py") || symbol.starts_with("_Py")
}

fn is_pyfpe(symbol: &str) -> bool {
    matches!(symbol, "PyFPE_jbuf" | "PyFPE_dummy" | "PyFPE_counter")
}

/// Whether a needed name is glibc's loader, which every system of the architecture has.
pub(crate) fn is_glibc_loader(name: &str) -> bool {
    name.contains("ld-linux") || matches!(name, "ld64.so.1" | "ld64.so.2")
}

/// Whether a needed name is libpython: `libpython3.11.so.1.0`, `libpython3.13t.so`, not `libpython3.so`.
pub(crate) fn is_libpython(name: &str) -> bool {
    let parse = || {
        let (version, rest) = name.strip_prefix("libpython")?.split_once(".so")?;
        let version = version.trim_end_matches(['m', 'd', 't']);
        let (major, minor) = version.split_once('.')?;
        let numbers = [major, minor]
            .iter()
            .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        let suffix = rest.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        (numbers && suffix).then_some(())
    };
    parse().is_some()
}

/// The x86-64 level of `GNU_PROPERTY_X86_ISA_1_NEEDED` bits (x86-64 psABI, table "GNU Property").
fn isa_level(bits: u32) -> u8 {
    match bits {
        bits if bits & 8 != 0 => 4,
        bits if bits & 4 != 0 => 3,
        bits if bits & 2 != 0 => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libpython_is_recognised() {
        for name in [
            "libpython3.11.so.1.0",
            "libpython3.13t.so.1.0",
            "libpython2.7.so",
            "libpython3.6m.so.1.0",
        ] {
            assert!(is_libpython(name), "{name}");
        }
        for name in [
            "libpython3.so",
            "libpython.so",
            "libpythonista3.1.so",
            "libpython3.11.solid",
        ] {
            assert!(!is_libpython(name), "{name}");
        }
    }

    #[test]
    fn names_of_modules_tell_the_libc_since_3_11() {
        for (name, libc) in [
            (
                "_x.cpython-311-x86_64-linux-gnu.so",
                Some(LibcFamily::Glibc),
            ),
            (
                "_x.cpython-313t-arm-linux-gnueabihf.so",
                Some(LibcFamily::Glibc),
            ),
            ("_x.cpython-310-x86_64-linux-gnu.so", None),
            ("_x.cpython-36m-x86_64-linux-gnu.so", None),
            (
                "_x.cpython-310-x86_64-linux-musl.so",
                Some(LibcFamily::Musl),
            ),
            (
                "_x.cpython-311-arm-linux-musleabihf.so",
                Some(LibcFamily::Musl),
            ),
            ("_x.pypy310-pp73-x86_64-linux-gnu.so", None),
            ("_x.abi3.so", None),
            ("_x-linux-gnu.so", None),
        ] {
            assert_eq!(libc_of_name(name), libc, "{name}");
        }
    }

    #[test]
    fn isa_levels_are_the_highest_bit() {
        assert_eq!([0, 1, 2, 4, 8, 15].map(isa_level), [1, 1, 2, 3, 4, 4]);
    }
}
