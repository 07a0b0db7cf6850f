//! Archives for tests.

use tar::{EntryType, Header};

pub(super) const FILE: EntryType = EntryType::Regular;
pub(super) const PROGRAM: EntryType = EntryType::Continuous;
pub(super) const DIRECTORY: EntryType = EntryType::Directory;
pub(super) const LINK: EntryType = EntryType::Symlink;
pub(super) const HARD: EntryType = EntryType::Link;
pub(super) const DEVICE: EntryType = EntryType::Char;

/// A tar file of paths that are written as they are, with what is in them or what they link to. Continuous files, which
/// nobody has, are programs.
pub(super) fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (number, (path, kind, content)) in entries.iter().enumerate() {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(if *kind == PROGRAM { 0o755 } else { 0o640 });
        // Nothing of these is in a tree.
        header.set_uid(number as u64);
        header.set_mtime(1_000_000 + number as u64);
        // Not `append_data`, which would refuse what is tested.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        let mut bytes = content.as_bytes();
        if matches!(*kind, LINK | HARD) {
            header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
            bytes = &[];
        }
        header.set_size(bytes.len() as u64);
        header.set_cksum();
        builder.append(&header, bytes).unwrap();
    }
    builder.into_inner().unwrap()
}
