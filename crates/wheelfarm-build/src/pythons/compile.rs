//! Compiles CPython for an image: in an environment of its own, without network, and tried in the bare runtime.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use wheelfarm_store::Store;
use wheelfarm_types::{Digest, PythonVersion};

use super::{PythonInputs, PythonRecord, remember};
use crate::action::{Action, ActionResult, Executor, Exit, Limits};
use crate::catalogue::{BuilderImage, ImageFacts, python_prefix};
use crate::environment::{EnvironmentRecipe, Environments};
use crate::error::{JobError, JobErrorKind};
use crate::event::{Event, Observer, Stage, log_of};
use crate::records::{PinnedFile, kind};

const COMPILE: &str = include_str!("../scripts/compile_python.sh");
const CHECK: &str = include_str!("../scripts/check_python.py");
/// Rises when the same inputs give other files.
const SCHEMA: u32 = 1;
/// How many lines of a failure's log go into the error.
const TAIL: usize = 15;

/// The source archive of a Python, verified by who brought it.
#[derive(Debug, Clone)]
pub struct PythonSource {
    /// `python3.13_3.13.5.orig.tar.xz`.
    pub name: String,
    /// Its bytes.
    pub bytes: Bytes,
}

/// Compiles Pythons for one image. Its environment, the image with what compiling needs, is made once, and only if
/// something must be compiled.
pub struct Compiler<'a> {
    /// Where Pythons are kept.
    pub store: &'a Store,
    /// Compiles.
    pub executor: &'a dyn Executor,
    /// Makes the environment, and has the bare runtime.
    pub environments: &'a dyn Environments,
    /// For which image.
    pub image: &'a BuilderImage,
    /// System packages to compile with.
    pub packages: &'a [String],
    /// Processor cores that one compilation gets.
    pub cores: usize,
    /// Told what happens.
    pub observer: Observer,
    /// Fires when the user wants to stop.
    pub cancel: CancellationToken,
    environment: OnceCell<String>,
}

impl<'a> Compiler<'a> {
    /// A compiler for `image` that uses `packages`.
    #[allow(clippy::too_many_arguments, reason = "its services, put together once")]
    pub fn new(
        store: &'a Store,
        executor: &'a dyn Executor,
        environments: &'a dyn Environments,
        image: &'a BuilderImage,
        packages: &'a [String],
        cores: usize,
        observer: Observer,
        cancel: CancellationToken,
    ) -> Self {
        Self {
            store,
            executor,
            environments,
            image,
            packages,
            cores,
            observer,
            cancel,
            environment: OnceCell::new(),
        }
    }

    /// Gives the image `python`, compiled from `source`, unless the store has just that. Returns its record and
    /// whether it was compiled now. `job` names the work in events.
    pub async fn add(
        &self,
        job: &str,
        python: PythonVersion,
        source: PythonSource,
    ) -> Result<(PythonRecord, bool), JobError> {
        let log = log_of(&self.observer, job);
        let facts = self
            .environments
            .ensure_image(self.image, log, &self.cancel)
            .await?;
        let source_digest = Digest::of(&source.bytes);
        let inputs = PythonInputs {
            schema: SCHEMA,
            python,
            arch: self.image.target.arch,
            source: PinnedFile {
                name: source.name,
                sha256: source_digest,
            },
            image_content: facts.content,
            packages: self.packages.to_vec(),
            scripts: Digest::of([COMPILE, CHECK].concat()),
        };
        let key = crate::key::canonical_digest(&inputs);
        let known = self
            .store
            .record::<PythonRecord>(kind::PYTHON, &key)
            .await?;
        let (record, compiled) = match known {
            Some(record) if self.store.contains(&record.tree).await? => (record, false),
            _ => {
                self.store.put(source.bytes).await?;
                let record = self.compile(job, &facts, inputs).await?;
                self.store
                    .create_record(kind::PYTHON, &key, &record)
                    .await?;
                (record, true)
            }
        };
        remember(self.store, self.image, python, record.tree).await?;
        Ok((record, compiled))
    }

    async fn compile(
        &self,
        job: &str,
        facts: &ImageFacts,
        inputs: PythonInputs,
    ) -> Result<PythonRecord, JobError> {
        // Also for who waits until another Python's job has made it.
        (self.observer)(Event::Stage {
            job: job.to_owned(),
            stage: Stage::Environment,
        });
        let image = self
            .environment
            .get_or_try_init(|| self.environment(job, facts))
            .await?;
        let prefix = python_prefix(inputs.python);
        let command = [
            "/bin/sh",
            "/in/compile_python.sh",
            &inputs.python.to_string(),
            &prefix,
            &self.cores.to_string(),
        ];
        let files = [
            ("compile_python.sh", self.store.put(COMPILE.into()).await?),
            ("source", inputs.source.sha256),
        ];
        let action = self.action(&format!("compile {job}"), image, files, &command);
        let started = Instant::now();
        let result = self.run(job, Stage::Build, &action).await?;
        let seconds = started.elapsed().as_secs_f64();
        let log = self.store.put(result.log.clone()).await?;
        let tree = result.outputs.get("python.tar.gz");
        let (Exit::Code(0), Some(tree)) = (result.exit, tree) else {
            let message = format!("{job} could not be compiled from {}", inputs.source.name);
            return Err(failure(&message, log, &result));
        };
        let tree = self.store.put(tree.clone()).await?;
        let release = self.check(job, inputs.python, tree).await?;
        Ok(PythonRecord {
            inputs,
            release,
            tree,
            log,
            seconds,
        })
    }

    async fn environment(&self, job: &str, facts: &ImageFacts) -> Result<String, JobError> {
        let recipe = EnvironmentRecipe {
            image: self.image.name.clone(),
            image_content: facts.content,
            manager: self.image.manager,
            packages: self.packages.to_vec(),
        };
        let log = log_of(&self.observer, job);
        let made = self
            .environments
            .make(self.image, facts, &recipe, log, &self.cancel)
            .await?;
        Ok(made.image)
    }

    /// Tries the Python where wheels are proved: libraries that it needs and the runtime does not have show there.
    /// Returns its release.
    async fn check(
        &self,
        job: &str,
        python: PythonVersion,
        tree: Digest,
    ) -> Result<String, JobError> {
        let runtime = self.environments.runtime(self.image).await?;
        let prefix = python_prefix(python);
        let interpreter = format!("{prefix}/bin/python");
        let command = [
            &interpreter,
            "-B",
            "/in/check_python.py",
            &python.to_string(),
            &prefix,
        ];
        let files = [("check_python.py", self.store.put(CHECK.into()).await?)];
        let mut action = self.action(&format!("check {job}"), &runtime.id, files, &command);
        action.trees = [(prefix, tree)].into();
        let result = self.run(job, Stage::Prove, &action).await?;
        let release = result.outputs.get("release");
        let release = release.and_then(|bytes| std::str::from_utf8(bytes).ok());
        if let (Exit::Code(0), Some(release)) = (result.exit, release) {
            return Ok(release.to_owned());
        }
        let log = self.store.put(result.log.clone()).await?;
        let message = format!("{job} was compiled, but is not whole on the bare runtime");
        Err(failure(&message, log, &result))
    }

    fn action<const N: usize>(
        &self,
        name: &str,
        image: &str,
        files: [(&str, Digest); N],
        command: &[impl AsRef<str>],
    ) -> Action {
        let environment = [
            ("SOURCE_DATE_EPOCH", "315532800"),
            ("PYTHONHASHSEED", "0"),
            ("LC_ALL", "C.UTF-8"),
            ("TZ", "UTC"),
            ("HOME", "/tmp"),
        ];
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let cores = u16::try_from(self.cores).unwrap_or(u16::MAX);
        Action {
            name: name.to_owned(),
            image: image.to_owned(),
            inputs: files.map(|(name, file)| (name.to_owned(), file)).into(),
            tools: BTreeMap::new(),
            trees: BTreeMap::new(),
            command: command
                .iter()
                .map(|word| word.as_ref().to_owned())
                .collect(),
            environment: environment.map(owned).into(),
            network: false,
            keep_failed: false,
            compiler_cache: None,
            cores: None,
            limits: Limits {
                cores: f64::from(cores),
                memory: 4 << 30,
                pids: 4096,
                time: Duration::from_secs(2 * 3600),
                scratch: 3 << 30,
                output: 1 << 30,
                log: 16 << 20,
            },
        }
    }

    async fn run(
        &self,
        job: &str,
        stage: Stage,
        action: &Action,
    ) -> Result<ActionResult, JobError> {
        (self.observer)(Event::Stage {
            job: job.to_owned(),
            stage,
        });
        let log = log_of(&self.observer, job);
        Ok(self.executor.run(action, log.into(), &self.cancel).await?)
    }
}

fn failure(message: &str, log: Digest, result: &ActionResult) -> JobError {
    let text = String::from_utf8_lossy(&result.log);
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    let tail = lines
        .get(lines.len().saturating_sub(TAIL)..)
        .unwrap_or_default();
    let message = format!("{message}. It printed last:\n{}", tail.join("\n"));
    let mut error = JobError::new(JobErrorKind::Machine, message);
    error.log = Some(log);
    error
}
