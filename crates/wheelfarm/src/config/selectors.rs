//! Selectors that can select nothing are typing errors.

use std::collections::BTreeSet;

use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_types::{Arch, PythonVersion, Target};

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
