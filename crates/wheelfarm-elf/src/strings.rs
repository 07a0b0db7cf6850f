//! String tables (gABI "String Table").

use std::borrow::Cow;

use crate::error::ElfError;

/// Longest name of a library, version or search path that is read, in bytes. Many
/// records may share one string, so what is copied must be bounded.
const MAX_NAME: usize = 16 << 10;

/// A string table: NUL-terminated strings, named by their offset.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Strings<'a>(pub(crate) &'a [u8]);

impl<'a> Strings<'a> {
    /// The bytes of the string at `offset`, without its NUL.
    pub(crate) fn bytes(self, offset: u64, what: &'static str) -> Result<&'a [u8], ElfError> {
        let tail = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.0.get(offset..))
            .ok_or_else(|| ElfError::malformed(what, "name is outside the string table"))?;
        let end = tail
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| ElfError::malformed(what, "name is not terminated"))?;
        Ok(tail.get(..end).unwrap_or_default())
    }

    /// The string at `offset`.
    pub(crate) fn get(self, offset: u64, what: &'static str) -> Result<&'a str, ElfError> {
        let bytes = self.bytes(offset, what)?;
        if bytes.len() > MAX_NAME {
            return Err(ElfError::malformed(what, "name is too long"));
        }
        std::str::from_utf8(bytes).map_err(|_| ElfError::malformed(what, "name is not UTF-8"))
    }

    /// The string at `offset`, with what is not UTF-8 replaced.
    pub(crate) fn lossy(self, offset: u64, what: &'static str) -> Result<Cow<'a, str>, ElfError> {
        self.bytes(offset, what).map(String::from_utf8_lossy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_end_inside_the_table() {
        let strings = Strings(b"\0libc.so.6\0\xff\0open");
        assert_eq!(strings.get(1, "x"), Ok("libc.so.6"));
        assert_eq!(strings.get(0, "x"), Ok(""));
        // Linkers share suffixes.
        assert_eq!(strings.get(6, "x"), Ok("so.6"));
        assert!(strings.get(11, "x").is_err());
        assert_eq!(strings.lossy(11, "x").unwrap(), "\u{fffd}");
        assert!(strings.get(13, "x").is_err());
        assert!(strings.get(99, "x").is_err());
    }

    #[test]
    fn names_have_a_limit() {
        let mut table = vec![b'a'; MAX_NAME + 1];
        table.push(0);
        assert!(Strings(&table).get(0, "x").is_err());
        assert_eq!(Strings(&table).get(1, "x").map(str::len), Ok(MAX_NAME));
    }
}
