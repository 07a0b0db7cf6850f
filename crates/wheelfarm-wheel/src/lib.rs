//! The wheel archive: zip, RECORD, WHEEL, METADATA, and a deterministic writer.
//!
//! Reading treats every byte as hostile: the archive is checked as a whole when it is opened (names, sizes,
//! duplicates, overlaps), before anything is inflated. Writing is the opposite: the bytes that
//! [`WheelWriter`] produces depend on the members' names, contents and executable bits, and on nothing else.
//!
//! The format is the
//! [binary distribution format](https://packaging.python.org/en/latest/specifications/binary-distribution-format/).

mod archive;
mod container;
mod deflated;
mod entries;
mod error;
mod framing;
mod headers;
mod layout;
mod limits;
mod links;
mod names;
mod packed;
mod record;
mod source;
mod wheel_info;
mod writer;

pub use archive::Wheel;
pub use deflated::{Deflated, Level};
pub use entries::{Entry, EntryKind};
pub use error::{WheelError, WheelProblem};
pub use headers::Headers;
pub use layout::{Installed, Scheme};
pub use limits::Limits;
pub use names::NameProblem;
pub use packed::Scratch;
pub use record::{Record, RecordFinding, RecordRow};
pub use wheel_info::{Metadata, WheelInfo};
pub use writer::WheelWriter;
