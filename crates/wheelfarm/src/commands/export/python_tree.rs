//! The Python that builds used, for final stages that have none of that version.

use std::path::Path;

use wheelfarm_coordinator::{WheelhouseError, write_python};

use super::Wanted;
use super::report::PythonTree;
use super::tree::cell;
use crate::exit::Failure;

/// Writes the cell's Python to `directory`.
pub(super) async fn deliver(wanted: Wanted<'_>, directory: &Path) -> Result<PythonTree, Failure> {
    let cell = cell(wanted.found)?;
    let (python, image) = (cell.python, &cell.image.name);
    let Some(tree) = cell.image.tree(python) else {
        let message = format!("Python {python} is {image}'s own, and was not compiled");
        let hint = format!(
            "install it where it is used, or take a base image that has it; `wheelfarm images build IMAGE --python {python}` compiles it for an image that does not"
        );
        return Err(Failure::usage(message).with_hint(Some(hint)));
    };
    let written = write_python(&wanted.places.store, &tree, directory).await;
    written.map_err(|error| match error {
        WheelhouseError::Store(error) => error.into(),
        WheelhouseError::Io(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let hint = "remove it first, or name another directory".to_owned();
            Failure::usage(error.to_string()).with_hint(Some(hint))
        }
        error => Failure::machine(format!("the Python could not be written: {error}")),
    })?;
    Ok(PythonTree {
        directory: directory.to_owned(),
        python,
    })
}
