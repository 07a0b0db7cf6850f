//! A hash of Berkeley DB (`Packages`), in the byte order of the machine that wrote it.
//!
//! All pages of the hash are looked at, in their order in the file: which bucket they belong to does not matter.

/// Offset of the first item's place on a page.
const ITEMS: usize = 26;
/// Types of pages: of a hash, unsorted and sorted, and with a part of something large.
const HASH: [u8; 2] = [2, 13];
const OVERFLOW: u8 = 7;
/// Types of items: here, or on pages of its own.
const HERE: u8 = 1;
const ELSEWHERE: u8 = 3;

/// A database, with the byte order and page size that its first page tells.
struct Database<'a> {
    file: &'a [u8],
    big_endian: bool,
    page_size: usize,
}

/// Calls `take` for every value. What is broken is passed over.
pub(super) fn blobs(file: &[u8], take: &mut dyn FnMut(&[u8])) {
    let big_endian = match file.get(12..16) {
        Some([0x61, 0x15, 0x06, 0x00]) => false,
        Some([0x00, 0x06, 0x15, 0x61]) => true,
        _ => return,
    };
    let mut database = Database {
        file,
        big_endian,
        page_size: 512,
    };
    match database.number(file, 20) {
        Some(size) if (512..=65536).contains(&size) && size.is_power_of_two() => {
            database.page_size = size;
        }
        _ => return,
    }
    // What all values have together cannot be more than the file.
    let mut budget = file.len();
    for page in file.chunks_exact(database.page_size).skip(1) {
        if page.get(25).is_some_and(|kind| HASH.contains(kind)) {
            database.page(page, &mut budget, take);
        }
    }
}

impl Database<'_> {
    /// The values of one page: every second item, from its end backwards.
    fn page(&self, page: &[u8], budget: &mut usize, take: &mut dyn FnMut(&[u8])) {
        let count = self.short(page, 20).unwrap_or(0);
        for pair in 0..count / 2 {
            let at = ITEMS + 4 * pair;
            let (Some(key), Some(value)) = (self.short(page, at), self.short(page, at + 2)) else {
                return;
            };
            let Some((kind, item)) = page
                .get(value..key)
                .and_then(|item| Some((*item.first()?, item)))
            else {
                continue;
            };
            match kind {
                HERE => {
                    // Items that share bytes would be more than the page has.
                    let Some(left) = budget.checked_sub(item.len()) else {
                        return;
                    };
                    *budget = left;
                    take(item.get(1..).unwrap_or_default());
                }
                ELSEWHERE => {
                    if let Some(value) = self.large(item, budget) {
                        take(&value);
                    }
                }
                _ => {}
            }
        }
    }

    /// A value on pages of its own; an item names the first page and the length.
    fn large(&self, item: &[u8], budget: &mut usize) -> Option<Vec<u8>> {
        let mut number = self.number(item, 4)?;
        let length = self.number(item, 8)?;
        *budget = budget.checked_sub(length)?;
        let mut value = Vec::with_capacity(length);
        while value.len() < length {
            let start = number.checked_mul(self.page_size)?;
            let page = self.file.get(start..start.checked_add(self.page_size)?)?;
            let here = self.short(page, 22)?;
            if *page.get(25)? != OVERFLOW || here == 0 || here > length - value.len() {
                return None;
            }
            value.extend(page.get(ITEMS..ITEMS.checked_add(here)?)?);
            number = self.number(page, 16)?;
        }
        Some(value)
    }

    fn number(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        let number = if self.big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        };
        usize::try_from(number).ok()
    }

    fn short(&self, bytes: &[u8], at: usize) -> Option<usize> {
        let bytes = *bytes.get(at..)?.first_chunk()?;
        let number = if self.big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        };
        Some(usize::from(number))
    }
}
