//! What was found wrong, once for all wheels that it is wrong with.

use std::collections::{BTreeMap, BTreeSet};

use wheelfarm_audit::{Needed, Problem};
use wheelfarm_build::matrix::Cell;
use wheelfarm_types::{Libc, PythonVersion};

use super::sentence::{self, CheckFinding};

/// Findings about one image.
#[derive(Default)]
pub(super) struct Findings {
    /// About cells as a whole.
    cells: Vec<CheckFinding>,
    /// About wheels, by cell and problem.
    wheels: BTreeMap<(String, Problem), Concerned>,
}

/// Whom a problem concerns.
#[derive(Default)]
pub(super) struct Concerned {
    /// Wheel, and member if it is not the wheel as a whole.
    pub(super) members: BTreeSet<(String, Option<String>)>,
    /// The C library that is there.
    pub(super) libc: Option<Libc>,
    /// The target's architecture.
    pub(super) arch: String,
    /// The system package that has the library, if the store knows it.
    pub(super) package: Option<String>,
}

impl Findings {
    /// There is no Python for a cell, only those that are `there`; whether one was `asked` for by its path.
    pub(super) fn python(&mut self, cell: &Cell, there: &[(PythonVersion, String)], asked: bool) {
        self.cells.push(sentence::python(cell, there, asked));
    }

    /// The image's programs are for another `architecture`.
    pub(super) fn architecture(&mut self, cell: &Cell, architecture: &str) {
        self.cells.push(sentence::architecture(cell, architecture));
    }

    /// A wheel of `cell` needs what is not there; `libc` is.
    pub(super) fn wheel(
        &mut self,
        cell: &Cell,
        libc: Option<Libc>,
        filename: String,
        needed: Needed,
        package: impl Fn(&str) -> Option<String>,
    ) {
        let known = match &needed.problem {
            Problem::Library { library, .. } | Problem::Version { library, .. } => package(library),
            Problem::Libc { .. } => None,
        };
        let concerned = self.wheels.entry((cell.id(), needed.problem));
        let concerned = concerned.or_default();
        concerned.members.insert((filename, needed.member));
        concerned.libc = libc;
        concerned.arch = cell.target.arch.to_string();
        concerned.package = concerned.package.take().or(known);
    }

    /// All that is to be said. A library that is called like one of `names`, by cell, comes with another wheel.
    pub(super) fn finish(self, names: &BTreeSet<(String, String)>) -> Vec<CheckFinding> {
        let mut findings = self.cells;
        let wheels = self
            .wheels
            .into_iter()
            .filter(|((cell, problem), _)| match problem {
                Problem::Library { library, .. } => {
                    !names.contains(&(cell.clone(), library.clone()))
                }
                _ => true,
            });
        findings.extend(
            wheels.map(|((cell, problem), concerned)| sentence::wheel(&cell, &problem, &concerned)),
        );
        findings
    }
}
