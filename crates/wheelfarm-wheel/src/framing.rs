//! Whether entries and directory fill an archive without gaps
//! ([APPNOTE 6.3.10](https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT), sections in comments).
//!
//! Readers that go from front to back see what lies between the entries that the directory lists; those that begin at
//! the end do not. So an archive with gaps, or with something behind its end, can hold two different wheels.

use zip::ZipArchive;

use crate::WheelProblem;
use crate::entries::broken;
use crate::source::{Reader, Source};

/// Bytes of a local header without name and extra fields (4.3.7).
const LOCAL: u64 = 30;
/// Bytes of the end record (4.3.16), of the zip64 end record without extensions (4.3.14), of its locator (4.3.15).
const END: u64 = 22;
const END_ZIP64: u64 = 56;
const LOCATOR: u64 = 20;
/// A data descriptor: checksum and two sizes, of four or eight bytes, with or without a signature (4.3.9).
const DESCRIPTORS: [u64; 4] = [12, 16, 20, 24];

/// See [`crate::Wheel::check_framing`].
pub(crate) fn check(zip: &ZipArchive<Reader>, source: &Source) -> Result<(), WheelProblem> {
    let mut zip = zip.clone();
    let mut extents = Vec::with_capacity(zip.len());
    for index in 0..zip.len() {
        let entry = zip.by_index_raw(index).map_err(broken)?;
        let start = entry.header_start();
        let data = entry
            .data_start()
            .filter(|data| *data >= start.saturating_add(LOCAL))
            .ok_or_else(|| WheelProblem::Zip("an entry has no data".to_owned()))?;
        extents.push((start, data.saturating_add(entry.compressed_size())));
    }
    extents.sort_unstable();
    let directory = zip.central_directory_start();
    let starts = extents.iter().skip(1).map(|(start, _)| *start);
    let nexts = starts.chain(std::iter::once(directory));
    if extents.first().is_some_and(|(start, _)| *start != 0) {
        return Err(gap("before its first entry"));
    }
    for ((start, end), next) in extents.iter().zip(nexts) {
        let between = next.checked_sub(*end);
        let described = || flags(source, *start).is_some_and(|flags| flags & 8 != 0);
        match between {
            Some(0) => {}
            Some(more) if DESCRIPTORS.contains(&more) && described() => {}
            Some(_) => return Err(gap("between its entries")),
            None => return Err(WheelProblem::Zip("its entries overlap".to_owned())),
        }
    }
    let end = directory_end(&mut zip, source, directory)?;
    let tail = source.len().checked_sub(end);
    match tail {
        Some(END) => Ok(()),
        Some(tail) if tail == END + LOCATOR + END_ZIP64 => Ok(()),
        _ => Err(gap("behind its directory")),
    }
}

/// Where the directory ends: behind its last header (4.3.12).
fn directory_end(
    zip: &mut ZipArchive<Reader>,
    source: &Source,
    directory: u64,
) -> Result<u64, WheelProblem> {
    const FIXED: u64 = 46;
    let mut at = directory;
    for _ in 0..zip.len() {
        let header = source.read_at(at, FIXED).ok();
        let header = header.filter(|header| header.starts_with(b"PK\x01\x02"));
        let lengths = header.as_deref().and_then(|header| header.get(28..34));
        let Some(&[n, n2, e, e2, c, c2]) = lengths else {
            return Err(gap("in its directory"));
        };
        let sum: u64 = [[n, n2], [e, e2], [c, c2]]
            .map(|length| u64::from(u16::from_le_bytes(length)))
            .iter()
            .sum();
        at = at.saturating_add(FIXED + sum);
    }
    Ok(at)
}

/// The flags in the local header at `start`.
fn flags(source: &Source, start: u64) -> Option<u16> {
    let bytes = source.read_at(start.checked_add(6)?, 2).ok()?;
    Some(u16::from_le_bytes(bytes.as_ref().try_into().ok()?))
}

fn gap(place: &str) -> WheelProblem {
    WheelProblem::Zip(format!("there are bytes {place} that belong to nothing"))
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use zip::write::{SimpleFileOptions, ZipWriter};

    use crate::{Wheel, WheelError, WheelWriter};

    const NAME: &str = "demo-1.0-py3-none-any.whl";

    fn framed(bytes: Vec<u8>) -> Result<(), WheelError> {
        Wheel::from_bytes(bytes, NAME.parse().unwrap()).and_then(|wheel| wheel.check_framing())
    }

    fn archive(comment: &'static str) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for name in ["a.py", "demo-1.0.dist-info/WHEEL"] {
            writer
                .start_file(name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(b"Wheel-Version: 1.0\n").unwrap();
        }
        writer.set_comment(comment).unwrap();
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn what_writers_write_has_no_gaps() {
        framed(archive("")).unwrap();
        let mut bytes = Vec::new();
        let mut ours = WheelWriter::new(NAME.parse().unwrap());
        ours.insert("demo-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\n", false)
            .unwrap();
        ours.write_to(&mut bytes).unwrap();
        framed(bytes).unwrap();
    }

    #[test]
    fn streamed_archives_have_descriptors_between_entries() {
        let mut out = Vec::new();
        let mut writer = ZipWriter::new_stream(&mut out);
        for name in ["a.py", "demo-1.0.dist-info/WHEEL"] {
            writer
                .start_file(name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(b"Wheel-Version: 1.0\n").unwrap();
        }
        writer.finish().unwrap();
        framed(out).unwrap();
    }

    #[test]
    fn what_belongs_to_nothing_is_refused() {
        let good = archive("");
        let directory = (0..good.len())
            .find(|at| good[*at..].starts_with(b"PK\x01\x02"))
            .unwrap();
        let mut behind = good.clone();
        behind.extend(b"junk");
        let twice = [good.clone(), good.clone()].concat();
        // A gap before the directory, of which the end record knows.
        let mut between = good.clone();
        between.splice(directory..directory, *b"hidden entry");
        let at = between.len() - 6;
        let moved = u32::try_from(directory + 12).unwrap().to_le_bytes();
        between[at..at + 4].copy_from_slice(&moved);
        for (what, bytes) in [
            ("comment", archive("comment")),
            ("behind", behind),
            ("twice", twice),
            ("between", between),
        ] {
            assert!(framed(bytes).is_err(), "{what}");
        }
    }
}
