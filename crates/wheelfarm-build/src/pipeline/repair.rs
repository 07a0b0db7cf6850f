//! Audit and repair: from the raw wheel to the one that is handed out.

use std::collections::BTreeSet;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use wheelfarm_audit::{AuditOptions, AuditReport, LibraryRoot, Objects, Obstacle, audit_objects};
use wheelfarm_repair::{Graft, GraftCache, RepairError, RepairOptions, apply, plan, verify};
use wheelfarm_types::{BuildTag, Digest, Target, WheelFilename};
use wheelfarm_wheel::{Scheme, Wheel, WheelWriter};

use super::context::{Context, run_cpu};
use super::needs::system_libraries;
use super::raw::RawWheel;
use super::spool::Spool;
use super::{Job, Purpose};
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::pipeline::grafts::StoredGrafts;
use crate::provenance;
use crate::recipes::{Recipe, Vendoring};
use crate::records::{
    REPAIR_SCHEMA, SystemLibrary, Vendored, WheelInputs, WheelOutcome, WheelRecord, kind,
};

/// Bytes of a library root that are read at once.
const CHUNK: usize = 1 << 20;

/// A wheel after audit and repair.
struct Repaired {
    filename: WheelFilename,
    spool: Spool,
    vendored: Vec<Vendored>,
    system: Vec<SystemLibrary>,
    modules: Vec<String>,
}

/// What the wheel to hand out for `raw` is made of.
fn inputs_of(context: &Context, job: &Job, raw: &RawWheel, recipe: &Recipe) -> WheelInputs {
    // A build requirement is not handed out: its name need not say whose build it is, and what it is built for does
    // not depend on whether names are to say so.
    let tagged = context.build_tag && job.purpose == Purpose::Wanted;
    WheelInputs {
        schema: REPAIR_SCHEMA,
        tool: concat!("wheelfarm ", env!("CARGO_PKG_VERSION")).to_owned(),
        raw_filename: raw.record.filename.clone(),
        raw: raw.record.wheel,
        raw_key: raw.key,
        target: job.cell.target,
        libraries: raw.environment.root,
        exclude: recipe.exclude.clone(),
        include: recipe.include.clone(),
        system: (recipe.vendor == Vendoring::System).then_some(job.cell.image.target),
        build_tag: tagged.then_some(raw.environment.generation),
    }
}

/// The wheel to hand out for `raw`, if it was made before.
pub(super) async fn look(
    context: &Context,
    job: &Job,
    raw: &RawWheel,
    recipe: &Recipe,
) -> Result<Option<WheelOutcome>, JobError> {
    let inputs = inputs_of(context, job, raw, recipe);
    recorded(context, &crate::key::canonical_digest(&inputs)).await
}

async fn recorded(context: &Context, key: &Digest) -> Result<Option<WheelOutcome>, JobError> {
    context
        .with_wheel(kind::WHEEL, key, |record: &WheelOutcome| record.wheel)
        .await
}

/// Makes the wheel to hand out for `raw` and files it: whether that was done just now.
pub(super) async fn repaired_wheel(
    context: &Context,
    job: &Job,
    raw: &RawWheel,
    recipe: &Recipe,
) -> Result<bool, JobError> {
    let inputs = inputs_of(context, job, raw, recipe);
    let key = crate::key::canonical_digest(&inputs);
    if recorded(context, &key).await?.is_some() {
        return Ok(false);
    }
    let _flight = context.alone(&job.id(), key).await?;
    if recorded(context, &key).await?.is_some() {
        return Ok(false);
    }
    let root = library_root(context, raw.environment.root).await?;
    let slot = context.local_slot().await?;
    let work = async {
        let file = context.store.file(&raw.record.wheel).await?;
        let (filename, inputs) = (raw.record.filename.clone(), inputs.clone());
        let grafts = StoredGrafts::of(&context.store);
        let spool = Spool::new(&context.store)?;
        run_cpu(move || {
            let wheel = Wheel::from_file(file, filename).map_err(failed)?;
            repair(&wheel, &root, &inputs, key, &grafts, spool)
        })
        .await
    };
    let (repaired, seconds) = context.staged(&job.id(), Stage::Repair, work).await?;
    drop(slot);
    let (wheel, size) = repaired.spool.keep(&context.store).await?;
    let record = WheelRecord {
        inputs,
        filename: repaired.filename,
        size,
        wheel,
        vendored: repaired.vendored,
        system: repaired.system,
        modules: repaired.modules,
        seconds,
    };
    // First: a wheel that is on record has its statement.
    if let Some(raw_record) = context.store.record(kind::RAW, &raw.key).await? {
        provenance::file(&context.store, &record, &raw_record, &raw.environment).await?;
    }
    context
        .store
        .create_record(kind::WHEEL, &key, &record)
        .await?;
    Ok(true)
}

/// The directory that stands for `/` of an environment: unpacked from the store once and kept.
async fn library_root(context: &Context, root: Digest) -> Result<PathBuf, JobError> {
    let roots = context.cache.join("roots");
    let directory = roots.join(root.to_string());
    let _flight = context.flights.enter(root).await;
    if directory.is_dir() {
        return Ok(directory);
    }
    let _slot = context.local_slot().await?;
    let tar = context.store.file(&root).await?;
    let target = directory.clone();
    run_cpu(move || {
        fs_err::create_dir_all(&roots)?;
        let temporary = tempfile::Builder::new()
            .prefix("unpack-")
            .tempdir_in(&roots)?;
        // Entries that would leave the directory are refused by `unpack`.
        tar::Archive::new(BufReader::with_capacity(CHUNK, tar)).unpack(temporary.path())?;
        let unpacked = temporary.keep();
        if let Err(error) = fs_err::rename(&unpacked, &target) {
            fs_err::remove_dir_all(&unpacked)?;
            // Another process may have been quicker; the content is the same.
            if !target.is_dir() {
                return Err(error.into());
            }
        }
        Ok(())
    })
    .await?;
    Ok(directory)
}

fn repair(
    wheel: &Wheel,
    root: &Path,
    inputs: &WheelInputs,
    key: Digest,
    grafts: &dyn GraftCache,
    mut spool: Spool,
) -> Result<Repaired, JobError> {
    let build_tag = inputs
        .build_tag
        .map(|generation| build_tag(generation, &key))
        .transpose()?;
    if wheel.filename().is_pure() {
        return tagged_only(wheel, build_tag, spool);
    }
    let root = LibraryRoot::open(root).map_err(|error| failed(RepairError::from(error)))?;
    let audit_options = match inputs.system {
        // Then nothing is included either.
        Some(_) => AuditOptions {
            exclude: vec!["*".to_owned()],
            ..AuditOptions::default()
        },
        None => AuditOptions {
            exclude: inputs.exclude.clone(),
            include: inputs.include.clone(),
            ..AuditOptions::default()
        },
    };
    let objects = Objects::read_hashed(wheel).map_err(|error| failed(RepairError::from(error)))?;
    let report = audit_objects(wheel, &objects, &root, &audit_options)
        .map_err(|error| failed(RepairError::from(error)))?;
    // Excluded libraries are absent from that report: what they are is in one without exclusions.
    let complete = if audit_options.exclude.is_empty() {
        None
    } else {
        let options = AuditOptions {
            include: inputs.include.clone(),
            ..AuditOptions::default()
        };
        let report = audit_objects(wheel, &objects, &root, &options);
        Some(report.map_err(|error| failed(RepairError::from(error)))?)
    };
    let options = RepairOptions {
        build_tag,
        target: inputs.system,
        only_plat: inputs.system.is_some(),
        audit: audit_options,
        ..RepairOptions::default()
    };
    let plan = match plan(wheel, &report, &root, &options) {
        Ok(plan) if plan.policy.libc.runs_on(inputs.target.libc) => plan,
        Ok(_) | Err(RepairError::NotEarned { .. }) => {
            return Err(too_new(wheel, &report, &root, options, inputs.target));
        }
        Err(error) => return Err(failed(error)),
    };
    let changed = apply(&plan, wheel, &objects, &root, grafts, &mut spool).map_err(failed)?;
    let repaired = Wheel::from_file(spool.written()?, plan.filename.clone()).map_err(failed)?;
    verify(&plan, &repaired, &objects, &changed, None).map_err(failed)?;
    let sonames = plan.grafts.iter().flat_map(|graft| &graft.sonames);
    let system = system_libraries(
        &complete.as_ref().unwrap_or(&report).objects,
        &sonames.map(String::as_str).collect(),
        &|path| root.owner(path).map(|package| package.name),
    );
    Ok(Repaired {
        modules: modules(wheel, &report),
        filename: plan.filename,
        spool,
        vendored: plan.grafts.iter().map(vendored).collect(),
        system,
    })
}

/// `<generation>wf<8 hexadecimal digits>`: says in the name that it is the farm's build, and of what.
fn build_tag(generation: u32, key: &Digest) -> Result<BuildTag, JobError> {
    format!("{generation}wf{}", key.short())
        .parse()
        .map_err(|error| JobError::new(JobErrorKind::Package, format!("{error}")))
}

/// A wheel without platform: canonical bytes and the build tag, nothing else.
fn tagged_only(
    wheel: &Wheel,
    build_tag: Option<BuildTag>,
    mut spool: Spool,
) -> Result<Repaired, JobError> {
    let mut filename = wheel.filename().clone();
    filename.build = build_tag.or(filename.build);
    let mut info = wheel.wheel_info().map_err(failed)?;
    info.set_build(filename.build.as_ref().map(BuildTag::as_str));
    let mut writer = WheelWriter::from_wheel(wheel, filename.clone()).map_err(failed)?;
    let member = format!("{}/WHEEL", writer.dist_info());
    let text = info.headers.to_string();
    writer.insert(&member, text, false).map_err(failed)?;
    writer.write_to(&mut spool).map_err(failed)?;
    Ok(Repaired {
        spool,
        filename,
        vendored: Vec::new(),
        system: Vec::new(),
        modules: top_level(wheel).into_iter().collect(),
    })
}

fn vendored(graft: &Graft) -> Vendored {
    Vendored {
        soname: graft.sonames.first().cloned().unwrap_or_default(),
        path: graft.members.first().cloned().unwrap_or_default(),
        package: graft
            .owner
            .as_ref()
            .map(|owner| format!("{} {}", owner.name, owner.version)),
    }
}

/// What importing the wheel should bring: its top-level modules and every extension module.
fn modules(wheel: &Wheel, report: &AuditReport) -> Vec<String> {
    let mut modules = top_level(wheel);
    modules.extend(
        report
            .extensions
            .iter()
            .map(|extension| extension.name.clone()),
    );
    modules.into_iter().collect()
}

fn top_level(wheel: &Wheel) -> BTreeSet<String> {
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_alphanumeric() || c == '_')
    };
    wheel
        .entries()
        .iter()
        .map(|entry| wheel.installed(&entry.name))
        .filter(|installed| installed.scheme == Scheme::Site)
        .filter_map(|installed| {
            let name = match installed.path.split_once('/') {
                Some((package, "__init__.py")) => package,
                None => installed.path.strip_suffix(".py")?,
                Some(_) => return None,
            };
            // Test suites that land in site-packages by mistake are not what the wheel is for.
            let wanted = is_name(name) && !matches!(name, "test" | "tests");
            wanted.then(|| name.to_owned())
        })
        .collect()
}

/// Why the wheel does not run on `target`: what a plan for it says.
fn too_new(
    wheel: &Wheel,
    report: &AuditReport,
    root: &LibraryRoot,
    options: RepairOptions,
    target: Target,
) -> JobError {
    let options = RepairOptions {
        target: Some(target),
        ..options
    };
    let mut hint = "build it in an image with an older C library: `wheelfarm images list`";
    let error = match wheelfarm_repair::plan(wheel, report, root, &options) {
        Err(error) => {
            if let RepairError::NotEarned { obstacles, .. } = &error
                && let Some(Obstacle::Isa { .. }) = obstacles.first()
            {
                hint = "it was compiled for newer processors (`-march`): its build settings, or `env` of the package in wheelfarm.toml, have to say otherwise";
            }
            failed(error)
        }
        Ok(_) => JobError::new(
            JobErrorKind::Audit,
            format!("{} does not run on {target}", report.wheel),
        ),
    };
    error.with_hint(Some(hint.to_owned()))
}

fn failed(error: impl Into<RepairError>) -> JobError {
    let error = error.into();
    let hint = match error {
        RepairError::MissingLibrary { .. } => Some(
            "if the library belongs to the system it runs on, add it to `exclude` of the package in wheelfarm.toml",
        ),
        RepairError::Include { .. } => Some(
            "`include` of the package in wheelfarm.toml names libraries of its `system` packages, as the code that loads them does",
        ),
        _ => None,
    };
    let hint = hint.map(str::to_owned);
    JobError::new(JobErrorKind::Audit, error.to_string()).with_hint(hint)
}
