//! One table of an SQLite file ([file format](https://www.sqlite.org/fileformat2.html)): as much as it takes to
//! read the blobs of rpm's packages. Big-endian.

use std::collections::HashMap;

/// Size in bytes of the file header, which the first page begins with.
const FILE_HEADER: usize = 100;
/// Types of pages of a table's tree.
const INTERIOR: u8 = 5;
const LEAF: u8 = 13;
/// Deeper trees than any file can have.
const MOST_LEVELS: usize = 20;

/// A file with what its write-ahead log has over it.
struct Database<'a> {
    file: &'a [u8],
    /// By number, from 1.
    newer: HashMap<u32, &'a [u8]>,
    page_size: usize,
    /// Without what is reserved at the end of each page.
    usable: usize,
    /// Pages that may still be looked at: each has one place in the tree or in one value.
    pages_left: usize,
    /// Bytes that all rows may have together.
    bytes_left: usize,
}

/// Calls `take` for the first blob of every row of `table`. What is broken is passed over.
pub(super) fn blobs(file: &[u8], log: &[u8], table: &[u8], take: &mut dyn FnMut(&[u8])) {
    let Some(mut database) = Database::open(file, log) else {
        return;
    };
    // The table of tables is on the first page: type, name, table, page, text.
    let mut root = None;
    database.rows(1, MOST_LEVELS, &mut |row| {
        let mut columns = Columns::of(row);
        let (kind, name) = (columns.next(), columns.next());
        let (Some(Value::Bytes(b"table")), Some(Value::Bytes(name))) = (kind, name) else {
            return;
        };
        if name == table {
            root = columns.nth(1).and_then(|value| match value {
                Value::Number(page) => Some(page),
                Value::Bytes(_) | Value::Other => None,
            });
        }
    });
    let Some(root) = root else {
        return;
    };
    database.rows(root, MOST_LEVELS, &mut |row| {
        let blob = Columns::of(row).find_map(|value| match value {
            Value::Bytes(bytes) => Some(bytes),
            Value::Number(_) | Value::Other => None,
        });
        if let Some(blob) = blob {
            take(blob);
        }
    });
}

impl<'a> Database<'a> {
    fn open(file: &'a [u8], log: &'a [u8]) -> Option<Self> {
        if !file.starts_with(b"SQLite format 3\0") {
            return None;
        }
        let page_size = match number(file, 16, 2)? {
            1 => 65536,
            size if size >= 512 && size.is_power_of_two() => usize::try_from(size).ok()?,
            _ => return None,
        };
        let reserved = usize::from(*file.get(20)?);
        let newer = committed(log, page_size);
        Some(Self {
            pages_left: file.len() / page_size + newer.len() + 1,
            bytes_left: file.len().saturating_add(log.len()),
            file,
            newer,
            page_size,
            usable: page_size
                .checked_sub(reserved)
                .filter(|usable| *usable >= 480)?,
        })
    }

    fn page(&mut self, page: u32) -> Option<&'a [u8]> {
        self.pages_left = self.pages_left.checked_sub(1)?;
        if let Some(newer) = self.newer.get(&page) {
            return Some(newer);
        }
        let start = usize::try_from(page.checked_sub(1)?)
            .ok()?
            .checked_mul(self.page_size)?;
        self.file.get(start..start.checked_add(self.page_size)?)
    }

    /// Calls `take` for every row of the tree at `page`.
    fn rows(
        &mut self,
        number_of_page: u32,
        levels: usize,
        take: &mut dyn FnMut(&[u8]),
    ) -> Option<()> {
        let levels = levels.checked_sub(1)?;
        let page = self.page(number_of_page)?;
        let start = if number_of_page == 1 { FILE_HEADER } else { 0 };
        let kind = *page.get(start)?;
        let cells = usize::try_from(number(page, start + 3, 2)?).ok()?;
        let pointers = start + if kind == INTERIOR { 12 } else { 8 };
        for cell in 0..cells {
            let Some(at) =
                number(page, pointers + 2 * cell, 2).and_then(|at| usize::try_from(at).ok())
            else {
                break;
            };
            match kind {
                INTERIOR => {
                    if let Some(child) = number(page, at, 4) {
                        self.rows(child, levels, take);
                    }
                }
                LEAF => {
                    if let Some(row) = page.get(at..).and_then(|cell| self.row(cell)) {
                        take(&row);
                    }
                }
                _ => return None,
            }
        }
        if kind == INTERIOR {
            let last = number(page, start + 8, 4)?;
            self.rows(last, levels, take);
        }
        Some(())
    }

    /// The whole row of a leaf's cell: length, number of the row, what fits here, the page where it goes on.
    fn row(&mut self, cell: &[u8]) -> Option<Vec<u8>> {
        let (length, cell) = variable(cell)?;
        let (_, cell) = variable(cell)?;
        let length = usize::try_from(length).ok()?;
        self.bytes_left = self.bytes_left.checked_sub(length)?;
        let (most, least) = (self.usable - 35, (self.usable - 12) * 32 / 255 - 23);
        let here = if length <= most {
            length
        } else {
            let rest = least + (length - least) % (self.usable - 4);
            if rest <= most { rest } else { least }
        };
        let (here, cell) = cell.split_at_checked(here)?;
        let mut row = here.to_vec();
        let mut next = number(cell, 0, 4).filter(|_| row.len() < length);
        while let Some(page) = next.filter(|_| row.len() < length) {
            let page = self.page(page)?.get(..self.usable)?;
            next = number(page, 0, 4);
            let part = page.get(4..)?;
            row.extend(part.get(..part.len().min(length - row.len()))?);
        }
        (row.len() == length).then_some(row)
    }
}

/// A value of a row.
enum Value<'a> {
    Number(u32),
    Bytes(&'a [u8]),
    /// Nothing, or a number that no page has.
    Other,
}

/// The values of a row: a header with their types, then their content.
struct Columns<'a> {
    types: &'a [u8],
    content: &'a [u8],
}

impl<'a> Columns<'a> {
    fn of(row: &'a [u8]) -> Self {
        let parts = || {
            let (length, rest) = variable(row)?;
            let header = usize::try_from(length).ok()?;
            let types = header.checked_sub(row.len() - rest.len())?;
            rest.split_at_checked(types)
        };
        let (types, content) = parts().unwrap_or_default();
        Self { types, content }
    }
}

impl<'a> Iterator for Columns<'a> {
    type Item = Value<'a>;

    fn next(&mut self) -> Option<Value<'a>> {
        let (kind, types) = variable(self.types)?;
        self.types = types;
        let length = match kind {
            0 | 8 | 9 => 0,
            1..=4 => kind,
            5 => 6,
            6 | 7 => 8,
            10 | 11 => return None,
            _ => (kind - 12) / 2,
        };
        let (bytes, content) = self
            .content
            .split_at_checked(usize::try_from(length).ok()?)?;
        self.content = content;
        Some(match kind {
            1..=4 => Value::Number(number(bytes, 0, bytes.len())?),
            9 => Value::Number(1),
            12.. => Value::Bytes(bytes),
            _ => Value::Other,
        })
    }
}

/// The pages that a write-ahead log has, as of its last complete transaction.
fn committed(log: &[u8], page_size: usize) -> HashMap<u32, &[u8]> {
    const HEADER: usize = 32;
    const FRAME: usize = 24;
    let mut pages = HashMap::new();
    let (Some(header), Some(frames)) = (log.get(..HEADER), log.get(HEADER..)) else {
        return pages;
    };
    // The last bit of the magic says in which byte order the words are added up.
    let big_endian = match number(header, 0, 4) {
        Some(0x377f_0682) => false,
        Some(0x377f_0683) => true,
        _ => return pages,
    };
    if number(header, 8, 4).and_then(|size| usize::try_from(size).ok()) != Some(page_size) {
        return pages;
    }
    let mut sum = checksum((0, 0), header.get(..24).unwrap_or_default(), big_endian);
    let mut transaction = HashMap::new();
    for frame in frames.chunks_exact(FRAME + page_size) {
        let (head, page) = frame.split_at(FRAME);
        // Frames of an earlier round have other salts; those of a broken one another sum.
        if head.get(8..16) != header.get(16..24) {
            break;
        }
        sum = checksum(sum, head.get(..8).unwrap_or_default(), big_endian);
        sum = checksum(sum, page, big_endian);
        if (number(head, 16, 4), number(head, 20, 4)) != (Some(sum.0), Some(sum.1)) {
            break;
        }
        transaction.extend(number(head, 0, 4).map(|number| (number, page)));
        // The last frame of a transaction has the size of the file after it.
        if number(head, 4, 4).is_some_and(|size| size > 0) {
            pages.extend(transaction.drain());
        }
    }
    pages
}

fn checksum(mut sum: (u32, u32), bytes: &[u8], big_endian: bool) -> (u32, u32) {
    let words = bytes.chunks_exact(4).filter_map(|word| {
        let word = word.try_into().ok()?;
        Some(if big_endian {
            u32::from_be_bytes(word)
        } else {
            u32::from_le_bytes(word)
        })
    });
    for (index, word) in words.enumerate() {
        if index % 2 == 0 {
            sum.0 = sum.0.wrapping_add(word).wrapping_add(sum.1);
        } else {
            sum.1 = sum.1.wrapping_add(word).wrapping_add(sum.0);
        }
    }
    sum
}

/// A number of up to four bytes.
fn number(bytes: &[u8], at: usize, length: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .fold(0, |value, byte| (value << 8) | u32::from(*byte)),
    )
}

/// A number of variable length: seven bits a byte, the highest bit says that it goes on, and the ninth has all eight.
fn variable(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        let rest = bytes.get(index + 1..)?;
        if index == 8 {
            return Some(((value << 8) | u64::from(*byte), rest));
        }
        value = (value << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}
