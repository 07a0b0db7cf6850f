//! What a caller may ask of a repair.

use wheelfarm_audit::AuditOptions;
use wheelfarm_types::{BuildTag, Target};
use wheelfarm_wheel::Level;

/// How to repair.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepairOptions {
    /// The platform that the wheel has to run on; none: the best it earns. The better tag it may earn is
    /// written too, unless [`RepairOptions::only_plat`].
    pub target: Option<Target>,
    /// The build tag of the repaired wheel; none: the source's, if it has one.
    pub build_tag: Option<BuildTag>,
    /// What is appended to the distribution's name for the directory of grafted libraries.
    pub lib_sdir: String,
    /// Write the tag of `target` only, even if a better one is earned.
    pub only_plat: bool,
    /// Whether the file name and `WHEEL` get new platform tags.
    pub update_tags: bool,
    /// Whether grafted libraries and all objects of the wheel lose their symbol tables and debug information.
    pub strip: bool,
    /// How hard all members are compressed; none: the default for those that change, and the others keep their bytes.
    pub level: Option<Level>,
    /// The options that the report was made with; the repaired wheel is verified with them.
    pub audit: AuditOptions,
}

impl Default for RepairOptions {
    fn default() -> Self {
        Self {
            target: None,
            build_tag: None,
            lib_sdir: ".libs".to_owned(),
            only_plat: false,
            update_tags: true,
            strip: false,
            level: None,
            audit: AuditOptions::default(),
        }
    }
}
