//! What a final stage without an installer gets: a tree of installed packages, or a whole virtual environment.

use std::path::{Path, PathBuf};

use wheelfarm_build::JobError;
use wheelfarm_build::matrix::Cell;
use wheelfarm_coordinator::{Delivered, Placing, place_wheelhouse};
use wheelfarm_resolve::{Form, Installation, Uv, install};

use super::found::Found;
use super::report::Tree;
use super::{Wanted, bytecode, failed};
use crate::cli::export::ExportArgs;
use crate::exit::Failure;
use crate::settings::{Places, host_arch};

/// Where a virtual environment will lie where nothing else is said.
const PREFIX: &str = "/opt/venv";
/// Where a tree of packages will lie where nothing else is said.
const SITE: &str = "/app";

/// Whether a tree is asked for.
pub(super) fn is_wanted(args: &ExportArgs) -> bool {
    args.site.is_some() || args.venv.is_some()
}

/// Makes the trees that are asked for, of what was found.
pub(super) async fn deliver(wanted: Wanted<'_>) -> Result<Vec<Tree>, Failure> {
    let Wanted {
        args,
        places,
        found,
        ..
    } = wanted;
    let cell = cell(found)?;
    if args.bytecode {
        wheelfarm_build::bytecode::check(cell.python)?;
    }
    let wheels = found.delivered();
    let job_error = JobError::from;
    let tools = places.cache.join("tools");
    let brought = args.selection.uv_wheel.as_deref();
    let uv = Uv::obtain(&places.store, &tools, host_arch()?, brought).await;
    let uv = uv.map_err(job_error)?;
    let default = PathBuf::from(format!("/usr/bin/python{}", cell.python.release()));
    let interpreter = args.interpreter.clone().unwrap_or(default);
    let prefix = args.prefix.clone().unwrap_or_else(|| PREFIX.into());
    let disk = |error| Failure::machine(format!("the tree could not be written: {error}"));
    fs_err::create_dir_all(&places.cache).map_err(disk)?;
    let wheelhouse = tempfile::tempdir_in(&places.cache).map_err(disk)?;
    let requirements = requirements(&wheels, places, wheelhouse.path()).await?;
    let mut trees = Vec::new();
    let site = args
        .site
        .as_deref()
        .map(|directory| (directory, Form::Site));
    let venv = args
        .venv
        .as_deref()
        .map(|directory| (directory, Form::Venv(&prefix)));
    for (directory, form) in site.into_iter().chain(venv) {
        let installation = Installation {
            python: cell.python,
            target: cell.target,
            wheels: wheelhouse.path(),
            requirements: &requirements,
            interpreter: &interpreter,
            form,
            directory,
        };
        let installed = install(&uv, &installation).await.map_err(job_error)?;
        if args.bytecode {
            let prefix = match form {
                Form::Site => args.site_prefix.as_deref().unwrap_or(Path::new(SITE)),
                Form::Venv(prefix) => prefix,
            };
            bytecode::add(wanted, cell, &installed, prefix).await?;
        }
        installed.place().map_err(job_error)?;
        trees.push(Tree {
            directory: directory.to_owned(),
            form: match form {
                Form::Site => "site",
                Form::Venv(_) => "venv",
            },
            prefix: match form {
                Form::Site => None,
                Form::Venv(prefix) => Some(prefix.to_owned()),
            },
            interpreter: interpreter.clone(),
        });
    }
    Ok(trees)
}

/// Writes the wheels to `directory`; the requirements file that names them.
async fn requirements(
    wheels: &[Delivered],
    places: &Places,
    directory: &Path,
) -> Result<PathBuf, Failure> {
    let locks = place_wheelhouse(&places.store, wheels, directory, Placing::Copy).await;
    let locks = locks.map_err(failed)?;
    let is_text = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "txt");
    locks
        .into_iter()
        .find(is_text)
        .ok_or_else(|| Failure::usage("there is no wheel to install"))
}

/// The one cell that everything is for.
pub(super) fn cell(found: &Found) -> Result<&Cell, Failure> {
    let mut cells = found.wheels.iter().map(|wheel| &wheel.cell);
    let Some(first) = cells.next() else {
        return Err(Failure::usage("there is no wheel to install"));
    };
    if cells.any(|cell| cell.id() != first.id()) {
        let message = "a tree, or a Python, is for one Python and one target, and these wheels are for several";
        let hint = "export them one by one, with `--python` and `--target`";
        return Err(Failure::usage(message).with_hint(Some(hint.to_owned())));
    }
    Ok(first)
}
