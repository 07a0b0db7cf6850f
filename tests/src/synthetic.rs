//! A farm without an engine and an index: packages made up by the thousand, a store in memory, and an executor whose
//! builds take no time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Exit, Limits, Listener, LogSink};
use wheelfarm_build::catalogue::{BuilderImage, ImageFacts, ImageSource};
use wheelfarm_build::environment::{
    EnvironmentRecipe, EnvironmentRecord, PackageManager, PreparedEnvironment, SystemPackage,
};
use wheelfarm_build::matrix::Cell;
use wheelfarm_build::pipeline::{Added, Capacity, Context, Flights, Freshness, Lanes, Memo};
use wheelfarm_build::recipes::Recipes;
use wheelfarm_build::{Action, ActionResult, Environments, Executor, ExecutorError};
use wheelfarm_coordinator::{BuildRequest, FromSource};
use wheelfarm_resolve::{
    CompileOptions, CompileRequest, Fetcher, IndexSettings, Resolver, Uv, Wanted,
};
use wheelfarm_store::Store;
use wheelfarm_types::Digest;

use crate::sdist::{Sdist, pure_wheel};

/// When everything happens, in seconds since 1970.
const NOW: u64 = 1_800_000_000;
/// Packages that are installed in the environment: as in Debian's builders.
const INSTALLED: usize = 300;

/// A package that there is.
#[derive(Debug, Clone)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// What it is built with: names of other packages.
    pub requires: Vec<String>,
}

/// The made-up farm.
pub struct Synthetic {
    /// What jobs need.
    pub context: Context,
    /// What was built, in order, as `<name> <version> <cell>`.
    built: Arc<Builds>,
    /// One cell for each Python.
    cells: Vec<Arc<Cell>>,
    _cache: tempfile::TempDir,
}

#[derive(Default)]
struct Builds {
    order: Mutex<Vec<String>>,
    /// The tags that builds for some Python's tag leave: `py3-none-any` where nothing is said.
    tags: BTreeMap<String, String>,
    started: AtomicU64,
}

impl Executor for Builds {
    fn run<'a>(
        &'a self,
        action: &'a Action,
        _listener: Listener,
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ActionResult, ExecutorError>> {
        Box::pin(async move {
            self.started.fetch_add(1, Ordering::SeqCst);
            let job = action.name.trim_start_matches("build ").to_owned();
            let mut words = job.split(' ');
            let name = words.next().unwrap_or_default();
            let cell = words.next_back().unwrap_or_default();
            let python = cell.split('-').next().unwrap_or_default();
            let tag = self.tags.get(python).map_or("py3-none-any", String::as_str);
            let wheel = pure_wheel(&name.replace('-', "_"), "1.0", "").unwrap_or_default();
            let file = format!("{}-1.0-{tag}.whl", name.replace('-', "_"));
            let outputs = [(file, wheel.into())].into();
            let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
            order.push(job);
            Ok(ActionResult {
                exit: Exit::Code(0),
                outputs,
                log: "built\n".into(),
                kept: None,
                execution: None,
            })
        })
    }

    fn capacity(&self) -> BoxFuture<'_, Result<Capacity, ExecutorError>> {
        Box::pin(async {
            Ok(Capacity {
                slots: 8,
                cores: 8,
                memory: 64 << 30,
                each: None,
            })
        })
    }

    fn started(&self) -> u64 {
        self.started.load(Ordering::SeqCst)
    }
}

/// Environments that are there at once.
struct Instantly;

fn facts() -> ImageFacts {
    ImageFacts {
        id: "synthetic".to_owned(),
        content: Digest::of("synthetic"),
        size: 1,
    }
}

fn manifest() -> Vec<SystemPackage> {
    let package = |number| SystemPackage {
        name: format!("libpackage{number}"),
        version: format!("1.{number}-1+deb12u1"),
        arch: "amd64".to_owned(),
    };
    (0..INSTALLED).map(package).collect()
}

impl Environments for Instantly {
    fn image<'a>(
        &'a self,
        _image: &'a BuilderImage,
    ) -> BoxFuture<'a, Result<Option<ImageFacts>, ExecutorError>> {
        Box::pin(async { Ok(Some(facts())) })
    }

    fn ensure_image<'a>(
        &'a self,
        _image: &'a BuilderImage,
        _log: LogSink,
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<ImageFacts, ExecutorError>> {
        Box::pin(async { Ok(facts()) })
    }

    fn runtime<'a>(
        &'a self,
        _image: &'a BuilderImage,
    ) -> BoxFuture<'a, Result<ImageFacts, ExecutorError>> {
        Box::pin(async { Ok(facts()) })
    }

    fn find<'a>(
        &'a self,
        _record: &'a EnvironmentRecord,
    ) -> BoxFuture<'a, Result<Option<String>, ExecutorError>> {
        Box::pin(async { Ok(Some("synthetic".to_owned())) })
    }

    fn outlook<'a>(
        &'a self,
        _image: &'a BuilderImage,
        _facts: &'a ImageFacts,
        _recipe: &'a EnvironmentRecipe,
        _log: LogSink,
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<Vec<SystemPackage>, ExecutorError>> {
        Box::pin(async { Ok(manifest()) })
    }

    fn make<'a>(
        &'a self,
        _image: &'a BuilderImage,
        _facts: &'a ImageFacts,
        _recipe: &'a EnvironmentRecipe,
        _log: LogSink,
        _cancel: &'a CancellationToken,
    ) -> BoxFuture<'a, Result<PreparedEnvironment, ExecutorError>> {
        Box::pin(async {
            let mut root = tar::Builder::new(Vec::new());
            root.finish().unwrap_or_default();
            Ok(PreparedEnvironment {
                image: "synthetic".to_owned(),
                manifest: manifest(),
                root: root.into_inner().unwrap_or_default().into(),
            })
        })
    }
}

impl Synthetic {
    /// A farm for `pythons`, where builds for a Python leave wheels with the tags that `tags` gives by `cp311` and so
    /// on.
    pub async fn new(pythons: &[&str], tags: &[(&str, &str)]) -> Result<Self> {
        let cache = tempfile::tempdir()?;
        let store = Store::open("memory:").await?;
        let target = "manylinux_2_36_x86_64".parse()?;
        let pythons: Vec<_> = pythons
            .iter()
            .map(|python| python.parse())
            .collect::<Result<_, _>>()?;
        let image = BuilderImage {
            name: "synthetic".to_owned(),
            target,
            manager: PackageManager::Apt,
            pythons: pythons.clone(),
            compiled: BTreeMap::new(),
            compilable: std::collections::BTreeSet::new(),
            source: ImageSource::Debian {
                suite: "synthetic".to_owned(),
            },
            default: false,
            emulated: false,
        };
        let cell = |python| {
            Arc::new(Cell {
                image: image.clone(),
                python,
                target,
            })
        };
        let built = Arc::new(Builds {
            tags: tags
                .iter()
                .map(|(python, tag)| ((*python).to_owned(), (*tag).to_owned()))
                .collect(),
            ..Builds::default()
        });
        let uv = Uv {
            version: "0".to_owned(),
            arch: wheelfarm_types::Arch::X86_64,
            blob: store.put("uv".into()).await?,
            path: cache.path().join("no-uv"),
        };
        let context = Context {
            resolver: Resolver {
                store: store.clone(),
                uv,
                cache: cache.path().to_owned(),
                settings: IndexSettings::default(),
            },
            fetcher: Fetcher::new(IndexSettings::default(), store.clone())?,
            store,
            executor: Arc::clone(&built) as Arc<dyn Executor>,
            environments: Arc::new(Instantly),
            recipes: Recipes::default(),
            added: Added::default(),
            cache: cache.path().to_owned(),
            limits: Limits {
                cores: f64::INFINITY,
                memory: 1 << 30,
                pids: 100,
                time: Duration::from_secs(60),
                scratch: 1 << 30,
                output: 1 << 30,
                log: 1 << 20,
            },
            freshness: Freshness {
                now: NOW,
                began: Instant::now(),
                locks_not_before: 0,
                build_requires_not_before: 0,
                failures_not_before: 0,
            },
            build_tag: true,
            keep_failed: false,
            compiler_cache: false,
            observer: Arc::new(|_event| {}),
            cancel: CancellationToken::new(),
            flights: Flights::default(),
            lanes: Lanes::new(None),
            memo: Memo::default(),
        };
        Ok(Self {
            context,
            built,
            cells: pythons.into_iter().map(cell).collect(),
            _cache: cache,
        })
    }

    /// Makes `packages` known, all as sources; a request for those that `wanted` names.
    pub async fn request(&self, packages: &[Package], wanted: &[&str]) -> Result<BuildRequest> {
        let mut locked = BTreeMap::new();
        for package in packages {
            let requires: Vec<_> = package.requires.iter().map(String::as_str).collect();
            let sdist = Sdist::with_backend(&package.name, "1.0", &requires, "");
            let digest = self.context.store.put(sdist.bytes()?.into()).await?;
            let mut text = String::new();
            write!(
                text,
                "[[packages]]\nname = \"{name}\"\nversion = \"1.0\"\nsdist = {{ url = \"https://localhost/{file}\", hashes = {{ sha256 = \"{digest}\" }} }}\n",
                name = package.name,
                file = sdist.filename(),
            )?;
            locked.insert(package.name.as_str(), text);
        }
        let lock = |names: &[&str]| {
            let packages = names.iter().filter_map(|name| locked.get(name));
            let head = "lock-version = \"1.0\"\ncreated-by = \"tests\"\n".to_owned();
            packages.fold(head, |lock, package| lock + package)
        };
        let request = Wanted {
            requirements: requirements(wanted)?,
            ..Wanted::default()
        };
        let mut asked: Vec<Vec<&str>> = packages
            .iter()
            .map(|package| package.requires.iter().map(String::as_str).collect())
            .collect();
        asked.sort();
        asked.dedup();
        for cell in &self.cells {
            let wanted_lock = request.request(cell.python, cell.target);
            let resolver = &self.context.resolver;
            resolver.keep(&wanted_lock, lock(wanted), NOW).await?;
            for names in asked.iter().filter(|names| !names.is_empty()) {
                let of_build = CompileRequest {
                    requirements: requirements(names)?,
                    constraints: Vec::new(),
                    python: cell.python,
                    target: cell.target,
                    only_wheels: false,
                    no_dependencies: false,
                    options: CompileOptions::default(),
                };
                resolver.keep(&of_build, lock(names), NOW).await?;
            }
        }
        Ok(BuildRequest {
            wanted: request,
            cells: self.cells.clone(),
            from_source: FromSource::All,
            only_upstream: std::collections::BTreeSet::new(),
            prove: false,
            check_reproducible: false,
        })
    }

    /// What was built since the last call, in order.
    pub fn built(&self) -> Vec<String> {
        let mut order = self
            .built
            .order
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut order)
    }

    /// Forgets what was looked up: as in another process.
    pub fn forget(&mut self) {
        self.context.memo = Memo::default();
    }
}

fn requirements(names: &[&str]) -> Result<Vec<wheelfarm_types::Requirement>> {
    let parsed = names.iter().map(|name| Ok(name.parse()?));
    parsed.collect()
}
