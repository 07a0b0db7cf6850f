//! Packing a tree of files into an archive whose bytes depend on the files alone.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

use crate::ResolveError;
use crate::inputs::input_error;

/// The one directory in the archive.
pub(super) const TOP: &str = "source";
/// What a source may hold, in files and bytes: more is a directory that holds something else as well.
const FILE_LIMIT: usize = 200_000;
const SIZE_LIMIT: u64 = 4 << 30;
/// The first moment that a zip file can hold, in seconds since 1970.
const TIME: u64 = 315_532_800;

/// Files by their path in the tree, in order.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<PathBuf, Entry>);

#[derive(Debug)]
enum Entry {
    File(PathBuf),
    Link(PathBuf),
    Text(String),
}

impl Tree {
    /// Adds what is at `root`/`path`: a file, or a link inside the tree. Other kinds are left out.
    pub(super) fn add(&mut self, root: &Path, path: &Path) -> Result<(), ResolveError> {
        let place = root.join(path);
        let kind = fs_err::symlink_metadata(&place)?.file_type();
        let entry = if kind.is_symlink() {
            let target = fs_err::read_link(&place)?;
            if !stays_inside(path, &target) {
                return Err(input_error(format!(
                    "`{}` is a link that leads out of the source: to `{}`",
                    place.display(),
                    target.display()
                )));
            }
            Entry::Link(target)
        } else if kind.is_file() {
            Entry::File(place)
        } else {
            return Ok(());
        };
        self.0.insert(path.to_owned(), entry);
        Ok(())
    }

    /// Adds a file with `text`, in place of one that is there.
    pub(super) fn add_text(&mut self, path: &str, text: String) {
        self.0.insert(PathBuf::from(path), Entry::Text(text));
    }

    /// Whether it holds nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The text of a file in it.
    pub(super) fn text(&self, path: &Path) -> Option<String> {
        match self.0.get(path)? {
            Entry::File(place) => fs_err::read_to_string(place).ok(),
            Entry::Text(text) => Some(text.clone()),
            Entry::Link(_) => None,
        }
    }

    /// How many files are pointers of Git LFS instead of content.
    pub(super) fn lfs_pointers(&self) -> usize {
        let is_pointer = |entry: &&Entry| {
            let Entry::File(place) = entry else {
                return false;
            };
            // A pointer is that short.
            fs_err::metadata(place).is_ok_and(|metadata| metadata.len() < 1024)
                && fs_err::read(place).is_ok_and(|bytes| {
                    bytes.starts_with(b"version https://git-lfs.github.com/spec/")
                })
        };
        self.0.values().filter(is_pointer).count()
    }

    /// The archive: a `.tar.gz` with everything below one directory.
    pub(super) fn pack(&self, name: &str) -> Result<Vec<u8>, ResolveError> {
        if self.0.len() > FILE_LIMIT {
            return Err(too_large(name, &format!("{} files", self.0.len())));
        }
        let gzip = GzBuilder::new()
            .mtime(0)
            .write(Vec::new(), Compression::fast());
        let mut builder = Builder::new(gzip);
        let mut size = 0;
        for (path, entry) in &self.0 {
            let path = Path::new(TOP).join(path);
            let mut header = Header::new_gnu();
            header.set_mtime(TIME);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mode(0o644);
            match entry {
                Entry::File(place) => {
                    let bytes = fs_err::read(place)?;
                    let mode = fs_err::metadata(place)?.permissions().mode();
                    // Nothing but the owner's right to run it is the source's own.
                    header.set_mode(if mode & 0o100 == 0 { 0o644 } else { 0o755 });
                    size += bytes.len() as u64;
                    if size > SIZE_LIMIT {
                        return Err(too_large(name, "4 GiB"));
                    }
                    header.set_size(bytes.len() as u64);
                    builder.append_data(&mut header, path, bytes.as_slice())?;
                }
                Entry::Text(text) => {
                    header.set_size(text.len() as u64);
                    builder.append_data(&mut header, path, text.as_bytes())?;
                }
                Entry::Link(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.set_size(0);
                    builder.append_link(&mut header, path, target)?;
                }
            }
        }
        Ok(builder.into_inner()?.finish()?)
    }
}

fn too_large(name: &str, what: &str) -> ResolveError {
    input_error(format!("`{name}` holds more than a source does: {what}"))
        .hint("leave out what is not part of it with a .gitignore file")
}

/// Whether the `target` of a link at `path` is in the tree.
fn stays_inside(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count().saturating_sub(1);
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(directory: &Path, paths: &[&str]) -> Result<Vec<u8>, ResolveError> {
        let mut tree = Tree::default();
        for path in paths {
            tree.add(directory, Path::new(path))?;
        }
        tree.pack("x")
    }

    #[test]
    fn only_content_and_the_right_to_run_it_count() {
        let [one, two] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for directory in [&one, &two] {
            fs_err::write(directory.path().join("a"), "a").unwrap();
            fs_err::write(directory.path().join("b"), "b").unwrap();
            std::os::unix::fs::symlink("a", directory.path().join("l")).unwrap();
        }
        let mode = |directory: &tempfile::TempDir, mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            fs_err::set_permissions(directory.path().join("a"), permissions).unwrap();
        };
        mode(&two, 0o600);
        let file = fs_err::File::options()
            .write(true)
            .open(two.path().join("b"))
            .unwrap();
        file.file().set_modified(std::time::UNIX_EPOCH).unwrap();
        let first = packed(one.path(), &["a", "b", "l"]).unwrap();
        assert_eq!(first, packed(two.path(), &["l", "b", "a"]).unwrap());
        mode(&two, 0o755);
        assert_ne!(first, packed(two.path(), &["a", "b", "l"]).unwrap());
    }

    #[test]
    fn links_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        fs_err::create_dir(directory.path().join("d")).unwrap();
        for (link, target, inside) in [
            ("d/up", "../x", true),
            ("d/out", "../../x", false),
            ("abs", "/etc/passwd", false),
            ("self", ".", true),
        ] {
            std::os::unix::fs::symlink(target, directory.path().join(link)).unwrap();
            let result = packed(directory.path(), &[link]);
            assert_eq!(result.is_ok(), inside, "{link}");
        }
    }
}
