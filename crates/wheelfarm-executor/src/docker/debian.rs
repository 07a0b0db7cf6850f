//! Makes images from Debian packages, for where no registry is in reach.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{CreateImageOptionsBuilder, TagImageOptionsBuilder};
use futures::{StreamExt, TryStreamExt};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio_util::io::ReaderStream;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, LogSink};
use wheelfarm_build::catalogue::{BuilderImage, DebianRecipe, ImageFacts, ImageSource};
use wheelfarm_types::{Arch, Libc, Target};

use crate::docker::environment::forget;
use crate::docker::error::engine;
use crate::docker::images::{ImageRole, debian_tag, facts, platform};
use crate::docker::musl;
use crate::docker::{Docker, Shared};
use crate::error::{Result, cancelled, error, hinted, io};

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

impl Docker {
    /// Makes a Debian-based image with `mmdebstrap` on this machine and imports it. Equal packages give equal
    /// layers. An image of the same name is replaced.
    pub async fn build_debian(
        &self,
        image: &BuilderImage,
        recipe: &DebianRecipe,
        role: ImageRole,
        progress: LogSink,
        cancel: &CancellationToken,
    ) -> Result<ImageFacts> {
        let ImageSource::Debian { suite } = &image.source else {
            return Err(error(
                ExecutorErrorKind::ImageUnavailable,
                format!(
                    "{} is pulled from a registry, not made from Debian packages",
                    image.name
                ),
            ));
        };
        let name = debian_tag(image, role);
        let suite = suite.clone();
        let target = image.target;
        let recipe = recipe.clone();
        let emulated = image.emulated;
        let made = self
            .supervise(cancel, |shared, cancel| async move {
                let directory = temporary_directory()?;
                let tar = directory.path().join("root.tar");
                let mut command = mmdebstrap(&recipe, directory.path());
                root_arguments(&mut command, target, &recipe, role, directory.path())?;
                command.arg(&suite).arg(&tar);
                run(command, &format!("make {name}"), &progress, &cancel).await?;
                progress(&format!("importing {name}"));
                let import = import(&shared, &name, &tar, target.arch);
                cancel
                    .run_until_cancelled(import)
                    .await
                    .ok_or_else(|| cancelled(format!("importing {name}")))?
            })
            .await;
        made.map_err(|mut error| {
            if emulated && error.kind == ExecutorErrorKind::ImageUnavailable {
                error.hint = Some("Programs of the other architecture must run here: `apt-get install qemu-user-static binfmt-support` on Debian and Ubuntu.".to_owned());
            }
            error
        })
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
        .env("SOURCE_DATE_EPOCH", EPOCH)
        .env("LC_ALL", "C")
        .env("TMPDIR", temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
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

async fn import(shared: &Arc<Shared>, name: &str, tar: &Path, arch: Arch) -> Result<ImageFacts> {
    let before = shared.inspect(name).await?;
    let file = tokio::fs::File::open(tar).await;
    let file = file.map_err(io("read the file system that mmdebstrap made"))?;
    let body = ReaderStream::with_capacity(file, 1 << 20).map_err(std::io::Error::from);
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        // With its tag in one, since Podman does not look at the tag beside it.
        .repo(name)
        .platform(&platform(arch))
        // A single one: Podman takes the rest for a part of the first.
        .changes(vec!["CMD [\"/bin/sh\"]".to_owned()])
        .build();
    let body = bollard::body_try_stream(body);
    let mut stream = shared
        .transfer
        .create_image(Some(options), Some(body), None);
    while let Some(info) = stream.next().await {
        info.map_err(engine(format!("import {name}")))?;
    }
    let image = shared.inspect(name).await?.ok_or_else(|| {
        error(
            ExecutorErrorKind::Engine,
            format!("the container engine imported {name}, but does not have it"),
        )
    })?;
    let new = facts(&image)?;
    let Some(old) = before.as_ref().map(facts).transpose()? else {
        return Ok(new);
    };
    if old.content != new.content {
        forget(shared, Some(old.id), &new.id).await;
        return Ok(new);
    }
    // Nothing new: the name goes back to the image that running builds know by its id.
    let (repository, tag) = name.split_once(':').unwrap_or((name, "latest"));
    let options = TagImageOptionsBuilder::new()
        .repo(repository)
        .tag(tag)
        .build();
    let tagged = shared.client.tag_image(&old.id, Some(options)).await;
    tagged.map_err(engine(format!("name an image {name}")))?;
    forget(shared, Some(new.id), &old.id).await;
    Ok(old)
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
