//! What can happen in an index.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use wheelfarm_types::ProjectName;

use crate::registry::{Channel, ProjectStatus, PublishedFile, Token, TokenId, Yank};

/// An entry of the log: events that happened as one, when, and by whose hand. The log is the audit log as well.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// When.
    pub at: DateTime<Utc>,
    /// By whose hand.
    pub by: Actor,
    /// What.
    pub events: Vec<Event>,
}

/// Who did something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Actor {
    /// Somebody with access to the store itself, by the program.
    Operator,
    /// A client of the server.
    Token {
        /// Whose.
        id: TokenId,
        /// The request's number in the server's log.
        request: String,
    },
    /// The server itself.
    Server,
}

/// Something that happened. New kinds may be added; what there is keeps its meaning.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// A file appeared in a channel.
    Published {
        /// Where.
        channel: Channel,
        /// What.
        file: Box<PublishedFile>,
    },
    /// A file went. Its name cannot be used again in this channel, but for the same bytes.
    Deleted {
        /// Where.
        channel: Channel,
        /// Whose.
        project: ProjectName,
        /// Which.
        filename: String,
    },
    /// A file was yanked, or its reason changed; without `yank` it was un-yanked.
    Yanked {
        /// Where.
        channel: Channel,
        /// Whose.
        project: ProjectName,
        /// Which.
        filename: String,
        /// How it is now.
        yank: Option<Yank>,
    },
    /// A project's status changed ([PEP 792](https://peps.python.org/pep-0792/)).
    StatusChanged {
        /// Where.
        channel: Channel,
        /// Whose.
        project: ProjectName,
        /// What it is now.
        status: ProjectStatus,
    },
    /// A token was made.
    TokenCreated {
        /// Which; its secret is nowhere.
        token: Token,
    },
    /// A token is not taken any more.
    TokenRevoked {
        /// Which.
        id: TokenId,
    },
}
