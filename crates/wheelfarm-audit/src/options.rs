//! What a caller may ask of an audit.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use serde::{Deserialize, Serialize};

use crate::AuditError;

/// How to audit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditOptions {
    /// Libraries that the system will have: shell patterns (`*`, `?`, `[..]`) that match the needed name or the
    /// path in the root. They are left out of the graph, and so is what only they need.
    pub exclude: Vec<String>,
    /// Libraries that the wheel's code loads by itself (`dlopen`), which no object says: names as the code uses them,
    /// or absolute paths of the root. Every object in site-packages counts as needing them.
    #[serde(default)]
    pub include: Vec<String>,
    /// Whether code that needs more than the architecture's baseline (`x86-64-v2` and above) costs the tag.
    pub isa_check: bool,
    /// The musl version of the build environment, if the caller knows it. Otherwise the wheel's own tag, then the
    /// root's `musl` package, then the newest policy decides: musl objects do not say what they need.
    pub musl: Option<(u16, u16)>,
}

impl Default for AuditOptions {
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            include: Vec::new(),
            isa_check: true,
            musl: None,
        }
    }
}

impl AuditOptions {
    /// The compiled exclusions.
    pub(crate) fn excluded(&self) -> Result<GlobSet, AuditError> {
        let mut set = GlobSetBuilder::new();
        for pattern in &self.exclude {
            let glob = GlobBuilder::new(pattern)
                .literal_separator(false)
                .build()
                .map_err(|error| AuditError::Exclude {
                    pattern: pattern.clone(),
                    reason: error.kind().to_string(),
                })?;
            set.add(glob);
        }
        set.build().map_err(|error| AuditError::Exclude {
            pattern: self.exclude.join(" "),
            reason: error.kind().to_string(),
        })
    }
}
