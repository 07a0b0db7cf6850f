//! What is published, and who may do what: decided from a state, written to a log, applied to the state.

mod channel;
mod event;
mod files;
mod issuing;
mod state;
#[cfg(test)]
pub(crate) mod testing;
mod token;
mod writing;

pub use channel::{Channel, ChannelError};
pub use event::{Actor, Event, Record};
pub use files::{AuditFile, MetadataFile, Origin, PublishedFile, Yank};
pub use state::{ChannelState, File, Project, ProjectStatus, State, Status};
pub use token::{Scope, Token, TokenError, TokenId};
pub use writing::{CommitError, Registry};
