//! System packages of an environment: installing them in a container, and what is read of it then.

pub(crate) mod ccache;
pub(crate) mod install;
mod licenses;
mod manifest;
mod root;

use std::time::Duration;

use wheelfarm_build::action::{ExecutorError, ExecutorErrorKind};
use wheelfarm_build::environment::{EnvironmentRecipe, PackageManager};

use crate::error::{Result, error, hinted};
use crate::output::Stdout;

pub(crate) use root::LibraryRoot;

/// How long mirrors may take.
pub(crate) const TIME: Duration = Duration::from_secs(60 * 60);
/// Upper bound of the library root.
pub(crate) const ROOT_SIZE: u64 = 2 << 30;
/// How much of the package manager's log is kept for an error.
pub(crate) const LOG_SIZE: u64 = 1 << 20;

/// Where a directory lies that all environments of one image share while a process makes them, for managers that share
/// one: `install.sh` knows the place.
pub(crate) fn shared_downloads(recipe: &EnvironmentRecipe) -> Option<&'static str> {
    match recipe.manager {
        _ if recipe.packages.is_empty() => None,
        PackageManager::Apt => Some("/var/cache/apt"),
        PackageManager::Dnf | PackageManager::Apk => None,
    }
}

/// What is in the container that ran [`install::command`] and sent `stdout` and `log`.
pub(crate) async fn installed(
    recipe: &EnvironmentRecipe,
    stdout: Stdout,
    log: &[u8],
) -> Result<LibraryRoot> {
    let (archive, trailer) = stdout.finish();
    let incomplete = |detail: &str| {
        error(
            ExecutorErrorKind::Packages,
            format!(
                "the packages of {} could not be read: {detail}",
                recipe.image
            ),
        )
    };
    let trailer = trailer.ok_or_else(|| incomplete("the container was killed"))?;
    if trailer.code != 0 {
        return Err(install::failure(recipe, &String::from_utf8_lossy(log)));
    }
    if !trailer.packed {
        return Err(incomplete(String::from_utf8_lossy(log).trim()));
    }
    let manager = recipe.manager;
    let root = tokio::task::spawn_blocking(move || root::repack(&archive, manager)).await;
    root.map_err(|source| incomplete(&source.to_string()))?
        .map_err(|detail| incomplete(&detail))
}

/// What the package manager said last, if the container that was to install and copy a tool failed.
pub(crate) fn tool_failure(stdout: Stdout, log: &[u8]) -> Option<String> {
    let (_, trailer) = stdout.finish();
    if trailer.is_some_and(|trailer| trailer.code == 0 && trailer.packed) {
        return None;
    }
    let log = String::from_utf8_lossy(log);
    Some(log.lines().last().unwrap_or_default().to_owned())
}

/// The packages of `recipe` took longer than [`TIME`].
pub(crate) fn too_slow(recipe: &EnvironmentRecipe) -> ExecutorError {
    hinted(
        ExecutorErrorKind::Packages,
        format!(
            "the system packages {} were not installed in {} within {} minutes",
            recipe.packages.join(", "),
            recipe.image,
            TIME.as_secs() / 60
        ),
        "Package mirrors must be in reach from containers: look at proxies and certificates.",
    )
}
