//! The store: everything the farm keeps, as immutable objects over `object_store`.
//!
//! | path | what | written |
//! |---|---|---|
//! | `wheelfarm-store.json` | the layout's version | once |
//! | `blobs/sha256/ab/<digest>` | content by digest | once; the same name is the same bytes |
//! | `records/<kind>/ab/<key>.json` | the outcome of an action, by its key | once |
//! | `series/<kind>/<key>/<number>.json` | what may be resolved again: environments, locks | once per number |
//! | `logs/<name>/<number>.json` | entries in one total order: what happened in the index | once per number |
//! | `snapshots/<name>/<number>` | what the entries of a log up to a number come to | once per number |
//! | `trash/` | blobs that nothing seemed to need, and lists of when they came there | by a collection of garbage |
//! | `incoming/` | uploads that are not whole yet, in a directory | |
//! | `leases/<key>.lock` | a file that is locked while its owner makes something, in a directory | |
//! | `leases/<key>/<number>.json` | until when its owner makes something, in a remote store | once per number, then again by its owner |
//!
//! Beside leases, and what a collection of garbage removes, nothing is ever changed in place, so a crash leaves either a whole object or none, and two writers of one
//! name cannot both win.

mod address;
mod blob;
mod cache;
mod carry;
mod error;
mod gc;
mod lease;
mod leftovers;
mod listing;
mod log;
mod opening;
mod progress;
mod references;
mod remote;
mod store;
mod verify;
mod walk;
mod whole;

pub use carry::Imported;
pub use error::{StoreError, StoreErrorKind};
pub use gc::{Amount, Collected, Collection};
pub use lease::Lease;
pub use listing::Listed;
pub use log::Log;
pub use opening::{CacheSettings, Clock, Settings};
pub use progress::{Part, Progress, Watch};
pub use store::{Created, Store};
pub use verify::{Problem, VerifyReport};
pub use whole::{Whole, digest_of};
