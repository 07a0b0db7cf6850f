//! What package databases say of licences.

use std::collections::HashMap;

/// Most licences of one package. The kernel's headers have some sixty.
const MOST: usize = 200;

/// `.wheelfarm/licenses.tsv`: lines `package<TAB>licence`, several for a package that has several.
pub(super) fn table(text: &str) -> HashMap<String, Vec<String>> {
    let mut licenses: HashMap<String, Vec<String>> = HashMap::new();
    for line in text.lines() {
        if let Some((package, license)) = line.split_once('\t') {
            add(licenses.entry(package.to_owned()).or_default(), license);
        }
    }
    licenses
}

/// The short names in a copyright file in the
/// [machine-readable form](https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/), in their order. Files
/// in prose, as many still are, have none.
pub(super) fn of_copyright(text: &str) -> Vec<String> {
    let mut licenses = Vec::new();
    let first = text.lines().find(|line| !line.trim().is_empty());
    // `Format-Specification` is from drafts of the form, which name licences alike.
    if !first.is_some_and(|line| line.starts_with("Format")) {
        return licenses;
    }
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("License:") {
            add(&mut licenses, name);
        }
    }
    licenses
}

fn add(licenses: &mut Vec<String>, name: &str) {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if !name.is_empty() && licenses.len() < MOST && !licenses.contains(&name) {
        licenses.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_of_copyright_files() {
        let text = "\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
License: PostgreSQL
 The text of it.

Files: a b
License:  GPL-2+ or  Artistic

License: PostgreSQL
 License: not a field
";
        assert_eq!(of_copyright(text), ["PostgreSQL", "GPL-2+ or Artistic"]);
        assert_eq!(of_copyright("This package is\nLicense: free\n"), [""; 0]);
        assert_eq!(of_copyright(""), [""; 0]);
    }

    #[test]
    fn tables_of_made_roots() {
        let table = table("libpq5\tPostgreSQL\nlibpq5\tBSD\nzlib1g\tZlib\nbroken\n");
        assert_eq!(table["libpq5"], ["PostgreSQL", "BSD"]);
        assert_eq!(table.len(), 2);
    }
}
