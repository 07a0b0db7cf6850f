//! Compiled modules in a tree: which are to be compiled, and how they are added.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;

use crate::ResolveError;

/// The modules of the packages in `tree`, by path in it: what lies below `site`, but for scripts.
pub(super) fn modules(tree: &Path, site: &Path) -> Result<BTreeMap<String, Bytes>, ResolveError> {
    let mut found = BTreeMap::new();
    collect(tree, &tree.join(site), &mut found)?;
    // At the top of a tree of packages lie its scripts.
    found.retain(|path, _| !path.starts_with("bin/"));
    Ok(found)
}

fn collect(
    tree: &Path,
    directory: &Path,
    found: &mut BTreeMap<String, Bytes>,
) -> Result<(), ResolveError> {
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            collect(tree, &path, found)?;
        } else if kind.is_file()
            && path.extension().is_some_and(|extension| extension == "py")
            && let Some(name) = path.strip_prefix(tree).ok().and_then(Path::to_str)
        {
            found.insert(name.to_owned(), fs_err::read(&path)?.into());
        }
    }
    Ok(())
}

/// Writes `files`, by path in `tree`, and adds them to the RECORD files in `site`, as pip does: without hashes.
pub(super) fn add(
    tree: &Path,
    site: &Path,
    files: &BTreeMap<String, Bytes>,
) -> Result<(), ResolveError> {
    let mut names = BTreeSet::new();
    for (path, content) in files {
        let place = tree.join(path);
        if let Some(parent) = place.parent() {
            fs_err::create_dir_all(parent)?;
        }
        fs_err::write(&place, content)?;
        let name = Path::new(path).strip_prefix(site).ok();
        names.extend(name.and_then(Path::to_str).map(str::to_owned));
    }
    for entry in fs_err::read_dir(tree.join(site))? {
        let record = entry?.path().join("RECORD");
        if record.is_file() {
            let text = fs_err::read_to_string(&record)?;
            fs_err::write(&record, listed(&text, &names))?;
        }
    }
    Ok(())
}

/// A RECORD with those of `compiled` that belong to its modules. Names with commas or quotes are quoted there.
fn listed(record: &str, compiled: &BTreeSet<String>) -> String {
    let quoted = |name: &str| {
        let special = name.contains([',', '"', '\n']);
        let doubled = name.replace('"', "\"\"");
        if special {
            format!("\"{doubled}\"")
        } else {
            doubled
        }
    };
    let present: BTreeSet<&str> = record
        .lines()
        .filter_map(|line| line.rsplitn(3, ',').last())
        .collect();
    let mut text = record.to_owned();
    for name in compiled {
        let source = module_of(name).map(|source| quoted(&source));
        let name = quoted(name);
        let belongs = source.is_some_and(|source| present.contains(source.as_str()));
        if belongs && !present.contains(name.as_str()) {
            text.push_str(&name);
            text.push_str(",,\n");
        }
    }
    text
}

/// The module that `a/__pycache__/b.cpython-311.pyc` is of: `a/b.py`
/// ([PEP 3147](https://peps.python.org/pep-3147/)).
pub fn module_of(path: &str) -> Option<String> {
    let (directory, name) = path.rsplit_once('/')?;
    let (stem, _) = name.strip_suffix(".pyc")?.rsplit_once('.')?;
    let directory = directory.strip_suffix("__pycache__")?;
    Some(format!("{directory}{stem}.py"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_lists_the_byte_code_of_its_own_modules() {
        let compiled = [
            "a/__pycache__/b.cpython-311.pyc",
            "a/__pycache__/c,d.cpython-311.pyc",
            "other/__pycache__/x.cpython-311.pyc",
        ];
        let compiled = compiled.map(str::to_owned).into();
        let record = "a/b.py,sha256=x,1\n\"a/c,d.py\",sha256=y,2\na-1.dist-info/RECORD,,\n";
        let expected = format!(
            "{record}a/__pycache__/b.cpython-311.pyc,,\n\"a/__pycache__/c,d.cpython-311.pyc\",,\n"
        );
        assert_eq!(listed(record, &compiled), expected);
        assert_eq!(listed(&expected, &compiled), expected);
    }

    #[test]
    fn modules_are_compiled_and_scripts_are_not() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "bin/tool.py",
            "pkg/a.py",
            "pkg/data.txt",
            "pkg-1.dist-info/RECORD",
        ] {
            let path = folder.path().join(path);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "").unwrap();
        }
        let record = folder.path().join("pkg-1.dist-info/RECORD");
        fs_err::write(&record, "pkg/a.py,sha256=x,1\n").unwrap();
        let site = Path::new("");
        let found = modules(folder.path(), site).unwrap();
        assert_eq!(found.into_keys().collect::<Vec<_>>(), ["pkg/a.py"]);
        let pyc = "pkg/__pycache__/a.cpython-311.pyc";
        let files = BTreeMap::from([(pyc.to_owned(), Bytes::from("code"))]);
        add(folder.path(), site, &files).unwrap();
        assert_eq!(fs_err::read(folder.path().join(pyc)).unwrap(), b"code");
        let text = fs_err::read_to_string(record).unwrap();
        assert_eq!(text, format!("pkg/a.py,sha256=x,1\n{pyc},,\n"));
    }
}
