//! An rpm header (rpm's `docs/manual/format_header.md`): an index of tagged entries, then their data. Big-endian.

pub(super) const NAME: u32 = 1000;
pub(super) const VERSION: u32 = 1001;
pub(super) const RELEASE: u32 = 1002;
pub(super) const EPOCH: u32 = 1003;
pub(super) const LICENSE: u32 = 1014;
pub(super) const ARCH: u32 = 1022;
pub(super) const DIRINDEXES: u32 = 1116;
pub(super) const BASENAMES: u32 = 1117;
pub(super) const DIRNAMES: u32 = 1118;

/// Types of entries.
const INT32: u32 = 4;
const STRING: u32 = 6;
const STRING_ARRAY: u32 = 8;
const I18N_STRING: u32 = 9;

/// Size in bytes of an index entry: tag, type, offset, count.
const ENTRY: usize = 16;

/// A header as the database keeps it: without the magic and the signature that package files have.
pub(super) struct Header<'a> {
    index: &'a [u8],
    data: &'a [u8],
}

impl<'a> Header<'a> {
    pub(super) fn parse(blob: &'a [u8]) -> Option<Self> {
        let (entries, rest) = blob.split_first_chunk()?;
        let (length, rest) = rest.split_first_chunk()?;
        let entries = usize::try_from(u32::from_be_bytes(*entries)).ok()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        let (index, rest) = rest.split_at_checked(entries.checked_mul(ENTRY)?)?;
        let data = rest.get(..length)?;
        Some(Self { index, data })
    }

    /// Type, count and data of an entry; the data goes on to the end of all.
    fn entry(&self, tag: u32) -> Option<(u32, usize, &'a [u8])> {
        self.index.chunks_exact(ENTRY).find_map(|entry| {
            let mut fields = entry.chunks_exact(4).filter_map(big_endian);
            if fields.next()? != tag {
                return None;
            }
            let kind = fields.next()?;
            let offset = usize::try_from(fields.next()?).ok()?;
            let count = usize::try_from(fields.next()?).ok()?;
            Some((kind, count, self.data.get(offset..)?))
        })
    }

    /// A string; the first of a translated one.
    pub(super) fn text(&self, tag: u32) -> Option<String> {
        let (kind, _, data) = self.entry(tag)?;
        if !matches!(kind, STRING | I18N_STRING) {
            return None;
        }
        let end = data.iter().position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(data.get(..end)?).into_owned())
    }

    /// The strings of an array.
    pub(super) fn texts(&self, tag: u32) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let entry = self.entry(tag).filter(|(kind, ..)| *kind == STRING_ARRAY);
        let (_, count, data) = entry.unwrap_or((STRING_ARRAY, 0, &[]));
        data.split(|byte| *byte == 0).take(count)
    }

    /// The numbers of an array.
    pub(super) fn numbers(&self, tag: u32) -> impl Iterator<Item = u32> + use<'a> {
        let entry = self.entry(tag).filter(|(kind, ..)| *kind == INT32);
        let (_, count, data) = entry.unwrap_or((INT32, 0, &[]));
        data.chunks_exact(4).take(count).filter_map(big_endian)
    }
}

fn big_endian(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}
