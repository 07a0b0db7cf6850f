//! What registries say of images: lists of platforms, manifests, configurations. Their bytes are known to have the
//! digest that was asked for, and nothing more is believed.

use serde::Deserialize;
use wheelfarm_types::{Arch, Digest};

use super::record::ImageRecord;

/// Upper bound of the layers of an image; Docker itself stacks no more than 127.
const MOST_LAYERS: usize = 512;
/// Upper bound of a layer, compressed.
const MOST_BYTES: u64 = 32 << 30;
/// What a layer is for us: a tar file, which may be compressed.
const LAYERS: [&str; 5] = [
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.diff.tar.gzip",
    "application/vnd.oci.image.layer.v1.tar",
    "application/vnd.oci.image.layer.v1.tar+gzip",
    "application/vnd.oci.image.layer.v1.tar+zstd",
];

/// What a reference leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Manifest {
    /// One image for several platforms.
    Index(Vec<Platform>),
    /// An image: its configuration, and its layers, the lowest first.
    Image { config: Blob, layers: Vec<Blob> },
}

/// Something that a registry has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Blob {
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// An image for one platform.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
    manifest: Digest,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    schema_version: u64,
    manifests: Option<Vec<Entry>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
}

#[derive(Deserialize)]
struct Entry {
    digest: String,
    platform: Option<EntryPlatform>,
}

#[derive(Deserialize)]
struct EntryPlatform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    config: Option<Settings>,
    rootfs: RootFs,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Settings {
    env: Option<Vec<String>>,
    entrypoint: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Vec<String>,
}

impl Manifest {
    /// Reads one; `Err` says what is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let document: Document =
            serde_json::from_slice(bytes).map_err(|error| format!("its manifest: {error}"))?;
        if document.schema_version != 2 {
            let version = document.schema_version;
            return Err(format!(
                "its manifest is of version {version}, which only old engines can read"
            ));
        }
        match (document.manifests, document.config, document.layers) {
            (Some(entries), None, None) => {
                let platforms = entries.into_iter().filter_map(platform);
                Ok(Self::Index(platforms.collect::<Result<_, _>>()?))
            }
            (None, Some(config), Some(layers)) => {
                if layers.is_empty() || layers.len() > MOST_LAYERS {
                    return Err(format!("it has {} layers", layers.len()));
                }
                let config = blob(&config)?;
                let layers = layers.iter().map(layer).collect::<Result<_, _>>()?;
                Ok(Self::Image { config, layers })
            }
            // Whoever reads both ways might get one image or the other.
            _ => Err("its manifest is neither that of an image nor a list of platforms".to_owned()),
        }
    }
}

fn platform(entry: Entry) -> Option<Result<Platform, String>> {
    // Without one it says something about the image: who made it.
    let platform = entry.platform?;
    Some(digest(&entry.digest).map(|manifest| Platform {
        os: platform.os,
        architecture: platform.architecture,
        variant: platform.variant.filter(|variant| !variant.is_empty()),
        manifest,
    }))
}

fn layer(descriptor: &Descriptor) -> Result<Blob, String> {
    if !LAYERS.contains(&descriptor.media_type.as_str()) {
        return Err(format!(
            "its layer {} is of a kind that is not known: `{}`",
            descriptor.digest, descriptor.media_type
        ));
    }
    blob(descriptor)
}

fn blob(descriptor: &Descriptor) -> Result<Blob, String> {
    if descriptor.size > MOST_BYTES {
        let (digest, size) = (&descriptor.digest, descriptor.size);
        return Err(format!("its part {digest} has {size} bytes"));
    }
    Ok(Blob {
        digest: digest(&descriptor.digest)?,
        size: descriptor.size,
    })
}

/// The digest in `sha256:...`.
pub(super) fn digest(text: &str) -> Result<Digest, String> {
    let hex = text.strip_prefix("sha256:");
    hex.and_then(|hex| hex.parse().ok())
        .ok_or_else(|| format!("`{text}` is no digest by sha256"))
}

/// The manifest for `arch` among `platforms`; `Err` names those that there are.
pub(super) fn select(platforms: &[Platform], arch: Arch) -> Result<Digest, String> {
    let name = arch.image_platform();
    let (architecture, variant) = match name.split_once('/') {
        Some((architecture, variant)) => (architecture, Some(variant)),
        None => (name, None),
    };
    // The variant that is meant when none is said.
    let usual = match architecture {
        "amd64" => "v1",
        "arm64" => "v8",
        _ => "",
    };
    let fits = |platform: &&Platform| {
        let given = platform.variant.as_deref().filter(|given| *given != usual);
        platform.os == "linux" && platform.architecture == architecture && given == variant
    };
    if let Some(platform) = platforms.iter().find(fits) {
        return Ok(platform.manifest);
    }
    let mut there: Vec<_> = platforms
        .iter()
        .filter(|platform| platform.os != "unknown")
        .map(|platform| {
            let mut name = format!("{}/{}", platform.os, platform.architecture);
            if let Some(variant) = &platform.variant {
                name = format!("{name}/{variant}");
            }
            name
        })
        .collect();
    there.dedup();
    Err(format!(
        "it is not there for linux/{name}, but for {}",
        match there.as_slice() {
            [] => "no platform".to_owned(),
            there => there.join(", "),
        }
    ))
}

/// What the image with the configuration `bytes`, of that digest, and `layers` layers is.
pub(super) fn record(
    bytes: &[u8],
    digest: &Digest,
    layers: usize,
    arch: Arch,
) -> Result<ImageRecord, String> {
    let configuration: Configuration =
        serde_json::from_slice(bytes).map_err(|error| format!("its configuration: {error}"))?;
    let ids = configuration.rootfs.diff_ids;
    if ids.len() != layers {
        let count = ids.len();
        return Err(format!(
            "its manifest has {layers} layers, but its configuration {count}"
        ));
    }
    for id in &ids {
        self::digest(id)?;
    }
    let settings = configuration.config.unwrap_or_default();
    let record = ImageRecord {
        id: format!("sha256:{digest}"),
        architecture: configuration.architecture,
        os: configuration.os,
        environment: settings.env.unwrap_or_default(),
        entry_point: settings.entrypoint.unwrap_or_default(),
        layers: ids,
        size: 0,
    };
    if record.os == "linux" && record.is_for(arch) {
        return Ok(record);
    }
    Err(format!(
        "it is for {}/{}, and not for linux/{}",
        record.os,
        record.architecture,
        arch.image_platform()
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(value: &serde_json::Value) -> Result<Manifest, String> {
        Manifest::parse(value.to_string().as_bytes())
    }

    fn text(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    fn index(platforms: &[(&str, &str, Option<&str>)]) -> Vec<Platform> {
        let entries = platforms
            .iter()
            .zip('1'..)
            .map(|((os, architecture, variant), digit)| {
                json!({"digest": text(digit), "size": 1,
                    "platform": {"os": os, "architecture": architecture, "variant": variant}})
            })
            .chain([json!({"digest": text('f')})])
            .collect::<Vec<_>>();
        match parse(&json!({"schemaVersion": 2, "manifests": entries})).unwrap() {
            Manifest::Index(platforms) => platforms,
            Manifest::Image { .. } => panic!("an index"),
        }
    }

    #[test]
    fn the_platform_is_selected_with_its_variant() {
        let platforms = index(&[
            ("windows", "amd64", None),
            ("linux", "arm", Some("v6")),
            ("linux", "arm", Some("v7")),
            ("linux", "arm64", Some("v8")),
            ("linux", "amd64", Some("v3")),
            ("linux", "amd64", None),
            ("unknown", "unknown", None),
        ]);
        let selected = |arch| select(&platforms, arch).map(|digest| format!("sha256:{digest}"));
        assert_eq!(selected(Arch::Armv6l), Ok(text('2')));
        assert_eq!(selected(Arch::Armv7l), Ok(text('3')));
        assert_eq!(selected(Arch::Aarch64), Ok(text('4')));
        assert_eq!(selected(Arch::X86_64), Ok(text('6')));
        let error = selected(Arch::S390x).unwrap_err();
        assert_eq!(
            error,
            "it is not there for linux/s390x, but for windows/amd64, linux/arm/v6, linux/arm/v7, \
             linux/arm64/v8, linux/amd64/v3, linux/amd64"
        );
        let error = select(&[], Arch::S390x).unwrap_err();
        assert!(error.ends_with("for no platform"), "{error}");
    }

    #[test]
    fn manifests_that_are_not_what_they_should_be_are_refused() {
        let blob = json!({"digest": text('1'), "size": 1});
        let layer = |kind: &str| json!({"mediaType": kind, "digest": text('1'), "size": 1});
        let good = layer(LAYERS[1]);
        let image = |layers: &[serde_json::Value]| json!({"schemaVersion": 2, "config": blob, "layers": layers});
        assert!(parse(&image(std::slice::from_ref(&good))).is_ok());
        let mut both = image(std::slice::from_ref(&good));
        both["manifests"] = json!([]);
        let mut md5 = image(&[good]);
        md5["config"]["digest"] = json!("md5:00");
        let mut huge = md5.clone();
        huge["config"] = json!({"digest": text('1'), "size": u64::MAX});
        for (manifest, reason) in [
            (both, "neither"),
            (md5, "no digest by sha256"),
            (huge, "18446744073709551615 bytes"),
            (image(&[]), "0 layers"),
            (image(&[layer("application/zip")]), "`application/zip`"),
            (json!({"schemaVersion": 1}), "version 1"),
            (json!({"schemaVersion": 2}), "neither"),
            (json!([]), "its manifest"),
        ] {
            let error = parse(&manifest).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_configuration_fits_its_manifest_and_the_platform() {
        let configuration = json!({"architecture": "amd64", "os": "linux",
            "config": {"Env": ["A=1"], "Entrypoint": ["e"], "Cmd": ["c"]},
            "rootfs": {"type": "layers", "diff_ids": [text('1'), text('2')]}});
        let bytes = configuration.to_string().into_bytes();
        let of = |layers, arch| record(&bytes, &Digest::of(&bytes), layers, arch);
        let image = of(2, Arch::X86_64).unwrap();
        assert_eq!(image.environment, ["A=1"]);
        assert_eq!(image.entry_point, ["e"]);
        assert_eq!(image.layers, [text('1'), text('2')]);
        let error = of(1, Arch::X86_64).unwrap_err();
        assert!(error.contains("1 layers") && error.contains('2'), "{error}");
        let error = of(2, Arch::Armv7l).unwrap_err();
        assert_eq!(error, "it is for linux/amd64, and not for linux/arm/v7");
    }
}
