//! Finding and reading the ELF objects of a wheel.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;
use wheelfarm_elf::Elf;
use wheelfarm_types::Digest;
use wheelfarm_wheel::{Entry, EntryKind, Scratch, Wheel};

use crate::budget::Budget;
use crate::pool::Pool;
use crate::{AuditError, ElfFacts, Finding, LibcFamily, Policies};

/// Unpacked bytes in memory at a time, but for members that are larger.
const MEMORY: u64 = 64 << 20;

/// An ELF object of the wheel.
pub(super) struct Scanned {
    /// Path in the archive.
    pub(super) path: String,
    pub(super) facts: Arc<ElfFacts>,
}

/// What one member is.
#[derive(Debug, Clone)]
struct Outcome {
    what: What,
    digest: Option<Digest>,
}

#[derive(Debug, Clone)]
enum What {
    NotElf,
    Object(Arc<ElfFacts>),
    /// Looks like ELF and cannot be read, with the reason.
    Unreadable(String),
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

/// The ELF objects of a wheel, read once: for an audit, for a repair, and to verify what came of it.
pub struct Objects {
    /// Sorted by path.
    pub(super) scanned: Vec<Scanned>,
    /// What is to be said about members that could not be read.
    pub(super) findings: Vec<Finding>,
    /// Of each member's content, if they were asked for; of a symbolic link's target.
    digests: HashMap<String, Digest>,
}

/// Objects of wheels that were read before, by their packed bytes: what many wheels hold is unpacked once.
#[derive(Debug, Default)]
pub struct SeenObjects(Mutex<HashMap<Digest, Outcome>>);

/// Where a member may be known from.
enum Known<'a> {
    Nowhere,
    /// It is the same in a wheel that was read before.
    From(&'a Objects),
    /// Some wheel may have had it.
    Perhaps(&'a SeenObjects),
}

impl Objects {
    /// Reads the objects; other members are not unpacked.
    pub fn read(wheel: &Wheel) -> Result<Self, AuditError> {
        Self::of(wheel, false, |_| Known::Nowhere)
    }

    /// Like [`Objects::read`]; unpacks and hashes all members, so that nobody has to do so again.
    pub fn read_hashed(wheel: &Wheel) -> Result<Self, AuditError> {
        Self::of(wheel, true, |_| Known::Nowhere)
    }

    /// The objects of a wheel that was made from the one that `self` was read from. Members of which `unchanged`
    /// is true are not read again; the others are, and hashed, unless they were `seen` in another wheel.
    pub fn read_changed(
        &self,
        wheel: &Wheel,
        unchanged: impl Fn(&str) -> bool + Sync,
        seen: Option<&SeenObjects>,
    ) -> Result<Self, AuditError> {
        Self::of(wheel, true, |name| match seen {
            _ if unchanged(name) => Known::From(self),
            Some(seen) => Known::Perhaps(seen),
            None => Known::Nowhere,
        })
    }

    /// The digest of a member's content, if it was hashed.
    pub fn digest(&self, member: &str) -> Option<Digest> {
        self.digests.get(member).copied()
    }

    fn of<'a>(
        wheel: &Wheel,
        hash: bool,
        known: impl Fn(&str) -> Known<'a> + Sync,
    ) -> Result<Self, AuditError> {
        let policies = Policies::builtin()?;
        let mut entries: Vec<&Entry> = wheel
            .entries()
            .iter()
            .filter(|entry| entry.kind != EntryKind::Directory)
            .collect();
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        // The largest first: no thread waits for another that began with it last.
        let mut order: Vec<&Entry> = entries.clone();
        order.sort_by_key(|entry| Reverse(entry.size));
        let memory = Budget::new(MEMORY);
        let scratches = Pool::default();
        let mut outcomes: HashMap<&str, Outcome> = order
            .into_par_iter()
            .map(|entry| {
                let read = |scratch: &mut _| one(wheel, entry, policies, hash, scratch);
                let in_memory = |work: &dyn Fn(&mut Scratch) -> Result<Outcome, AuditError>| {
                    memory.with(entry.size, || scratches.with(work))
                };
                let outcome = match known(&entry.name) {
                    Known::From(objects) => objects.outcome(&entry.name),
                    Known::Perhaps(seen) => in_memory(&|scratch| {
                        let key = wheel.packed_digest(&entry.name, scratch)?;
                        seen.get_or_read(key, || read(scratch))
                    })?,
                    Known::Nowhere => in_memory(&read)?,
                };
                Ok((entry.name.as_str(), outcome))
            })
            .collect::<Result<_, AuditError>>()?;

        let mut objects = Self {
            scanned: Vec::new(),
            findings: Vec::new(),
            digests: HashMap::new(),
        };
        for entry in entries {
            if entry.kind == EntryKind::Symlink {
                objects.findings.push(Finding::SymbolicLink {
                    path: entry.name.clone(),
                });
            }
            let Some(outcome) = outcomes.remove(entry.name.as_str()) else {
                continue;
            };
            let path = entry.name.clone();
            if let Some(digest) = outcome.digest {
                objects.digests.insert(path.clone(), digest);
            }
            match outcome.what {
                What::NotElf => {}
                What::Object(facts) => objects.scanned.push(Scanned { path, facts }),
                What::Unreadable(reason) => {
                    objects.findings.push(Finding::Unreadable { path, reason });
                }
            }
        }
        Ok(objects)
    }

    fn outcome(&self, path: &str) -> Outcome {
        let at = self
            .scanned
            .binary_search_by(|object| object.path.as_str().cmp(path));
        Outcome {
            what: match at.ok().and_then(|at| self.scanned.get(at)) {
                Some(object) => What::Object(object.facts.clone()),
                None => What::NotElf,
            },
            digest: self.digest(path),
        }
    }
}

impl SeenObjects {
    fn get_or_read(
        &self,
        key: Digest,
        read: impl FnOnce() -> Result<Outcome, AuditError>,
    ) -> Result<Outcome, AuditError> {
        let seen = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = seen().get(&key) {
            return Ok(known.clone());
        }
        let outcome = read()?;
        seen().insert(key, outcome.clone());
        Ok(outcome)
    }
}

fn one(
    wheel: &Wheel,
    entry: &Entry,
    policies: &Policies,
    hash: bool,
    scratch: &mut Scratch,
) -> Result<Outcome, AuditError> {
    let nothing = Outcome {
        what: What::NotElf,
        digest: None,
    };
    // A link that leads nowhere is reported as a link; there is nothing to read.
    let Ok(file) = wheel.follow(entry) else {
        return Ok(nothing);
    };
    if !hash && !Elf::is_elf(&wheel.read_start(&file.name, 16)?) {
        return Ok(nothing);
    }
    let bytes = wheel.read_in(&file.name, scratch)?;
    let digest = hash.then(|| Digest::of(bytes));
    if !Elf::is_elf(bytes) {
        return Ok(Outcome { digest, ..nothing });
    }
    let what = match ElfFacts::read(bytes, policies) {
        Ok(facts) => What::Object(Arc::new(facts)),
        Err(error) => What::Unreadable(error.to_string()),
    };
    Ok(Outcome { what, digest })
}
