//! The root of a container: layers on top of each other, with a place for everything that is mounted on them.

use std::ffi::CString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::thread::UnshareFlags;

use super::{Result, unshare};
use crate::sandbox::launch::Container;

/// Where the sandbox's directory is bound: directories that every machine has.
const PLACES: [&str; 3] = ["/tmp", "/mnt", "/run"];
/// The kernel takes mount options of at most one page.
const MAX_OPTIONS: usize = 4095;
/// Where the machine mounts its control groups.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Makes a mount namespace of our own, in which the current directory can be reached: returns its path there.
///
/// The way to it may lead through directories that the root of a user namespace cannot enter; that it is the current
/// directory is enough to bind it.
pub(crate) fn own_mounts() -> Result<PathBuf> {
    unshare(UnshareFlags::NEWNS, "make a mount namespace")?;
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", private)
        .map_err(|error| format!("make the mounts private: {error}"))?;
    let place = PLACES.into_iter().find(|place| Path::new(place).is_dir());
    let place = place.ok_or_else(|| format!("none of {} exists", PLACES.join(", ")))?;
    rustix::mount::mount_bind_recursive(".", place)
        .map_err(|error| format!("bind the sandbox's directory to {place}: {error}"))?;
    rustix::process::chdir(place).map_err(|error| format!("enter {place}: {error}"))?;
    Ok(PathBuf::from(place))
}

/// Hides the control groups of the machine.
pub(crate) fn hide_control_groups() -> Result<()> {
    if !Path::new(CGROUPS).is_dir() {
        return Ok(());
    }
    rustix::mount::mount("none", CGROUPS, "tmpfs", MountFlags::NOSUID, None)
        .map_err(|error| format!("hide {CGROUPS}: {error}"))
}

/// Mounts two empty layers, to see whether it works.
pub(crate) fn trial(place: &Path) -> Result<()> {
    let lower = ["a", "b"].map(|name| place.join(name));
    let root = place.join("trial");
    for path in lower.iter().chain([&root]) {
        directory(path)?;
    }
    mount(&lower, None, &root)
}

/// Makes places for everything that is mounted on the root, mounts the root and returns where it is.
///
/// Directories lie below the layers, so that what the image has counts, links included. Files lie above them: an
/// image may have a link in their place that leads nowhere.
pub(crate) fn mount_root(container: &Container) -> Result<PathBuf> {
    let place = &container.place;
    let (top, bottom, root) = (place.join("top"), place.join("bottom"), place.join("root"));
    for path in [&top, &bottom, &root] {
        directory(path)?;
    }
    for target in ["proc", "dev", "sys", "tmp"] {
        directory(&bottom.join(target))?;
    }
    for tmpfs in &container.tmpfs {
        directory(&inside(&bottom, &tmpfs.target)?)?;
    }
    for bind in &container.binds {
        let target = inside(&bottom, &bind.target)?;
        if bind.source.is_dir() {
            directory(&target)?;
        } else {
            file(&target)?;
        }
    }
    for (target, _) in &container.files {
        file(&inside(&top, target)?)?;
    }
    let mut lower = vec![top];
    lower.extend(container.layers.iter().cloned());
    lower.push(bottom);
    let work = place.join("work");
    let writable = match &container.upper {
        Some(upper) => {
            directory(&work)?;
            Some((upper.as_path(), work.as_path()))
        }
        None => None,
    };
    mount(&lower, writable, &root)?;
    Ok(root)
}

fn mount(lower: &[PathBuf], writable: Option<(&Path, &Path)>, root: &Path) -> Result<()> {
    let in_namespace = !is_first_user_namespace();
    let text = options(lower, writable, in_namespace);
    if text.len() > MAX_OPTIONS {
        return Err(format!(
            "the root has too many layers: {} of them, and their names do not fit into one page",
            lower.len()
        ));
    }
    let text = CString::new(text).map_err(|_| "a layer has a zero byte in its path".to_owned())?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("overlay", root, "overlay", flags, text.as_c_str())
        .map_err(|error| format!("mount an overlay of {} layers: {error}", lower.len()))
}

fn options(lower: &[PathBuf], writable: Option<(&Path, &Path)>, in_namespace: bool) -> String {
    let layers: Vec<_> = lower.iter().map(|path| escaped(path)).collect();
    let mut options = vec![format!("lowerdir={}", layers.join(":"))];
    if let Some((upper, work)) = writable {
        options.push(format!("upperdir={}", escaped(upper)));
        options.push(format!("workdir={}", escaped(work)));
    }
    // A layer must mean the same wherever it is mounted later: no attributes that only some kernels write.
    if in_namespace {
        options.push("userxattr".to_owned());
    } else {
        options.push("redirect_dir=off,metacopy=off,index=off".to_owned());
    }
    options.join(",")
}

/// Colons part layers, commas options.
fn escaped(path: &Path) -> String {
    let mut escaped = String::new();
    for character in path.to_string_lossy().chars() {
        if matches!(character, ':' | ',' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

/// The first one maps every id there is.
fn is_first_user_namespace() -> bool {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// `target`, an absolute path of the container, below `layer`.
fn inside(layer: &Path, target: &str) -> Result<PathBuf> {
    let relative = target.trim_start_matches('/');
    let plain = relative
        .split('/')
        .all(|part| !matches!(part, "" | "." | ".."));
    if !plain || relative.len() == target.len() {
        return Err(format!(
            "`{target}` is no absolute path to mount something on"
        ));
    }
    Ok(layer.join(relative))
}

/// Makes a directory that every user may enter, and those above it.
pub(crate) fn directory(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| error.to_string())?;
    fs::set_permissions(path, PermissionsExt::from_mode(0o755)).map_err(|error| error.to_string())
}

fn file(path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        directory(parent)?;
    }
    fs::File::create(path)
        .map(drop)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_layers_cannot_be_taken_for_options() {
        let lower = [
            PathBuf::from("images/sha256:1/root"),
            PathBuf::from("a,b\\"),
        ];
        let options = options(&lower, None, true);
        assert_eq!(options, r"lowerdir=images/sha256\:1/root:a\,b\\,userxattr");
    }

    #[test]
    fn only_absolute_plain_paths_are_mounted_on() {
        let layer = Path::new("layer");
        assert_eq!(inside(layer, "/in/x").unwrap(), Path::new("layer/in/x"));
        for bad in ["", "/", "in", "/in/../x", "/in//x", "/in/"] {
            assert!(inside(layer, bad).is_err(), "{bad}");
        }
    }
}
