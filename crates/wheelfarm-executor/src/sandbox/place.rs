//! Directories of one piece of work: named when made, removed when it ends.

use std::fs::File;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use crate::error::{Result, cancelled, io, store};
use crate::input_file::{Content, InputFile, MODIFIED, bad_path, directories};
use crate::output::clean;
use crate::sandbox::Shared;
use crate::sandbox::launch::Work;

/// Below it lie the directories of running actions.
pub(crate) const ACTIONS: &str = "actions";
/// Below it lies what is made aside, to be moved to where it belongs.
pub(crate) const MAKING: &str = "making";

/// A directory of one piece of work. Call [`Place::close`]; if it is dropped instead, by a panic, removal goes on in
/// the background.
pub(crate) struct Place {
    pub(crate) shared: Arc<Shared>,
    /// Relative to the sandbox's directory.
    pub(crate) path: PathBuf,
    /// Unique on this machine: the last part of [`Self::path`].
    pub(crate) name: String,
    is_kept: bool,
    /// Records of what it uses: while they are open and locked, nobody removes that.
    held: Vec<File>,
}

impl Place {
    /// Makes an empty one below `parent`.
    pub(crate) fn new(shared: Arc<Shared>, parent: &str) -> Result<Self> {
        let name = shared.unique_name();
        let path = Path::new(parent).join(&name);
        let place = Self {
            shared,
            path,
            name,
            is_kept: false,
            held: Vec::new(),
        };
        place.shared.make_directory(&place.path)?;
        Ok(place)
    }

    /// A path in it, relative to the sandbox's directory.
    pub(crate) fn join(&self, path: impl AsRef<Path>) -> PathBuf {
        self.path.join(path)
    }

    /// Makes a directory in it; returns its path as [`Self::join`] does.
    pub(crate) fn directory(&self, path: &str) -> Result<PathBuf> {
        let path = self.join(path);
        self.shared.make_directory(&path)?;
        Ok(path)
    }

    /// Lets everybody in a container write to a directory in it, as to `/tmp`.
    pub(crate) fn make_public(&self, path: &str) -> Result<()> {
        let mode = std::fs::Permissions::from_mode(0o1777);
        fs_err::set_permissions(self.shared.absolute(&self.join(path)), mode)
            .map_err(io("make a directory of a container writable"))
    }

    /// Has what `records` are locks of stay as long as this.
    pub(crate) fn hold(&mut self, records: Vec<File>) {
        self.held.extend(records);
    }

    /// Leaves it when this ends.
    pub(crate) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// Removes it. What cannot be removed is left to the next run's sweep: it is no reason to fail work that is done.
    pub(crate) async fn close(mut self) {
        if !std::mem::replace(&mut self.is_kept, true) {
            self.shared.remove(&self.path).await;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.is_kept {
            return;
        }
        let (shared, path) = (Arc::clone(&self.shared), self.path.clone());
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let work = async move { shared.remove(&path).await };
            drop(self.shared.tasks.spawn_on(work, &runtime));
        }
    }
}

impl Shared {
    /// Opens the record of an image or environment that is about to be used; whoever wants to remove it needs the lock
    /// for itself.
    pub(crate) fn hold(&self, record: &Path) -> Result<File> {
        let what = || io("hold an image of the sandbox");
        let file = fs_err::File::open(self.absolute(record)).map_err(what())?;
        file.file().lock_shared().map_err(what())?;
        // Whoever had the lock may just have removed it.
        fs_err::metadata(self.absolute(record)).map_err(what())?;
        Ok(file.into_file())
    }

    /// Where `path` is for this process.
    pub(crate) fn absolute(&self, path: &Path) -> PathBuf {
        self.directory.join(path)
    }

    /// What is in the directory `path`: nothing if it is not there.
    pub(crate) fn names_in(&self, path: &str) -> Result<Vec<String>> {
        let absolute = self.absolute(Path::new(path));
        if !absolute.exists() {
            return Ok(Vec::new());
        }
        let mut names = Vec::new();
        for entry in fs_err::read_dir(absolute).map_err(io("list what the sandbox has"))? {
            let entry = entry.map_err(io("list what the sandbox has"))?;
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    /// Makes a directory, and those above it, that belong to the root of containers.
    pub(crate) fn make_directory(&self, path: &Path) -> Result<()> {
        self.machine.prepare(&self.directory, path)
    }

    /// Gives a file or directory of ours to the root of containers.
    pub(crate) fn give(&self, absolute: &Path) -> Result<()> {
        let (user, group) = self.machine.owner();
        fs_err::os::unix::fs::lchown(absolute, Some(user), Some(group))
            .map_err(io("give a file to the root of containers"))
    }

    /// Moves what is ready to where it belongs; what is there already stays, and this is left where it is.
    pub(crate) async fn settle(&self, from: &Path, to: &Path) -> Result<()> {
        on_disk(self.absolute(from)).await?;
        let target = self.absolute(to);
        if let Some(parent) = target.parent() {
            fs_err::create_dir_all(parent).map_err(io("make a directory of the sandbox"))?;
        }
        match fs_err::rename(self.absolute(from), &target) {
            Err(_) if target.exists() => Ok(()),
            renamed => renamed.map_err(io("put into place what was made for the sandbox")),
        }
    }

    /// Moves the directory `path`, whose users hold its `record`, into `place`, with which it is removed; unless somebody
    /// holds it, or it is not there.
    pub(crate) fn take_away(&self, path: &Path, record: &str, place: &Place) -> Result<()> {
        let what = || io("remove what nothing in the sandbox uses");
        let file = match fs_err::File::open(self.absolute(&path.join(record))) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(what()(error)),
        };
        // Held until it is out of the way, so that nobody begins to use it.
        if file.file().try_lock().is_err() {
            return Ok(());
        }
        let name = path.file_name().unwrap_or_default();
        let aside = self.absolute(&place.join(name));
        fs_err::rename(self.absolute(path), aside).map_err(what())
    }

    /// Removes a file or directory; whoever owns what is in it. What cannot be removed stays.
    pub(crate) async fn remove(&self, path: &Path) {
        let absolute = self.absolute(path);
        let removed = tokio::task::spawn_blocking(move || fs_err::remove_dir_all(absolute)).await;
        if !matches!(removed, Ok(Ok(()))) && self.absolute(path).exists() {
            let paths = vec![path.to_owned()];
            let remove = Work::Remove { paths };
            self.work(&remove, &CancellationToken::new()).await.ok();
        }
    }

    /// Writes `files` into the directory `path`, of which stored ones are verified as they go.
    pub(crate) async fn write(
        &self,
        path: &Path,
        files: Vec<InputFile>,
        what: &str,
        cancel: &CancellationToken,
    ) -> Result<()> {
        self.make_directory(path)?;
        for file in &files {
            if clean(Path::new(&file.path)).as_deref() != Some(file.path.as_str()) {
                return Err(bad_path(&file.path, "it is no plain relative path"));
            }
        }
        for directory in directories(&files)? {
            self.make_directory(&path.join(directory))?;
        }
        for file in files {
            let target = self.absolute(&path.join(&file.path));
            let written = self.write_file(&target, file.content, file.executable);
            cancel
                .run_until_cancelled(written)
                .await
                .ok_or_else(|| cancelled(what))??;
        }
        Ok(())
    }

    async fn write_file(&self, target: &Path, content: Content, executable: bool) -> Result<()> {
        let mut chunks: BoxStream<'_, Result<Bytes>> = match content {
            Content::Given(bytes) => stream::iter([Ok(bytes)]).boxed(),
            Content::Stored(digest) => {
                let whole = self.store.whole(&digest).await;
                let whole = whole.map_err(|source| store(&source))?;
                let chunks = whole.into_stream();
                chunks
                    .map(|chunk| chunk.map_err(|source| store(&source)))
                    .boxed()
            }
        };
        let failed = || io("write an input of an action");
        let file = fs_err::tokio::File::create(target).await;
        let mut file = file.map_err(failed())?;
        while let Some(chunk) = chunks.next().await {
            file.write_all(&chunk?).await.map_err(failed())?;
        }
        file.flush().await.map_err(failed())?;
        let mode = if executable { 0o755 } else { 0o644 };
        let file = file.into_parts().0.into_std().await;
        file.set_permissions(std::fs::Permissions::from_mode(mode))
            .map_err(failed())?;
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(MODIFIED);
        file.set_modified(time).map_err(failed())?;
        self.give(target)
    }

    /// Runs work that is no container to its end.
    pub(crate) async fn work(&self, work: &Work, cancel: &CancellationToken) -> Result<()> {
        let done = self.machine.to_the_end(&self.directory, work);
        let done = cancel.run_until_cancelled(done).await;
        done.ok_or_else(|| cancelled("work on the sandbox's files"))?
    }
}

/// Waits until everything on the file system of `directory` is on the disk: an image that a loss of power had emptied
/// would give other wheels than its name says.
async fn on_disk(directory: PathBuf) -> Result<()> {
    let written = tokio::task::spawn_blocking(move || {
        let directory = fs_err::File::open(directory)?;
        Ok::<_, std::io::Error>(rustix::fs::syncfs(directory)?)
    });
    let written = written
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)));
    written.map_err(io("write to the disk what was made for the sandbox"))
}
