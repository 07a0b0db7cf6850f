//! `RECORD`: every installed file with its hash and size
//! ([specification](https://packaging.python.org/en/latest/specifications/recording-installed-packages/#the-record-file)).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256, Sha384, Sha512};
use wheelfarm_types::Digest;

use crate::{EntryKind, Wheel, WheelError};

/// A parsed `RECORD`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Record {
    /// Its rows, in order.
    pub rows: Vec<RecordRow>,
}

/// One row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordRow {
    /// Path in the archive.
    pub path: String,
    /// `sha256=<urlsafe base64 without padding>`; none for `RECORD` and its signatures.
    pub hash: Option<String>,
    /// Size in bytes.
    pub size: Option<u64>,
}

/// A way in which `RECORD` and the archive disagree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordFinding {
    /// A file of the archive is not listed.
    NotListed(String),
    /// A listed file is not in the archive.
    NotThere(String),
    /// A file is listed twice.
    Twice(String),
    /// The hash is absent, or of an algorithm that the specification does not allow.
    NoHash(String),
    /// The hash is another one.
    WrongHash(String),
    /// The size is another one.
    WrongSize(String),
}

impl Record {
    /// Parses CSV as Python's `csv` module writes it; the error says which row is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut rows = Vec::new();
        for (number, fields) in csv(text)?.into_iter().enumerate() {
            let (path, hash, size) = match fields.as_slice() {
                [path, hash, size] => (path, hash.as_str(), size.as_str()),
                [path, hash] => (path, hash.as_str(), ""),
                [path] => (path, "", ""),
                _ => return Err(format!("row {} does not have three fields", number + 1)),
            };
            let size = match size {
                "" => None,
                text => Some(
                    text.parse()
                        .map_err(|_| format!("row {}: the size is no number", number + 1))?,
                ),
            };
            rows.push(RecordRow {
                path: path.clone(),
                hash: (!hash.is_empty()).then(|| hash.to_owned()),
                size,
            });
        }
        Ok(Self { rows })
    }

    /// The text, with `\n` line ends.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for row in &self.rows {
            let hash = row.hash.as_deref().unwrap_or_default();
            let size = row.size.map(|size| size.to_string()).unwrap_or_default();
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{},{},{size}", quoted(&row.path), quoted(hash));
        }
        text
    }
}

impl RecordRow {
    /// The row of a file with this digest and size.
    pub fn new(path: &str, digest: &Digest, size: u64) -> Self {
        Self {
            path: path.to_owned(),
            hash: Some(format!(
                "sha256={}",
                URL_SAFE_NO_PAD.encode(digest.as_bytes())
            )),
            size: Some(size),
        }
    }

    /// The row of a file that cannot hold its own hash.
    pub fn bare(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            hash: None,
            size: None,
        }
    }
}

/// Whether a member of the `.dist-info` directory is RECORD or one of its signatures: these have no hash.
pub(crate) fn is_record(dist_info: &str, name: &str) -> bool {
    name.strip_prefix(dist_info)
        .is_some_and(|file| matches!(file, "/RECORD" | "/RECORD.jws" | "/RECORD.p7s"))
}

/// See [`Wheel::compare_record`].
pub(crate) fn compare(
    wheel: &Wheel,
    record: &Record,
    digest: impl Fn(&str) -> Option<Digest>,
) -> Result<Vec<RecordFinding>, WheelError> {
    let mut findings = BTreeSet::new();
    let mut rows: BTreeMap<&str, &RecordRow> = BTreeMap::new();
    for row in &record.rows {
        if rows.insert(&row.path, row).is_some() {
            findings.insert(RecordFinding::Twice(row.path.clone()));
        }
        if wheel.entry(&row.path).is_none() {
            findings.insert(RecordFinding::NotThere(row.path.clone()));
        }
    }
    for entry in wheel.entries() {
        if entry.kind == EntryKind::Directory || is_record(wheel.dist_info(), &entry.name) {
            continue;
        }
        let name = entry.name.clone();
        let Some(row) = rows.get(name.as_str()) else {
            findings.insert(RecordFinding::NotListed(name));
            continue;
        };
        if row.size.is_some_and(|size| size != entry.size) {
            findings.insert(RecordFinding::WrongSize(name.clone()));
        }
        let Some((algorithm, expected)) = row.hash.as_deref().and_then(|hash| hash.split_once('='))
        else {
            findings.insert(RecordFinding::NoHash(name));
            continue;
        };
        let actual = match (algorithm, digest(&name)) {
            ("sha256", Some(digest)) => digest.as_bytes().to_vec(),
            ("sha256", None) => Sha256::digest(wheel.read(&name)?).to_vec(),
            ("sha384", _) => Sha384::digest(wheel.read(&name)?).to_vec(),
            ("sha512", _) => Sha512::digest(wheel.read(&name)?).to_vec(),
            _ => {
                findings.insert(RecordFinding::NoHash(name));
                continue;
            }
        };
        if URL_SAFE_NO_PAD.encode(actual) != expected.trim_end_matches('=') {
            findings.insert(RecordFinding::WrongHash(name));
        }
    }
    Ok(findings.into_iter().collect())
}

fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// Rows of a CSV text in Python's default dialect; empty lines are dropped.
fn csv(text: &str) -> Result<Vec<Vec<String>>, String> {
    let mut rows = Vec::new();
    let mut row = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            _ if quoted => field.push(c),
            '"' if field.is_empty() => quoted = true,
            ',' => row.push(std::mem::take(&mut field)),
            '\r' if chars.peek() == Some(&'\n') => {}
            '\r' | '\n' => {
                if !(row.is_empty() && field.is_empty()) {
                    row.push(std::mem::take(&mut field));
                    rows.push(std::mem::take(&mut row));
                }
            }
            _ => field.push(c),
        }
    }
    if quoted {
        return Err("a quoted field does not end".to_owned());
    }
    if !(row.is_empty() && field.is_empty()) {
        row.push(field);
        rows.push(row);
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_parse_and_print() {
        let text = "a.py,sha256=x,3\n\"odd, \"\"name\"\"\",sha256=y,0\nRECORD,,\n";
        let record = Record::parse(&text.replace('\n', "\r\n")).unwrap();
        let paths: Vec<_> = record.rows.iter().map(|row| row.path.as_str()).collect();
        assert_eq!(paths, ["a.py", "odd, \"name\"", "RECORD"]);
        assert_eq!(record.to_text(), text);
    }

    #[test]
    fn broken_rows_are_refused() {
        for bad in ["a,b,c\n", "a,b,1,d\n", "\"a,b,1\n", "a,b,-1\n"] {
            assert!(Record::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Record::parse("\n\n"), Ok(Record::default()));
    }

    #[test]
    fn hashes_are_urlsafe_base64_without_padding() {
        // The example of PEP 376: the SHA-256 of the empty file.
        let row = RecordRow::new("x", &Digest::of(""), 0);
        assert_eq!(
            row.hash.as_deref(),
            Some("sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU")
        );
    }
}
