//! Requirements in, PEP 751 lock out; and fetching what a lock names, with hash check.
//!
//! The only package-index client of the farm. Resolution is `uv`'s work; sources are downloaded by us, and
//! nothing of them runs on this machine: where uv wants to run a build back end to learn a source
//! distribution's dependencies, it meets a stand-in interpreter that refuses ([`Resolver::compile`]).

mod compile;
mod error;
mod fetch;
mod http;
pub mod inputs;
mod install;
mod interpreter;
mod lock;
mod members;
mod raw_lock;
mod sdist;
mod settings;
mod sharing;
pub mod sources;
mod uv;
mod uv_lock;
mod wanted;
mod watch;

pub use compile::{CompileOptions, CompileRequest, Resolver, StaticMetadata};
pub use error::{ResolveError, ResolveErrorKind};
pub use fetch::{Fetcher, SOURCE_LIMIT};
pub use http::chain;
pub use install::{Form, Installation, Installed, install, module_of};
pub use lock::{Lock, LockedFile, LockedPackage, SourceFacts};
pub use sdist::{BuildSystem, build_system, checked_files};
pub use settings::{Credential, IndexSettings};
pub use sharing::hints_at_sharing;
pub use uv::{Uv, UvPin};
pub use wanted::Wanted;
