//! Selectors that can select nothing are typing errors.

use std::collections::BTreeSet;

use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_types::{Arch, ProjectName, PythonVersion, Target};

use super::Config;
use crate::exit::Failure;

/// Checks that every selector of `[[overrides]]` fits some Python and target that could be built for: of any image
/// of the catalogue on any machine, or named in `[farm]`. What this run builds is not asked: one configuration serves
/// many runs.
pub(super) fn check(config: &Config) -> Result<(), Failure> {
    if config.overrides.is_empty() {
        return Ok(());
    }
    let cells = possible_cells(config);
    for over in &config.overrides {
        if !cells.iter().any(|cell| over.select.matches_cell(cell)) {
            let example = cells.first().map_or("", String::as_str);
            let message = format!(
                "`{}` selects nothing: no Python and target are called so",
                over.select
            );
            return Err(Failure::usage(message).with_hint(Some(format!(
                "they are called such as `{example}`; a project stands before a slash: `psycopg2 / *`"
            ))));
        }
    }
    Ok(())
}

/// What of `config` is for none of the projects and cells that a run of everything met: probably slips of the pen.
pub(super) fn unused(config: &Config, met: &BTreeSet<(ProjectName, String)>) -> Vec<String> {
    let packages = config
        .package
        .keys()
        .filter(|name| !met.iter().any(|(project, _)| project == *name))
        .map(|name| format!("[package.{name}] is for no package of this run"));
    let overrides = config
        .overrides
        .iter()
        .map(|over| &over.select)
        .filter(|select| {
            let mut met = met.iter();
            !met.any(|(project, cell)| select.matches(project, cell))
        })
        .map(|select| format!("the override for `{select}` selects nothing of this run"));
    packages.chain(overrides).collect()
}

fn possible_cells(config: &Config) -> BTreeSet<String> {
    let mut pythons: BTreeSet<PythonVersion> = config.farm.python.iter().copied().collect();
    let mut targets: BTreeSet<Target> = config.farm.targets.iter().copied().collect();
    for arch in Arch::all() {
        for image in Catalogue::builtin(arch).images() {
            pythons.extend(&image.pythons);
            pythons.extend(&image.compilable);
            targets.insert(image.target);
        }
    }
    pythons
        .iter()
        .flat_map(|python| {
            targets
                .iter()
                .map(move |target| wheelfarm_build::matrix::cell_id(*python, *target))
        })
        .collect()
}
