//! Proving wheels: installed into a bare runtime, every module imported.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;
use serde_json::json;
use wheelfarm_store::{Store, StoreError};
use wheelfarm_types::{Digest, ProjectName, PythonVersion, WheelFilename};

use super::context::Context;
use super::slots::Claim;
use super::{Artifact, Origin, runtime};
use crate::action::{Action, Exit};
use crate::error::{JobError, JobErrorKind};
use crate::event::Stage;
use crate::matrix::Cell;
use crate::records::{BUILD_SCHEMA, PinnedFile, Proof, ProofInputs, ProofRecord, kind};

const PROVE_PY: &str = include_str!("../scripts/prove.py");

/// How many records are read at a time.
const READS: usize = 32;

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

/// Those of `wheels` that are on record as proved with `python`, whatever was installed beside them. Reads proofs of the
/// store until all are found: who asks for a part of what was built once has no key of a proof.
pub async fn proved(
    store: &Store,
    python: PythonVersion,
    wheels: &BTreeSet<Digest>,
) -> Result<BTreeSet<Digest>, StoreError> {
    let mut found = BTreeSet::new();
    if wheels.is_empty() {
        return Ok(found);
    }
    let keys = store.records(kind::PROOF).await?;
    let records = futures::stream::iter(keys)
        .map(async |key| store.record::<ProofRecord>(kind::PROOF, &key).await)
        .buffer_unordered(READS);
    let mut records = std::pin::pin!(records);
    while let Some(record) = records.next().await {
        // One that is gone was collected meanwhile.
        let Some(record) = record? else { continue };
        found.extend(record.proved(python).filter(|wheel| wheels.contains(wheel)));
        if found.len() == wheels.len() {
            break;
        }
    }
    Ok(found)
}

impl ProofRecord {
    /// The wheels that it proves for `python`.
    fn proved(&self, python: PythonVersion) -> impl Iterator<Item = Digest> {
        let wheels = self.inputs.wheels.iter();
        let wheels = wheels.filter(move |_| self.inputs.python == python);
        wheels.filter_map(|wheel| {
            let filename: WheelFilename = wheel.name.parse().ok()?;
            let proof = self.proofs.get(&filename.project().ok()?)?;
            proof.failed.is_empty().then_some(wheel.sha256)
        })
    }
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
        cores: None,
        limits: context.limits.clone(),
    };
    let slot = context.slot(Claim::default()).await?;
    let run = context.retrying(&id, Stage::Prove, || {
        let (executor, cancel) = (&context.executor, &context.cancel);
        executor.run(&action, context.listener(&id), cancel)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_wheel_is_proved_by_any_proof_with_its_python() {
        let store = Store::open("memory:").await.unwrap();
        let (good, bad, beside) = (Digest::of("good"), Digest::of("bad"), Digest::of("beside"));
        let file = |name: &str, sha256| PinnedFile {
            name: format!("{name}-1.0-py3-none-any.whl"),
            sha256,
        };
        let failed = Proof {
            failed: BTreeMap::from([("bad".to_owned(), "no".to_owned())]),
            ..Proof::default()
        };
        let record = ProofRecord {
            inputs: ProofInputs {
                schema: BUILD_SCHEMA,
                runtime: "runtime".to_owned(),
                python: "3.11".parse().unwrap(),
                interpreter: None,
                wheels: vec![file("good", good), file("bad", bad), file("beside", beside)],
                tests: BTreeMap::new(),
                packages: Vec::new(),
                script: Digest::of(""),
            },
            runtime_content: Digest::of(""),
            proofs: BTreeMap::from([
                ("good".parse().unwrap(), Proof::default()),
                ("bad".parse().unwrap(), failed),
            ]),
            log: Digest::of(""),
        };
        let key = Digest::of("key");
        store
            .create_record(kind::PROOF, &key, &record)
            .await
            .unwrap();
        let all = BTreeSet::from([good, bad, beside]);
        let found = proved(&store, "3.11".parse().unwrap(), &all).await.unwrap();
        assert_eq!(found, BTreeSet::from([good]));
        let found = proved(&store, "3.12".parse().unwrap(), &all).await.unwrap();
        assert_eq!(found, BTreeSet::new());
    }
}
