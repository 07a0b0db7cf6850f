//! How much an archive may ask of us.

/// Upper bounds, checked against what the archive declares before anything is allocated or inflated.
///
/// The defaults take the largest wheels that the Python package index holds (about 4 GB unpacked) with room;
/// a server that accepts uploads hands in smaller ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the archive itself.
    pub archive: u64,
    /// Number of entries.
    pub entries: usize,
    /// Unpacked bytes of one member.
    pub member: u64,
    /// Unpacked bytes of all members together.
    pub total: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            archive: 8 * GIB,
            entries: 200_000,
            member: 4 * GIB,
            total: 16 * GIB,
        }
    }
}

/// Bytes of a metadata file (`WHEEL`, `METADATA`, `RECORD`): these are held as text.
pub(crate) const METADATA_LIMIT: u64 = 64 << 20;
