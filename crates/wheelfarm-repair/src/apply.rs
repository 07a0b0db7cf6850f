//! Doing what a plan says.

use std::collections::BTreeSet;
use std::io::Write;

use rayon::prelude::*;
use wheelfarm_audit::{LibraryRoot, Objects};
use wheelfarm_types::{BuildTag, Digest};
use wheelfarm_wheel::{Deflated, Entry, Level, Wheel, WheelError, WheelProblem, WheelWriter};

use crate::objects::Change;
use crate::{Graft, MemberEdit, REVISION, RepairError, RepairPlan, sbom, scripts, tags};

/// Keeps grafted libraries: one that many wheels vendor is patched and compressed once.
///
/// The key covers the library's digest and everything that is done to it. What it gives back goes into the
/// wheel unchecked.
pub trait GraftCache: Sync {
    /// The library kept under `key`; if there is none, what `make` gives, which is kept if it is no error.
    fn get_or_make(&self, key: &Digest, make: Make<'_>) -> Result<Deflated, RepairError>;
}

/// Makes a grafted library.
pub type Make<'a> = &'a dyn Fn() -> Result<Deflated, RepairError>;

/// Keeps nothing.
#[derive(Debug, Clone, Copy)]
pub struct NoCache;

impl GraftCache for NoCache {
    fn get_or_make(&self, _: &Digest, make: Make<'_>) -> Result<Deflated, RepairError> {
        make()
    }
}

/// Applies a plan to the wheel it was made for, with the root it was made with, and writes what comes of it to
/// `out`. Returns the members that were changed or added; all others are those of `wheel`.
///
/// `objects` are those of `wheel`: what they know of members' digests need not be computed again.
pub fn apply(
    plan: &RepairPlan,
    wheel: &Wheel,
    objects: &Objects,
    root: &LibraryRoot,
    cache: &dyn GraftCache,
    out: &mut dyn Write,
) -> Result<BTreeSet<String>, RepairError> {
    let digest = |member: &str| objects.digest(member);
    let mut writer = WheelWriter::from_hashed(wheel, plan.filename.clone(), digest)?;
    if let Some(level) = plan.level() {
        writer = writer.at_level(level);
    }
    let level = plan.level().unwrap_or_default();
    let mut changed = BTreeSet::new();
    let libraries: Vec<_> = plan
        .grafts
        .par_iter()
        .map(|graft| grafted(graft, level, root, cache))
        .collect::<Result<_, _>>()?;
    let written: Vec<_> = libraries.iter().map(Deflated::digest).collect();
    for (graft, library) in plan.grafts.iter().zip(libraries) {
        for member in &graft.members {
            writer.insert_deflated(member, library.clone(), true)?;
            changed.insert(member.clone());
        }
    }
    for change in &plan.edits {
        let mut place = &change.member;
        if let Some(moved_to) = &change.moved_to {
            writer.insert(&change.member, scripts::starter(moved_to), true)?;
            changed.insert(change.member.clone());
            place = moved_to;
        }
        let Some(entry) = wheel.entry(&change.member) else {
            return Err(RepairError::Changed(change.member.clone()));
        };
        let file = wheel.follow(entry)?;
        // A wheel may have gigabytes of them: each is made when it is written.
        let make = move || Ok(patched(change, level, wheel, file)?);
        let executable = file.executable || change.moved_to.is_some();
        writer.insert_made(place, file.size, make, executable)?;
        changed.insert(place.clone());
    }
    let metadata = writer.dist_info().to_owned();
    if plan.update_tags || plan.filename.build != plan.source.build {
        let mut info = wheel.wheel_info()?;
        if plan.update_tags {
            // What holds ELF objects is not pure, whatever it said.
            info.set_root_is_purelib(false);
            let tags = tags::wheel_tags(&info, &plan.source, &plan.platforms);
            info.set_tags(&tags);
        }
        info.set_build(plan.filename.build.as_ref().map(BuildTag::as_str));
        let name = format!("{metadata}/WHEEL");
        writer.insert(&name, info.headers.to_string(), false)?;
        changed.insert(name);
    }
    if !plan.grafts.is_empty() {
        let name = format!("{metadata}/sboms/{}", sbom::FILE);
        writer.insert(&name, sbom::document(plan, &written)?, false)?;
        changed.insert(name);
    }
    changed.insert(format!("{metadata}/RECORD"));
    writer.write_to(out).map_err(unwrapped)?;
    Ok(changed)
}

fn grafted(
    graft: &Graft,
    level: Level,
    root: &LibraryRoot,
    cache: &dyn GraftCache,
) -> Result<Deflated, RepairError> {
    let change = Change::of_graft(graft);
    let inputs = format!("{REVISION}\n{}\n{change:?}\n{level:?}", graft.digest);
    let key = Digest::of(inputs);
    cache.get_or_make(&key, &|| {
        // The source is given back before the compression: several large ones may be in work at once.
        let library = root
            .look(&graft.source, &graft.digest, |source| {
                change.apply(source, &graft.source)
            })?
            .ok_or_else(|| RepairError::Changed(graft.source.clone()))??;
        Ok(Deflated::at(library, level))
    })
}

/// An object of the wheel as it will be.
fn patched(
    change: &MemberEdit,
    level: Level,
    wheel: &Wheel,
    file: &Entry,
) -> Result<Deflated, RepairError> {
    let bytes = Change::of_member(change).apply(&wheel.read(&file.name)?, &change.member)?;
    Ok(Deflated::at(bytes, level))
}

/// An error of [`patched`] as it was, before it went through the writer.
fn unwrapped(error: WheelError) -> RepairError {
    let WheelError { wheel, problem } = error;
    let problem = match problem {
        WheelProblem::Content { name, source } => match source.downcast::<RepairError>() {
            Ok(error) => return *error,
            Err(source) => WheelProblem::Content { name, source },
        },
        problem => problem,
    };
    WheelError { wheel, problem }.into()
}
