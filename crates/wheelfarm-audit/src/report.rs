//! What an audit finds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wheelfarm_types::{Arch, Target, WheelFilename};

use crate::stable_abi::Release;
use crate::{LibcFamily, LibraryTree, Package};

/// Everything an audit found out about a wheel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// The wheel.
    pub wheel: WheelFilename,
    /// The architecture of its ELF objects; none if it has none, or none of an architecture wheels exist for.
    pub arch: Option<Arch>,
    /// The C library that its ELF objects are linked to; none if none of them says.
    pub libc: Option<LibcFamily>,
    /// Whether it is compiled for a Python 2 whose characters have two bytes: what `cp27m` stands for and `cp27mu`
    /// does not.
    pub narrow_unicode: bool,
    /// The best tag the wheel can get, by grafting external libraries into it; none if only `linux_*` is left.
    pub earned: Option<Target>,
    /// The best tag the wheel has as it is.
    pub earned_without_grafting: Option<Target>,
    /// For each policy, the one that runs on most systems first, what stands in its way.
    pub verdicts: Vec<Verdict>,
    /// Libraries that are neither in the wheel nor allowed by the strictest policy, by name.
    pub external: Vec<ExternalLibrary>,
    /// All ELF objects of the archive, by path.
    pub objects: Vec<ElfObject>,
    /// Extension modules, by name.
    pub extensions: Vec<ExtensionModule>,
    /// What a person should know beyond the tag.
    pub findings: Vec<Finding>,
}

/// Whether a wheel fits a policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The policy's tag for the wheel's architecture.
    pub target: Target,
    /// Other names of the tag, from before PEP 600.
    pub aliases: Vec<String>,
    /// What forbids the tag, even with grafting. Empty: the wheel can have it.
    pub obstacles: Vec<Obstacle>,
    /// Libraries (needed names) that have to be grafted for it.
    pub grafts: Vec<String>,
    /// Whether no policy asks for fewer grafts. The earned tag is one of these: a tag for older systems is not
    /// worth a copy of a library that all newer ones have.
    pub fewest_grafts: bool,
}

/// A reason why a wheel does not fit a policy. `file` is a member of the wheel, or with a leading slash a library
/// of the root that would be grafted.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Obstacle {
    /// A symbol version that the policy's systems do not have.
    TooRecent {
        /// Who needs it.
        file: String,
        /// The library it is needed from.
        library: String,
        /// The version: `GLIBC_2.34`.
        version: String,
        /// The symbols needed in this version.
        symbols: Vec<String>,
    },
    /// Symbols that only some builds of a library have.
    Blacklisted {
        /// Who needs them.
        file: String,
        /// The library.
        library: String,
        /// The symbols.
        symbols: Vec<String>,
    },
    /// Code for processors above the architecture's baseline.
    Isa {
        /// Which file.
        file: String,
        /// The x86-64 level it needs: 2, 3 or 4.
        level: u8,
    },
    /// Uses `PyFPE_*`, which only interpreters built with `--with-fpectl` have.
    PyFpe {
        /// Which file.
        file: String,
    },
}

/// A library outside the wheel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalLibrary {
    /// The name in `DT_NEEDED`.
    pub soname: String,
    /// The file in the root, links resolved; none if there is no such file.
    pub path: Option<String>,
    /// The distribution package that the file belongs to.
    pub owner: Option<Package>,
    /// Members of the wheel that lead to it, directly or not.
    pub needed_by: Vec<String>,
    /// Symbol versions that it needs itself, per library: grafting it brings them along.
    pub version_needs: BTreeMap<String, Vec<String>>,
    /// It is libpython, which the interpreter provides: it is never grafted.
    pub libpython: bool,
}

/// An ELF object in the wheel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ElfObject {
    /// Path in the archive.
    pub path: String,
    /// Its architecture, if wheels exist for it.
    pub arch: Option<Arch>,
    /// Whether it counts: an object of another architecture or C library does not.
    pub considered: bool,
    /// Whether it is a program.
    pub executable: bool,
    /// `DT_SONAME`.
    pub soname: Option<String>,
    /// `DT_NEEDED`, in order.
    pub needed: Vec<String>,
    /// Libraries that it may load by itself ([`crate::AuditOptions::include`]).
    #[serde(skip)]
    pub included: Vec<String>,
    /// `DT_RPATH`, as written.
    pub rpath: Option<String>,
    /// `DT_RUNPATH`, as written.
    pub runpath: Option<String>,
    /// `PT_INTERP`.
    pub interpreter: Option<String>,
    /// Symbol versions needed, per library.
    pub version_needs: BTreeMap<String, Vec<String>>,
    /// The x86-64 level that its property note asks for; 1 is the baseline.
    pub isa_level: u8,
    /// The extension module that it is, dotted.
    pub extension: Option<String>,
    /// The graph of libraries below it.
    #[serde(skip)]
    pub libraries: LibraryTree,
}

/// A Python extension module.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ExtensionModule {
    /// Its dotted name, to be imported.
    pub name: String,
    /// Path in the archive.
    pub path: String,
}

/// Something to know about a wheel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Finding {
    /// It has no ELF object: it is pure Python, or holds only other data.
    NoElf,
    /// A symbolic link in the archive; installers write its target as the file's text.
    SymbolicLink {
        /// The link.
        path: String,
    },
    /// An object of another architecture than the rest.
    OtherArch {
        /// The object.
        path: String,
        /// Its architecture, or ELF machine number.
        arch: String,
    },
    /// An object linked to another C library than the rest.
    OtherLibc {
        /// The object.
        path: String,
        /// Its C library.
        libc: LibcFamily,
    },
    /// Begins like an ELF object but cannot be read.
    Unreadable {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// An ELF object in purelib, which may be shared between architectures.
    ElfInPurelib {
        /// The object.
        path: String,
    },
    /// Asks for an executable stack; glibc 2.41 and later refuse to load it at run time.
    ExecutableStack {
        /// The object.
        path: String,
    },
    /// Needs a library that is neither in the wheel nor in the root.
    MissingLibrary {
        /// The needed name.
        soname: String,
        /// Members that lead to it.
        needed_by: Vec<String>,
    },
    /// Is linked to libpython, which extension modules must not be.
    LinksLibpython {
        /// The object.
        path: String,
        /// The needed name.
        soname: String,
    },
    /// Searches for libraries in a directory that no installation has.
    OutsideRpath {
        /// The object.
        path: String,
        /// The entry.
        entry: String,
    },
    /// One name that leads to different libraries in one wheel.
    AmbiguousLibrary {
        /// The needed name.
        soname: String,
        /// The files it leads to.
        paths: Vec<String>,
    },
    /// A platform tag of the file name that the wheel does not earn.
    UnearnedTag {
        /// The platform tag.
        tag: String,
    },
    /// An ELF object that RECORD does not list: installers may leave it out or refuse the wheel.
    NotInRecord {
        /// The object.
        path: String,
    },
    /// Is in a wheel for the stable ABI, or named so (`.abi3.so`), and uses what is no part of that ABI.
    BeyondStableAbi {
        /// The object.
        path: String,
        /// The functions and variables.
        symbols: Vec<String>,
    },
    /// Uses parts of the stable ABI that came with a later Python than the oldest that installs the wheel.
    LaterStableAbi {
        /// The object.
        path: String,
        /// The oldest Python by the wheel's tags.
        claimed: Release,
        /// The oldest Python that has everything.
        needed: Release,
        /// The functions and variables with the Python each came with.
        symbols: BTreeMap<String, Release>,
    },
    /// An extension module with a name that no interpreter of the wheel's tags looks for.
    NamedForOthers {
        /// The module.
        path: String,
        /// What its name says of the interpreter: `cpython-313-x86_64-linux-gnu`.
        infix: String,
    },
    /// Compiled for free-threaded interpreters in a wheel for those with the lock, or the other way round.
    OtherThreading {
        /// The object.
        path: String,
        /// What it was compiled for.
        free_threaded: bool,
    },
    /// Compiled for a Python 2 with characters of another width than that of the wheel's ABI tag.
    OtherCharacters {
        /// The object.
        path: String,
        /// Bytes per character: 2 or 4.
        bytes: u8,
    },
    /// Says that it needs a newer ARM processor than the wheel's platform tag allows (`Tag_CPU_arch`). It need not
    /// be so: linkers write the newest of all parts, also of those that are used only where they work.
    NewerArm {
        /// The object.
        path: String,
    },
}

impl AuditReport {
    /// The verdict on `target`'s policy; a target without a policy of its own is judged by the next older one.
    pub fn verdict(&self, target: Target) -> Option<&Verdict> {
        self.verdicts.iter().rfind(|verdict| {
            verdict.target.arch == target.arch && verdict.target.libc.runs_on(target.libc)
        })
    }
}

impl Verdict {
    /// Whether the wheel can have the tag, by grafting [`Verdict::grafts`].
    pub fn is_possible(&self) -> bool {
        self.obstacles.is_empty()
    }
}
