//! The dynamic section (gABI "Dynamic Section").

use crate::bytes::{Encoding, Reader, Record};
use crate::constants::{DT_NULL, PT_DYNAMIC};
use crate::error::ElfError;
use crate::segment::Segment;

/// More entries than any linker writes.
const MAX_ENTRIES: usize = 4096;

/// One entry of the dynamic section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicEntry {
    /// `d_tag`: one of the `DT_*` constants.
    pub tag: u64,
    /// `d_un`: a number, an address or an offset into the string table.
    pub value: u64,
}

impl DynamicEntry {
    /// Size in bytes of an entry.
    pub(crate) fn size(encoding: Encoding) -> u64 {
        encoding.word_size() * 2
    }

    pub(crate) fn to_bytes(self, encoding: Encoding) -> Vec<u8> {
        Record::new(encoding).word(self.tag).word(self.value).bytes
    }
}

/// The dynamic section: its entries before `DT_NULL` and where it lies.
#[derive(Debug, Clone, Default)]
pub(crate) struct Dynamic {
    /// Entries before the first `DT_NULL`.
    pub(crate) entries: Vec<DynamicEntry>,
    /// Room for entries, counting the unused ones at the end.
    pub(crate) slots: u64,
    /// File offset.
    pub(crate) offset: u64,
    /// Virtual address.
    pub(crate) address: u64,
}

impl Dynamic {
    /// The dynamic section of `PT_DYNAMIC`; `None` when there is none, as in
    /// relocatable files, static executables and detached debug files (whose
    /// `PT_DYNAMIC` is empty).
    pub(crate) fn parse(
        reader: Reader<'_>,
        segments: &[Segment],
    ) -> Result<Option<Dynamic>, ElfError> {
        let what = "dynamic section";
        let Some(segment) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
            return Ok(None);
        };
        if segment.file_size == 0 {
            return Ok(None);
        }
        let size = DynamicEntry::size(reader.encoding);
        let slots = segment.file_size / size;
        let mut fields = reader.fields(segment.offset, slots * size, what)?;
        let mut entries = Vec::new();
        for _ in 0..slots {
            let entry = DynamicEntry {
                tag: fields.word()?,
                value: fields.word()?,
            };
            if entry.tag == DT_NULL {
                break;
            }
            if entries.len() == MAX_ENTRIES {
                return Err(ElfError::malformed(what, "too many entries"));
            }
            entries.push(entry);
        }
        Ok(Some(Dynamic {
            entries,
            slots,
            offset: segment.offset,
            address: segment.address,
        }))
    }

    /// The value of the last entry with `tag`, which is the one loaders use.
    pub(crate) fn get(&self, tag: u64) -> Option<u64> {
        self.entries
            .iter()
            .rev()
            .find(|entry| entry.tag == tag)
            .map(|entry| entry.value)
    }
}
