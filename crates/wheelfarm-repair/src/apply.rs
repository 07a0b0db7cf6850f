//! Doing what a plan says.

use std::fmt;

use wheelfarm_audit::{AuditOptions, LibraryRoot};
use wheelfarm_types::{BuildTag, Digest, Target, WheelFilename};
use wheelfarm_wheel::{Deflated, Wheel, WheelWriter};

use crate::objects::Change;
use crate::{Graft, MemberEdit, RepairError, RepairPlan, sbom, scripts, tags};

/// A repaired wheel.
#[derive(Clone, PartialEq, Eq)]
pub struct RepairedWheel {
    /// Its file name.
    pub filename: WheelFilename,
    /// The archive.
    pub bytes: Vec<u8>,
    /// The digest of the archive.
    pub digest: Digest,
    /// The best tag it has.
    pub policy: Target,
    /// Whether its tags were written by the repair; if not, they promise nothing.
    pub tagged: bool,
    /// The options that an audit of it has to use.
    pub audit: AuditOptions,
}

/// Keeps grafted libraries: one that many wheels vendor is patched and compressed once.
///
/// The key covers the library's digest and everything that is done to it. What it gives back goes into the
/// wheel unchecked.
pub trait GraftCache {
    /// The library kept under `key`.
    fn get(&self, key: &Digest) -> Option<Deflated>;
    /// Keeps a library.
    fn put(&self, key: &Digest, library: &Deflated);
}

/// Keeps nothing.
struct NoCache;

impl GraftCache for NoCache {
    fn get(&self, _: &Digest) -> Option<Deflated> {
        None
    }

    fn put(&self, _: &Digest, _: &Deflated) {}
}

/// Applies a plan to the wheel it was made for, with the root it was made with.
pub fn apply(
    plan: &RepairPlan,
    wheel: &Wheel,
    root: &LibraryRoot,
) -> Result<RepairedWheel, RepairError> {
    apply_with(plan, wheel, root, &NoCache)
}

/// Like [`apply`], with a cache of grafted libraries.
pub fn apply_with(
    plan: &RepairPlan,
    wheel: &Wheel,
    root: &LibraryRoot,
    cache: &dyn GraftCache,
) -> Result<RepairedWheel, RepairError> {
    let mut writer = WheelWriter::from_wheel(wheel, plan.filename.clone())?;
    let mut written = Vec::with_capacity(plan.grafts.len());
    for graft in &plan.grafts {
        let library = grafted(graft, root, cache)?;
        written.push(library.digest());
        for member in &graft.members {
            writer.insert_deflated(member, library.clone(), true)?;
        }
    }
    for change in &plan.edits {
        patch(change, wheel, &mut writer)?;
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
        writer.insert(
            &format!("{metadata}/WHEEL"),
            info.headers.to_string(),
            false,
        )?;
    }
    if !plan.grafts.is_empty() {
        let document = sbom::document(plan, &written)?;
        writer.insert(&format!("{metadata}/sboms/{}", sbom::FILE), document, false)?;
    }
    let bytes = writer.finish()?;
    Ok(RepairedWheel {
        filename: plan.filename.clone(),
        digest: Digest::of(&bytes),
        bytes,
        policy: plan.policy,
        tagged: plan.update_tags,
        audit: plan.audit.clone(),
    })
}

fn grafted(
    graft: &Graft,
    root: &LibraryRoot,
    cache: &dyn GraftCache,
) -> Result<Deflated, RepairError> {
    let change = Change::of_graft(graft);
    // The crate's version stands for the editor's and the compressor's.
    let inputs = format!(
        "{}\n{}\n{change:?}",
        env!("CARGO_PKG_VERSION"),
        graft.digest
    );
    let key = Digest::of(inputs);
    if let Some(library) = cache.get(&key) {
        return Ok(library);
    }
    let source = root.read(&graft.source)?;
    if Digest::of(&source) != graft.digest {
        return Err(RepairError::Changed(graft.source.clone()));
    }
    let library = Deflated::of(change.apply(&source, &graft.source)?);
    cache.put(&key, &library);
    Ok(library)
}

fn patch(change: &MemberEdit, wheel: &Wheel, writer: &mut WheelWriter) -> Result<(), RepairError> {
    let Some(entry) = wheel.entry(&change.member) else {
        return Err(RepairError::Changed(change.member.clone()));
    };
    let file = wheel.follow(entry)?;
    let bytes = Change::of_member(change).apply(&wheel.read(&file.name)?, &change.member)?;
    match &change.moved_to {
        Some(place) => {
            writer.insert(&change.member, scripts::starter(place), true)?;
            writer.insert(place, bytes, true)?;
        }
        None => writer.insert(&change.member, bytes, file.executable)?,
    }
    Ok(())
}

impl fmt::Debug for RepairedWheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepairedWheel")
            .field("filename", &self.filename.to_string())
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}
