//! Checked access to the numbers of an ELF file, of either class and byte order.

use crate::error::ElfError;
use crate::header::{Class, Endian};

/// How the object encodes its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    pub(crate) class: Class,
    pub(crate) endian: Endian,
}

impl Encoding {
    /// Size in bytes of an address, offset or other class-sized number.
    pub(crate) fn word_size(self) -> u64 {
        match self.class {
            Class::Elf32 => 4,
            Class::Elf64 => 8,
        }
    }

    /// The number in up to eight bytes.
    fn number(self, bytes: &[u8]) -> u64 {
        let add = |value: u64, byte: &u8| (value << 8) | u64::from(*byte);
        match self.endian {
            Endian::Big => bytes.iter().fold(0, add),
            Endian::Little => bytes.iter().rev().fold(0, add),
        }
    }
}

/// A file together with the encoding of its numbers; every read is checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    /// The file, or its beginning.
    pub(crate) bytes: &'a [u8],
    pub(crate) encoding: Encoding,
    /// The end of a file whose middle was not read.
    tail: Option<Tail<'a>>,
}

/// The end of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tail<'a> {
    /// File offset of its first byte.
    pub(crate) offset: u64,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], encoding: Encoding) -> Reader<'a> {
        Reader {
            bytes,
            encoding,
            tail: None,
        }
    }

    /// The same with the end of the file, which begins behind what the reader has.
    pub(crate) fn with_tail(self, tail: Tail<'a>) -> Reader<'a> {
        Reader {
            tail: Some(tail),
            ..self
        }
    }

    /// `length` bytes at file offset `offset`; `what` is for the error. What was not read is an error as what is
    /// not there.
    pub(crate) fn slice(
        &self,
        offset: u64,
        length: u64,
        what: &'static str,
    ) -> Result<&'a [u8], ElfError> {
        let within = |bytes: &'a [u8], offset: u64| {
            let start = usize::try_from(offset).ok()?;
            let end = start.checked_add(usize::try_from(length).ok()?)?;
            bytes.get(start..end)
        };
        let in_tail = || {
            let tail = self.tail?;
            within(tail.bytes, offset.checked_sub(tail.offset)?)
        };
        within(self.bytes, offset)
            .or_else(in_tail)
            .ok_or(ElfError::Truncated {
                what,
                offset,
                length: self.length(),
            })
    }

    /// Length of the file in bytes.
    pub(crate) fn length(&self) -> u64 {
        match self.tail {
            Some(tail) => tail.offset.saturating_add(tail.bytes.len() as u64),
            None => self.bytes.len() as u64,
        }
    }

    /// The fields of a record of `length` bytes at `offset`, to be taken in order.
    pub(crate) fn fields(
        &self,
        offset: u64,
        length: u64,
        what: &'static str,
    ) -> Result<Fields<'a>, ElfError> {
        Ok(Fields {
            rest: self.slice(offset, length, what)?,
            encoding: self.encoding,
            what,
        })
    }
}

/// The fields of one record, in file order.
#[derive(Debug)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    encoding: Encoding,
    what: &'static str,
}

impl Fields<'_> {
    fn take(&mut self, length: usize) -> Result<u64, ElfError> {
        let (field, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or_else(|| ElfError::malformed(self.what, "record is too short"))?;
        self.rest = rest;
        Ok(self.encoding.number(field))
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ElfError> {
        self.take(1).map(|value| (value & 0xff) as u8)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ElfError> {
        self.take(2).map(|value| (value & 0xffff) as u16)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ElfError> {
        self.take(4).map(|value| (value & 0xffff_ffff) as u32)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, ElfError> {
        self.take(8)
    }

    /// A class-sized number: `Elf32_Word`-like in ELF32, 64 bits in ELF64.
    pub(crate) fn word(&mut self) -> Result<u64, ElfError> {
        match self.encoding.class {
            Class::Elf32 => self.take(4),
            Class::Elf64 => self.take(8),
        }
    }
}

/// The inverse of [`Fields`]: a record under construction.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) bytes: Vec<u8>,
    encoding: Encoding,
}

impl Record {
    pub(crate) fn new(encoding: Encoding) -> Record {
        Record {
            bytes: Vec::new(),
            encoding,
        }
    }

    fn push(mut self, little: &[u8]) -> Record {
        match self.encoding.endian {
            Endian::Little => self.bytes.extend_from_slice(little),
            Endian::Big => self.bytes.extend(little.iter().rev()),
        }
        self
    }

    #[cfg(test)]
    pub(crate) fn u8(self, value: u8) -> Record {
        self.push(&[value])
    }

    pub(crate) fn u16(self, value: u16) -> Record {
        self.push(&value.to_le_bytes())
    }

    pub(crate) fn u32(self, value: u32) -> Record {
        self.push(&value.to_le_bytes())
    }

    /// A class-sized number. In ELF32 the upper half is dropped: callers check
    /// that it is empty where the value is not one that was read from the file.
    pub(crate) fn word(self, value: u64) -> Record {
        match self.encoding.class {
            Class::Elf32 => self.u32((value & 0xffff_ffff) as u32),
            Class::Elf64 => self.push(&value.to_le_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_in_every_encoding() {
        for class in [Class::Elf32, Class::Elf64] {
            for endian in [Endian::Little, Endian::Big] {
                let encoding = Encoding { class, endian };
                let record = Record::new(encoding)
                    .u8(1)
                    .u16(0x203)
                    .u32(0x405_0607)
                    .word(9);
                let reader = Reader::new(&record.bytes, encoding);
                let mut fields = reader.fields(0, reader.length(), "record").unwrap();
                assert_eq!(fields.u8(), Ok(1));
                assert_eq!(fields.u16(), Ok(0x203));
                assert_eq!(fields.u32(), Ok(0x405_0607));
                assert_eq!(fields.word(), Ok(9));
                assert!(fields.u8().is_err());
            }
        }
    }

    #[test]
    fn slices_past_the_end_are_errors() {
        let reader = Reader::new(
            b"abc",
            Encoding {
                class: Class::Elf64,
                endian: Endian::Little,
            },
        );
        assert_eq!(reader.slice(1, 2, "x"), Ok(&b"bc"[..]));
        for (offset, length) in [(1, 3), (4, 0), (u64::MAX, 1), (1, u64::MAX)] {
            assert!(matches!(
                reader.slice(offset, length, "x"),
                Err(ElfError::Truncated {
                    what: "x",
                    length: 3,
                    ..
                })
            ));
        }
    }
}
