//! Environments: a builder image plus system packages, as a directory over the image's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, LogSink};
use wheelfarm_build::catalogue::{BuilderImage, ImageFacts};
use wheelfarm_build::environment::{
    EnvironmentRecipe, PreparedEnvironment, SystemPackage, manifest_digest,
};
use wheelfarm_types::Digest;

use crate::error::{Result, error, io};
use crate::log::Log;
use crate::output::Stdout;
use crate::packages::{self, LOG_SIZE, LibraryRoot, ROOT_SIZE, TIME, install};
use crate::sandbox::images::ImageRoot;
use crate::sandbox::launch::{Bind, Container, Work};
use crate::sandbox::place::{MAKING, Place};
use crate::sandbox::streams::{self, merged};
use crate::sandbox::{Sandbox, Shared, package_cache};

/// Below it lie the environments; their names begin with it.
const ENVIRONMENTS: &str = "environments/";
/// What says what an environment is, in its directory.
const RECORD: &str = "environment.json";
/// What was installed, over the image's root.
const LAYER: &str = "layer";
/// Characters of a digest that are enough for a name.
const SHORT: usize = 24;

/// What an environment is.
#[derive(Serialize)]
struct Record<'a> {
    /// The image that it stands on.
    image: &'a str,
    /// For people: what was asked for.
    recipe: &'a EnvironmentRecipe,
}

/// What is read of a [`Record`].
#[derive(Deserialize)]
struct Base {
    image: String,
}

impl Sandbox {
    /// Makes an environment: installs the recipe's packages over the builder image, with network and as its root, and
    /// reads what was really installed.
    pub(crate) async fn make_environment(
        &self,
        image: &BuilderImage,
        facts: &ImageFacts,
        recipe: &EnvironmentRecipe,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<PreparedEnvironment> {
        install::check_names(recipe)?;
        let (base, recipe) = (facts.id.clone(), recipe.clone());
        let what = format!("environment of {}", image.name);
        self.supervise(cancel, |shared, cancel| async move {
            let mut place = Place::new(shared, MAKING)?;
            let made = make(&mut place, &base, &recipe, &what, progress, &cancel).await;
            place.close().await;
            made
        })
        .await
    }

    /// Installs the recipe's packages as [`Self::make_environment`] does, to read what is installed then; leaves
    /// nothing behind, and an environment that was made before as it is.
    pub(crate) async fn environment_outlook(
        &self,
        image: &BuilderImage,
        facts: &ImageFacts,
        recipe: &EnvironmentRecipe,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<Vec<SystemPackage>> {
        install::check_names(recipe)?;
        let (base, recipe) = (facts.id.clone(), recipe.clone());
        let what = format!("outlook of {}", image.name);
        self.supervise(cancel, |shared, cancel| async move {
            let mut place = Place::new(shared, MAKING)?;
            let installed = install(&mut place, &base, &recipe, &what, progress, &cancel).await;
            place.close().await;
            Ok(installed?.manifest)
        })
        .await
    }
}

impl Shared {
    /// The environment that was made of `recipe`, if it is here with the packages of `manifest`.
    pub(crate) fn find_made(
        &self,
        recipe: &EnvironmentRecipe,
        manifest: &Digest,
    ) -> Option<String> {
        let name = name(recipe, manifest);
        // Its image may be gone.
        self.root_of(&name).is_ok().then_some(name)
    }

    /// What the root of containers in `image` consists of: an image or an environment.
    pub(crate) fn root_of(&self, image: &str) -> Result<ImageRoot> {
        if !image.starts_with(ENVIRONMENTS) {
            return self.image_root(image);
        }
        let directory = Path::new(image);
        let base = self.base_of(directory)?;
        let mut root = self.image_root(&base)?;
        root.layers.insert(0, directory.join(LAYER));
        root.held.push(self.hold(&directory.join(RECORD))?);
        Ok(root)
    }

    /// The image that the environment in `directory` stands on.
    fn base_of(&self, directory: &Path) -> Result<String> {
        let file = self.absolute(&directory.join(RECORD));
        let record = fs_err::read(&file).map_err(io("read what an environment is"))?;
        let base: Base = serde_json::from_slice(&record).map_err(|source| {
            let message = format!("{} is damaged: {source}", file.display());
            error(ExecutorErrorKind::Engine, message)
        })?;
        Ok(base.image)
    }

    /// The images that environments stand on.
    pub(crate) fn bases(&self) -> Result<BTreeSet<String>> {
        let names = self.names_in(ENVIRONMENTS)?;
        let environments = names.iter().map(|name| Path::new(ENVIRONMENTS).join(name));
        environments
            // Without a record it is none: somebody emptied it.
            .filter(|directory| self.absolute(&directory.join(RECORD)).exists())
            .map(|directory| self.base_of(&directory))
            .collect()
    }
}

/// Says what is installed, so that environments with other packages stand beside each other: running builds keep
/// theirs.
fn name(recipe: &EnvironmentRecipe, manifest: &Digest) -> String {
    let short = |digest: &Digest| digest.to_string().chars().take(SHORT).collect::<String>();
    format!(
        "{ENVIRONMENTS}{}-{}",
        short(&recipe.digest()),
        short(manifest)
    )
}

async fn make(
    place: &mut Place,
    base: &str,
    recipe: &EnvironmentRecipe,
    what: &str,
    progress: LogSink,
    cancel: &CancellationToken,
) -> Result<PreparedEnvironment> {
    let LibraryRoot { manifest, tar } =
        install(place, base, recipe, what, progress, cancel).await?;
    let shared = &place.shared;
    let record = Record {
        image: base,
        recipe,
    };
    let record = serde_json::to_vec(&record)
        .map_err(|source| io("describe an environment")(source.into()))?;
    let environment = place.directory("environment")?;
    let moved = fs_err::rename(
        shared.absolute(&place.join(LAYER)),
        shared.absolute(&environment.join(LAYER)),
    );
    moved.map_err(io("move the layer of an environment"))?;
    fs_err::write(shared.absolute(&environment.join(RECORD)), record)
        .map_err(io("write what an environment is"))?;
    let name = name(recipe, &manifest_digest(&manifest));
    shared.settle(&environment, Path::new(&name)).await?;
    forget_others(place, &name)?;
    Ok(PreparedEnvironment {
        image: name,
        manifest,
        root: tar,
    })
}

/// Has the environments of the same recipe with other packages removed with the place, but for those that are in use:
/// what nobody's record names any more would stay for ever.
fn forget_others(place: &Place, name: &str) -> Result<()> {
    let shared = &place.shared;
    let prefix = name.rsplit_once('-').map_or(name, |(recipe, _)| recipe);
    let names = shared.names_in(ENVIRONMENTS)?;
    let names = names.iter().map(|found| format!("{ENVIRONMENTS}{found}"));
    for other in names.filter(|other| other.starts_with(prefix) && other != name) {
        shared.take_away(Path::new(&other), RECORD, place)?;
    }
    Ok(())
}

/// Installs the packages in a container whose changes go to the place's layer; what is in it then.
async fn install(
    place: &mut Place,
    base: &str,
    recipe: &EnvironmentRecipe,
    what: &str,
    progress: LogSink,
    cancel: &CancellationToken,
) -> Result<LibraryRoot> {
    let container = container(place, base, recipe, Vec::new(), cancel).await?;
    let (stdout, log) = run(place, container, recipe, what, progress, cancel).await?;
    packages::installed(recipe, stdout, &log.finish()).await
}

/// Installs the package of a tool and copies it to the directory of `bind`; what the package manager said if that
/// failed.
pub(crate) async fn fill_tool(
    shared: &Arc<Shared>,
    image: &str,
    recipe: &EnvironmentRecipe,
    bind: Bind,
    cancel: &CancellationToken,
) -> Result<Option<String>> {
    let mut place = Place::new(Arc::clone(shared), MAKING)?;
    let mut container =
        container(&mut place, image, recipe, vec![bind.target.clone()], cancel).await?;
    container.binds.push(bind);
    let what = "compiler cache";
    let ran = run(
        &place,
        container,
        recipe,
        what,
        Arc::new(|_: &str| {}),
        cancel,
    )
    .await;
    place.close().await;
    let (stdout, log) = ran?;
    Ok(packages::tool_failure(stdout, &log.finish()))
}

/// The container that installs the packages of `recipe`, and copies a tool to the place in `tool` if there is one.
async fn container(
    place: &mut Place,
    base: &str,
    recipe: &EnvironmentRecipe,
    tool: Vec<String>,
    cancel: &CancellationToken,
) -> Result<Container> {
    let shared = &Arc::clone(&place.shared);
    let image = shared.root_of(base)?;
    place.hold(image.held);
    let temporary: PathBuf = place.join("tmp");
    let files = install::files(&shared.network)?;
    shared
        .write(&temporary, files, "installing packages", cancel)
        .await?;
    place.make_public("tmp")?;
    let mut binds = vec![Bind {
        source: temporary,
        target: "/tmp".to_owned(),
        read_only: false,
    }];
    binds.extend(package_cache::bind(shared, base, recipe).await?);
    let variables = tool
        .into_iter()
        .map(|tool| format!("WHEELFARM_TOOL={tool}"));
    let mut command = image.entry_point;
    command.extend(install::command(recipe));
    Ok(Container {
        name: place.name.clone(),
        place: place.path.clone(),
        layers: image.layers,
        upper: Some(place.directory(LAYER)?),
        binds,
        tmpfs: Vec::new(),
        files: streams::name_service(true),
        command,
        environment: merged(image.environment, variables),
        directory: "/".to_owned(),
        user: 0,
        network: true,
        limits: None,
    })
}

async fn run(
    place: &Place,
    container: Container,
    recipe: &EnvironmentRecipe,
    what: &str,
    progress: LogSink,
    cancel: &CancellationToken,
) -> Result<(Stdout, Log)> {
    let shared = &place.shared;
    let work = Work::Container(Box::new(container));
    let running = shared.machine.start(&shared.directory, &work).await?;
    shared.count_start();
    let mut stdout = Stdout::new(ROOT_SIZE);
    let mut log = Log::new(LOG_SIZE, progress);
    let streams = (&mut stdout, &mut log);
    let ended = streams::to_the_end(what, running, streams, TIME, cancel).await?;
    // What it wrote is complete only when it is gone.
    ended.ok_or_else(|| packages::too_slow(recipe))?;
    Ok((stdout, log))
}
