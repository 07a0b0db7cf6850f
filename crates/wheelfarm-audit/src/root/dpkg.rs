//! Which package of dpkg's database a file belongs to, without reading all of it.
//!
//! A system has thousands of lists of files, and a wheel some dozens of libraries. So the lists of packages that are
//! called like the library are read first, then those of packages with libraries, then the others; each once.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::owners::{Row, merged};
use super::walk;

const INFO: &str = "/var/lib/dpkg/info";
const STATUS: &str = "/var/lib/dpkg/status";

/// The database of a root, read when somebody asks.
#[derive(Debug)]
pub(super) struct Dpkg {
    root: PathBuf,
    read: Option<Database>,
}

/// The database, as far as it was read.
#[derive(Debug)]
struct Database {
    /// Where the lists are on this machine.
    info: PathBuf,
    status: String,
    /// From `name` and `name:arch` to the package's stanza in `status`.
    stanzas: HashMap<String, (usize, usize)>,
    /// Names of lists (`libpq5:amd64`) that were not read yet: those of packages with libraries last.
    unread: Vec<String>,
    /// From the files that were read about to the list they are in.
    by_path: HashMap<String, String>,
}

impl Dpkg {
    /// The database of a root, if it has one; other systems with dpkg's tools have an empty one.
    pub(super) fn find(root: &Path) -> Option<Self> {
        let status = walk::inside(root, &walk::resolve_file(root, STATUS)?);
        let size = fs_err::symlink_metadata(status).ok()?.len();
        (size > 0).then(|| Self {
            root: root.to_owned(),
            read: None,
        })
    }

    /// The package that a file belongs to; `path` is [`merged`].
    pub(super) fn of(&mut self, path: &str) -> Option<Row> {
        let database = self.database();
        let list = database.list(path)?;
        database.package(&list)
    }

    /// An installed package by its name, with or without architecture.
    pub(super) fn package(&mut self, name: &str) -> Option<Row> {
        self.database().package(name)
    }

    /// A status file that cannot be read is as good as none.
    fn database(&mut self) -> &mut Database {
        let root = &self.root;
        self.read.get_or_insert_with(|| {
            let status = walk::read_text(root, STATUS).ok().flatten();
            Database::new(root, status.unwrap_or_default())
        })
    }
}

impl Database {
    fn new(root: &Path, status: String) -> Self {
        let names = walk::names(root, INFO);
        let with_libraries: HashSet<&str> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".shlibs"))
            .collect();
        let mut unread: Vec<String> = names
            .iter()
            .filter_map(|name| name.strip_suffix(".list"))
            .map(str::to_owned)
            .collect();
        unread.sort_by_key(|name| with_libraries.contains(name.as_str()));
        let real = walk::resolve(root, INFO).unwrap_or_default();
        Self {
            info: walk::inside(root, &real),
            stanzas: stanzas(&status),
            status,
            unread,
            by_path: HashMap::new(),
        }
    }

    fn package(&self, name: &str) -> Option<Row> {
        let (start, end) = *self.stanzas.get(name)?;
        let stanza = self.status.get(start..end)?;
        let field = |name: &str| {
            stanza
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
                .unwrap_or_default()
                .to_owned()
        };
        field("Status").ends_with(" installed").then(|| Row {
            name: field("Package"),
            version: field("Version"),
            arch: field("Architecture"),
        })
    }

    fn list(&mut self, path: &str) -> Option<String> {
        if let Some(list) = self.by_path.get(path) {
            return Some(list.clone());
        }
        let stem = stem(path.rsplit('/').next().unwrap_or(path));
        let (similar, mut others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.unread)
            .into_iter()
            .partition(|name| !stem.is_empty() && plain(name).starts_with(&stem));
        for list in similar {
            self.read(&list);
        }
        while !self.by_path.contains_key(path)
            && let Some(list) = others.pop()
        {
            self.read(&list);
        }
        self.unread = others;
        self.by_path.get(path).cloned()
    }

    /// Takes a list in. One that cannot be read owns nothing.
    fn read(&mut self, list: &str) {
        let file = self.info.join(format!("{list}.list"));
        let is_file = fs_err::symlink_metadata(&file).is_ok_and(|metadata| metadata.is_file());
        let text = is_file
            .then(|| fs_err::read_to_string(&file).ok())
            .flatten();
        // Directories and documents are not libraries.
        for path in text.iter().flat_map(|text| text.lines()) {
            if path.contains(".so") {
                self.by_path.insert(merged(path), list.to_owned());
            }
        }
    }
}

/// Where the stanza of each package begins and ends. An empty line ends one.
fn stanzas(status: &str) -> HashMap<String, (usize, usize)> {
    let mut stanzas = HashMap::new();
    let (mut start, mut at) = (0, 0);
    let (mut name, mut arch) = (None, None);
    for line in status.split_inclusive('\n').chain(["\n"]) {
        if line == "\n" {
            if let (Some(name), Some(arch)) = (name.take(), arch.take()) {
                stanzas.insert(format!("{name}:{arch}"), (start, at));
                stanzas.insert(String::from(name), (start, at));
            }
            start = at + line.len();
        } else if let Some(value) = line.strip_prefix("Package: ") {
            name = Some(value.trim_end());
        } else if let Some(value) = line.strip_prefix("Architecture: ") {
            arch = Some(value.trim_end());
        }
        at += line.len();
    }
    stanzas
}

/// What the packages of a library usually begin with: `libgssapikrb5` for `libgssapi_krb5.so.2.2`.
fn stem(file: &str) -> String {
    let name = file.split(".so").next().unwrap_or(file);
    plain(name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-'))
}

/// Letters and digits, in lower case: packages write `-` where libraries write `_`.
fn plain(name: &str) -> String {
    let name = name.split(':').next().unwrap_or(name);
    name.chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_called_like_their_libraries() {
        for (file, package) in [
            ("libpq.so.5.15", "libpq5:amd64"),
            ("libgssapi_krb5.so.2.2", "libgssapi-krb5-2:amd64"),
            ("libldap-2.5.so.0.1.8", "libldap-2.5-0:amd64"),
            ("libstdc++.so.6", "libstdc++6"),
        ] {
            assert!(plain(package).starts_with(&stem(file)), "{file}");
        }
    }

    #[test]
    fn lists_are_read_as_far_as_needed() {
        let root = tempfile::tempdir().unwrap();
        let info = walk::inside(root.path(), INFO);
        fs_err::create_dir_all(&info).unwrap();
        for (file, text) in [
            ("libone1:amd64.list", "/usr\n/usr/lib/libone.so.1\n"),
            ("crypt3:amd64.list", "/lib/libtwo.so.1\n"),
            ("crypt3:amd64.shlibs", "libtwo 1 crypt3\n"),
            ("odd.list", "/usr/lib/libodd.so\n"),
            ("gone.list", "/usr/lib/libgone.so\n"),
        ] {
            fs_err::write(info.join(file), text).unwrap();
        }
        let stanza = |name: &str, status: &str| {
            format!(
                "Package: {name}\nStatus: install ok {status}\nArchitecture: amd64\nVersion: 1:2-3\n"
            )
        };
        let status = [
            stanza("libone1", "installed"),
            stanza("crypt3", "installed"),
            stanza("odd", "installed"),
            stanza("gone", "half-configured"),
        ];
        assert!(Dpkg::find(root.path()).is_none());
        fs_err::write(walk::inside(root.path(), STATUS), status.join("\n")).unwrap();
        let mut dpkg = Dpkg::find(root.path()).unwrap();
        let mut of = |path: &str| {
            let name = dpkg.of(&merged(path)).map(|row| row.name);
            (name, dpkg.database().unread.len())
        };
        let some = |name: &str| Some(name.to_owned());
        assert_eq!(of("/usr/lib/libone.so.1"), (some("libone1"), 3));
        assert_eq!(of("/usr/lib/libtwo.so.1"), (some("crypt3"), 2));
        assert_eq!(of("/usr/lib/libodd.so"), (some("odd"), 1));
        // Removed, but for its configuration.
        assert_eq!(of("/usr/lib/libgone.so"), (None, 0));
        assert_eq!(of("/usr/lib/libnone.so"), (None, 0));
        let row = dpkg.package("crypt3:amd64").unwrap();
        assert_eq!(
            (row.version.as_str(), row.arch.as_str()),
            ("1:2-3", "amd64")
        );
    }
}
