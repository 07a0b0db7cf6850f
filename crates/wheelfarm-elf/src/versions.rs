//! Symbol versions (LSB Core, "Symbol Versioning"): which versions are needed of
//! which library, and which are defined.

use crate::bytes::Reader;
use crate::constants::{VER_FLG_BASE, VER_FLG_WEAK};
use crate::error::ElfError;
use crate::strings::Strings;

/// Version indices have 15 bits, so no object can have more versions.
const MAX_VERSIONS: usize = 0x8000;
const NEED: &str = "version needs (.gnu.version_r)";
const DEFINITION: &str = "version definitions (.gnu.version_d)";

/// The versions an object needs from one library (`Elfxx_Verneed`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionNeed<'a> {
    /// `vn_file`: the library, as in `DT_NEEDED`.
    pub file: &'a str,
    /// The versions needed from it.
    pub versions: Vec<VersionNeedEntry<'a>>,
}

/// One needed version (`Elfxx_Vernaux`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionNeedEntry<'a> {
    /// Name of the version, as `GLIBC_2.34`.
    pub name: &'a str,
    /// `vna_other`: the index that symbols of this version carry.
    pub index: u16,
    /// Whether a loader may go on when the version is missing (`VER_FLG_WEAK`).
    pub weak: bool,
}

/// A version an object defines (`Elfxx_Verdef`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionDefinition<'a> {
    /// Name of the version; of the base definition, usually the soname.
    pub name: &'a str,
    /// `vd_ndx`: the index that symbols of this version carry.
    pub index: u16,
    /// Whether this stands for the object itself (`VER_FLG_BASE`).
    pub base: bool,
    /// `VER_FLG_WEAK`.
    pub weak: bool,
    /// Versions this one inherits from.
    pub parents: Vec<&'a str>,
}

/// `Elfxx_Verneed` as it lies in the file.
#[derive(Debug, Clone)]
pub(crate) struct RawNeed {
    pub(crate) offset: u64,
    pub(crate) file: u32,
    pub(crate) entries: Vec<RawNeedEntry>,
}

/// `Elfxx_Vernaux` as it lies in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawNeedEntry {
    pub(crate) offset: u64,
    pub(crate) hash: u32,
    pub(crate) flags: u16,
    pub(crate) other: u16,
    pub(crate) name: u32,
}

impl RawNeed {
    /// Size in bytes of both `Elfxx_Verneed` and `Elfxx_Vernaux`.
    pub(crate) const SIZE: u64 = 16;
}

/// The `count` (`DT_VERNEEDNUM`) needs at file offset `start`.
pub(crate) fn raw_needs(
    reader: Reader<'_>,
    start: u64,
    count: u64,
) -> Result<Vec<RawNeed>, ElfError> {
    let mut needs: Vec<RawNeed> = Vec::new();
    let mut total = 0;
    let mut at = start;
    for _ in 0..count {
        let mut fields = reader.fields(at, RawNeed::SIZE, NEED)?;
        let version = fields.u16()?;
        let entry_count = fields.u16()?;
        let file = fields.u32()?;
        let first = u64::from(fields.u32()?);
        let next = u64::from(fields.u32()?);
        if version != 1 {
            return Err(ElfError::malformed(NEED, "unknown vn_version"));
        }
        total += 1 + usize::from(entry_count);
        // Chains may overlap, so the file's size alone does not bound them.
        if total > 2 * MAX_VERSIONS {
            return Err(ElfError::malformed(
                NEED,
                "more than a version index can name",
            ));
        }
        needs.push(RawNeed {
            offset: at,
            file,
            entries: raw_need_entries(reader, at + first, entry_count)?,
        });
        if next == 0 {
            break;
        }
        at += next;
    }
    Ok(needs)
}

fn raw_need_entries(
    reader: Reader<'_>,
    mut at: u64,
    count: u16,
) -> Result<Vec<RawNeedEntry>, ElfError> {
    let mut entries = Vec::new();
    for _ in 0..count {
        let mut fields = reader.fields(at, RawNeed::SIZE, NEED)?;
        entries.push(RawNeedEntry {
            offset: at,
            hash: fields.u32()?,
            flags: fields.u16()?,
            other: fields.u16()?,
            name: fields.u32()?,
        });
        let next = u64::from(fields.u32()?);
        if next == 0 {
            break;
        }
        at += next;
    }
    Ok(entries)
}

/// `raw` with its names.
pub(crate) fn needs<'a>(
    raw: &[RawNeed],
    strings: Strings<'a>,
) -> Result<Vec<VersionNeed<'a>>, ElfError> {
    raw.iter()
        .map(|need| {
            let versions = need.entries.iter().map(|entry| {
                Ok(VersionNeedEntry {
                    name: strings.get(u64::from(entry.name), NEED)?,
                    index: entry.other & 0x7fff,
                    weak: entry.flags & VER_FLG_WEAK != 0,
                })
            });
            Ok(VersionNeed {
                file: strings.get(u64::from(need.file), NEED)?,
                versions: versions.collect::<Result<_, ElfError>>()?,
            })
        })
        .collect()
}

/// `Elfxx_Verdef` as it lies in the file.
#[derive(Debug, Clone)]
pub(crate) struct RawDefinition {
    pub(crate) offset: u64,
    pub(crate) flags: u16,
    pub(crate) index: u16,
    /// File offset and `vda_name` of each `Elfxx_Verdaux`.
    pub(crate) names: Vec<(u64, u32)>,
}

/// The `count` (`DT_VERDEFNUM`) definitions at file offset `start`.
pub(crate) fn raw_definitions(
    reader: Reader<'_>,
    start: u64,
    count: u64,
) -> Result<Vec<RawDefinition>, ElfError> {
    let mut definitions: Vec<RawDefinition> = Vec::new();
    let mut total = 0;
    let mut at = start;
    for _ in 0..count {
        let mut fields = reader.fields(at, 20, DEFINITION)?;
        let version = fields.u16()?;
        let flags = fields.u16()?;
        let index = fields.u16()?;
        let name_count = fields.u16()?;
        let _hash = fields.u32()?;
        let first = u64::from(fields.u32()?);
        let next = u64::from(fields.u32()?);
        if version != 1 {
            return Err(ElfError::malformed(DEFINITION, "unknown vd_version"));
        }
        total += 1 + usize::from(name_count);
        if total > 2 * MAX_VERSIONS {
            return Err(ElfError::malformed(
                DEFINITION,
                "more than a version index can name",
            ));
        }
        let mut names = Vec::new();
        let mut name_at = at + first;
        for _ in 0..name_count {
            let mut fields = reader.fields(name_at, 8, DEFINITION)?;
            names.push((name_at, fields.u32()?));
            let next = u64::from(fields.u32()?);
            if next == 0 {
                break;
            }
            name_at += next;
        }
        definitions.push(RawDefinition {
            offset: at,
            flags,
            index: index & 0x7fff,
            names,
        });
        if next == 0 {
            break;
        }
        at += next;
    }
    Ok(definitions)
}

/// `raw` with its names.
pub(crate) fn definitions<'a>(
    raw: &[RawDefinition],
    strings: Strings<'a>,
) -> Result<Vec<VersionDefinition<'a>>, ElfError> {
    raw.iter()
        .map(|definition| {
            let mut names = definition
                .names
                .iter()
                .map(|(_, name)| strings.get(u64::from(*name), DEFINITION));
            let name = names
                .next()
                .ok_or_else(|| ElfError::malformed(DEFINITION, "definition without a name"))??;
            Ok(VersionDefinition {
                name,
                index: definition.index,
                base: definition.flags & VER_FLG_BASE != 0,
                weak: definition.flags & VER_FLG_WEAK != 0,
                parents: names.collect::<Result<_, ElfError>>()?,
            })
        })
        .collect()
}
