//! A store in which a library is older than it was: what a store is like after an update of the distribution.

use std::path::{Path, PathBuf};

use serde_json::Value;
use wheelfarm_tests::anyhow::{Context, Result, ensure};

/// Writes `old` as the version of `package` into the records of wheels that carry a library of it, and of the
/// environments that these were built in.
pub(super) fn age(store: &Path, package: &str, old: &str) -> Result<()> {
    let mut wheels = 0;
    for file in files(&store.join("records/wheel"))? {
        let mut wheel = read(&file)?;
        let prefix = format!("{package} ");
        let mut is_aged = false;
        for library in list(&mut wheel, "vendored") {
            let from = library.get_mut("package");
            if let Some(from) = from
                && from.as_str().is_some_and(|from| from.starts_with(&prefix))
            {
                *from = format!("{package} {old}").into();
                is_aged = true;
            }
        }
        if is_aged {
            fs_err::write(&file, wheel.to_string())?;
            age_environment(store, &wheel, package, old)?;
            wheels += 1;
        }
    }
    ensure!(wheels > 0, "no wheel carries a library of {package}");
    Ok(())
}

fn age_environment(store: &Path, wheel: &Value, package: &str, old: &str) -> Result<()> {
    let key = text(wheel, "/inputs/raw_key")?;
    let shard = key.get(..2).context("a key is a digest")?;
    let raw = store.join(format!("records/raw-wheel/{shard}/{key}.json"));
    let raw = read(&raw)?;
    let environment = text(&raw, "/inputs/environment")?;
    for file in files(&store.join("series/environment").join(environment))? {
        let mut environment = read(&file)?;
        for installed in list(&mut environment, "manifest") {
            let is_it = installed.get("name").and_then(Value::as_str) == Some(package);
            if let Some(version) = installed.get_mut("version").filter(|_| is_it) {
                *version = old.into();
            }
        }
        fs_err::write(&file, environment.to_string())?;
    }
    Ok(())
}

fn read(file: &Path) -> Result<Value> {
    Ok(serde_json::from_str(&fs_err::read_to_string(file)?)?)
}

fn text<'a>(value: &'a Value, pointer: &str) -> Result<&'a str> {
    let found = value.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("a record has no {pointer}"))
}

fn list<'a>(value: &'a mut Value, name: &str) -> &'a mut [Value] {
    let list = value.get_mut(name).and_then(Value::as_array_mut);
    list.map_or(&mut [], Vec::as_mut_slice)
}

/// All files below `directory`.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
