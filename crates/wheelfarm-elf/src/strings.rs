//! String tables (gABI "String Table").

use std::borrow::Cow;

use crate::error::ElfError;

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
        std::str::from_utf8(self.bytes(offset, what)?)
            .map_err(|_| ElfError::malformed(what, "name is not UTF-8"))
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
}
