//! The dynamic string table with new strings at its end.

use std::collections::BTreeMap;

use super::EditError;
use crate::strings::Strings;

/// Collects new strings behind an existing table, whose offsets all stay valid.
#[derive(Debug)]
pub(super) struct Pool<'a> {
    existing: Strings<'a>,
    added: Vec<u8>,
    known: BTreeMap<String, u64>,
}

impl<'a> Pool<'a> {
    pub(super) fn new(existing: Strings<'a>) -> Pool<'a> {
        Pool {
            existing,
            added: Vec::new(),
            known: BTreeMap::new(),
        }
    }

    /// The offset of `name`, which is added unless some string ends in it.
    pub(super) fn offset(&mut self, name: &str) -> Result<u64, EditError> {
        if let Some(offset) = self.known.get(name) {
            return Ok(*offset);
        }
        let offset = self
            .find(name.as_bytes())
            .unwrap_or_else(|| self.add(name.as_bytes()));
        if u32::try_from(offset).is_err() {
            return Err(EditError::Unsupported("the string table exceeds 4 GiB"));
        }
        self.known.insert(name.to_owned(), offset);
        Ok(offset)
    }

    fn add(&mut self, name: &[u8]) -> u64 {
        // A table that is not terminated must not run into the new name.
        if self.added.is_empty() && self.existing.0.last() != Some(&0) {
            self.added.push(0);
        }
        let offset = self.size();
        self.added.extend_from_slice(name);
        self.added.push(0);
        offset
    }

    /// An existing string that ends in `name`.
    fn find(&self, name: &[u8]) -> Option<u64> {
        let mut start = 0;
        for string in self.existing.0.split_inclusive(|byte| *byte == 0) {
            let text = string.strip_suffix(&[0]).unwrap_or_default();
            if string.ends_with(&[0]) && text.ends_with(name) {
                return Some((start + text.len() - name.len()) as u64);
            }
            start += string.len();
        }
        None
    }

    /// Whether strings were added, so that the table has to move.
    pub(super) fn has_grown(&self) -> bool {
        !self.added.is_empty()
    }

    /// Size of the table in bytes.
    pub(super) fn size(&self) -> u64 {
        (self.existing.0.len() + self.added.len()) as u64
    }

    /// The whole table.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        [self.existing.0, &self.added].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_suffixes_and_repeats() {
        let mut pool = Pool::new(Strings(b"\0libc.so.6\0"));
        assert_eq!(pool.offset("so.6"), Ok(6));
        assert!(!pool.has_grown());
        assert_eq!(pool.offset("libm.so.6"), Ok(11));
        assert_eq!(pool.offset("libm.so.6"), Ok(11));
        assert_eq!(pool.offset("so.6"), Ok(6));
        assert_eq!(pool.to_bytes(), b"\0libc.so.6\0libm.so.6\0");
        assert_eq!(pool.size(), 21);
    }

    #[test]
    fn an_unterminated_table_is_terminated_first() {
        let mut pool = Pool::new(Strings(b"\0lib"));
        assert_eq!(pool.offset("lib"), Ok(5));
        assert_eq!(pool.to_bytes(), b"\0lib\0lib\0");
    }
}
