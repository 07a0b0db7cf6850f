//! Why an object could not be read.

/// Why bytes could not be read as an ELF object.
///
/// `what` names the structure that was being read, in gABI terms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ElfError {
    /// The first four bytes are not `\x7fELF`.
    #[error("not an ELF object")]
    NotElf,
    /// A structure reaches past the end of the file.
    #[error(
        "truncated ELF object: the {what} at offset {offset:#x} ends past the file ({length:#x} bytes)"
    )]
    Truncated {
        /// The structure that was being read.
        what: &'static str,
        /// Where it begins, in bytes from the start of the file.
        offset: u64,
        /// Length of the file in bytes.
        length: u64,
    },
    /// A structure contradicts itself or the rest of the file.
    #[error("malformed ELF object: {what}: {why}")]
    Malformed {
        /// The structure that was being read.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Well-formed as far as can be told, but of a kind this crate does not read.
    #[error("unsupported ELF {what} {value:#x}")]
    Unsupported {
        /// The field with the unknown value.
        what: &'static str,
        /// Its value.
        value: u64,
    },
}

impl ElfError {
    /// A [`ElfError::Malformed`].
    pub(crate) fn malformed(what: &'static str, why: &'static str) -> ElfError {
        ElfError::Malformed { what, why }
    }
}
