//! Commands in a directory with a root file system, where there is no engine: by bubblewrap, which shares nothing with
//! the program's own sandbox.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde::Deserialize;
use tempfile::TempDir;

use crate::docker::ContainerRun;
use crate::process::run;
use crate::sha256;

/// Where the run's own files are: all lie below it.
const FILES: &str = "/wf";
/// The user that commands run as, as in builds.
const NOBODY: &str = "65532";
/// What the container has its own of.
const OWN: [&str; 5] = ["dev", "proc", "run", "sys", "tmp"];

/// Which image a name means, as the sandbox notes it.
#[derive(Deserialize)]
struct Named {
    image: String,
}

/// The root file system of the image `name` in the sandbox `directory`.
pub(crate) fn root(directory: &Path, name: &str) -> Result<PathBuf> {
    let note = format!("names/{}.json", sha256(name.as_bytes()));
    let named = fs_err::read_to_string(directory.join(note))
        .with_context(|| format!("the sandbox has no image {name}"))?;
    let named: Named = serde_json::from_str(&named)?;
    let id = named.image.trim_start_matches("sha256:");
    Ok(directory.join("images").join(id).join("root"))
}

/// Runs a command on `root`, which it cannot change; what it printed to stdout. An error if it fails.
pub(crate) fn run_on(root: &Path, container: &ContainerRun<'_>) -> Result<String> {
    let files = TempDir::new()?;
    for (path, bytes) in &container.files {
        let below = Path::new(path).strip_prefix(FILES)?;
        let path = files.path().join(below);
        fs_err::create_dir_all(path.parent().unwrap_or(files.path()))?;
        fs_err::write(path, bytes)?;
    }
    let mut command = Command::new("bwrap");
    // Nobody whom the image knows: the home of its root is closed to whoever has other ids outside.
    command.args(["--unshare-user", "--uid", NOBODY, "--gid", NOBODY]);
    command.args([
        "--unshare-all",
        "--new-session",
        "--die-with-parent",
        "--cap-drop",
        "ALL",
    ]);
    if container.host_network {
        command.arg("--share-net");
    }
    mount(&mut command, root)?;
    command.arg("--bind").arg(files.path()).arg(FILES);
    // Last: until then it makes directories to mount on.
    command.args(["--remount-ro", "/", "--clearenv"]);
    command.args(["--setenv", "PATH", "/usr/sbin:/usr/bin:/sbin:/bin"]);
    for (name, value) in &container.environment {
        command.args(["--setenv", name, value]);
    }
    run(command
        .args(["--chdir", "/", "--"])
        .args(&container.command))
}

/// Every entry of `root` for itself: there is no place in `root` to mount the files on, and none may be made.
fn mount(command: &mut Command, root: &Path) -> Result<()> {
    for entry in fs_err::read_dir(root)? {
        let entry = entry?;
        let name = entry.file_name();
        if OWN.iter().any(|own| name == *own) {
            continue;
        }
        let target = Path::new("/").join(&name);
        if entry.file_type()?.is_symlink() {
            let points_to = fs_err::read_link(entry.path())?;
            command.arg("--symlink").arg(points_to).arg(target);
        } else {
            command.arg("--ro-bind").arg(entry.path()).arg(target);
        }
    }
    command.args(["--proc", "/proc", "--dev", "/dev"]);
    command.args(["--tmpfs", "/run", "--tmpfs", "/tmp"]);
    Ok(())
}
