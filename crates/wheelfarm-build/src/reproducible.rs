//! What differs between two wheels that should be the same.

use std::collections::BTreeSet;
use std::fmt;

use wheelfarm_elf::Elf;
use wheelfarm_wheel::{Entry, EntryKind, Wheel, WheelError};

/// How many sections of an object are named.
const SECTIONS: usize = 3;
/// What differs as soon as anything else does: it holds a hash of the rest.
const BUILD_ID: &str = ".note.gnu.build-id";

/// The first difference between two wheels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// The files' names.
    Name(String, String),
    /// The first wheel has a member that the second does not.
    Missing(String),
    /// The second wheel has a member that the first does not.
    Extra(String),
    /// The same members, but from here on in another order.
    Order(String),
    /// A member differs in this.
    Member(String, What),
    /// Every member is the same: the archive's own bytes differ, say its compression.
    Archive,
}

/// What differs of a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// File or link, or the permissions, as octal numbers.
    Mode(u32, u32),
    /// The content: of text, the first line that differs.
    Line(usize),
    /// The content: the first byte that differs, and the sizes.
    Byte(u64, u64, u64),
    /// The content of these sections of an ELF object.
    Sections(Vec<String>),
    /// The time, as archives state it.
    Time(String, String),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(first, second) => write!(f, "its name: `{first}`, then `{second}`"),
            Self::Missing(name) => write!(f, "`{}` is in the first only", name.escape_debug()),
            Self::Extra(name) => write!(f, "`{}` is in the second only", name.escape_debug()),
            Self::Order(name) => {
                write!(
                    f,
                    "the order of its members, from `{}` on",
                    name.escape_debug()
                )
            }
            Self::Member(name, what) => write!(f, "`{}`: {what}", name.escape_debug()),
            Self::Archive => f.write_str("the archive, though every member is the same"),
        }
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(first, second) => write!(f, "mode {first:o}, then {second:o}"),
            Self::Line(line) => write!(f, "its content, from line {line} on"),
            Self::Byte(at, first, second) if first == second => {
                write!(f, "its content, from byte {at} on")
            }
            Self::Byte(at, first, second) => write!(
                f,
                "its content, from byte {at} on ({first} bytes, then {second})"
            ),
            Self::Sections(names) => {
                let shown: Vec<_> = names
                    .iter()
                    .take(SECTIONS)
                    .map(|name| name.escape_debug().to_string())
                    .collect();
                let more = match names.len().saturating_sub(SECTIONS) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                write!(f, "the ELF sections {}{more}", shown.join(", "))
            }
            Self::Time(first, second) => write!(f, "its time: {first}, then {second}"),
        }
    }
}

/// The first difference between `first` and `second`, whose bytes are not the same. Contents go before modes, and
/// these before times: what cannot be evened out by packing again is worth more than what can.
pub fn difference(first: &Wheel, second: &Wheel) -> Result<Difference, WheelError> {
    let names = (first.filename(), second.filename());
    if names.0 != names.1 {
        return Ok(Difference::Name(names.0.to_string(), names.1.to_string()));
    }
    let known = |wheel: &Wheel| -> BTreeSet<String> {
        let entries = wheel.entries().iter();
        entries.map(|entry| entry.name.clone()).collect()
    };
    let (in_first, in_second) = (known(first), known(second));
    if let Some(name) = in_first.difference(&in_second).next() {
        return Ok(Difference::Missing(name.clone()));
    }
    if let Some(name) = in_second.difference(&in_first).next() {
        return Ok(Difference::Extra(name.clone()));
    }
    let record = format!("{}/RECORD", first.dist_info());
    let pairs: Vec<(&Entry, &Entry)> = first
        .entries()
        .iter()
        .filter_map(|entry| Some((entry, second.entry(&entry.name)?)))
        .collect();
    // RECORD has the hashes of all others: it says nothing of its own, unless it is alone.
    let (last, others): (Vec<_>, Vec<_>) =
        pairs.iter().partition(|(entry, _)| entry.name == record);
    for (one, other) in others.into_iter().chain(last) {
        if one.kind != EntryKind::Directory {
            let contents = (first.read(&one.name)?, second.read(&other.name)?);
            if contents.0 != contents.1 {
                let what = content(&contents.0, &contents.1);
                return Ok(Difference::Member(one.name.clone(), what));
            }
        }
    }
    for (one, other) in &pairs {
        if one.mode != other.mode {
            let what = What::Mode(one.mode, other.mode);
            return Ok(Difference::Member(one.name.clone(), what));
        }
    }
    let mut places = first.entries().iter().zip(second.entries());
    if let Some((one, _)) = places.find(|(one, other)| one.name != other.name) {
        return Ok(Difference::Order(one.name.clone()));
    }
    for (one, other) in &pairs {
        if one.modified != other.modified {
            let what = What::Time(one.modified.clone(), other.modified.clone());
            return Ok(Difference::Member(one.name.clone(), what));
        }
    }
    Ok(Difference::Archive)
}

/// How two contents differ.
fn content(first: &[u8], second: &[u8]) -> What {
    if Elf::is_elf(first)
        && let (Ok(one), Ok(other)) = (Elf::parse(first), Elf::parse(second))
    {
        let sections = sections(&one, &other);
        if !sections.is_empty() {
            return What::Sections(sections);
        }
    }
    if let (Ok(one), Ok(other)) = (std::str::from_utf8(first), std::str::from_utf8(second)) {
        let same = one.lines().zip(other.lines()).take_while(|(a, b)| a == b);
        return What::Line(same.count() + 1);
    }
    let same = first.iter().zip(second).take_while(|(a, b)| a == b).count();
    What::Byte(same as u64, first.len() as u64, second.len() as u64)
}

/// The names of sections whose contents differ, without the build identifier if there are others.
fn sections(first: &Elf<'_>, second: &Elf<'_>) -> Vec<String> {
    let (one, other) = (first.section_contents(), second.section_contents());
    let mut names: Vec<String> = Vec::new();
    for place in 0..one.len().max(other.len()) {
        let (a, b) = (one.get(place), other.get(place));
        if a != b
            && let Some((name, _)) = a.or(b)
        {
            names.push((*name).to_owned());
        }
    }
    if names.iter().any(|name| name != BUILD_ID) {
        names.retain(|name| name != BUILD_ID);
    }
    names
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use zip::write::SimpleFileOptions;
    use zip::{CompressionMethod, DateTime, ZipWriter};

    use super::*;

    /// A wheel of these members: name, content, mode, hour.
    fn wheel(members: &[(&str, &[u8], u32, u8)], method: CompressionMethod) -> Wheel {
        let mut writer = ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let info: [(&str, &[u8], u32, u8); 2] = [
            ("x-1.dist-info/METADATA", b"", 0o644, 0),
            ("x-1.dist-info/RECORD", b"", 0o644, 0),
        ];
        for (name, content, mode, hour) in members.iter().chain(&info) {
            let time = DateTime::from_date_and_time(1990, 1, 1, *hour, 0, 0).unwrap();
            let options = SimpleFileOptions::default()
                .unix_permissions(*mode)
                .compression_method(method)
                .last_modified_time(time);
            writer.start_file(*name, options).unwrap();
            writer.write_all(content).unwrap();
        }
        let bytes = writer.finish().unwrap().into_inner();
        Wheel::from_bytes(bytes, "x-1-py3-none-any.whl".parse().unwrap()).unwrap()
    }

    #[track_caller]
    fn check(first: &[(&str, &[u8], u32, u8)], second: &[(&str, &[u8], u32, u8)], says: &str) {
        let stored = CompressionMethod::Stored;
        let found = difference(&wheel(first, stored), &wheel(second, stored)).unwrap();
        assert_eq!(found.to_string(), says);
    }

    #[test]
    fn the_first_difference_that_matters_is_named() {
        let a: (&str, &[u8], u32, u8) = ("a.py", b"one\ntwo\n", 0o644, 0);
        let b: (&str, &[u8], u32, u8) = ("b.bin", b"\xff\x00", 0o644, 0);
        check(&[a, b], &[a], "`b.bin` is in the first only");
        check(&[a], &[a, b], "`b.bin` is in the second only");
        check(&[a, b], &[b, a], "the order of its members, from `a.py` on");
        let text = ("a.py", &b"one\ntoo\n"[..], 0o644, 0);
        check(&[a, b], &[text, b], "`a.py`: its content, from line 2 on");
        let binary = ("b.bin", &b"\xff\x01\x02"[..], 0o644, 0);
        check(
            &[a, b],
            &[a, binary],
            "`b.bin`: its content, from byte 1 on (2 bytes, then 3)",
        );
        let mode = ("a.py", a.1, 0o755, 0);
        check(&[a, b], &[mode, b], "`a.py`: mode 100644, then 100755");
        let time = ("a.py", a.1, 0o644, 9);
        check(
            &[a, b],
            &[time, b],
            "`a.py`: its time: 1990-01-01 00:00:00, then 1990-01-01 09:00:00",
        );
        // The content of one counts for more than the time of another before it.
        check(
            &[a, b],
            &[time, binary],
            "`b.bin`: its content, from byte 1 on (2 bytes, then 3)",
        );
    }

    #[test]
    fn compression_is_a_difference_too() {
        let text: &[u8] = b"the same the same the same the same";
        let members: [(&str, &[u8], u32, u8); 1] = [("a.py", text, 0o644, 0)];
        let one = wheel(&members, CompressionMethod::Stored);
        let other = wheel(&members, CompressionMethod::Deflated);
        assert_eq!(difference(&one, &other).unwrap(), Difference::Archive);
    }

    #[test]
    fn sections_of_objects_are_named() {
        // Any object of this machine: its own.
        let object = fs_err::read("/proc/self/exe").unwrap();
        let elf = Elf::parse(&object).unwrap();
        let text = elf
            .section_contents()
            .into_iter()
            .find(|(name, _)| *name == ".rodata")
            .map(|(_, bytes)| bytes.as_ptr() as usize - object.as_ptr() as usize)
            .unwrap();
        let mut changed = object.clone();
        *changed.get_mut(text).unwrap() ^= 1;
        let what = content(&object, &changed);
        assert_eq!(what, What::Sections(vec![".rodata".to_owned()]));
        assert_eq!(what.to_string(), "the ELF sections .rodata");
    }
}
