//! Version records that follow the names: `vn_file` of a renamed library, the
//! records of a removed one, and the base definition that repeats the soname.

use std::collections::BTreeSet;

use super::buffer::Buffer;
use super::pool::Pool;
use super::{EditError, Edits};
use crate::bytes::Record;
use crate::constants::{DT_VERNEED, DT_VERSYM};
use crate::object::Elf;
use crate::versions::{RawDefinition, RawNeed};

/// The version needs of the result.
#[derive(Debug)]
pub(super) struct NeedsEdit {
    /// Those that stay, with the new `vn_file`.
    kept: Vec<RawNeed>,
    /// Version indices of those that go: their symbols become unversioned.
    removed: BTreeSet<u16>,
    removed_count: usize,
}

impl NeedsEdit {
    pub(super) fn new(
        elf: &Elf<'_>,
        edits: &Edits,
        pool: &mut Pool<'_>,
    ) -> Result<NeedsEdit, EditError> {
        let mut kept = Vec::new();
        let mut removed = BTreeSet::new();
        let mut removed_count = 0;
        for (raw, need) in elf.raw_needs.iter().zip(elf.version_needs()) {
            let Some(name) = edits.version_file(need.file) else {
                removed.extend(need.versions.iter().map(|version| version.index));
                removed_count += 1;
                continue;
            };
            let mut raw = raw.clone();
            if name != need.file {
                raw.file = u32::try_from(pool.offset(name)?)
                    .map_err(|_| EditError::Unsupported("the string table exceeds 4 GiB"))?;
            }
            kept.push(raw);
        }
        Ok(NeedsEdit {
            kept,
            removed,
            removed_count,
        })
    }

    pub(super) fn changes_nothing(&self, elf: &Elf<'_>) -> bool {
        self.removed_count == 0
            && elf
                .raw_needs
                .iter()
                .zip(&self.kept)
                .all(|(old, new)| old.file == new.file)
    }

    pub(super) fn removes_some(&self) -> bool {
        self.removed_count > 0
    }

    pub(super) fn removes_all(&self) -> bool {
        self.removes_some() && self.kept.is_empty()
    }

    /// Number of needs that stay (`DT_VERNEEDNUM`).
    pub(super) fn count(&self) -> u64 {
        self.kept.len() as u64
    }

    /// Size in bytes of the table after records were removed.
    pub(super) fn size(&self) -> u64 {
        let records = self.kept.iter().map(|need| 1 + need.entries.len() as u64);
        records.sum::<u64>() * RawNeed::SIZE
    }

    /// Writes the table where it was.
    pub(super) fn apply(&self, elf: &Elf<'_>, buffer: &mut Buffer) -> Result<(), EditError> {
        if !self.removes_some() {
            for need in &self.kept {
                let file = Record::new(elf.reader.encoding).u32(need.file);
                buffer.put(need.offset + 4, &file.bytes)?;
            }
            return Ok(());
        }
        self.rewrite(elf, buffer)?;
        self.unversion_symbols(elf, buffer)
    }

    /// Writes what stays from the beginning of the table on and clears the rest.
    fn rewrite(&self, elf: &Elf<'_>, buffer: &mut Buffer) -> Result<(), EditError> {
        let Some(start) = elf.dynamic_offset(DT_VERNEED, "DT_VERNEED")? else {
            return Ok(());
        };
        let ends = elf.raw_needs.iter().flat_map(|need| {
            let entries = need.entries.iter().map(|entry| entry.offset);
            entries.chain([need.offset])
        });
        let end = ends.max().unwrap_or(start) + RawNeed::SIZE;
        let mut record = Record::new(elf.reader.encoding);
        for (index, need) in self.kept.iter().enumerate() {
            let count = need.entries.len();
            let size = RawNeed::SIZE * (1 + count as u64);
            let last = index + 1 == self.kept.len();
            record = record
                .u16(1)
                .u16(u16::try_from(count).unwrap_or(u16::MAX))
                .u32(need.file)
                .u32(if count == 0 { 0 } else { 16 })
                .u32(if last { 0 } else { (size & 0xffff_ffff) as u32 });
            for (index, entry) in need.entries.iter().enumerate() {
                record = record
                    .u32(entry.hash)
                    .u16(entry.flags)
                    .u16(entry.other)
                    .u32(entry.name)
                    .u32(if index + 1 == count { 0 } else { 16 });
            }
        }
        let mut table = record.bytes;
        let room = usize::try_from(end - start).unwrap_or(0);
        if table.len() > room {
            return Err(EditError::Unsupported("the version needs overlap"));
        }
        table.resize(room, 0);
        buffer.put(start, &table)
    }

    /// Gives the symbols that needed a removed version index 1: global, no version.
    /// Otherwise ld.so looks for a version it has no record of.
    fn unversion_symbols(&self, elf: &Elf<'_>, buffer: &mut Buffer) -> Result<(), EditError> {
        let Some(start) = elf.dynamic_offset(DT_VERSYM, "DT_VERSYM")? else {
            return Ok(());
        };
        let Some(table) = elf.symbol_table()? else {
            return Ok(());
        };
        let global = Record::new(elf.reader.encoding).u16(1).bytes;
        let size = table.count.saturating_mul(2);
        let mut indices = elf
            .reader
            .fields(start, size, "symbol versions (DT_VERSYM)")?;
        for symbol in 0..table.count {
            let index = indices.u16()? & 0x7fff;
            if index > 1 && self.removed.contains(&index) {
                buffer.put(start + symbol * 2, &global)?;
            }
        }
        Ok(())
    }
}

/// The base version definition, when it carries the soname in a record of its own.
/// Where the soname is also a version (`--default-symver`), the two may share it,
/// and then the version has to keep its name.
pub(super) fn base_definition<'e>(elf: &'e Elf<'_>) -> Option<&'e RawDefinition> {
    elf.raw_definitions
        .iter()
        .zip(elf.version_definitions())
        .find(|(_, definition)| definition.base && Some(definition.name) == elf.soname())
        .map(|(raw, _)| raw)
        .filter(|base| {
            let record = base.names.first().map(|(record, _)| *record);
            let others = elf.raw_definitions.iter();
            let mut others = others.filter(|other| other.offset != base.offset);
            !others.any(|other| other.names.iter().any(|(used, _)| Some(*used) == record))
        })
}

/// Names the base definition `name`, at `offset` in the string table.
pub(super) fn rename_base_definition(
    elf: &Elf<'_>,
    offset: u64,
    name: &str,
    buffer: &mut Buffer,
) -> Result<(), EditError> {
    let Some(definition) = base_definition(elf) else {
        return Ok(());
    };
    let Some((record, _)) = definition.names.first() else {
        return Ok(());
    };
    let number = |value| Record::new(elf.reader.encoding).u32(value).bytes;
    let offset = u32::try_from(offset)
        .map_err(|_| EditError::Unsupported("the string table exceeds 4 GiB"))?;
    buffer.put(*record, &number(offset))?;
    // vd_hash is the fourth field, after three half words and the count.
    buffer.put(
        definition.offset + 8,
        &number(system_v_hash(name.as_bytes())),
    )
}

/// The hash of gABI "Hash Table", which version records also use.
pub(super) fn system_v_hash(name: &[u8]) -> u32 {
    name.iter().fold(0u32, |hash, byte| {
        let hash = (hash << 4).wrapping_add(u32::from(*byte));
        let high = hash & 0xf000_0000;
        (hash ^ (high >> 24)) & !high
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_the_specification() {
        // Values that every glibc binary carries in its vna_hash fields.
        assert_eq!(system_v_hash(b"GLIBC_2.2.5"), 0x0969_1a75);
        assert_eq!(system_v_hash(b"GLIBC_2.34"), 0x0696_91b4);
        assert_eq!(system_v_hash(b""), 0);
    }
}
