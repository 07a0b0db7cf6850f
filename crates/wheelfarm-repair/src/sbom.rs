//! The bill of materials inside the wheel: what was grafted and where it came from
//! ([PEP 770](https://peps.python.org/pep-0770/), [CycloneDX 1.4](https://cyclonedx.org/docs/1.4/json/)).

use std::fmt::Write as _;

use serde::Serialize;
use wheelfarm_audit::{Manager, Package};
use wheelfarm_types::Digest;

use crate::licenses::{self, Choice};
use crate::{RepairError, RepairPlan};

/// File name below `.dist-info/sboms/`.
pub(crate) const FILE: &str = "wheelfarm.cdx.json";

// Structures, not maps: their order is the output's, whatever features serde_json is built with.

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    #[serde(rename = "bomFormat")]
    format: &'static str,
    spec_version: &'static str,
    version: u32,
    metadata: Metadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct Metadata {
    tools: [Tool; 1],
    component: Component,
}

#[derive(Serialize)]
struct Tool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize, Clone)]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Choice>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize, Clone)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize, Clone)]
struct Property {
    name: &'static str,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    depends_on: Vec<String>,
}

/// The document. `written` are the digests of the grafted libraries as they are in the wheel, in the plan's
/// order: that is what a scanner of the installed files computes.
pub(crate) fn document(plan: &RepairPlan, written: &[Digest]) -> Result<Vec<u8>, RepairError> {
    let filename = &plan.filename;
    let purl = format!(
        "pkg:pypi/{}@{}?file_name={}",
        filename.project().map_or_else(
            |_| encode(&filename.name),
            |project| encode(project.as_str())
        ),
        encode(&filename.version),
        encode(&filename.to_string()),
    );
    let wheel = Component {
        kind: "library",
        reference: purl.clone(),
        name: filename.name.clone(),
        version: Some(filename.version.clone()),
        hashes: Vec::new(),
        licenses: Vec::new(),
        purl: Some(purl.clone()),
        properties: Vec::new(),
    };
    let mut components = Vec::new();
    let mut dependencies = vec![Dependency {
        reference: purl,
        depends_on: plan.grafts.iter().map(|graft| graft.name.clone()).collect(),
    }];
    for (graft, digest) in plan.grafts.iter().zip(written) {
        let property = |name, value: &str| Property {
            name,
            value: value.to_owned(),
        };
        let mut properties = vec![
            property("wheelfarm:source-path", &graft.source),
            property("wheelfarm:source-sha256", &graft.digest.to_string()),
        ];
        properties.extend(
            graft
                .members
                .iter()
                .map(|member| property("wheelfarm:member", member)),
        );
        components.push(Component {
            kind: "library",
            reference: graft.name.clone(),
            name: match &graft.owner {
                Some(owner) => owner.name.clone(),
                None => crate::naming::file_name(&graft.source).to_owned(),
            },
            version: graft.owner.as_ref().map(|owner| owner.version.clone()),
            hashes: vec![Hash {
                alg: "SHA-256",
                content: digest.to_string(),
            }],
            licenses: graft.owner.as_ref().map(licenses::of).unwrap_or_default(),
            purl: graft.owner.as_ref().map(package_url),
            properties,
        });
        let mut depends_on: Vec<String> = graft.renames.values().cloned().collect();
        depends_on.dedup();
        dependencies.push(Dependency {
            reference: graft.name.clone(),
            depends_on,
        });
    }
    let bom = Bom {
        format: "CycloneDX",
        spec_version: "1.4",
        version: 1,
        metadata: Metadata {
            tools: [Tool {
                name: "wheelfarm",
                version: env!("CARGO_PKG_VERSION"),
            }],
            component: wheel,
        },
        components,
        dependencies,
    };
    let mut text = serde_json::to_vec_pretty(&bom).map_err(RepairError::Sbom)?;
    text.push(b'\n');
    Ok(text)
}

/// The package URL of a distribution's package
/// ([purl types](https://github.com/package-url/purl-spec/blob/main/PURL-TYPES.rst)).
fn package_url(package: &Package) -> String {
    let kind = match package.manager {
        Manager::Deb => "deb",
        Manager::Rpm => "rpm",
        Manager::Apk => "apk",
    };
    let mut url = format!("pkg:{kind}/");
    if let Some(distro) = &package.distro {
        url += &encode(&distro.id);
        url.push('/');
    }
    // Of rpm's versions, the epoch stands apart.
    let (epoch, version) = match package.version.split_once(':') {
        Some((epoch, version)) if package.manager == Manager::Rpm => (Some(epoch), version),
        _ => (None, package.version.as_str()),
    };
    // Writing to a String cannot fail.
    let _ = write!(url, "{}@{}", encode(&package.name), encode(version));
    let _ = write!(url, "?arch={}", encode(&package.arch));
    if let Some(epoch) = epoch {
        let _ = write!(url, "&epoch={}", encode(epoch));
    }
    if let Some(distro) = &package.distro {
        let version = distro.version.as_ref().map(|version| format!("-{version}"));
        let _ = write!(
            url,
            "&distro={}",
            encode(&format!("{}{}", distro.id, version.unwrap_or_default()))
        );
    }
    url
}

/// Percent-encoding of all but unreserved characters.
fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use wheelfarm_audit::Distro;

    use super::*;

    #[test]
    fn package_urls() {
        let package = Package {
            manager: Manager::Deb,
            name: "libstdc++6".into(),
            version: "1:12.2.0-14~deb12u1+b1".into(),
            arch: "amd64".into(),
            distro: Some(Distro {
                id: "debian".into(),
                version: Some("12".into()),
            }),
            licenses: Vec::new(),
        };
        assert_eq!(
            package_url(&package),
            "pkg:deb/debian/libstdc%2B%2B6@1%3A12.2.0-14~deb12u1%2Bb1?arch=amd64&distro=debian-12"
        );
        let package = Package {
            manager: Manager::Rpm,
            name: "openssl-libs".into(),
            version: "1:3.5.1-4.el9".into(),
            arch: "x86_64".into(),
            ..package
        };
        assert_eq!(
            package_url(&package),
            "pkg:rpm/debian/openssl-libs@3.5.1-4.el9?arch=x86_64&epoch=1&distro=debian-12"
        );
    }
}
