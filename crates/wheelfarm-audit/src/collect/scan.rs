//! Finding and reading the ELF objects of a wheel.

use std::sync::Arc;
use std::thread;

use wheelfarm_elf::Elf;
use wheelfarm_wheel::{Entry, EntryKind, Wheel};

use crate::{AuditError, ElfFacts, Finding, LibcFamily, Policies};

/// An ELF object of the wheel.
pub(super) struct Scanned {
    /// Path in the archive.
    pub(super) path: String,
    pub(super) facts: Arc<ElfFacts>,
}

enum Outcome {
    NotElf,
    Object(Scanned),
    Finding(Finding),
}

impl Scanned {
    pub(super) fn file_name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    pub(super) fn libc(&self) -> Option<LibcFamily> {
        self.facts.libc(self.file_name())
    }

    pub(super) fn module(&self) -> Option<String> {
        self.facts.module(self.file_name())
    }
}

/// All objects, sorted by path, and what is to be said about members that are none.
pub(super) fn scan(
    wheel: &Wheel,
    policies: &Policies,
) -> Result<(Vec<Scanned>, Vec<Finding>), AuditError> {
    let mut entries: Vec<&Entry> = wheel
        .entries()
        .iter()
        .filter(|entry| entry.kind != EntryKind::Directory)
        .collect();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let outcomes: Vec<_> = thread::scope(|scope| {
        let entries = &entries;
        let threads: Vec<_> = (0..workers)
            .map(|first| {
                scope.spawn(move || {
                    entries
                        .iter()
                        .enumerate()
                        .skip(first)
                        .step_by(workers)
                        .map(|(index, entry)| (index, one(wheel, entry, policies)))
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(outcomes) => outcomes,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    let mut outcomes = outcomes;
    outcomes.sort_by_key(|(index, _)| *index);
    let mut objects = Vec::new();
    let mut findings: Vec<Finding> = entries
        .iter()
        .filter(|entry| entry.kind == EntryKind::Symlink)
        .map(|entry| Finding::SymbolicLink {
            path: entry.name.clone(),
        })
        .collect();
    for (_, outcome) in outcomes {
        match outcome? {
            Outcome::NotElf => {}
            Outcome::Object(object) => objects.push(object),
            Outcome::Finding(finding) => findings.push(finding),
        }
    }
    Ok((objects, findings))
}

fn one(wheel: &Wheel, entry: &Entry, policies: &Policies) -> Result<Outcome, AuditError> {
    // A link that leads nowhere is reported as a link; there is nothing to read.
    let Ok(file) = wheel.follow(entry) else {
        return Ok(Outcome::NotElf);
    };
    if !Elf::is_elf(&wheel.read_start(&file.name, 16)?) {
        return Ok(Outcome::NotElf);
    }
    let bytes = wheel.read(&file.name)?;
    Ok(match ElfFacts::read(&bytes, policies) {
        Ok(facts) => Outcome::Object(Scanned {
            path: entry.name.clone(),
            facts: Arc::new(facts),
        }),
        Err(error) => Outcome::Finding(Finding::Unreadable {
            path: entry.name.clone(),
            reason: error.to_string(),
        }),
    })
}
