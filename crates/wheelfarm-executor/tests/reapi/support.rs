//! A cluster in this process, an executor for it, and actions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prost::Message;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::Environments;
use wheelfarm_build::action::{Action, ActionResult, Executor, ExecutorError, Limits, LogSink};
use wheelfarm_build::environment::{EnvironmentRecipe, EnvironmentRecord, PackageManager};
use wheelfarm_executor::reapi::{ImageMode, InputPlace, Reapi, ReapiSettings};
use wheelfarm_reapi::BlobDigest;
use wheelfarm_reapi::fake::{Fake, Options, RpcStatus, State, Step, messages};
use wheelfarm_store::Store;
use wheelfarm_types::Digest;

/// What an action of [`Cluster::action`] is given.
pub(crate) const INPUT: &str = "input";

pub(crate) struct Cluster {
    pub(crate) fake: Fake,
    pub(crate) reapi: Reapi,
    pub(crate) store: Store,
    image: String,
    _cache: TempDir,
}

impl Cluster {
    /// A cluster whose workers are in the image already.
    pub(crate) async fn start() -> Self {
        let fake = Fake::start(Options::default());
        let store = Store::open("memory:").await.unwrap();
        let cache = tempfile::tempdir().unwrap();
        let settings = ReapiSettings {
            connection: fake.settings(),
            image_mode: ImageMode::Pool,
            inputs: InputPlace::Directory,
            properties: [
                ("pool", "{image}-{packages}"),
                ("cpu", "{cores}"),
                ("memory", "{memory-mib}"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
            network_properties: [("network".to_owned(), "on".to_owned())].into(),
            registry_login: None,
            priority: 3,
            jobs: 4,
            cores: 2,
            queue_timeout: Duration::from_secs(60),
        };
        let directory = cache.path().to_owned();
        let reapi = Reapi::connect(settings, store.clone(), None, directory)
            .await
            .unwrap();
        let record = EnvironmentRecord {
            generation: 1,
            recipe: EnvironmentRecipe {
                image: "debian-12".to_owned(),
                image_content: Digest::of("image"),
                manager: PackageManager::Apt,
                packages: vec!["libpq-dev".to_owned(), "zlib1g-dev".to_owned()],
            },
            manifest: Vec::new(),
            root: Digest::of("root"),
        };
        let image = reapi.find(&record).await.unwrap().unwrap();
        Self {
            fake,
            reapi,
            store,
            image,
            _cache: cache,
        }
    }

    pub(crate) async fn action(&self) -> Action {
        let input = self.store.put(INPUT.into()).await.unwrap();
        Action {
            name: "test".to_owned(),
            image: self.image.clone(),
            inputs: BTreeMap::from([("a/b".to_owned(), input)]),
            tools: BTreeMap::new(),
            trees: BTreeMap::new(),
            command: vec!["make".to_owned()],
            environment: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
            network: false,
            keep_failed: false,
            compiler_cache: None,
            cores: None,
            limits: Limits {
                cores: 1.0,
                memory: 1 << 30,
                pids: 100,
                time: Duration::from_secs(60),
                scratch: 1 << 20,
                output: 1000,
                log: 1000,
            },
        }
    }

    pub(crate) async fn run(&self, action: &Action) -> Result<ActionResult, ExecutorError> {
        let log: LogSink = Arc::new(|_| {});
        self.reapi
            .run(action, log.into(), &CancellationToken::new())
            .await
    }

    /// What an action of this cluster is called in its storage: it is run once for that.
    pub(crate) async fn name_of(&self, action: &Action) -> BlobDigest {
        let name = Arc::new(std::sync::Mutex::new(None));
        let found = Arc::clone(&name);
        self.fake.state().work(move |state, action| {
            *found.lock().unwrap() = Some(*action);
            success(state)
        });
        self.run(action).await.unwrap();
        let name = name.lock().unwrap().take();
        name.expect("the action was not executed")
    }
}

/// Files that an action leaves in its output directory, as a worker reports them.
pub(crate) fn output(state: &State, files: &[(&str, &str)]) -> messages::OutputDirectory {
    let files = files.iter().map(|(name, content)| messages::FileNode {
        name: (*name).to_owned(),
        digest: Some(digest(state.put((*content).to_owned()))),
        ..messages::FileNode::default()
    });
    directory(
        state,
        messages::Directory {
            files: files.collect(),
            ..messages::Directory::default()
        },
    )
}

pub(crate) fn directory(state: &State, root: messages::Directory) -> messages::OutputDirectory {
    let tree = messages::Tree {
        root: Some(root),
        children: Vec::new(),
    };
    messages::OutputDirectory {
        path: "out".to_owned(),
        tree_digest: Some(digest(state.put(tree.encode_to_vec()))),
        ..messages::OutputDirectory::default()
    }
}

/// The file in which the wrapper says how the command ended.
pub(crate) fn status(state: &State, code: i32) -> messages::OutputFile {
    messages::OutputFile {
        path: "status".to_owned(),
        digest: Some(digest(state.put(format!("{code}\n")))),
        ..messages::OutputFile::default()
    }
}

/// The result of a command that ended with `code` and left the file `wheel`.
pub(crate) fn result(state: &State, code: i32) -> messages::ActionResult {
    messages::ActionResult {
        exit_code: code,
        output_files: vec![status(state, code)],
        output_directories: vec![output(state, &[("wheel", "content")])],
        stderr_digest: Some(digest(state.put("log\n"))),
        ..messages::ActionResult::default()
    }
}

pub(crate) fn success(state: &State) -> Vec<Step> {
    wheelfarm_reapi::fake::completed(result(state, 0))
}

/// An engine's own failure.
pub(crate) fn broken(code: i32, message: &str) -> Vec<Step> {
    wheelfarm_reapi::fake::failed(RpcStatus {
        code,
        message: message.to_owned(),
        ..RpcStatus::default()
    })
}

pub(crate) fn digest(digest: BlobDigest) -> messages::Digest {
    digest.into()
}
