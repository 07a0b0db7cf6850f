//! The words of the command line, one after the other, and the files they name.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use super::Refusal;

/// The words that are still to be read.
#[derive(Debug)]
pub(super) struct Words<'w>(std::slice::Iter<'w, OsString>);

impl<'w> Words<'w> {
    pub(super) fn new(words: &'w [OsString]) -> Words<'w> {
        Words(words.iter())
    }

    /// The next word, where an option or a file may stand.
    pub(super) fn option(&mut self) -> Option<&'w OsString> {
        self.0.next()
    }

    /// How many words are left.
    pub(super) fn left(&self) -> usize {
        self.0.len()
    }

    /// The next word, which an option needs as its value.
    pub(super) fn next(&mut self) -> Result<&'w OsStr, Refusal> {
        let word = self.0.next().ok_or("missing argument")?;
        Ok(word)
    }

    /// A value as it stands.
    pub(super) fn text(&mut self) -> Result<String, Refusal> {
        utf8(self.next()?)
    }

    /// A value, or what the file holds that `@FILE` names, to its last byte.
    pub(super) fn value(&mut self) -> Result<String, Refusal> {
        utf8(&self.place()?)
    }

    /// The same for a value that names a file.
    pub(super) fn place(&mut self) -> Result<OsString, Refusal> {
        let word = self.next()?;
        let Some(file) = word.to_str().and_then(|word| word.strip_prefix('@')) else {
            return Ok(word.to_owned());
        };
        String::from_utf8(read(Path::new(file))?)
            .map(OsString::from)
            .map_err(|_| format!("'{file}' is not UTF-8"))
    }
}

fn utf8(word: &OsStr) -> Result<String, Refusal> {
    word.to_str()
        .map(str::to_owned)
        .ok_or_else(|| format!("'{}' is not UTF-8", word.display()))
}

/// The bytes of `file`; errors are patchelf's.
pub(super) fn read(file: &Path) -> Result<Vec<u8>, Refusal> {
    let shown = file.display();
    let metadata = fs_err::metadata(file)
        .map_err(|error| format!("getting info about '{shown}': {}", reason(&error)))?;
    if metadata.is_dir() {
        return Err(format!("reading '{shown}': Is a directory"));
    }
    fs_err::read(file).map_err(|error| format!("opening '{shown}': {}", reason(&error)))
}

/// What the system says, without the path and the number that Rust adds.
pub(super) fn reason(error: &std::io::Error) -> String {
    let kind = std::io::Error::from(error.kind()).to_string();
    let source = std::error::Error::source(error).map(ToString::to_string);
    match error.kind() {
        std::io::ErrorKind::NotFound => "No such file or directory".into(),
        std::io::ErrorKind::PermissionDenied => "Permission denied".into(),
        _ => source.unwrap_or(kind),
    }
}
