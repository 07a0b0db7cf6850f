//! The words every other crate speaks: names, versions, filenames, tags, targets and digests.
//!
//! Everything here is a value parsed once, at the edge, with `FromStr`, and printed back by `Display`;
//! nothing does IO.

mod digest;
mod filename;
mod marker;
mod platform;
mod project;
mod python;
mod tags;

pub use digest::{Digest, DigestError, Hasher};
pub use filename::{BuildTag, FilenameError, SdistFilename, WheelFilename};
pub use marker::{Marker, MarkerEnvironment, MarkerError};
pub use platform::{Arch, Libc, PlatformError, Target};
pub use project::{ProjectName, Requirement, RequirementError, Version};
pub use python::{PythonVersion, PythonVersionError};
pub use tags::{Tag, compatible_tags};
