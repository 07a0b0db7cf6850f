//! Why a wheel could not be repaired.

use wheelfarm_audit::{AuditError, Finding, Obstacle};
use wheelfarm_elf::{EditError, StripError};
use wheelfarm_types::{FilenameError, Target};
use wheelfarm_wheel::WheelError;

/// A repair that could not be planned, applied or verified.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// The wheel cannot be read or written.
    #[error(transparent)]
    Wheel(#[from] WheelError),
    /// The root cannot be read.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The repaired wheel's name would be no wheel file name.
    #[error(transparent)]
    Filename(#[from] FilenameError),
    /// The wheel holds no ELF object of an architecture that wheels exist for: it needs no repair.
    #[error("{0} has no ELF object to repair for")]
    NoElf(String),
    /// There is no policy for the architecture: `linux_armv6l`.
    #[error(
        "there is no platform policy for {arch}, which {wheel} is for: `linux_{arch}` is its tag"
    )]
    NoPolicy {
        /// The wheel.
        wheel: String,
        /// Its architecture.
        arch: wheelfarm_types::Arch,
    },
    /// The target is for another architecture or C library than the wheel.
    #[error("{wheel} is for {actual}, not for {target}")]
    OtherPlatform {
        /// The wheel.
        wheel: String,
        /// What it is for.
        actual: String,
        /// What was asked for.
        target: Target,
    },
    /// The wheel cannot have the tag, whatever is grafted.
    #[error("{wheel} cannot be {target}: {}", first(obstacles))]
    NotEarned {
        /// The wheel.
        wheel: String,
        /// The tag.
        target: String,
        /// What stands in its way.
        obstacles: Vec<Obstacle>,
    },
    /// A library to be grafted is not in the root.
    #[error("{file} needs `{soname}`, which is neither in the wheel nor in the library root")]
    MissingLibrary {
        /// The member that needs it, directly or through other libraries.
        file: String,
        /// The needed name.
        soname: String,
    },
    /// A program is linked to libpython: without it, it would not run.
    #[error(
        "{file} is a program that needs `{soname}`; link it statically, or exclude `{soname}` if the system has it"
    )]
    LinksLibpython {
        /// The program.
        file: String,
        /// The needed name.
        soname: String,
    },
    /// An object that needs grafted libraries is installed where they cannot be found from.
    #[error(
        "{file} needs grafted libraries, but is installed in a directory with no fixed way to them"
    )]
    Place {
        /// The object.
        file: String,
    },
    /// An ELF object is in purelib.
    #[error("{file} is an ELF object in purelib: it has to be in platlib")]
    Purelib {
        /// The object.
        file: String,
    },
    /// The name of the directory for grafted libraries has a path in it.
    #[error("`{0}` is not a suffix for a directory name")]
    LibSdir(String),
    /// A library of the root is not what it was when the plan was made.
    #[error("{0} has changed since the repair was planned")]
    Changed(String),
    /// An object cannot be patched.
    #[error("{file} cannot be patched: {error}")]
    Edit {
        /// The object.
        file: String,
        /// Why.
        error: EditError,
    },
    /// An object cannot be stripped.
    #[error("{file} cannot be stripped: {error}")]
    Strip {
        /// The object.
        file: String,
        /// Why.
        error: StripError,
    },
    /// A library that was to be included cannot be.
    #[error("`{name}` cannot be included: {reason}")]
    Include {
        /// The library, as it was asked for.
        name: String,
        /// Why.
        reason: &'static str,
    },
    /// The SBOM cannot be written: a bug.
    #[error("the SBOM cannot be written: {0}")]
    Sbom(serde_json::Error),
    /// The repaired wheel does not keep what its name promises.
    #[error("{wheel} does not hold what it promises: {}", describe(findings))]
    Unverified {
        /// The repaired wheel.
        wheel: String,
        /// What was found.
        findings: Vec<Finding>,
    },
    /// RECORD of the repaired wheel is wrong: a bug.
    #[error("{wheel}: its RECORD does not fit its contents")]
    Record {
        /// The repaired wheel.
        wheel: String,
    },
}

/// The first symbols, and how many more there are: an object may need hundreds.
fn some_of(symbols: &[String]) -> String {
    const MOST: usize = 5;
    let named = symbols.get(..MOST).unwrap_or(symbols).join(", ");
    match symbols.len().saturating_sub(MOST) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

fn first(obstacles: &[Obstacle]) -> String {
    let text = match obstacles.first() {
        None => return "no policy fits it".to_owned(),
        Some(Obstacle::TooRecent {
            file,
            library,
            version,
            symbols,
        }) => {
            let symbols = match symbols.as_slice() {
                [] => String::new(),
                some => format!(" ({})", some_of(some)),
            };
            format!("{file} needs {version}{symbols} of {library}")
        }
        Some(Obstacle::Blacklisted {
            file,
            library,
            symbols,
        }) => {
            format!(
                "{file} uses {} of {library}, which not every build of it has",
                some_of(symbols)
            )
        }
        Some(Obstacle::Isa { file, level }) => format!("{file} needs an x86-64-v{level} processor"),
        Some(Obstacle::PyFpe { file }) => {
            format!("{file} uses PyFPE_*, which few interpreters have")
        }
    };
    match obstacles.len() {
        0 | 1 => text,
        more => format!("{text}; and {} more", more - 1),
    }
}

fn describe(findings: &[Finding]) -> String {
    let parts: Vec<String> = findings
        .iter()
        .map(|finding| match finding {
            Finding::UnearnedTag { tag } => format!("it does not earn {tag}"),
            Finding::MissingLibrary { soname, needed_by } => {
                format!("{} needs `{soname}`", needed_by.join(", "))
            }
            other => format!("{other:?}"),
        })
        .collect();
    parts.join("; ")
}
