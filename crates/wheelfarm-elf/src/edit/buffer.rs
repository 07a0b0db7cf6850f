//! The bytes of the object under edit; every write is checked.

use super::EditError;

/// A file that is being changed.
#[derive(Debug)]
pub(super) struct Buffer(pub(super) Vec<u8>);

impl Buffer {
    /// Replaces the bytes at file offset `offset`, which must exist.
    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) -> Result<(), EditError> {
        let start = usize::try_from(offset).ok();
        start
            .and_then(|start| Some(start..start.checked_add(bytes.len())?))
            .and_then(|range| self.0.get_mut(range))
            .ok_or(EditError::Unsupported("a structure lies outside the file"))?
            .copy_from_slice(bytes);
        Ok(())
    }

    /// Puts `bytes` at `offset`, at or after the end, filling up with zeros.
    pub(super) fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<(), EditError> {
        let start = usize::try_from(offset)
            .ok()
            .filter(|start| *start >= self.0.len())
            .ok_or(EditError::Unsupported("the file is too large"))?;
        self.0.resize(start, 0);
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    /// Drops what lies behind `end`.
    pub(super) fn truncate(&mut self, end: u64) {
        if let Ok(end) = usize::try_from(end) {
            self.0.truncate(end);
        }
    }

    /// `length` bytes at file offset `offset`.
    pub(super) fn copy(&self, offset: u64, length: u64) -> Result<Vec<u8>, EditError> {
        let range = || {
            let start = usize::try_from(offset).ok()?;
            self.0
                .get(start..start.checked_add(usize::try_from(length).ok()?)?)
        };
        range()
            .map(<[u8]>::to_vec)
            .ok_or(EditError::Unsupported("a structure lies outside the file"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_stay_inside() {
        let mut buffer = Buffer(vec![1, 2, 3]);
        assert_eq!(buffer.put(1, &[9, 9]), Ok(()));
        assert!(buffer.put(2, &[7, 7]).is_err());
        assert!(buffer.put(u64::MAX, &[7]).is_err());
        assert_eq!(buffer.append(5, &[4]), Ok(()));
        assert!(buffer.append(2, &[4]).is_err());
        assert_eq!(buffer.0, [1, 9, 9, 0, 0, 4]);
        assert_eq!(buffer.copy(4, 2), Ok(vec![0, 4]));
        assert!(buffer.copy(4, 3).is_err());
    }
}
