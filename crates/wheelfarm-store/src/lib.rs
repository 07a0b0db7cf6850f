//! The store: everything the farm keeps, as immutable objects over `object_store`.
//!
//! | path | what | written |
//! |---|---|---|
//! | `wheelfarm-store.json` | the layout's version | once |
//! | `blobs/sha256/ab/<digest>` | content by digest | once; the same name is the same bytes |
//! | `records/<kind>/ab/<key>.json` | the outcome of an action, by its key | once |
//! | `series/<kind>/<key>/<number>.json` | what may be resolved again: environments, locks | once per number |
//! | `leases/<key>.lock` | a file that is locked while its owner makes something, in a directory | |
//!
//! Nothing is ever changed in place, so a crash leaves either a whole object or none, and two writers of one
//! name cannot both win.

mod error;
mod lease;
mod store;
mod verify;

pub use error::{StoreError, StoreErrorKind};
pub use lease::Lease;
pub use store::{Created, Store};
pub use verify::{Problem, VerifyReport};
