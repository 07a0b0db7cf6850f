//! Platform properties of actions: what a cluster chooses workers by (REAPI v2, `Platform`).
//!
//! Only `OSFamily` and `ISA` mean the same everywhere, so all of them are the user's. Values may have placeholders:
//!
//! | placeholder | becomes |
//! |---|---|
//! | `{image}` | the builder image's name: `debian-12`; with ` runtime` after it for proofs, as `debian-12-runtime` |
//! | `{packages}` | system packages that are added to it, `libpq-dev+zlib1g-dev`; `none` |
//! | `{cores}` | cores that the action fills |
//! | `{memory}` | bytes of memory that it may use |
//! | `{memory-mib}` | the same in MiB |

use std::collections::BTreeMap;

use wheelfarm_build::action::Action;

use super::images::RemoteImage;
use super::settings::{ImageMode, ReapiSettings};

const MIB: u64 = 1 << 20;

/// The properties of `action` in `image`.
pub(super) fn properties(
    settings: &ReapiSettings,
    action: &Action,
    image: &RemoteImage,
) -> BTreeMap<String, String> {
    let mut properties = settings.properties.clone();
    if action.network {
        properties.extend(settings.network_properties.clone());
    }
    let cores = action.cores.unwrap_or(settings.cores).max(1);
    let values = [
        ("{image}", image.name.replace(' ', "-")),
        ("{packages}", packages(&image.packages)),
        ("{cores}", cores.to_string()),
        ("{memory}", action.limits.memory.to_string()),
        ("{memory-mib}", (action.limits.memory / MIB).to_string()),
    ];
    for value in properties.values_mut() {
        for (placeholder, text) in &values {
            if value.contains(placeholder) {
                *value = value.replace(placeholder, text);
            }
        }
    }
    match &settings.image_mode {
        ImageMode::ContainerImage { property, .. } | ImageMode::Chroot { property } => {
            properties.insert(property.clone(), image.id.clone());
        }
        ImageMode::InputRoot | ImageMode::Pool => {}
    }
    properties
}

fn packages(packages: &[String]) -> String {
    if packages.is_empty() {
        return "none".to_owned();
    }
    packages.join("+")
}
