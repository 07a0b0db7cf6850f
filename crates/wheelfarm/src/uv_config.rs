//! uv's own configuration files ([uv's documentation](https://docs.astral.sh/uv/concepts/configuration-files/)): what
//! they say of resolving counts here as well, and stands in the keys of locks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use toml::{Table, Value};
use wheelfarm_types::Digest;

use crate::environment::{config_home, variable};

/// What is read of a project's settings: what concerns resolving, and may stand in a `uv.toml`.
const SETTINGS: [&str; 21] = [
    "allow-insecure-host",
    "constraint-dependencies",
    "dependency-metadata",
    "exclude-newer",
    "exclude-newer-package",
    "extra-index-url",
    "find-links",
    "fork-strategy",
    "index",
    "index-strategy",
    "index-url",
    "keyring-provider",
    "native-tls",
    "no-binary",
    "no-binary-package",
    "no-index",
    "override-dependencies",
    "pip",
    "prerelease",
    "resolution",
    "system-certs",
];

/// The configuration that holds in the current directory.
#[derive(Debug, Default)]
pub(crate) struct UvConfig {
    /// Settings of the project, or of the file that `UV_CONFIG_FILE` names; paths in them are absolute.
    pub(crate) settings: Table,
    /// Whether these are all: the user's and the system's files are not read.
    pub(crate) alone: bool,
    /// The names of settings that any file has.
    pub(crate) said: BTreeSet<String>,
    /// The index that takes the place of uv's own default one.
    pub(crate) default_index: Option<String>,
    /// Addresses of indexes, of all files.
    pub(crate) indexes: Vec<String>,
    /// Identifies all files that say something.
    pub(crate) identity: Option<String>,
}

/// Reads what there is. A file that is no TOML says nothing here: uv will say so.
pub(crate) fn read() -> UvConfig {
    let named = variable("UV_CONFIG_FILE").map(PathBuf::from);
    let none =
        variable("UV_NO_CONFIG").is_some_and(|value| !matches!(value.as_str(), "0" | "false"));
    let alone = named.is_some() || none;
    let project = match named {
        Some(path) => table(&path).map(|table| (path, table)),
        None if none => None,
        None => std::path::absolute(".")
            .ok()
            .and_then(|here| of_project(&here)),
    };
    let others: Vec<Table> = if alone {
        Vec::new()
    } else {
        let user = config_home().map(|directory| directory.join("uv/uv.toml"));
        let files = user.into_iter().chain([PathBuf::from("/etc/uv/uv.toml")]);
        files.filter_map(|path| table(&path)).collect()
    };
    let mut settings = Table::new();
    if let Some((path, mut table)) = project {
        table.retain(|name, _| SETTINGS.contains(&name));
        make_absolute(&mut table, path.parent().unwrap_or(Path::new("")));
        settings = table;
    }
    let all: Vec<_> = std::iter::once(&settings).chain(&others).collect();
    let said = all.iter().any(|table| !table.is_empty());
    let texts: Vec<_> = all.iter().map(ToString::to_string).collect();
    UvConfig {
        identity: said.then(|| format!("uv.toml {}", Digest::of(texts.join("\0")))),
        said: all.iter().flat_map(|table| table.keys().cloned()).collect(),
        default_index: all.iter().find_map(|table| default_index(table)),
        indexes: all.into_iter().flat_map(index_addresses).collect(),
        settings,
        alone,
    }
}

/// The first `uv.toml`, or `pyproject.toml` with `[tool.uv]`, of `directory` and those above it.
fn of_project(directory: &Path) -> Option<(PathBuf, Table)> {
    directory.ancestors().find_map(|directory| {
        let path = directory.join("uv.toml");
        if let Some(table) = table(&path) {
            return Some((path, table));
        }
        let path = directory.join("pyproject.toml");
        let mut document = table(&path)?;
        match document.remove("tool")?.as_table_mut()?.remove("uv")? {
            Value::Table(table) => Some((path, table)),
            _ => None,
        }
    })
}

fn table(path: &Path) -> Option<Table> {
    toml::from_str(&fs_err::read_to_string(path).ok()?).ok()
}

/// The index that `table` puts in the place of the default one.
fn default_index(table: &Table) -> Option<String> {
    let is_default = |index: &&Table| index.get("default").and_then(Value::as_bool) == Some(true);
    let named = table.get("index").and_then(Value::as_array);
    let mut named = named.into_iter().flatten().filter_map(Value::as_table);
    let url = named.find(is_default).and_then(|index| index.get("url"));
    let url = url.or_else(|| table.get("index-url"))?;
    url.as_str().map(str::to_owned)
}

/// The index addresses of `table`, and of its `pip` part.
fn index_addresses(table: &Table) -> Vec<String> {
    let mut found = Vec::new();
    let parts = std::iter::once(table).chain(table.get("pip").and_then(Value::as_table));
    for table in parts {
        let named = table.get("index").and_then(Value::as_array);
        found.extend(named.into_iter().flatten().filter_map(|index| {
            let url = index.as_table()?.get("url")?;
            url.as_str().map(str::to_owned)
        }));
        for name in ["index-url", "extra-index-url", "find-links"] {
            let value = table.get(name);
            let list = value.and_then(Value::as_array).into_iter().flatten();
            found.extend(
                value
                    .into_iter()
                    .chain(list)
                    .filter_map(Value::as_str)
                    .map(str::to_owned),
            );
        }
    }
    found
}

/// Makes the paths among the places of `table` absolute: they are relative to `base`.
fn make_absolute(table: &mut Table, base: &Path) {
    let absolute = |value: &mut Value| {
        if let Value::String(place) = value
            && !place.contains("://")
        {
            *place = base.join(&*place).display().to_string();
        }
    };
    for (name, value) in table.iter_mut() {
        match (name.as_str(), value) {
            ("find-links" | "index-url" | "extra-index-url", Value::Array(places)) => {
                places.iter_mut().for_each(absolute);
            }
            ("find-links" | "index-url" | "extra-index-url", place) => absolute(place),
            ("index", Value::Array(indexes)) => {
                let indexes = indexes.iter_mut().filter_map(Value::as_table_mut);
                indexes
                    .filter_map(|index| index.get_mut("url"))
                    .for_each(absolute);
            }
            ("pip", Value::Table(pip)) => make_absolute(pip, base),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_file_with_settings_counts() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a/b");
        fs_err::create_dir_all(&inner).unwrap();
        let write =
            |name: &str, text: &str| fs_err::write(directory.path().join(name), text).unwrap();
        write("uv.toml", "index-url = 'https://top/'");
        write(
            "a/pyproject.toml",
            "[tool.uv]\nprerelease = 'allow'\n[tool.uv.sources]\nx = {path = 'x'}",
        );
        write("a/b/pyproject.toml", "[project]\nname = 'x'");
        let (path, table) = of_project(&inner).unwrap();
        assert_eq!(path, directory.path().join("a/pyproject.toml"));
        assert!(table.contains_key("prerelease"));
        let (_, table) = of_project(directory.path()).unwrap();
        assert_eq!(index_addresses(&table), ["https://top/"]);
    }

    #[test]
    fn one_index_is_the_default() {
        for (text, expected) in [
            ("index-url = 'https://a/'", Some("https://a/")),
            (
                "index-url = 'https://a/'\n[[index]]\nurl = 'https://b/'\n[[index]]\nurl = 'https://c/'\ndefault = true",
                Some("https://c/"),
            ),
            ("[[index]]\nurl = 'https://b/'", None),
        ] {
            let table: Table = toml::from_str(text).unwrap();
            assert_eq!(default_index(&table).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn places_become_absolute() {
        let text = "find-links = ['links', 'https://h/l']\n[[index]]\nurl = './flat'\n[pip]\nindex-url = 'https://u:p@h/'\nfind-links = ['more']";
        let mut table: Table = toml::from_str(text).unwrap();
        make_absolute(&mut table, Path::new("/base"));
        assert_eq!(
            index_addresses(&table),
            [
                "/base/./flat",
                "/base/links",
                "https://h/l",
                "https://u:p@h/",
                "/base/more"
            ]
        );
    }
}
