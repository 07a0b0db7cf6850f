//! File systems made from Debian packages by `mmdebstrap`, as tar files: for where no registry is in reach. Equal packages
//! give equal bytes, whoever makes them.

mod musl;
mod source;

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, LogSink};
use wheelfarm_build::catalogue::{BuilderImage, DebianRecipe, ImageSource};
use wheelfarm_types::{Arch, Libc, Target};

use crate::error::{Result, cancelled, error, hinted, io};
use crate::image::{ImageRole, debian_name};

pub use source::python_source;

/// The time of every file that is newer: 1980-01-01, the earliest that a zip file can hold. With this variable
/// set Python's byte code is checked by content, so it stays valid.
pub const EPOCH: &str = "315532800";
/// Hooks of mmdebstrap (`--customize-hook`). They empty what differs from run to run: caches, logs, the identity of the machine, and the byte code of Python 3.9,
/// whose compiler marks shared constants by how often they happen to be in use (later ones do not).
pub const CLEAN: [&str; 4] = [
    r#"rm -rf "$1"/var/cache/ldconfig/aux-cache "$1"/var/cache/apt/* "$1"/var/cache/debconf/*-old "$1"/var/lib/apt/lists/* "$1"/var/lib/dpkg/*-old "$1"/var/lib/dbus/machine-id "$1"/etc/hostname "$1"/etc/resolv.conf"#,
    r#"find "$1"/var/log -type f -delete"#,
    r#"if [ -d "$1"/usr/lib/python3.9 ]; then find "$1"/usr -name '*.pyc' -delete; fi"#,
    r#": >"$1"/etc/machine-id"#,
];
/// How long mmdebstrap may take to clean up after itself.
const GRACE: Duration = Duration::from_secs(30);
/// How many of its last lines an error shows.
const LAST_LINES: usize = 15;

/// Runs mmdebstrap to make the file system of `image` for `role`. Returns the tar file, which lies in `directory`, as do
/// scripts; apt must be able to read there as a user of its own: see [`temporary_directory`].
pub(crate) async fn make_root(
    image: &BuilderImage,
    recipe: &DebianRecipe,
    role: ImageRole,
    directory: &Path,
    progress: &LogSink,
    cancel: &CancellationToken,
) -> Result<PathBuf> {
    let suite = suite(image)?;
    let tar = directory.join("root.tar");
    let mut command = mmdebstrap(recipe, directory);
    root_arguments(&mut command, image.target, recipe, role, directory)?;
    command.arg(suite).arg(&tar);
    let what = format!("make {}", debian_name(image, role));
    let made = run(command, &what, progress, cancel).await;
    made.map_err(|mut error| {
        if image.emulated && error.kind == ExecutorErrorKind::ImageUnavailable {
            error.hint = Some("Programs of the other architecture must run here: `apt-get install qemu-user-static binfmt-support` on Debian and Ubuntu.".to_owned());
        }
        error
    })?;
    Ok(tar)
}

/// The suite whose packages `image` is made of.
fn suite(image: &BuilderImage) -> Result<&str> {
    match &image.source {
        ImageSource::Debian { suite } => Ok(suite),
        ImageSource::Registry { .. } => Err(error(
            ExecutorErrorKind::ImageUnavailable,
            format!(
                "{} is pulled from a registry, not made from Debian packages",
                image.name
            ),
        )),
    }
}

pub(crate) fn temporary_directory() -> Result<tempfile::TempDir> {
    let what = "make a temporary directory for mmdebstrap";
    let directory = tempfile::tempdir().map_err(io(what))?;
    // apt reads in it as a user of its own.
    let mode = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(directory.path(), mode).map_err(io(what))?;
    Ok(directory)
}

/// mmdebstrap with apt's options, and nothing yet of what it is to do.
pub(crate) fn mmdebstrap(recipe: &DebianRecipe, temporary: &Path) -> Command {
    let mut command = Command::new("mmdebstrap");
    let options = recipe
        .apt_options
        .iter()
        .map(|line| format!("--aptopt={line}"));
    command
        .args(options)
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    steady(command.as_std_mut());
    command
}

/// Has scripts of packages find the same in their environment, whoever starts `command`.
pub fn steady(command: &mut std::process::Command) {
    command
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .env("PYTHONHASHSEED", "0")
        // What is compiled by being imported keeps the time that its source had at that moment.
        .env("PYTHONDONTWRITEBYTECODE", "1");
    for name in [
        "PYTHONHOME",
        "PYTHONOPTIMIZE",
        "PYTHONPATH",
        "PYTHONPYCACHEPREFIX",
    ] {
        command.env_remove(name);
    }
}

/// What the image consists of; `directory` is for scripts that mmdebstrap calls.
fn root_arguments(
    command: &mut Command,
    target: Target,
    recipe: &DebianRecipe,
    role: ImageRole,
    directory: &Path,
) -> Result<()> {
    let packages = match role {
        ImageRole::Builder => &recipe.builder_packages,
        ImageRole::Runtime => &recipe.runtime_packages,
    };
    command
        // Engines bring their own, and who unpacks the image without being root cannot make them.
        .arg("--skip=output/dev")
        .arg(format!("--architectures={}", debian_arch(target.arch)))
        .arg(format!("--include={}", packages.join(",")));
    let musl = matches!(target.libc, Libc::Musl { .. });
    if musl && role == ImageRole::Runtime {
        return musl::runtime(command, directory);
    }
    let options = recipe
        .dpkg_options
        .iter()
        .map(|line| format!("--dpkgopt={line}"));
    command.arg("--variant=minbase").args(options);
    if musl {
        musl::builder(command, recipe, directory)?;
    }
    command.args(CLEAN.map(|hook| format!("--customize-hook={hook}")));
    Ok(())
}

/// Runs mmdebstrap to do `what`, an infinitive.
pub(crate) async fn run(
    mut command: Command,
    what: &str,
    progress: &LogSink,
    cancel: &CancellationToken,
) -> Result<()> {
    let mut child = command.spawn().map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            return hinted(
                ExecutorErrorKind::ImageUnavailable,
                format!("mmdebstrap, which is needed to {what}, is not installed"),
                "On Debian and Ubuntu: `apt-get install mmdebstrap`.",
            );
        }
        io("start mmdebstrap")(source)
    })?;
    let mut last = VecDeque::new();
    if let Some(stderr) = child.stderr.take() {
        let mut lines = BufReader::new(stderr).lines();
        loop {
            let line = cancel.run_until_cancelled(lines.next_line()).await;
            let Some(line) = line else {
                stop(&mut child).await;
                return Err(cancelled(what));
            };
            // A line that is no text is no reason to stop.
            let Some(line) = line.unwrap_or_else(|_| Some(String::new())) else {
                break;
            };
            progress(&line);
            if last.len() == LAST_LINES {
                last.pop_front();
            }
            last.push_back(line);
        }
    }
    let status = child.wait().await.map_err(io("wait for mmdebstrap"))?;
    if ExitStatus::success(&status) {
        return Ok(());
    }
    let last: Vec<String> = last.into();
    Err(hinted(
        ExecutorErrorKind::ImageUnavailable,
        format!(
            "mmdebstrap could not {what} ({status}). It said last:\n{}",
            last.join("\n")
        ),
        "It needs root, or an ordinary user with subordinate ids in /etc/subuid and /etc/subgid; and a Debian mirror in reach.",
    ))
}

/// Asks mmdebstrap to end, which unmounts and deletes what it made.
async fn stop(child: &mut Child) {
    if let Some(id) = child.id() {
        let mut kill = Command::new("kill");
        kill.arg("-TERM").arg(id.to_string()).stderr(Stdio::null());
        kill.status().await.ok();
    }
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        child.kill().await.ok();
    }
}

fn debian_arch(arch: Arch) -> &'static str {
    match arch {
        Arch::Aarch64 => "arm64",
        Arch::Armv6l | Arch::Armv7l => "armhf",
        Arch::I686 => "i386",
        Arch::Loongarch64 => "loong64",
        Arch::Ppc64le => "ppc64el",
        Arch::X86_64 => "amd64",
        Arch::Ppc64 | Arch::Riscv64 | Arch::S390x => arch.as_str(),
    }
}
