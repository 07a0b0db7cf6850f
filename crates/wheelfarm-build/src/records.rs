//! What is kept of finished work: the inputs that make a key, and the outcome under it.
//!
//! The inputs stand beside the outcome, so that a miss can be explained by comparing them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use wheelfarm_types::{
    Digest, ProjectName, PythonVersion, Requirement, Target, Version, WheelFilename,
};

use crate::action::Execution;
use crate::recipes::ConfigValue;

/// Rises when the meaning of a key changes: the way sources are unpacked, the environment's fixed variables ...
pub(crate) const BUILD_SCHEMA: u32 = 1;
/// Rises when repairs of the same wheel give other bytes, and when more is recorded of them: then by 100.
pub(crate) const REPAIR_SCHEMA: u32 = 100 + wheelfarm_repair::REVISION;

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for the reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

/// Rises when the audit of the index's wheels would find something else.
pub(crate) const UPSTREAM_SCHEMA: u32 = 2;

/// Kinds of records in the store.
pub(crate) mod kind {
    pub(crate) const UPSTREAM: &str = "upstream";
    pub(crate) const SHARED: &str = "shared";
    pub(crate) const SHARING: &str = "sharing";
    pub(crate) const SOURCE: &str = "source";
    pub(crate) const REQUIRES: &str = "requires";
    pub(crate) const RAW: &str = "raw-wheel";
    pub(crate) const WHEEL: &str = "wheel";
    pub(crate) const GRAFT: &str = "graft";
    pub(crate) const PROOF: &str = "proof";
    /// Which system package has a file, by the distribution's index.
    pub(crate) const PROVIDES: &str = "provides";
    /// Like environments, made from the bare runtime: for proofs.
    pub(crate) const RUNTIME: &str = "runtime";
    pub(crate) const ENVIRONMENT: &str = "environment";
    /// The generations of one [`crate::environment::EnvironmentRecipe::line`].
    pub(crate) const LINE: &str = "environment-line";
    pub(crate) const FAILURE: &str = "failure";
    /// A compiled Python under the key of what it was made from, and the series of those that an image has.
    pub(crate) const PYTHON: &str = "python";
    pub(crate) const HISTORY: &str = "history";
    pub(crate) const PROVENANCE: &str = "provenance";
}

/// Everything that can change the bytes of a raw wheel. Its canonical JSON's digest is the job's key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawInputs {
    /// Which meaning of the other members this is.
    pub schema: u32,
    /// Project.
    pub project: ProjectName,
    /// Version; none if the source does not say it, but its build does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The source distribution.
    pub source: PinnedFile,
    /// The project's directory inside the source, if it is not the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subdirectory: Option<String>,
    /// Python.
    pub python: PythonVersion,
    /// Python, if it was compiled here: its files. Left out of keys where it is the image's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interpreter: Option<Digest>,
    /// The environment: its recipe's digest.
    pub environment: Digest,
    /// The environment: what is installed in it.
    pub manifest: Digest,
    /// The environment: how often it was resolved.
    pub generation: u32,
    /// Wheels of all build requirements, dynamic ones included.
    pub build_requires: Vec<PinnedFile>,
    /// The PEP 517 front end.
    pub front_end: PinnedFile,
    /// The scripts that drive it.
    pub scripts: Digest,
    /// Environment variables, all that are set beside the image's.
    pub env: BTreeMap<String, String>,
    /// Config settings.
    pub config_settings: BTreeMap<String, ConfigValue>,
    /// Changes of the source: the digests of their texts, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Digest>,
    /// Whether the network could be used: such a build may depend on what nobody recorded.
    #[serde(default, skip_serializing_if = "is_false")]
    pub network: bool,
}

/// A file by name and content.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PinnedFile {
    /// File name.
    pub name: String,
    /// Its bytes.
    pub sha256: Digest,
}

/// What the audit of a wheel of the index depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpstreamInputs {
    pub(crate) schema: u32,
    pub(crate) wheel: PinnedFile,
    /// Where it is to run.
    pub(crate) target: Target,
    /// Libraries that are known to be there.
    pub(crate) exclude: Vec<String>,
}

/// What the audit of a wheel of the index found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UpstreamRecord {
    pub(crate) inputs: UpstreamInputs,
    /// What keeps it from running on the target, as ends of sentences that begin with its name.
    pub(crate) problems: Vec<String>,
    /// What else is to be known, likewise.
    pub(crate) notes: Vec<String>,
    /// Shared libraries that it carries.
    pub(crate) carried: Vec<Vendored>,
}

/// A build that may serve higher Pythons, in a series of all builds that differ in nothing but their Python.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SharedRecord {
    /// The Python it was built for.
    pub(crate) python: PythonVersion,
    /// The key of the raw wheel's record.
    pub(crate) raw_key: Digest,
}

/// A built wheel, before repair.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RawRecord {
    /// What it was made from.
    pub inputs: RawInputs,
    /// Its name, as the back end chose it.
    pub filename: WheelFilename,
    /// Its bytes.
    pub wheel: Digest,
    /// What the build printed.
    pub log: Digest,
    /// How long the build took, in seconds.
    pub seconds: f64,
}

/// What a look at a [`RawRecord`] reads: the inputs, which are most of it, are what its key was made of.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct RawOutcome {
    /// Its name, as the back end chose it.
    pub filename: WheelFilename,
    /// Its bytes.
    pub wheel: Digest,
}

/// Everything that can change the bytes of a repaired wheel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WheelInputs {
    /// Which meaning of the other members this is.
    pub schema: u32,
    /// The repairer and its version.
    pub tool: String,
    /// The raw wheel's name.
    pub raw_filename: WheelFilename,
    /// The raw wheel's bytes.
    pub raw: Digest,
    /// The key under which the raw wheel was built.
    pub raw_key: Digest,
    /// The platform it is for.
    pub target: Target,
    /// The environment's libraries.
    pub libraries: Digest,
    /// Libraries never to vendor.
    pub exclude: Vec<String>,
    /// Libraries to vendor although no object is linked to them. Left out where there are none, as before there
    /// was the choice: such keys keep their value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Set where all libraries are left to the system ([`crate::recipes::Vendoring::System`]): the platform tag to
    /// write, which is the builder image's, since a system with other libraries is not what it was linked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Target>,
    /// The first number of the build tag; none leaves the tag out.
    pub build_tag: Option<u32>,
}

/// A repaired wheel: what the farm hands out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WheelRecord {
    /// What it was made from.
    pub inputs: WheelInputs,
    /// Its name, with the tags it earned.
    pub filename: WheelFilename,
    /// Its bytes.
    pub wheel: Digest,
    /// Size in bytes.
    pub size: u64,
    /// Libraries that were put into it.
    pub vendored: Vec<Vendored>,
    /// Libraries that it needs of the system it runs on, beside those that every system has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<SystemLibrary>,
    /// Modules to import when it is proved.
    pub modules: Vec<String>,
    /// How long audit and repair took, in seconds.
    pub seconds: f64,
}

/// What a look at a [`WheelRecord`] reads: without its inputs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(crate) struct WheelOutcome {
    /// Its name, with the tags it earned.
    pub(crate) filename: WheelFilename,
    /// Its bytes.
    pub(crate) wheel: Digest,
    /// Size in bytes.
    pub(crate) size: u64,
    /// Libraries that were put into it.
    pub(crate) vendored: Vec<Vendored>,
    /// Libraries that it needs of the system it runs on, beside those that every system has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) system: Vec<SystemLibrary>,
    /// Modules to import when it is proved.
    pub(crate) modules: Vec<String>,
}

/// A library inside a wheel that came from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vendored {
    /// The name it was needed by.
    pub soname: String,
    /// Where it lies in the wheel.
    pub path: String,
    /// `name version` of the system package it came from.
    pub package: Option<String>,
}

/// A library that a wheel needs and does not carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SystemLibrary {
    /// The name it is needed by.
    pub soname: String,
    /// The system package that has it in the environment; none if the environment does not have it either.
    pub package: Option<String>,
}

/// What a source distribution says of how it is built; keyed by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SourceRecord {
    pub(crate) build_system: wheelfarm_resolve::BuildSystem,
}

/// What identifies the answer of `get_requires_for_build_wheel`.
#[derive(Serialize)]
pub(crate) struct RequiresInputs<'a> {
    pub(crate) schema: u32,
    pub(crate) source: Digest,
    pub(crate) python: PythonVersion,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interpreter: Option<Digest>,
    pub(crate) manifest: Digest,
    pub(crate) config_settings: &'a BTreeMap<String, ConfigValue>,
    pub(crate) env: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) patches: Vec<Digest>,
    #[serde(skip_serializing_if = "is_false")]
    pub(crate) network: bool,
}

/// What the back end asked for beyond `build-system.requires` and what that brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RequiresRecord {
    pub(crate) requires: Vec<Requirement>,
}

/// A failed build: kept for its log, and so that it is not tried again at once.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct FailureRecord {
    pub(crate) inputs: RawInputs,
    pub(crate) log: Digest,
    pub(crate) reason: String,
    /// Those that were in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) limits: Option<FailureLimits>,
}

/// Limits that a build can reach, which are not in its key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailureLimits {
    pub(crate) seconds: u64,
    pub(crate) memory: u64,
    pub(crate) scratch: u64,
}

/// Where the statement about a wheel is, by the wheel's digest: see [`crate::provenance`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProvenanceRecord {
    pub(crate) blob: Digest,
}

/// A build that ended, in the history of its project and cell: see [`crate::history`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// Project.
    pub project: ProjectName,
    /// Version.
    pub version: Version,
    /// Where and for what: a [`crate::matrix::Cell::id`].
    pub cell: String,
    /// The key of the raw wheel's record, or of its failures.
    pub raw_key: Digest,
    /// What came of it.
    pub outcome: BuildOutcome,
    /// What the build printed.
    pub log: Digest,
    /// How long the build took, in seconds.
    pub seconds: f64,
    /// When it ended, in seconds since 1970.
    pub finished: u64,
    /// How it was run, if that was elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution: Option<Execution>,
}

/// What came of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "is")]
pub enum BuildOutcome {
    /// A raw wheel.
    Built,
    /// None.
    Failed {
        /// Why, in a few words.
        reason: String,
    },
}

/// Everything that can change whether wheels import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProofInputs {
    pub(crate) schema: u32,
    pub(crate) runtime: String,
    pub(crate) python: PythonVersion,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) interpreter: Option<Digest>,
    pub(crate) wheels: Vec<PinnedFile>,
    pub(crate) tests: BTreeMap<ProjectName, Option<String>>,
    /// System packages that are added to the bare runtime.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) packages: Vec<String>,
    pub(crate) script: Digest,
}

/// Wheels that were imported on a bare runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProofRecord {
    pub(crate) inputs: ProofInputs,
    /// Content of the runtime image, see [`crate::catalogue::ImageFacts::content`].
    pub(crate) runtime_content: Digest,
    pub(crate) proofs: BTreeMap<ProjectName, Proof>,
    pub(crate) log: Digest,
}

/// What happened to one wheel on a bare runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// Modules that were imported.
    pub imported: Vec<String>,
    /// Modules that could not be, for a reason that is not the wheel's: say, an optional requirement.
    pub noted: BTreeMap<String, String>,
    /// Modules and tests that failed.
    pub failed: BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_included_is_part_of_the_key() {
        let none = WheelInputs {
            schema: REPAIR_SCHEMA,
            tool: "wheelfarm".to_owned(),
            raw_filename: "x-1-cp311-cp311-linux_x86_64.whl".parse().unwrap(),
            raw: Digest::of("raw"),
            raw_key: Digest::of("key"),
            target: "manylinux_2_28_x86_64".parse().unwrap(),
            libraries: Digest::of("root"),
            exclude: Vec::new(),
            include: Vec::new(),
            system: None,
            build_tag: None,
        };
        let some = WheelInputs {
            include: vec!["libx.so.1".to_owned()],
            ..none.clone()
        };
        assert_ne!(
            crate::key::canonical_digest(&none),
            crate::key::canonical_digest(&some)
        );
        // Keys from before there was the choice still hold.
        let text = serde_json::to_string(&none).unwrap();
        assert!(!text.contains("include"));
        assert_eq!(serde_json::from_str::<WheelInputs>(&text).unwrap(), none);
    }
}
