//! What a storage has on its disk, and what can happen to it there.

use anyhow::{Context, Result};

use super::docker;

/// Where buildbox-casd keeps blobs: `objects/ab/cdef...`.
const OBJECTS: &str = "/var/lib/casd/cas/objects";
/// What fills the disk.
const BALLAST: &str = "/var/lib/casd/ballast";

/// The disk of a container with buildbox-casd, which runs.
#[derive(Debug, Clone)]
pub struct Storage {
    container: String,
}

impl Storage {
    /// That of the container of this name.
    pub(super) fn of(container: &str) -> Self {
        Self {
            container: container.to_owned(),
        }
    }

    /// Removes a blob by its digest in hexadecimal, as expiry does; an error if it is not there.
    pub fn remove(&self, digest: &str) -> Result<()> {
        self.shell("rm \"$0\"", &path(digest)?)
    }

    /// Removes all blobs.
    pub fn remove_all(&self) -> Result<()> {
        self.shell("find \"$0\" -type f -delete", OBJECTS)
    }

    /// Changes the last byte of a blob, whose size stays; an error if it is not there or is empty.
    pub fn corrupt(&self, digest: &str) -> Result<()> {
        // What it ends with is written again, one bit changed: a byte below 128 becomes one above, and the reverse.
        self.shell(
            r#"size=$(stat --format %s "$0")
            last=$(tail --bytes 1 "$0" | od --address-radix n --format u1)
            printf "\\$(printf %o $((last ^ 128)))" \
                | dd of="$0" bs=1 seek=$((size - 1)) conv=notrunc status=none"#,
            &path(digest)?,
        )
    }

    /// Cuts a blob down to its first half.
    pub fn truncate(&self, digest: &str) -> Result<()> {
        self.shell(
            r#"truncate --size $(($(stat --format %s "$0") / 2)) "$0""#,
            &path(digest)?,
        )
    }

    /// The digests of all blobs, in hexadecimal.
    pub fn blobs(&self) -> Result<Vec<String>> {
        let script = "find \"$0\" -type f -printf '%P\\n'";
        let found = docker(&["exec", &self.container, "sh", "-c", script, OBJECTS])?;
        Ok(found.lines().map(|path| path.replace('/', "")).collect())
    }

    /// Writes to the disk until nothing more goes on it. Only for one with a small disk of its own!
    pub fn fill(&self) -> Result<()> {
        self.shell(
            "cat /dev/zero >\"$0\" 2>/dev/null || test -s \"$0\"",
            BALLAST,
        )
    }

    /// Takes away what [`Self::fill`] wrote.
    pub fn empty(&self) -> Result<()> {
        self.shell("rm -f \"$0\"", BALLAST)
    }

    fn shell(&self, script: &str, path: &str) -> Result<()> {
        docker(&["exec", &self.container, "sh", "-euc", script, path])
            .with_context(|| format!("of {path}"))?;
        Ok(())
    }
}

fn path(digest: &str) -> Result<String> {
    let (shard, rest) = digest.split_at_checked(2).context("a digest is longer")?;
    Ok(format!("{OBJECTS}/{shard}/{rest}"))
}
