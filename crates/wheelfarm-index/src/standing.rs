//! What a file's name means in a channel: nothing yet, these bytes, or others.
//!
//! The one rule for all that publishes: a published file never changes, and a deleted one's name is used up.

use std::sync::Arc;

use http::StatusCode;
use wheelfarm_types::Digest;

use crate::Problem;
use crate::registry::{Channel, Project, PublishedFile};

/// The file that is published under `filename` with the bytes `blob`; none if the name is free for them. An error, 409,
/// if it means others, or did before it was deleted.
pub(crate) fn standing(
    project: &Project,
    channel: &Channel,
    filename: &str,
    blob: &Digest,
) -> Result<Option<Arc<PublishedFile>>, Problem> {
    let taken = |how: &str, there: &Digest| {
        let title =
            format!("File already exists: {filename} {how} in {channel} with other contents");
        Problem::new(StatusCode::CONFLICT, title).with_detail(format!(
            "There: sha256 {there}\nHere:  sha256 {blob}\nA published file never changes, and a deleted one's name is used up. Build it under another version or build number."
        ))
    };
    if let Some(file) = project.files.get(filename) {
        let there = &file.published;
        return if there.blob == *blob {
            Ok(Some(Arc::clone(there)))
        } else {
            Err(taken("is published", &there.blob))
        };
    }
    match project.deleted.get(filename) {
        Some(gone) if gone != blob => Err(taken("was published, and deleted,", gone)),
        _ => Ok(None),
    }
}
