//! Images for musl that are made from Debian packages, for where no Alpine image is in reach.
//!
//! The builder is a Debian root with its musl, in which compilers make programs for musl and a few libraries are
//! compiled for it from Debian's source packages. The bare runtime has musl, busybox and nothing of glibc.

use std::path::Path;

use tokio::process::Command;
use wheelfarm_build::catalogue::DebianRecipe;

use crate::error::{Result, io};

/// What mmdebstrap calls, by name.
const SCRIPTS: [(&str, &str); 3] = [
    ("builder.sh", include_str!("musl/builder.sh")),
    ("libraries.sh", include_str!("musl/libraries.sh")),
    ("runtime.sh", include_str!("musl/runtime.sh")),
];

/// Lets mmdebstrap make a root of Debian's packages a builder; `directory` is for scripts.
pub(crate) fn builder(
    command: &mut Command,
    recipe: &DebianRecipe,
    directory: &Path,
) -> Result<()> {
    write(directory)?;
    let libraries = recipe.libraries.join(" ");
    let script = directory.join("builder.sh");
    command.arg(format!(
        "--customize-hook=/bin/sh '{}' \"$1\" {libraries}",
        script.display()
    ));
    Ok(())
}

/// Lets mmdebstrap unpack packages without installing them, and make them a bare runtime.
pub(crate) fn runtime(command: &mut Command, directory: &Path) -> Result<()> {
    write(directory)?;
    let script = directory.join("runtime.sh");
    // The script leaves nothing of apt's to clean up.
    command.args(["--variant=extract", "--skip=cleanup"]);
    command.arg(format!(
        "--extract-hook=/bin/sh '{}' \"$1\"",
        script.display()
    ));
    Ok(())
}

fn write(directory: &Path) -> Result<()> {
    for (name, text) in SCRIPTS {
        fs_err::write(directory.join(name), text).map_err(io("write mmdebstrap's scripts"))?;
    }
    Ok(())
}
