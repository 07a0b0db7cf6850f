//! The hash tables of symbols, written anew in the room they have: `DT_HASH` (gABI
//! "Hash Table") and `DT_GNU_HASH` (GNU linker).

use super::EditError;
use super::buffer::Buffer;
use super::versions::system_v_hash;
use crate::bytes::{Fields, Record};
use crate::constants::{DT_GNU_HASH, DT_HASH, EM_ALPHA, EM_S390};
use crate::error::ElfError;
use crate::hash;
use crate::header::Class;
use crate::object::Elf;
use crate::symbols::{RawSymbol, SymbolTable};

const WHAT: &str = "hash table";

/// The parts of a `DT_GNU_HASH` table that stay, and the hash of each symbol in it.
#[derive(Debug)]
pub(super) struct GnuHash {
    offset: u64,
    buckets: u32,
    /// Index of the first symbol in the table; those before it are not looked up.
    first: usize,
    bloom_words: u32,
    bloom_shift: u32,
    /// By symbol index.
    hashes: Vec<u32>,
}

/// The table at `DT_GNU_HASH` with the hashes of `names`; `None` when there is none,
/// or no symbol in it.
pub(super) fn gnu_hashes(
    elf: &Elf<'_>,
    table: &SymbolTable<'_>,
    names: &[u32],
) -> Result<Option<GnuHash>, EditError> {
    let Some(offset) = elf.dynamic_offset(DT_GNU_HASH, WHAT)? else {
        return Ok(None);
    };
    let known = hash::gnu(elf.reader, offset)?;
    let mut fields = elf.reader.fields(offset, 16, WHAT)?;
    let buckets = fields.u32()?;
    let first = fields.u32()?;
    let bloom_words = fields.u32()?;
    let bloom_shift = fields.u32()?;
    // An empty table says nothing of the symbols that it leaves out.
    if known.symbols <= u64::from(first) {
        return Ok(None);
    }
    if known.symbols != table.count || bloom_words == 0 || buckets == 0 || bloom_shift > 31 {
        return Err(EditError::Unsupported(
            "its hash table contradicts its symbols",
        ));
    }
    let hashes = names
        .iter()
        .map(|name| Ok(gnu_hash(elf.strings.bytes(u64::from(*name), WHAT)?)))
        .collect::<Result<_, ElfError>>()?;
    Ok(Some(GnuHash {
        offset,
        buckets,
        first: usize::try_from(first).unwrap_or(usize::MAX),
        bloom_words,
        bloom_shift,
        hashes,
    }))
}

impl GnuHash {
    /// What the symbols are sorted by: those outside the table stay before it.
    pub(super) fn bucket(&self, index: usize) -> Option<u32> {
        let hash = self.hashes.get(index).filter(|_| index >= self.first)?;
        Some(hash % self.buckets)
    }

    /// Writes the table for the symbols in the order of `old` indices.
    pub(super) fn write(
        &self,
        elf: &Elf<'_>,
        old: &[usize],
        buffer: &mut Buffer,
    ) -> Result<(), EditError> {
        let bits = match elf.header.class {
            Class::Elf32 => 32,
            Class::Elf64 => 64,
        };
        // Both counts were checked against the file by `hash::gnu`.
        let mut bloom = vec![0u64; self.bloom_words as usize];
        let mut starts = vec![0u32; self.buckets as usize];
        let mut chain = Vec::new();
        for (index, from) in (0u32..).zip(old).skip(self.first) {
            let hash = self.hashes.get(*from).copied().unwrap_or(0);
            if let Some(word) = bloom.get_mut(((hash / bits) % self.bloom_words) as usize) {
                *word |= 1 << (hash % bits) | 1 << ((hash >> self.bloom_shift) % bits);
            }
            if let Some(start) = starts.get_mut((hash % self.buckets) as usize)
                && *start == 0
            {
                *start = index;
            }
            let next = old
                .get(index as usize + 1)
                .and_then(|next| self.bucket(*next));
            let is_last = next != Some(hash % self.buckets);
            chain.push(hash & !1 | u32::from(is_last));
        }
        let mut record = Record::new(elf.reader.encoding);
        for word in bloom {
            record = record.word(word);
        }
        for number in starts.into_iter().chain(chain) {
            record = record.u32(number);
        }
        buffer.put(self.offset + 16, &record.bytes)
    }
}

/// Writes the `DT_HASH` table, if there is one, for symbols in the order of `old`.
pub(super) fn write_system_v(
    elf: &Elf<'_>,
    table: &SymbolTable<'_>,
    names: &[u32],
    old: &[usize],
    buffer: &mut Buffer,
) -> Result<(), EditError> {
    let Some(offset) = elf.dynamic_offset(DT_HASH, WHAT)? else {
        return Ok(());
    };
    let known = hash::system_v(elf.reader, &elf.header, offset)?;
    let mut fields = elf.reader.fields(offset, known.size, WHAT)?;
    let buckets = entry(elf, &mut fields)?;
    if known.symbols != table.count || buckets == 0 {
        return Err(EditError::Unsupported(
            "its hash table contradicts its symbols",
        ));
    }
    let mut starts = vec![0u64; usize::try_from(buckets).unwrap_or(0)];
    let mut chain = vec![0u64; old.len()];
    for (index, from) in old.iter().enumerate().skip(1) {
        let name = names.get(*from).copied().unwrap_or(0);
        let name = elf.strings.bytes(u64::from(name), WHAT)?;
        let bucket = u64::from(system_v_hash(name)) % buckets;
        let start = usize::try_from(bucket).ok();
        if let (Some(start), Some(slot)) = (
            start.and_then(|start| starts.get_mut(start)),
            chain.get_mut(index),
        ) {
            *slot = std::mem::replace(start, index as u64);
        }
    }
    let mut record = Record::new(elf.reader.encoding);
    for number in [buckets, known.symbols]
        .into_iter()
        .chain(starts)
        .chain(chain)
    {
        record = if is_wide(elf) {
            record.word(number)
        } else {
            record.u32((number & 0xffff_ffff) as u32)
        };
    }
    buffer.put(offset, &record.bytes)
}

/// Whether a look-up as loaders do it finds every symbol that the tables hold.
pub(super) fn finds_all(elf: &Elf<'_>) -> Result<bool, EditError> {
    let Some(table) = elf.symbol_table()? else {
        return Ok(true);
    };
    let size = RawSymbol::size(elf.header.class);
    let names: Vec<u32> = (0..table.count)
        .map(|index| Ok(RawSymbol::parse(elf.reader, table.offset + index * size)?.name))
        .collect::<Result<_, ElfError>>()?;
    let Some(hashes) = gnu_hashes(elf, &table, &names)? else {
        return Ok(true);
    };
    let chains = u64::from(hashes.bloom_words) * elf.reader.encoding.word_size();
    let starts_at = hashes.offset + 16 + chains;
    let chain_at = starts_at + u64::from(hashes.buckets) * 4;
    let number = |at| elf.reader.fields(at, 4, WHAT)?.u32();
    let mut last_bucket = None;
    for index in hashes.first..names.len() {
        let bucket = hashes.bucket(index);
        let start = number(starts_at + u64::from(bucket.unwrap_or(0)) * 4)?;
        let within = (index - hashes.first) as u64;
        let here = number(chain_at + within * 4)?;
        let is_start = last_bucket != Some(bucket);
        let hash = hashes.hashes.get(index).copied().unwrap_or(0);
        let is_last = index + 1 == names.len() || hashes.bucket(index + 1) != bucket;
        if here | 1 != hash | 1
            || (here & 1 == 1) != is_last
            || is_start != (u64::from(start) == index as u64)
        {
            return Ok(false);
        }
        last_bucket = Some(bucket);
    }
    Ok(true)
}

fn entry(elf: &Elf<'_>, fields: &mut Fields<'_>) -> Result<u64, ElfError> {
    if is_wide(elf) {
        fields.u64()
    } else {
        fields.u32().map(u64::from)
    }
}

/// Two machines made the entries of `DT_HASH` 64 bits wide.
fn is_wide(elf: &Elf<'_>) -> bool {
    elf.header.class == Class::Elf64 && matches!(elf.header.machine, EM_ALPHA | EM_S390)
}

fn gnu_hash(name: &[u8]) -> u32 {
    name.iter().fold(5381u32, |hash, byte| {
        hash.wrapping_mul(33).wrapping_add(u32::from(*byte))
    })
}

#[cfg(test)]
mod tests {
    use super::gnu_hash;

    #[test]
    fn hashes_as_the_gnu_linker() {
        assert_eq!(gnu_hash(b""), 5381);
        assert_eq!(gnu_hash(b"printf"), 0x156b_2bb8);
    }
}
