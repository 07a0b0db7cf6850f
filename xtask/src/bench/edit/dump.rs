//! What `readelf` reads out of an object, in a form in which two objects can be compared: addresses of what an editor
//! may move are told relative to their section.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use wheelfarm_tests::anyhow::{Context, Result};

/// The parts of `readelf --all` by their title, and its complaints.
#[derive(Debug, Default)]
pub(crate) struct Dump {
    /// Lines by the title of their part.
    parts: BTreeMap<String, Vec<String>>,
    /// What `readelf` warned of, without names and numbers.
    pub(crate) findings: Vec<String>,
}

/// A section header, as far as it matters here.
#[derive(Debug)]
struct Section {
    name: String,
    address: u64,
}

/// How the names of an object have to change.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Needed libraries, old name to new.
    pub(crate) needed: BTreeMap<String, String>,
    /// Old soname, if there was one, and new.
    pub(crate) soname: Option<(Option<String>, String)>,
    /// The new search path.
    pub(crate) rpath: String,
}

impl Dump {
    /// What `readelf` says of `object`.
    pub(crate) fn read(object: &Path) -> Result<Dump> {
        let output = Command::new("readelf")
            .args(["--all", "--wide"])
            .arg(object)
            .env("LC_ALL", "C")
            .output()
            .context("`readelf` could not be started")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let mut dump = Dump {
            findings: findings(&output.stderr, object),
            ..Dump::default()
        };
        let sections = sections(&text);
        let mut title = String::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            // Numbers are printed in small letters.
            if line.starts_with(|c: char| c.is_ascii_uppercase()) {
                title = title_of(line);
                continue;
            }
            if let Some(line) = normal(&title, line, &sections) {
                dump.parts.entry(title.clone()).or_default().push(line);
            }
        }
        if let Some(lines) = dump.parts.get_mut("Dynamic section") {
            lines.sort();
        }
        Ok(dump)
    }

    /// Whether the base version definition, which is to repeat the soname, has one that was replaced. It is right
    /// where a version has that name too, in the same record (`ld --default-symver`).
    pub(crate) fn keeps_old_base(&self, names: &Names) -> bool {
        let Some((Some(old), _)) = &names.soname else {
            return false;
        };
        let named = |lines: &&Vec<String>, base: bool| {
            lines
                .iter()
                .any(|line| is_base(line) == base && line.split(' ').next_back() == Some(old))
        };
        let parts = self
            .parts
            .iter()
            .filter(|(title, _)| title.starts_with("Version definition"));
        let parts: Vec<_> = parts.map(|(_, lines)| lines).collect();
        parts.iter().any(|lines| named(lines, true))
            && !parts.iter().any(|lines| named(lines, false))
    }

    /// What of `edited` is not as this dump says, with `names` changed. Empty when all is right.
    pub(crate) fn differences(&self, edited: &Dump, names: &Names) -> Vec<String> {
        let mut differences = Vec::new();
        let titles = self.parts.keys().chain(edited.parts.keys());
        let mut titles: Vec<&String> = titles.collect();
        titles.sort();
        titles.dedup();
        let none = Vec::new();
        for title in titles {
            let old = self.parts.get(title).unwrap_or(&none);
            let new = edited.parts.get(title).unwrap_or(&none);
            let mut expected = expected(title, old, names);
            keep_base(&mut expected, new, names);
            if let Some(difference) = first_difference(&expected, new) {
                differences.push(format!("{title}: {difference}"));
            }
        }
        differences
    }
}

/// Whether a line says that it is the definition of the file itself.
fn is_base(line: &str) -> bool {
    line.contains("Flags: BASE")
}

/// Lets the base definition keep the old soname: see [`Dump::keeps_old_base`].
fn keep_base(expected: &mut [String], found: &[String], names: &Names) {
    let Some((Some(old), _)) = &names.soname else {
        return;
    };
    for (expected, found) in expected.iter_mut().zip(found) {
        if is_base(found) && is_base(expected) && found.split(' ').next_back() == Some(old) {
            expected.clone_from(found);
        }
    }
}

/// The first line in which two parts differ.
fn first_difference(expected: &[String], found: &[String]) -> Option<String> {
    let position = (0..expected.len().max(found.len()))
        .find(|&index| expected.get(index) != found.get(index))?;
    let line = |lines: &[String]| {
        lines
            .get(position)
            .map_or("nothing", |line| line.trim())
            .to_owned()
    };
    Some(format!("`{}` instead of `{}`", line(found), line(expected)))
}

/// The lines of a part after an edit.
fn expected(title: &str, lines: &[String], names: &Names) -> Vec<String> {
    if title == "Dynamic section" {
        return expected_dynamic(lines, names);
    }
    let renamed = |line: &String| -> String {
        let words: Vec<&str> = line.split(' ').collect();
        let mut words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        if title.starts_with("Version needs")
            && let Some(at) = words.iter().position(|word| word == "File:")
            && let Some(word) = words.get_mut(at + 1)
            && let Some(new) = names.needed.get(word.as_str())
        {
            word.clone_from(new);
        }
        if title.starts_with("Version definition")
            && line.contains("Flags: BASE")
            && let Some((Some(old), new)) = &names.soname
            && let Some(word) = words.last_mut()
            && word == old
        {
            word.clone_from(new);
        }
        words.join(" ")
    };
    lines.iter().map(renamed).collect()
}

fn expected_dynamic(lines: &[String], names: &Names) -> Vec<String> {
    let mut expected: Vec<String> = Vec::new();
    for line in lines {
        let tag = line.split(' ').next().unwrap_or_default();
        let value = line
            .split_once('[')
            .and_then(|(_, rest)| rest.rsplit_once(']'));
        match (tag, value) {
            ("(NEEDED)", Some((old, _))) => {
                let new = names.needed.get(old).map_or(old, String::as_str);
                expected.push(line.replace(&format!("[{old}]"), &format!("[{new}]")));
            }
            ("(SONAME)", _) if names.soname.is_some() => {}
            ("(RPATH)" | "(RUNPATH)", _) => {}
            _ => expected.push(line.clone()),
        }
    }
    if let Some((_, new)) = &names.soname {
        expected.push(format!("(SONAME) Library soname: [{new}]"));
    }
    expected.push(format!("(RPATH) Library rpath: [{}]", names.rpath));
    expected.sort();
    expected
}

/// The section headers in `text`.
fn sections(text: &str) -> Vec<Section> {
    let lines = text.lines().filter(|line| line.starts_with("  ["));
    let mut sections: Vec<Section> = Vec::new();
    for line in lines {
        let Some((number, rest)) = line.trim_start_matches("  [").split_once(']') else {
            continue;
        };
        if number.trim().parse() != Ok(sections.len()) {
            continue;
        }
        // The name may be empty, as that of section 0 is.
        let (name, rest) = match rest.strip_prefix(' ') {
            Some(rest) if !rest.starts_with(' ') => rest.split_once(' ').unwrap_or((rest, "")),
            _ => ("", rest),
        };
        let address = rest.split_whitespace().nth(1).unwrap_or_default();
        let same = |other: &&Section| other.name.split('#').next() == Some(name);
        let twin = sections.iter().filter(same).count();
        sections.push(Section {
            name: format!("{name}#{twin}"),
            address: u64::from_str_radix(address, 16).unwrap_or(0),
        });
    }
    sections
}

/// The title in `line`: `Relocation section '.rela.dyn' at offset 0x1b00 contains 32 entries:` without its numbers.
fn title_of(line: &str) -> String {
    let line = line.split(" at offset ").next().unwrap_or(line);
    let line = line.split(" contains ").next().unwrap_or(line);
    line.trim_end_matches(':').to_owned()
}

/// `line` of the part with `title` in the form that is compared; `None` for what an editor may change.
fn normal(title: &str, line: &str, sections: &[Section]) -> Option<String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let of = |prefix: &str| title.starts_with(prefix);
    if of("ELF Header") {
        let kept = [
            "Class:", "Data:", "OS/ABI:", "ABI", "Type:", "Machine:", "Entry", "Flags:",
        ];
        let is_kept = words.first().is_some_and(|word| kept.contains(word));
        return is_kept.then(|| line.to_owned());
    }
    if of("Section Headers") || of("Program Headers") || of("Histogram") || of("Key to Flags") {
        return None;
    }
    if of("Dynamic section") {
        return dynamic(&words, line, sections);
    }
    if of("Symbol table") {
        return symbol(line, &words, sections);
    }
    if of("Relocation section") {
        // Offset, information, type, value of the symbol, its name.
        let named = words.len() > 4;
        let kept = words
            .iter()
            .enumerate()
            .filter(|(index, _)| !(named && *index == 3));
        return Some(kept.map(|(_, word)| *word).collect::<Vec<_>>().join(" "));
    }
    if of("Version") {
        if line.starts_with(" Addr:") {
            return None;
        }
        let is_row = words.first().is_some_and(|word| {
            word.ends_with(':') && !line.contains("Name: ") && !line.contains("File: ")
        });
        if is_row {
            return Some(words.join(" "));
        }
        // Without the place of the record.
        return Some(words.get(1..).unwrap_or_default().join(" "));
    }
    Some(line.to_owned())
}

/// Tags whose value says where something lies that may have moved, or how large it is.
const PLACES: [&str; 16] = [
    "(STRTAB)",
    "(SYMTAB)",
    "(HASH)",
    "(GNU_HASH)",
    "(VERSYM)",
    "(VERNEED)",
    "(VERDEF)",
    "(REL)",
    "(RELA)",
    "(JMPREL)",
    "(INIT)",
    "(FINI)",
    "(INIT_ARRAY)",
    "(FINI_ARRAY)",
    "(PLTGOT)",
    "(RELR)",
];

fn dynamic(words: &[&str], line: &str, sections: &[Section]) -> Option<String> {
    let tag = *words.get(1)?;
    if matches!(tag, "Type" | "(NULL)" | "(STRSZ)" | "(MIPS_RLD_MAP_REL)") {
        return None;
    }
    let rest = line.split_once(tag)?.1.trim();
    if PLACES.contains(&tag)
        && let Ok(address) = u64::from_str_radix(rest.trim_start_matches("0x"), 16)
    {
        let at = sections
            .iter()
            .find(|section| section.address == address && address != 0);
        return Some(match at {
            Some(section) => format!("{tag} {}", section.name),
            None if sections.is_empty() => tag.to_owned(),
            None => format!("{tag} {rest}"),
        });
    }
    Some(format!("{tag} {rest}"))
}

/// A symbol, its value told from the beginning of its section.
fn symbol(line: &str, words: &[&str], sections: &[Section]) -> Option<String> {
    let (number, rest) = line.split_once(':')?;
    let value = words
        .get(1)
        .and_then(|value| u64::from_str_radix(value, 16).ok())?;
    // What a machine adds to the visibility stands in brackets.
    let (visible, rest) = match rest.split_once('[') {
        Some((before, after)) if before.split_whitespace().count() == 5 => {
            let (inner, rest) = after.split_once(']').unwrap_or((after, ""));
            (format!("{before}[{inner}]"), rest.to_owned())
        }
        _ => {
            let visible: Vec<&str> = words.iter().skip(1).take(5).copied().collect();
            let name: Vec<&str> = words.iter().skip(6).copied().collect();
            (visible.join(" "), name.join(" "))
        }
    };
    let visible: Vec<&str> = visible.split_whitespace().skip(1).collect();
    let mut name = rest.split_whitespace();
    let index = name.next().unwrap_or_default();
    let section = index
        .parse::<usize>()
        .ok()
        .and_then(|index| sections.get(index));
    let name: Vec<&str> = name.collect();
    let mut name = name.join(" ");
    // GNU readelf names a section symbol by its section, and numbers are its index.
    if visible.contains(&"SECTION") {
        name = String::new();
    }
    let place = match section {
        Some(section) => format!("{}+{:x}", section.name, value.wrapping_sub(section.address)),
        None => format!("{index} {value:x}"),
    };
    Some(format!(
        "{} {place} {} {name}",
        number.trim(),
        visible.join(" ")
    ))
}

/// The complaints in `text` about `object`, numbers replaced.
pub(crate) fn findings(text: &[u8], object: &Path) -> Vec<String> {
    let path = object.to_string_lossy();
    let text = String::from_utf8_lossy(text).replace(path.as_ref(), "");
    text.lines()
        .map(without_numbers)
        .filter(|line| !line.trim().is_empty() && line != "No errors")
        .collect()
}

fn without_numbers(line: &str) -> String {
    let mut result = String::new();
    for word in line.split(' ') {
        // As `phdr[9]:`.
        let from = word.find('[').map_or(0, |at| at + 1);
        let bare = word.get(from..).unwrap_or(word);
        let bare = bare.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let digits = bare.trim_start_matches("0x");
        let is_number = !digits.is_empty()
            && digits.chars().all(|c| c.is_ascii_hexdigit())
            && bare.chars().any(|c| c.is_ascii_digit());
        if !word.is_empty() {
            result.push_str(&if is_number {
                word.replace(bare, "#")
            } else {
                word.to_owned()
            });
            result.push(' ');
        }
    }
    result.trim_end().to_owned()
}

/// Complaints of `new` that `old` has not as often.
pub(crate) fn added(old: &[String], new: &[String]) -> Vec<String> {
    let mut left: Vec<&String> = old.iter().collect();
    new.iter()
        .filter(
            |finding| match left.iter().position(|other| other == finding) {
                Some(position) => {
                    left.swap_remove(position);
                    false
                }
                None => true,
            },
        )
        .cloned()
        .collect()
}
