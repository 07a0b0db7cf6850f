//! Getting `uv`: pinned by version and sha256, from the Python package index, kept in the store.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::process::Command;
use wheelfarm_store::Store;
use wheelfarm_types::{Arch, Digest};
use wheelfarm_wheel::Wheel;

use crate::{ResolveError, ResolveErrorKind};

const PIN: &str = include_str!("uv.toml");

/// Which uv we use (`uv.toml`).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UvPin {
    /// Version.
    pub version: String,
    wheels: BTreeMap<Arch, PinnedWheel>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct PinnedWheel {
    filename: String,
    sha256: Digest,
}

/// The executable, in the store and as a file to run.
#[derive(Debug, Clone)]
pub struct Uv {
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub arch: Arch,
    /// The executable's blob: what build containers get.
    pub blob: Digest,
    /// A file with the same bytes.
    pub path: PathBuf,
}

/// The record of an unpacked uv, keyed by its wheel.
#[derive(Serialize, Deserialize)]
struct UvRecord {
    blob: Digest,
}

impl UvPin {
    /// The pin that is compiled in.
    ///
    /// # Panics
    /// Never: a test parses the data.
    pub fn builtin() -> Self {
        toml::from_str(PIN).expect("uv.toml is checked by a test")
    }
}

impl Uv {
    /// Whether `store` has the pinned uv for `arch`: then nothing is downloaded to obtain it.
    pub async fn is_stored(store: &Store, arch: Arch) -> Result<bool, ResolveError> {
        match UvPin::builtin().wheels.get(&arch) {
            Some(pinned) => Ok(stored(store, pinned).await?.is_some()),
            None => Ok(false),
        }
    }

    /// Finds the pinned uv for `arch` in `store`, or downloads it, and puts the executable under `directory`.
    ///
    /// `wheel` is a file that the user brought, for machines where pip is not at hand.
    pub async fn obtain(
        store: &Store,
        directory: &Path,
        arch: Arch,
        wheel: Option<&Path>,
    ) -> Result<Self, ResolveError> {
        let pin = UvPin::builtin();
        let Some(pinned) = pin.wheels.get(&arch) else {
            let message = format!("there is no static build of uv {} for {arch}", pin.version);
            return Err(ResolveError::new(ResolveErrorKind::Uv, message));
        };
        let blob = if let Some(blob) = stored(store, pinned).await? {
            blob
        } else {
            let bytes = match wheel {
                Some(path) => fs_err::read(path)?,
                None => download(&pin.version, pinned).await?,
            };
            let found = Digest::of(&bytes);
            if found != pinned.sha256 {
                let message = format!(
                    "`{}` has the sha256 {found}, not the pinned {}",
                    pinned.filename, pinned.sha256
                );
                return Err(ResolveError::new(ResolveErrorKind::HashMismatch, message));
            }
            let blob = store.put(executable(bytes, pinned, &pin.version)?).await?;
            store
                .create_record("uv", &pinned.sha256, &UvRecord { blob })
                .await?;
            blob
        };
        let path = directory.join(format!("uv-{}-{}", pin.version, blob.short()));
        if !path.exists() {
            fs_err::create_dir_all(directory)?;
            let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
            std::io::copy(&mut store.file(&blob).await?, &mut temporary)?;
            fs_err::set_permissions(temporary.path(), std::fs::Permissions::from_mode(0o755))?;
            temporary.persist(&path).map_err(|error| error.error)?;
        }
        Ok(Self {
            version: pin.version,
            arch,
            blob,
            path,
        })
    }
}

/// The executable that was unpacked from `pinned`, if `store` has it.
async fn stored(store: &Store, pinned: &PinnedWheel) -> Result<Option<Digest>, ResolveError> {
    Ok(
        match store.record::<UvRecord>("uv", &pinned.sha256).await? {
            Some(record) if store.contains(&record.blob).await? => Some(record.blob),
            _ => None,
        },
    )
}

fn executable(wheel: Vec<u8>, pinned: &PinnedWheel, version: &str) -> Result<Bytes, ResolveError> {
    let error = |message: String| ResolveError::new(ResolveErrorKind::Uv, message);
    let filename = pinned.filename.parse().map_err(|e| error(format!("{e}")))?;
    let wheel = Wheel::from_bytes(wheel, filename).map_err(|e| error(e.to_string()))?;
    let bytes = wheel
        .read(&format!("uv-{version}.data/scripts/uv"))
        .map_err(|e| error(e.to_string()))?;
    Ok(bytes.into())
}

/// Lets pip download the wheel: it knows this machine's index, proxy, CA and credential settings, and the
/// default index when there are none.
async fn download(version: &str, pinned: &PinnedWheel) -> Result<Vec<u8>, ResolveError> {
    let error = |message: String| {
        ResolveError::new(ResolveErrorKind::Uv, message).hint(format!(
            "install pip for python3, or download `{}` yourself and name it with `--uv-wheel FILE`",
            pinned.filename
        ))
    };
    let platform = pinned
        .filename
        .trim_end_matches(".whl")
        .rsplit(['.', '-'])
        .next()
        .unwrap_or_default();
    let directory = tempfile::tempdir()?;
    let run = Command::new("python3")
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            "--only-binary=:all:",
        ])
        .args([
            "--disable-pip-version-check",
            "--implementation=py",
            "--abi=none",
            "--platform",
            platform,
        ])
        .arg("--dest")
        .arg(directory.path())
        .arg(format!("uv=={version}"))
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let output = run.map_err(|e| {
        error(format!(
            "`python3 -m pip download uv=={version}` could not be started: {e}"
        ))
    })?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let reason = stderr
            .lines()
            .rfind(|line| !line.trim().is_empty())
            .unwrap_or("no reason given");
        return Err(error(format!(
            "`python3 -m pip download uv=={version}` failed: {}",
            reason.trim()
        )));
    }
    Ok(fs_err::read(directory.path().join(&pinned.filename))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pin_is_for_one_version() {
        let pin = UvPin::builtin();
        for (arch, wheel) in &pin.wheels {
            assert!(
                wheel.filename.starts_with(&format!("uv-{}-", pin.version)),
                "{arch}"
            );
            assert!(
                wheel.filename.contains(&format!("musllinux_1_1_{arch}")),
                "{arch}: not the static build"
            );
        }
    }

    #[tokio::test]
    async fn another_wheel_is_refused() {
        let store = Store::open("memory:").await.unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("uv.whl");
        fs_err::write(&file, "not uv").unwrap();
        let error = Uv::obtain(&store, directory.path(), Arch::X86_64, Some(&file))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ResolveErrorKind::HashMismatch);
    }
}
