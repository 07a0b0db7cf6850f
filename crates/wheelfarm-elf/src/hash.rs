//! How many dynamic symbols there are: the dynamic section does not say, the hash
//! tables do (gABI "Hash Table"; for `DT_GNU_HASH` the GNU linker).

use crate::bytes::Reader;
use crate::constants::{EM_ALPHA, EM_S390};
use crate::error::ElfError;
use crate::header::{Class, Header};

/// Where a hash table lies and how many symbols it implies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HashTable {
    /// Number of symbols, counting symbol 0.
    pub(crate) symbols: u64,
    /// Size of the table in bytes.
    pub(crate) size: u64,
}

/// The `DT_HASH` table at file offset `offset`.
pub(crate) fn system_v(
    reader: Reader<'_>,
    header: &Header,
    offset: u64,
) -> Result<HashTable, ElfError> {
    let what = "hash table (DT_HASH)";
    // Two machines made the entries 64 bits wide.
    let wide = header.class == Class::Elf64 && matches!(header.machine, EM_ALPHA | EM_S390);
    let word = if wide { 8 } else { 4 };
    let mut fields = reader.fields(offset, 2 * word, what)?;
    let mut number = || {
        if wide {
            fields.u64()
        } else {
            fields.u32().map(u64::from)
        }
    };
    let buckets = number()?;
    let chains = number()?;
    let size = buckets
        .checked_add(chains)
        .and_then(|entries| entries.checked_add(2)?.checked_mul(word))
        .ok_or_else(|| ElfError::malformed(what, "size overflows"))?;
    reader.slice(offset, size, what)?;
    Ok(HashTable {
        symbols: chains,
        size,
    })
}

/// The `DT_GNU_HASH` table at file offset `offset`. An empty one does not tell how
/// many undefined symbols there are: then `symbols` is a lower bound.
pub(crate) fn gnu(reader: Reader<'_>, offset: u64) -> Result<HashTable, ElfError> {
    let what = "hash table (DT_GNU_HASH)";
    let mut fields = reader.fields(offset, 16, what)?;
    let bucket_count = u64::from(fields.u32()?);
    let first_hashed = u64::from(fields.u32()?);
    let bloom_count = u64::from(fields.u32()?);
    // At most 2^32 words of 8 bytes: no overflow.
    let buckets = 16 + bloom_count * reader.encoding.word_size();
    let chains = buckets + bucket_count * 4;
    let start = offset
        .checked_add(buckets)
        .ok_or_else(|| ElfError::malformed(what, "offset overflows"))?;
    let mut fields = reader.fields(start, bucket_count * 4, what)?;
    let mut last = 0;
    for _ in 0..bucket_count {
        last = last.max(u64::from(fields.u32()?));
    }
    if last < first_hashed || last == 0 {
        return Ok(HashTable {
            symbols: first_hashed,
            size: chains,
        });
    }
    // The chain of the highest bucket ends at the last symbol: lowest bit set.
    loop {
        let at = chains + (last - first_hashed) * 4;
        let hash = reader.fields(offset + at, 4, what)?.u32()?;
        last += 1;
        if hash & 1 == 1 {
            return Ok(HashTable {
                symbols: last,
                size: at + 4,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::{Encoding, Record};
    use crate::header::Endian;

    const ENCODING: Encoding = Encoding {
        class: Class::Elf64,
        endian: Endian::Big,
    };

    #[test]
    fn gnu_chain_of_the_last_bucket_counts() {
        // 2 buckets, first hashed symbol 3, one bloom word, shift 6.
        let record = Record::new(ENCODING).u32(2).u32(3).u32(1).u32(6).word(0);
        let record = record.u32(3).u32(4).u32(0x11).u32(0x20).u32(0x31);
        let reader = Reader::new(&record.bytes, ENCODING);
        assert_eq!(
            gnu(reader, 0),
            Ok(HashTable {
                symbols: 6,
                size: reader.length()
            })
        );
        // A chain without an end runs into the end of the file.
        let cut = Reader::new(record.bytes.get(..40).unwrap(), ENCODING);
        assert!(gnu(cut, 0).is_err());
    }

    #[test]
    fn huge_counts_are_errors() {
        let record = Record::new(ENCODING)
            .u32(u32::MAX)
            .u32(1)
            .u32(u32::MAX)
            .u32(6);
        let reader = Reader::new(&record.bytes, ENCODING);
        assert!(gnu(reader, 0).is_err());
        assert!(gnu(reader, u64::MAX - 4).is_err());
    }
}
