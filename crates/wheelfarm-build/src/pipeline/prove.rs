//! Proving wheels: installed into a bare runtime, every module imported.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use wheelfarm_types::{Digest, ProjectName};

use super::context::Context;
use super::slots::Claim;
use super::{Artifact, Origin, runtime};
use crate::action::{Action, Exit};
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::matrix::Cell;
use crate::records::{BUILD_SCHEMA, PinnedFile, Proof, ProofInputs, ProofRecord, kind};

const PROVE_PY: &str = include_str!("../scripts/prove.py");

/// Wheels of one cell that are installed together; those that we built are proved.
#[derive(Debug)]
pub struct ProveRequest<'a> {
    /// Where.
    pub cell: &'a Cell,
    /// What is installed.
    pub artifacts: Vec<&'a Artifact>,
}

/// What happened to each wheel that we built, by project. A proof that is on record is not made again.
///
/// Wheels that need system packages are proved where these are installed, and only they: what another wheel forgot to
/// carry must not be there by chance.
pub async fn prove(
    context: &Context,
    request: &ProveRequest<'_>,
) -> Result<BTreeMap<ProjectName, Proof>, JobError> {
    let ours = request
        .artifacts
        .iter()
        .copied()
        .filter(|artifact| artifact.origin != Origin::Index);
    let (bare, needing): (Vec<_>, Vec<_>) =
        ours.partition(|artifact| artifact.runtime_packages().is_empty());
    let packages: BTreeSet<&str> = needing
        .iter()
        .flat_map(|artifact| artifact.runtime_packages())
        .collect();
    let packages = packages.into_iter().map(str::to_owned).collect();
    let mut proofs = prove_in(context, request, &bare, Vec::new()).await?;
    proofs.extend(prove_in(context, request, &needing, packages).await?);
    Ok(proofs)
}

/// Proves `ours`, with `packages` added to the bare runtime.
async fn prove_in(
    context: &Context,
    request: &ProveRequest<'_>,
    ours: &[&Artifact],
    packages: Vec<String>,
) -> Result<BTreeMap<ProjectName, Proof>, JobError> {
    if ours.is_empty() {
        return Ok(BTreeMap::new());
    }
    let cell = request.cell;
    let mut wheels: Vec<_> = request
        .artifacts
        .iter()
        .map(|artifact| PinnedFile {
            name: artifact.filename.to_string(),
            sha256: artifact.wheel,
        })
        .collect();
    wheels.sort();
    let inputs = ProofInputs {
        schema: BUILD_SCHEMA,
        runtime: cell.image.runtime_tag(),
        python: cell.python,
        interpreter: cell.image.tree(cell.python),
        wheels,
        tests: ours
            .iter()
            .map(|artifact| (artifact.project.clone(), artifact.test.clone()))
            .collect(),
        packages,
        script: Digest::of(PROVE_PY),
    };
    let key = crate::key::canonical_digest(&inputs);
    if let Some(record) = context
        .store
        .record::<ProofRecord>(kind::PROOF, &key)
        .await?
    {
        return Ok(record.proofs);
    }
    let id = cell.id();
    let _flight = context.alone(&id, key).await?;
    if let Some(record) = context
        .store
        .record::<ProofRecord>(kind::PROOF, &key)
        .await?
    {
        return Ok(record.proofs);
    }
    let runtime = runtime::image(context, cell, &inputs.packages).await?;
    let wanted: Vec<_> = ours
        .iter()
        .map(|artifact| {
            // Say, a driver that only the machines have which it is for.
            let absent = artifact
                .system
                .iter()
                .filter(|library| library.package.is_none());
            json!({
                "project": artifact.project, "modules": artifact.modules, "test": artifact.test,
                "absent": absent.map(|library| &library.soname).collect::<Vec<_>>(),
            })
        })
        .collect();
    let mut files: BTreeMap<String, Digest> = inputs
        .wheels
        .iter()
        .map(|wheel| (format!("wheels/{}", wheel.name), wheel.sha256))
        .collect();
    let texts = [
        ("prove.py", PROVE_PY.to_owned()),
        ("prove.json", json!(wanted).to_string()),
    ];
    for (name, text) in texts {
        files.insert(name.to_owned(), context.store.put(text.into()).await?);
    }
    let action = Action {
        name: format!("prove {id}"),
        image: runtime.id,
        inputs: files,
        tools: BTreeMap::new(),
        trees: cell.image.trees(cell.python),
        command: vec![
            cell.image.interpreter(cell.python).display().to_string(),
            "-B".to_owned(),
            "/in/prove.py".to_owned(),
        ],
        environment: [("HOME", "/tmp"), ("LC_ALL", "C.UTF-8"), ("TZ", "UTC")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        network: false,
        keep_failed: false,
        compiler_cache: None,
        limits: context.limits.clone(),
    };
    let slot = context.slot(Claim::default()).await?;
    let run = context.retrying(&id, Stage::Prove, || {
        let (executor, cancel) = (&context.executor, &context.cancel);
        executor.run(&action, context.log_of(&id), cancel)
    });
    let (result, _) = context.staged(&id, Stage::Prove, run).await?;
    drop(slot);
    let log = context.store.put(result.log.clone()).await?;
    let proofs: Option<BTreeMap<ProjectName, Proof>> = result
        .outputs
        .get("proof.json")
        .and_then(|json| serde_json::from_slice(json).ok());
    let (Exit::Code(0), Some(proofs)) = (result.exit, proofs) else {
        let text = String::from_utf8_lossy(&result.log);
        let message = format!(
            "the wheels for {id} could not be installed into the bare runtime `{}`",
            inputs.runtime
        );
        let mut error = JobError::new(JobErrorKind::Audit, message);
        error.log = Some(log);
        error.tail = text.lines().map(str::to_owned).collect();
        return Err(error);
    };
    if proofs.values().all(|proof| proof.failed.is_empty()) {
        let record = ProofRecord {
            inputs,
            runtime_content: runtime.content,
            proofs: proofs.clone(),
            log,
        };
        context
            .store
            .create_record(kind::PROOF, &key, &record)
            .await?;
    }
    Ok(proofs)
}
