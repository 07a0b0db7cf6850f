//! The launcher: what happens in the child process. One thread, no async code, and nothing but words as errors.

mod container;
mod init;
mod overlay;

use std::io::{BufRead, Write};
use std::process::ExitCode;

use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

use crate::sandbox::launch::{Launch, Work, said};
use crate::sandbox::unpack;

pub(crate) use container::RUNTIME_LOG;

pub(crate) type Result<T> = std::result::Result<T, String>;

/// The launcher's code where it could not do its work.
const FAILED: u8 = 125;

/// The whole life of a launcher: to be called before anything else starts a thread.
pub fn launcher_main() -> ExitCode {
    if init::is_meant() {
        // It returns only if it failed: else the runtime runs in its place.
        let text = init::become_runtime();
        drop(writeln!(std::io::stderr(), "sandbox: {text}"));
        return ExitCode::from(FAILED);
    }
    match session() {
        Ok(code) => ExitCode::from(code),
        Err(text) => {
            let line = text.replace('\n', " ");
            // Whoever would read it may be gone.
            say(&format!("{}{line}", said::FAILED)).ok();
            ExitCode::from(FAILED)
        }
    }
}

fn session() -> Result<u8> {
    let line = hear()?;
    let launch: Launch =
        serde_json::from_str(&line).map_err(|error| format!("read what to do: {error}"))?;
    if launch.namespace {
        unshare(UnshareFlags::NEWUSER, "make a user namespace")?;
    }
    say(said::READY)?;
    expect_go()?;
    if launch.namespace {
        become_root(launch.single)?;
    }
    match &launch.work {
        Work::Container(container) => container::run(&launch, container),
        Work::Unpack(unpack) => {
            stop_at_end_of_input();
            let here = std::path::Path::new(".");
            say(said::RUNNING)?;
            report(unpack::unpack(here, unpack))
        }
        Work::Remove { paths } => {
            stop_at_end_of_input();
            say(said::RUNNING)?;
            report(paths.iter().try_for_each(|path| remove(path)))
        }
        Work::Trial { place } => {
            overlay::own_mounts()?;
            overlay::trial(place)?;
            say(said::RUNNING)?;
            Ok(0)
        }
    }
}

/// What fails after [`said::RUNNING`] is told on stderr.
fn report(result: Result<()>) -> Result<u8> {
    match result {
        Ok(()) => Ok(0),
        Err(text) => {
            writeln!(std::io::stderr(), "{text}").map_err(|error| error.to_string())?;
            Ok(FAILED)
        }
    }
}

fn say(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")
        .and_then(|()| out.flush())
        .map_err(|error| format!("say {line}: {error}"))
}

fn hear() -> Result<String> {
    let mut line = String::new();
    match std::io::stdin().lock().read_line(&mut line) {
        Ok(0) => Err("nobody says what to do any more".to_owned()),
        Ok(_) => Ok(line.trim_end().to_owned()),
        Err(error) => Err(format!("read what to do: {error}")),
    }
}

fn expect_go() -> Result<()> {
    let line = hear()?;
    if line == said::GO {
        Ok(())
    } else {
        Err(format!("`{line}` instead of `{}`", said::GO))
    }
}

#[expect(
    unsafe_code,
    reason = "the function is unsafe for the sake of a flag that is refused here"
)]
fn unshare(flags: UnshareFlags, what: &str) -> Result<()> {
    let flags = flags.difference(UnshareFlags::FILES);
    // SAFETY: only tables of file descriptors that threads share must not be taken apart, and they are not.
    let done = unsafe { rustix::thread::unshare_unsafe(flags) };
    done.map_err(|error| format!("{what}: {error}"))
}

/// Takes the ids that the namespace has: until then they are nobody's.
fn become_root(single: bool) -> Result<()> {
    let describe = |error| format!("become root of the user namespace: {error}");
    let (user, group) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
    if !single {
        // Else the groups of whoever runs this would count inside.
        rustix::thread::set_thread_groups(&[]).map_err(describe)?;
    }
    rustix::thread::set_thread_res_gid(group, group, group).map_err(describe)?;
    rustix::thread::set_thread_res_uid(user, user, user).map_err(describe)
}

/// Ends this process when nobody holds the other end of its input any more.
fn stop_at_end_of_input() {
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        // An error is an end as well.
        std::io::Read::read_to_end(&mut std::io::stdin().lock(), &mut rest).ok();
        let own = rustix::process::getpid();
        rustix::process::kill_process(own, Signal::KILL).ok();
    });
}

fn remove(path: &std::path::Path) -> Result<()> {
    let describe = |error: std::io::Error| format!("remove {}: {error}", path.display());
    match fs_err::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return fs_err::remove_file(path).map_err(describe),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(describe(error)),
    }
    match fs_err::remove_dir_all(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {}
        Err(error) => return Err(describe(error)),
    }
    // Root may do everything only where its namespace knows the owner; it may always change its own directories.
    open_up(path);
    fs_err::remove_dir_all(path).map_err(describe)
}

/// Makes every directory below `path` writable, as far as that goes: what remains is told by the removal.
fn open_up(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs_err::set_permissions(path, PermissionsExt::from_mode(0o700)).ok();
    let Ok(entries) = fs_err::read_dir(path) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Kills the process.
pub(crate) fn kill(pid: Pid) {
    // It may have ended on its own.
    rustix::process::kill_process(pid, Signal::KILL).ok();
}
