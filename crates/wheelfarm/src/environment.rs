//! The only place where the program reads its environment and the clock.

use std::path::PathBuf;

/// An environment variable that is set and not empty.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The first of `names` that is set.
pub(crate) fn first_variable(names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| variable(name))
}

/// All variables whose names begin with one of `prefixes`, by their names in lower case.
pub(crate) fn variables(prefixes: &[&str]) -> Vec<(String, String)> {
    #[expect(clippy::disallowed_methods, reason = "this is the place")]
    let all = std::env::vars_os();
    all.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, value)| {
            !value.is_empty() && prefixes.iter().any(|prefix| name.starts_with(prefix))
        })
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .collect()
}

/// The user's home directory.
pub(crate) fn home() -> Option<PathBuf> {
    variable("HOME").map(PathBuf::from)
}

/// The user's cache directory (XDG Base Directory Specification).
pub(crate) fn cache_home() -> Option<PathBuf> {
    let xdg = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    xdg.or_else(|| Some(home()?.join(".cache")))
}

/// The user's configuration directory (XDG Base Directory Specification).
pub(crate) fn config_home() -> Option<PathBuf> {
    let xdg = variable("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute());
    xdg.or_else(|| Some(home()?.join(".config")))
}

/// Now, in seconds since 1970.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn now() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// Now.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub(crate) fn clock() -> chrono::DateTime<chrono::Utc> {
    std::time::SystemTime::now().into()
}
