//! pip's configuration: what it says of indexes, authorities and proxies
//! ([pip's documentation](https://pip.pypa.io/en/stable/topics/configuration/)).

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::environment::{config_home, home, variable};

/// pip's settings by long option name: `index-url`, `cert`. Environment variables win over files, later files
/// over earlier ones.
pub(crate) fn read() -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    for path in files() {
        if let Ok(text) = fs_err::read_to_string(path) {
            settings.extend(parse(&text));
        }
    }
    for name in NAMES {
        if let Some(value) = variable(&format!(
            "PIP_{}",
            name.replace('-', "_").to_ascii_uppercase()
        )) {
            settings.insert(name.to_owned(), value);
        }
    }
    settings
}

const NAMES: [&str; 6] = [
    "cert",
    "extra-index-url",
    "find-links",
    "index-url",
    "proxy",
    "trusted-host",
];

fn files() -> Vec<PathBuf> {
    let named = variable("PIP_CONFIG_FILE");
    if named.as_deref() == Some("/dev/null") {
        return Vec::new();
    }
    let mut files = vec![PathBuf::from("/etc/pip.conf")];
    files.extend(config_home().map(|directory| directory.join("pip/pip.conf")));
    files.extend(home().map(|directory| directory.join(".pip/pip.conf")));
    files
        .extend(variable("VIRTUAL_ENV").map(|directory| PathBuf::from(directory).join("pip.conf")));
    files.extend(named.map(PathBuf::from));
    files
}

/// The settings of the sections that concern downloads. A value may go on in indented lines.
fn parse(text: &str) -> BTreeMap<String, String> {
    let mut settings: BTreeMap<String, String> = BTreeMap::new();
    let mut wanted = false;
    let mut current: Option<String> = None;
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) = trimmed
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            wanted = matches!(section, "global" | "install" | "download");
            current = None;
        } else if line.starts_with([' ', '\t']) {
            if let Some(value) = current.as_ref().and_then(|name| settings.get_mut(name)) {
                value.push(' ');
                value.push_str(trimmed);
            }
        } else if let Some((name, value)) = trimmed.split_once(['=', ':']) {
            let name = name.trim().replace('_', "-");
            current = None;
            if wanted && NAMES.contains(&name.as_str()) {
                settings.insert(name.clone(), value.trim().to_owned());
                current = Some(name);
            }
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_and_continued_values() {
        let settings = parse(
            "[global]\nindex-url = https://u:p@host/simple\n# no\nextra_index_url =\n    https://a/simple\n    https://b/simple\n\
             timeout = 5\n[list]\ncert = /no\n[install]\ncert: /yes.pem\n",
        );
        assert_eq!(settings["index-url"], "https://u:p@host/simple");
        assert_eq!(
            settings["extra-index-url"]
                .split_whitespace()
                .collect::<Vec<_>>(),
            ["https://a/simple", "https://b/simple"]
        );
        assert_eq!(settings["cert"], "/yes.pem");
        assert!(!settings.contains_key("timeout"));
    }
}
