//! Bounds of the resolver's process. It unpacks source distributions to read their metadata, and has no bounds of its
//! own: a few kilobytes can unpack to more than the disk holds.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::{ResolveError, ResolveErrorKind};

/// What the process may take before it is stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes that it writes, to files and pipes.
    pub(crate) written: u64,
    /// Bytes of memory.
    pub(crate) memory: u64,
}

/// More than the sources of any lock that is meant to be used.
pub(crate) const BOUNDS: Bounds = Bounds {
    written: 16 << 30,
    memory: 4 << 30,
};

/// How often it is looked at: a fast disk takes some hundred megabytes in this time.
const INTERVAL: Duration = Duration::from_millis(100);

/// How often it is looked at after it was killed: what is not removed then is a part of the cache that nothing uses.
const PATIENCE: usize = 100;

/// The end of a process that went too far.
#[derive(Debug)]
pub(crate) struct Excess {
    message: String,
    process: PathBuf,
    /// The directory that it was unpacking into.
    unpacking: Option<PathBuf>,
}

/// Waits until the process `pid`, which keeps its files below `cache`, exceeds `bounds`. Never ends if it does not, or
/// where the kernel does not say what a process takes.
pub(crate) async fn excess(pid: Option<u32>, cache: &Path, bounds: Bounds) -> Excess {
    let Some(pid) = pid else {
        return std::future::pending().await;
    };
    let process = Path::new("/proc").join(pid.to_string());
    loop {
        tokio::time::sleep(INTERVAL).await;
        let what = if figure(&process.join("io"), "wchar:") > Some(bounds.written) {
            format!("wrote more than {} bytes", bounds.written)
        } else if figure(&process.join("status"), "VmRSS:") > Some(bounds.memory >> 10) {
            format!("took more than {} bytes of memory", bounds.memory)
        } else {
            continue;
        };
        // Its open files have real paths.
        let real = fs_err::canonicalize(cache).unwrap_or_default();
        let open = open_file(&process, &real);
        let (unpacking, file) = open.map_or((None, None), |(directory, file)| {
            (Some(directory), Some(file))
        });
        let file = file.map_or_else(String::new, |file| {
            format!(" while it unpacked `{}`", file.display())
        });
        return Excess {
            message: format!("the resolver was stopped: it {what}{file}"),
            process,
            unpacking,
        };
    }
}

impl Excess {
    /// Removes what the process was unpacking, once it is dead, and says what happened.
    pub(crate) async fn conclude(self) -> ResolveError {
        // The signal is sent; files stay open until it has taken effect.
        for _ in 0..PATIENCE {
            let open = fs_err::read_dir(self.process.join("fd"));
            if open.is_ok_and(|mut files| files.next().is_some()) {
                tokio::time::sleep(INTERVAL / 10).await;
            }
        }
        if let Some(directory) = &self.unpacking {
            // What cannot be removed is a part of the cache that nothing refers to.
            fs_err::remove_dir_all(directory).ok();
        }
        ResolveError::new(ResolveErrorKind::Source, self.message)
    }
}

/// The number behind `name` in a file of `/proc`; none once the process is gone.
fn figure(file: &Path, name: &str) -> Option<u64> {
    let text = fs_err::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// A file that the process is unpacking: the temporary directory in `cache`, and the path in it.
fn open_file(process: &Path, cache: &Path) -> Option<(PathBuf, PathBuf)> {
    let files = fs_err::read_dir(process.join("fd")).ok()?;
    files.flatten().find_map(|entry| {
        let file = fs_err::read_link(entry.path()).ok()?;
        let inner = file.strip_prefix(cache).ok()?;
        let depth = inner
            .iter()
            .position(|part| part.to_string_lossy().starts_with(".tmp"))?;
        let directory: PathBuf = inner.iter().take(depth + 1).collect();
        let member: PathBuf = inner.iter().skip(depth + 1).collect();
        let unpacked = member.components().next().is_some();
        unpacked.then(|| (cache.join(directory), member))
    })
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use tokio::io::AsyncWriteExt;
    use tokio::process::Command;

    use super::*;

    #[tokio::test]
    async fn who_writes_too_much_is_found_out_and_cleaned_up_after() {
        let cache = tempfile::tempdir().unwrap();
        let cache = fs_err::canonicalize(cache.path()).unwrap();
        let unpacking = cache.join("sdists-v1/.tmpX");
        fs_err::create_dir_all(unpacking.join("bomb-1.0")).unwrap();
        // As the resolver does while a member arrives: the file is open, and part of it is written.
        let mut child = Command::new("dd")
            .arg(format!("of={}", unpacking.join("bomb-1.0/zeros").display()))
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let bounds = Bounds {
            written: 1 << 20,
            memory: BOUNDS.memory,
        };
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(&[0; 8 << 10]).await.unwrap();
        let early = tokio::time::timeout(3 * INTERVAL, excess(child.id(), &cache, bounds));
        assert!(early.await.is_err(), "it wrote little");
        stdin.write_all(&vec![0; 2 << 20]).await.unwrap();
        let excess = excess(child.id(), &cache, bounds).await;
        drop(child);
        let said = excess.conclude().await.to_string();
        for text in ["wrote more than 1048576 bytes", "`bomb-1.0/zeros`"] {
            assert!(said.contains(text), "{said}");
        }
        assert!(!unpacking.exists());
    }

    #[tokio::test]
    async fn memory_counts_as_well() {
        let bounds = Bounds {
            written: u64::MAX,
            memory: 4096,
        };
        let ours = Some(std::process::id());
        let excess = excess(ours, Path::new("/nowhere"), bounds).await;
        assert!(
            excess.message.contains("4096 bytes of memory"),
            "{excess:?}"
        );
    }
}
