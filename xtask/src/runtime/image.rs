//! What is in an image.

use std::process::Command;

use wheelfarm_tests::anyhow::{Context, Result, bail, ensure};
use wheelfarm_tests::process::run;

use super::docker::docker;

/// The names of compilers and what goes with them.
const COMPILERS: [&str; 8] = [
    "cc",
    "gcc",
    "g++",
    "clang",
    "ld",
    "as",
    "make",
    "pkg-config",
];
/// Asks the loader for the libraries of every shared object outside the system's own, and prints what it does not
/// find. The image's Python runs it: there may be no shell.
const RESOLVE: &str = include_str!("resolve.py");

/// Figures of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Figures {
    /// Bytes that a registry keeps, compressed by gzip.
    pub(super) compressed: u64,
    /// Bytes on the engine's disk.
    pub(super) disk: u64,
    /// Packages of the system.
    pub(super) packages: usize,
    /// Files that run as somebody else than who starts them.
    pub(super) setuid: usize,
}

/// The names of all files in an image, and what `tar` says of their modes.
struct Listing(Vec<(String, String)>);

impl Figures {
    pub(super) fn of(image: &str) -> Result<Self> {
        let disk = docker(&["image", "inspect", "--format", "{{.Size}}", image])?;
        let compressed = shell(r#"docker save "$0" | gzip -6 | wc -c"#, image)?;
        let packages = shell(
            r#"id=$(docker create "$0" none) && docker export "$id" |
            tar --extract --to-stdout --wildcards var/lib/dpkg/status 'var/lib/dpkg/status.d/*' lib/apk/db/installed 2>/dev/null |
            grep -c -e '^Package: ' -e '^P:'; docker rm "$id" >/dev/null"#,
            image,
        )?;
        Ok(Self {
            compressed: compressed.trim().parse().context("the compressed size")?,
            disk: disk.trim().parse().context("the size")?,
            packages: packages.trim().parse().context("the number of packages")?,
            setuid: Listing::of(image)?.setuid().len(),
        })
    }
}

/// Whether `image` has `pip`; whether it may is another question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pip {
    /// Its base has it, as the official images do.
    OfBase,
    /// None.
    Absent,
}

/// Fails unless `image` is as a final image has to be: no compiler, no setuid file of ours, not root, nothing that
/// the loader cannot find.
pub(super) fn check(image: &str, pip: Pip) -> Result<()> {
    let user = docker(&["image", "inspect", "--format", "{{.Config.User}}", image])?;
    let user = user.trim();
    let number = user.split(':').next().unwrap_or_default();
    ensure!(
        number.parse::<u32>().is_ok_and(|number| number > 0),
        "{image} runs as `{user}`, not as a number other than 0"
    );
    let listing = Listing::of(image)?;
    let compilers: Vec<_> = listing
        .programs()
        .filter(|name| is_compiler(name))
        .collect();
    ensure!(compilers.is_empty(), "{image} has {}", compilers.join(", "));
    let has_pip = listing
        .0
        .iter()
        .any(|(_, path)| path.ends_with("/pip/__main__.py") && !path.contains("/share/"));
    ensure!(
        pip == Pip::OfBase || !has_pip,
        "{image} has pip, which it should not"
    );
    // The engine's own default for PATH finds it in distroless images as well.
    let missing = docker(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--entrypoint",
        "python3",
        image,
        "-c",
        RESOLVE,
    ])?;
    if !missing.trim().is_empty() {
        bail!("{image} has libraries that the loader cannot resolve:\n{missing}");
    }
    Ok(())
}

/// Fails if `image` has a shell or a package manager.
pub(super) fn is_distroless(image: &str) -> Result<()> {
    let listing = Listing::of(image)?;
    let tools = [
        "sh", "bash", "dash", "busybox", "apt", "apt-get", "dpkg", "apk", "perl",
    ];
    let found: Vec<_> = listing
        .programs()
        .filter(|name| tools.contains(name))
        .collect();
    ensure!(found.is_empty(), "{image} has {}", found.join(", "));
    let setuid = listing.setuid();
    ensure!(setuid.is_empty(), "{image} has setuid files: {setuid:?}");
    Ok(())
}

impl Listing {
    fn of(image: &str) -> Result<Self> {
        let listing = shell(
            r#"id=$(docker create "$0" none) && docker export "$id" | tar --list --verbose; docker rm "$id" >/dev/null"#,
            image,
        )?;
        let lines = listing.lines().filter_map(|line| {
            let mut words = line.split_whitespace();
            let mode = words.next()?.to_owned();
            // Owner, size, date and time.
            let path = words.nth(4)?.to_owned();
            Some((mode, path))
        });
        let listing = Self(lines.collect());
        ensure!(listing.0.len() > 100, "{image} has hardly a file");
        Ok(listing)
    }

    /// The names of what can be run: files and links in directories of programs.
    fn programs(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|(mode, path)| {
            let (directory, name) = path.rsplit_once('/')?;
            let is_program = directory.ends_with("bin") && !mode.starts_with('d');
            is_program.then_some(name)
        })
    }

    fn setuid(&self) -> Vec<&str> {
        let is_setuid = |mode: &str| {
            let bytes = mode.as_bytes();
            bytes.first() == Some(&b'-')
                && [3, 6].iter().any(|&place| {
                    bytes
                        .get(place)
                        .is_some_and(|bit| bit.eq_ignore_ascii_case(&b's'))
                })
        };
        let files = self.0.iter().filter(|(mode, _)| is_setuid(mode));
        files.map(|(_, path)| path.as_str()).collect()
    }
}

fn is_compiler(name: &str) -> bool {
    // `x86_64-linux-gnu-gcc-12` and `gcc-12` too.
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '.');
    let last = plain.rsplit('-').next().unwrap_or(plain);
    COMPILERS.contains(&name)
        || COMPILERS.contains(&plain)
        || (name.contains("linux-gnu") && COMPILERS.contains(&last))
}

fn shell(script: &str, argument: &str) -> Result<String> {
    run(Command::new("sh").args(["-c", script, argument]))
}
