//! An action as the cluster's storage has it: a tree of directories, a command, and the action itself; and sending of it
//! what the storage lacks.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use futures::future::{try_join, try_join_all};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{Action, ExecutorErrorKind, INPUT_DIR, LogSink, TOOL_DIR, WORK_DIR};
use wheelfarm_reapi::{
    BlobDigest, CommandSpec, Content, EncodedAction, Source, Tree, TreeBuilder, TreeLimits,
};
use wheelfarm_types::Digest;

use super::Shared;
use super::images::RemoteImage;
use super::kept::KeptTree;
use super::outcome::failed;
use super::properties::properties;
use super::root::tree_of_archive;
use super::settings::InputPlace;
use super::stored::Stored;
use crate::error::{Result, error, store};

/// Runs the command, and says that it did.
pub(super) const WRAPPER: &str = include_str!("wrapper.sh");
/// The digests of the inputs, for the wrapper.
const LIST: &str = "/in/.wheelfarm.sha256";
/// What the wrapper leaves instead of an exit code where they are not what they should be.
pub(super) const DAMAGED: &str = "damaged";
/// Puts inputs in their places first.
const PLACES: &str = include_str!("places.sh");
/// What the wrapper leaves beside the outputs: the command's exit code.
pub(super) const STATUS: &str = "status";
/// The directory of the outputs, in the working directory.
pub(super) const OUT: &str = "out";
/// Names of stored trees as the storage has them.
const TREE_RECORD: &str = "remote-tree";
/// Upper bound of the directories of a tree in bytes.
pub(super) const TREE_SIZE: u64 = 64 << 20;

/// How large our own blobs are, so that the store is not asked again for each action.
#[derive(Debug, Default)]
pub(super) struct Sizes(Mutex<HashMap<Digest, u64>>);

/// Stored archives as trees, by the archive's digest.
#[derive(Debug, Default)]
pub(super) struct Trees(tokio::sync::Mutex<HashMap<Digest, Arc<KeptTree>>>);

/// Which tree a stored archive is.
#[derive(Debug, Serialize, Deserialize)]
struct TreeRecord {
    /// The encoded tree, in the store.
    tree: Digest,
}

/// An action, ready to be asked for and to be sent.
pub(super) struct Packed {
    /// Its digest names it in the action cache.
    pub(super) encoded: EncodedAction,
    image: Arc<RemoteImage>,
    /// The directories, and what else is made here.
    given: BTreeMap<BlobDigest, Bytes>,
    files: Vec<BlobDigest>,
    trees: Vec<(Digest, Arc<KeptTree>)>,
}

/// Describes `action` to the cluster. Sends nothing.
pub(super) async fn pack(
    shared: &Shared,
    action: &Action,
    image: Arc<RemoteImage>,
    cancel: &CancellationToken,
) -> Result<Packed> {
    let mut builder = match &image.tree {
        Some(kept) if !shared.settings.image_mode.is_by_property() => TreeBuilder::over(&kept.tree),
        _ => TreeBuilder::new(),
    };
    for directory in [INPUT_DIR, TOOL_DIR, WORK_DIR] {
        builder
            .directory(below(directory))
            .map_err(|source| bad_input(action, &source))?;
    }
    let mut files = Vec::new();
    let mut list = String::new();
    let inputs = action
        .inputs
        .iter()
        .map(|(path, digest)| (format!("{}/{path}", below(INPUT_DIR)), digest, false));
    let tools = action
        .tools
        .iter()
        .map(|(name, digest)| (format!("{}/{name}/{name}", below(TOOL_DIR)), digest, true));
    for (path, digest, executable) in inputs.chain(tools) {
        let size = size(shared, digest).await?;
        let digest = BlobDigest {
            hash: *digest,
            size,
        };
        files.push(digest);
        builder
            .file(&path, digest, executable)
            .map_err(|source| bad_input(action, &source))?;
        // Others would have to be escaped, and no wheel and no source has such a name.
        if !path.contains(['\\', '\n']) {
            // Writing to a string cannot fail.
            let _infallible = writeln!(list, "{}  /{path}", digest.hash);
        }
    }
    let list = Bytes::from(list);
    let list_digest = BlobDigest::of(&list);
    builder
        .file(below(LIST), list_digest, false)
        .map_err(|source| bad_input(action, &source))?;
    let mut trees = Vec::new();
    for (directory, archive) in &action.trees {
        let tree = stored_tree(shared, archive, cancel).await?;
        builder
            .graft(below(directory), &tree.tree)
            .map_err(|source| bad_input(action, &source))?;
        trees.push((*archive, tree));
    }
    let root = builder
        .finish()
        .map_err(|source| bad_input(action, &source))?;
    let command = CommandSpec {
        arguments: arguments(shared, action, &list_digest.hash),
        environment: environment(action, &image),
        output_paths: vec![OUT.to_owned(), STATUS.to_owned()],
        working_directory: below(WORK_DIR).to_owned(),
        properties: properties(&shared.settings, action, &image)
            .into_iter()
            .collect(),
    };
    let encoded = wheelfarm_reapi::action(&command, &root.root, action.limits.time, false, &[]);
    let mut given = root.directories;
    given.insert(list_digest, list);
    Ok(Packed {
        encoded,
        image,
        given,
        files,
        trees,
    })
}

/// Sends what the storage lacks of `packed`: how many blobs that were.
pub(super) async fn send(
    shared: &Shared,
    packed: &Packed,
    log: &LogSink,
    cancel: &CancellationToken,
) -> Result<u64> {
    let mut sent = packed.image.send(shared, log, cancel).await?;
    for (archive, tree) in &packed.trees {
        sent += send_tree(shared, archive, tree, cancel).await?;
    }
    let source: Arc<dyn Source> = Arc::new(Stored(shared.store.clone()));
    let given = packed
        .given
        .iter()
        .map(|(digest, bytes)| (*digest, bytes.clone()));
    let blobs = given
        .chain(packed.encoded.blobs.iter().cloned())
        .map(|(digest, bytes)| (digest, Content::Given(bytes)))
        .chain(
            packed
                .files
                .iter()
                .map(|digest| (*digest, Content::From(Arc::clone(&source)))),
        );
    Ok(sent + upload(shared, blobs.collect()).await?)
}

/// Whether storage has lost anything of `packed` since. Then what was made of it counts for nothing: a worker may have
/// seen a part of its inputs only, and programs do not always fail of that.
pub(super) async fn is_incomplete(shared: &Shared, packed: &Packed) -> Result<bool> {
    let now = Instant::now();
    let client = &shared.client;
    let trees = packed.trees.iter().map(|(_, tree)| tree.as_ref());
    let trees = packed.image.tree.iter().chain(trees);
    let trees = try_join_all(trees.map(|tree| tree.missing_since(client, now)));
    let own: Vec<_> = packed.given.keys().chain(&packed.files).copied().collect();
    let (trees, own) = try_join(trees, client.find_missing(&own))
        .await
        .map_err(failed)?;
    Ok(!own.is_empty() || trees.iter().any(|missing| !missing.is_empty()))
}

/// Sends those of `blobs` that the storage lacks: how many those were.
pub(super) async fn upload(shared: &Shared, blobs: Vec<(BlobDigest, Content)>) -> Result<u64> {
    let uploaded = shared.client.upload(blobs, &|_| {}).await.map_err(failed)?;
    Ok(uploaded.sent)
}

/// The stored archive `archive` as a tree.
async fn stored_tree(
    shared: &Shared,
    archive: &Digest,
    cancel: &CancellationToken,
) -> Result<Arc<KeptTree>> {
    let mut trees = shared.trees.0.lock().await;
    if let Some(tree) = trees.get(archive) {
        return Ok(Arc::clone(tree));
    }
    let record: Option<TreeRecord> = shared
        .store
        .record(TREE_RECORD, archive)
        .await
        .map_err(|source| store(&source))?;
    let known = match record {
        Some(record) if shared.contains(&record.tree).await? => Some(record.tree),
        _ => None,
    };
    let tree = if let Some(known) = known {
        read_tree(shared, &known).await?
    } else {
        let file = shared.store.file(archive).await;
        let file = file.map_err(|source| store(&source))?;
        let root = tree_of_archive(file, &shared.cache, cancel).await?;
        let record = TreeRecord {
            tree: keep_tree(shared, root.tree()).await?,
        };
        let created = shared.store.create_record(TREE_RECORD, archive, &record);
        created.await.map_err(|source| store(&source))?;
        root.tree().clone()
    };
    let tree = Arc::new(KeptTree::new(tree).map_err(failed)?);
    trees.insert(*archive, Arc::clone(&tree));
    Ok(tree)
}

/// Sends what the storage lacks of a stored archive: it is unpacked again if there is anything.
async fn send_tree(
    shared: &Shared,
    archive: &Digest,
    tree: &KeptTree,
    cancel: &CancellationToken,
) -> Result<u64> {
    if tree
        .missing(&shared.client)
        .await
        .map_err(failed)?
        .is_empty()
    {
        return Ok(0);
    }
    let file = shared.store.file(archive).await;
    let file = file.map_err(|source| store(&source))?;
    let root = tree_of_archive(file, &shared.cache, cancel).await?;
    upload(shared, Arc::new(root).blobs()).await
}

/// Puts a tree into our store: its digest there.
pub(super) async fn keep_tree(shared: &Shared, tree: &Tree) -> Result<Digest> {
    let put = shared.store.put(tree.encode()).await;
    put.map_err(|source| store(&source))
}

/// A tree of our store.
pub(super) async fn read_tree(shared: &Shared, digest: &Digest) -> Result<Tree> {
    let bytes = shared.store.get_up_to(digest, TREE_SIZE).await;
    let bytes = bytes.map_err(|source| store(&source))?;
    Tree::decode(bytes, &TreeLimits::default()).map_err(failed)
}

async fn size(shared: &Shared, digest: &Digest) -> Result<u64> {
    let sizes = || {
        shared
            .sizes
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    };
    let known = sizes().get(digest).copied();
    if let Some(size) = known {
        return Ok(size);
    }
    let size = shared.store.size(digest).await;
    let size = size.map_err(|source| store(&source))?;
    sizes().insert(*digest, size);
    Ok(size)
}

/// The command in its wrapper; where inputs lie in a directory, in one more that puts them in their places.
fn arguments(shared: &Shared, action: &Action, list: &Digest) -> Vec<String> {
    let mut arguments = Vec::new();
    if shared.settings.inputs == InputPlace::Directory {
        let trees = action.trees.keys().map(String::as_str);
        let places = [INPUT_DIR, TOOL_DIR, WORK_DIR].into_iter().chain(trees);
        let places: Vec<_> = places.map(below).collect();
        let network = if action.network { "yes" } else { "no" };
        arguments.extend(
            [
                "/bin/sh",
                "-c",
                PLACES,
                "places",
                network,
                &places.join(" "),
            ]
            .map(str::to_owned),
        );
    }
    let list = list.to_string();
    let wrapper = ["/bin/sh", "-c", WRAPPER, "wheelfarm", LIST, &list];
    arguments.extend(wrapper.map(str::to_owned));
    arguments.extend(action.command.iter().cloned());
    arguments
}

/// The variables of the command: the image's, as a container engine would set them, and the action's.
fn environment(action: &Action, image: &RemoteImage) -> BTreeMap<String, String> {
    let mut environment = image.environment.clone();
    environment.insert("HOME".to_owned(), "/tmp".to_owned());
    environment.extend(action.environment.clone());
    environment
}

/// An absolute path as one in the input root.
fn below(path: &str) -> &str {
    path.trim_start_matches('/')
}

fn bad_input(
    action: &Action,
    source: &wheelfarm_reapi::Error,
) -> wheelfarm_build::action::ExecutorError {
    let message = format!(
        "the inputs of `{}` cannot be sent: {}",
        action.name, source.message
    );
    error(ExecutorErrorKind::Engine, message)
}
