//! The `Range` header ([RFC 9110, section 14](https://www.rfc-editor.org/rfc/rfc9110#section-14)): one range of bytes.

use std::ops::Range;

/// What of a file is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it: nothing was asked, or something that may be ignored (another unit, several ranges, no grammar).
    Whole,
    /// These bytes, which are there.
    Part(Range<u64>),
    /// Bytes of which the file has none.
    Unsatisfiable,
}

/// What `header` asks of a file of `size` bytes.
///
/// Several ranges are answered with the whole file, as section 14.2 allows: no installer asks for them, and answering
/// each would make a small request a large answer.
pub(super) fn wanted(header: &[u8], size: u64) -> Wanted {
    parse(header).map_or(Wanted::Whole, |asked| asked.of(size))
}

/// One range as it was asked for.
#[derive(Debug, Clone, Copy)]
enum Asked {
    /// From a byte to the end.
    From(u64),
    /// From a byte to another, which belongs to it.
    Between(u64, u64),
    /// The last so many bytes.
    Last(u64),
}

impl Asked {
    fn of(self, size: u64) -> Wanted {
        let range = match self {
            Self::From(first) => first..size,
            Self::Between(first, last) => first..last.saturating_add(1).min(size),
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        if range.is_empty() {
            Wanted::Unsatisfiable
        } else {
            Wanted::Part(range)
        }
    }
}

fn parse(header: &[u8]) -> Option<Asked> {
    let text = std::str::from_utf8(header).ok()?;
    let (unit, ranges) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || ranges.contains(',') {
        return None;
    }
    let (first, last) = ranges.trim().split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", last) => number(last).map(Asked::Last),
        (first, "") => number(first).map(Asked::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Asked::Between(first, last))
        }
    }
}

/// Digits and nothing else; a number that no file reaches is as good as the largest one.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_a_part() {
        for (header, expected) in [
            ("bytes=0-0", 0..1),
            ("bytes=2-5", 2..6),
            ("bytes=2-", 2..10),
            ("bytes=-3", 7..10),
            ("bytes=-30", 0..10),
            ("bytes=9-99999999999999999999999999", 9..10),
            ("Bytes = 1 - 2", 1..3),
        ] {
            let found = wanted(header.as_bytes(), 10);
            assert_eq!(found, Wanted::Part(expected), "{header}");
        }
    }

    #[test]
    fn what_is_behind_the_end_is_not_satisfiable() {
        for header in [
            "bytes=10-",
            "bytes=10-11",
            "bytes=-0",
            "bytes=99999999999999999999-",
        ] {
            let found = wanted(header.as_bytes(), 10);
            assert_eq!(found, Wanted::Unsatisfiable, "{header}");
        }
        assert_eq!(wanted(b"bytes=0-0", 0), Wanted::Unsatisfiable);
        assert_eq!(wanted(b"bytes=-5", 0), Wanted::Unsatisfiable);
    }

    #[test]
    fn anything_else_is_the_whole_file() {
        for header in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-2",
            "bytes=a-b",
            "bytes=+1-2",
            "bytes=1-2,4-5",
            "bytes=1-2-3",
            "lines=1-2",
            "bytes=0x1-2",
        ] {
            assert_eq!(wanted(header.as_bytes(), 10), Wanted::Whole, "{header}");
        }
        assert_eq!(wanted(b"bytes=\xff-", 10), Wanted::Whole);
    }
}
