//! Bills of materials inside wheels ([PEP 770](https://peps.python.org/pep-0770/)): which package a library came from.

use std::collections::BTreeMap;

use serde::Deserialize;
use wheelfarm_wheel::Wheel;

/// Bills larger than this are not read, in bytes.
const LIMIT: u64 = 8 << 20;
/// Most bills of a wheel that are read.
const BILLS: usize = 16;
/// Most components of a bill that are taken.
const COMPONENTS: usize = 2000;

/// Something that a wheel says it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Component {
    /// Where it is called so inside the document: in bills of ours, the library's file name.
    pub(super) reference: String,
    /// Of the package, or of the file if nobody knows the package.
    pub(super) name: String,
    pub(super) version: String,
    /// What it is of: `debian 12`, `cargo`; from the package URL.
    pub(super) of: String,
    pub(super) licenses: String,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    components: Vec<RawComponent>,
}

#[derive(Deserialize)]
struct RawComponent {
    #[serde(default, rename = "bom-ref")]
    reference: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    purl: Option<String>,
    #[serde(default)]
    licenses: Vec<serde_json::Value>,
}

/// The components that the wheel's bills name. What cannot be read is left out: bills are anybody's.
pub(super) fn components(wheel: &Wheel) -> Vec<Component> {
    let directory = format!("{}/sboms/", wheel.dist_info());
    wheel
        .entries()
        .iter()
        .filter(|entry| {
            entry.name.starts_with(&directory)
                && entry.name.strip_suffix(".json").is_some()
                && entry.size <= LIMIT
        })
        .take(BILLS)
        .filter_map(|entry| wheel.read(&entry.name).ok())
        .flat_map(|bytes| read(&bytes))
        .collect()
}

fn read(bytes: &[u8]) -> Vec<Component> {
    let Ok(document) = serde_json::from_slice::<Document>(bytes) else {
        return Vec::new();
    };
    let components = document.components.into_iter().take(COMPONENTS);
    components
        .map(|raw| Component {
            of: raw.purl.as_deref().map(origin).unwrap_or_default(),
            licenses: licenses(&raw.licenses),
            reference: raw.reference,
            name: raw.name,
            version: raw.version.unwrap_or_default(),
        })
        .collect()
}

/// `debian-12` of `pkg:deb/debian/libpq5@15.8?arch=amd64&distro=debian-12`.
fn origin(purl: &str) -> String {
    let rest = purl.strip_prefix("pkg:").unwrap_or(purl);
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let distro = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("distro="));
    if let Some(distro) = distro {
        return distro.chars().take(60).collect();
    }
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.pop();
    parts
        .last()
        .copied()
        .unwrap_or_default()
        .chars()
        .take(60)
        .collect()
}

fn licenses(choices: &[serde_json::Value]) -> String {
    let names = choices.iter().filter_map(|choice| {
        let license = choice.get("license");
        let named = license.and_then(|license| license.get("id").or_else(|| license.get("name")));
        choice.get("expression").or(named)?.as_str()
    });
    let text = names.take(12).collect::<Vec<_>>().join(", ");
    text.chars().take(300).collect()
}

/// The component for each carried library, by its path in the wheel.
///
/// Bills of ours refer to a library by its file name. Those of other tools name only packages: there a package is
/// taken for a library whose name says the same, with a digit or two more, if there is just one such package.
pub(super) fn owners<'a>(
    paths: &[String],
    components: &'a [Component],
) -> BTreeMap<String, &'a Component> {
    let mut owners = BTreeMap::new();
    for path in paths {
        let file = path.rsplit('/').next().unwrap_or(path);
        let by_reference = components
            .iter()
            .find(|component| component.reference == file);
        let found = by_reference.or_else(|| {
            let stem = stem(file);
            let mut alike = components.iter().filter(|component| {
                let name = component
                    .name
                    .strip_prefix("lib")
                    .unwrap_or(&component.name)
                    .to_ascii_lowercase();
                name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '.')
                    == stem.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '.')
            });
            let first = alike.next()?;
            alike.all(|other| other.name == first.name).then_some(first)
        });
        if let Some(component) = found {
            owners.insert(path.clone(), component);
        }
    }
    owners
}

/// `pq` of `libpq-a17e3caa.so.5.17`.
fn stem(file: &str) -> String {
    let name = file.split(".so").next().unwrap_or(file);
    let name = name.strip_prefix("lib").unwrap_or(name);
    let plain = match name.rsplit_once('-') {
        Some((plain, hash))
            if hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            plain
        }
        _ => name,
    };
    plain.to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bill_says_where_a_library_is_from() {
        let bill = br#"{"components": [
            {"bom-ref": "libpq-0123abcd.so.5.15", "name": "libpq5", "version": "15.8-0+deb12u1",
             "purl": "pkg:deb/debian/libpq5@15.8?arch=amd64&distro=debian-12",
             "licenses": [{"license": {"name": "PostgreSQL"}}, {"expression": "MIT OR Apache-2.0"}]},
            {"name": "zlib", "version": "1.2.11", "purl": "pkg:rpm/almalinux/zlib@1.2.11"},
            {"name": 5}
        ]}"#;
        assert!(
            read(bill).is_empty(),
            "a bill with a number for a name is none"
        );
        let bill = String::from_utf8_lossy(bill).replace(",\n            {\"name\": 5}", "");
        let components = read(bill.as_bytes());
        let paths = [
            "x.libs/libpq-0123abcd.so.5.15".to_owned(),
            "x.libs/libz-00112233.so.1".to_owned(),
        ];
        let owners = owners(&paths, &components);
        let pq = owners[&paths[0]];
        assert_eq!((pq.name.as_str(), pq.of.as_str()), ("libpq5", "debian-12"));
        assert_eq!(pq.licenses, "PostgreSQL, MIT OR Apache-2.0");
        assert!(!owners.contains_key(&paths[1]), "libz is not surely zlib");
        assert_eq!(components[1].of, "almalinux");
    }

    #[test]
    fn names_that_say_the_same_belong_together() {
        assert_eq!(stem("libcom_err-2abe824b.so.2.1"), "com_err");
        assert_eq!(stem("libpng16-1d1ba958.so.16"), "png16");
        assert_eq!(
            stem("libscipy_openblas64_-32a4b2a6.so"),
            "scipy_openblas64_"
        );
    }

    #[test]
    fn what_is_no_bill_has_no_components() {
        assert!(read(b"[1, 2").is_empty());
    }
}
