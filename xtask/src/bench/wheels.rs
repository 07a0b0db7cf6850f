//! Real wheels of the package index, pinned by sha256 in `wheels.txt`, fetched by pip with its own settings.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use wheelfarm_tests::anyhow::{Context, Result, bail, ensure};
use wheelfarm_tests::environment::target_directory;
use wheelfarm_tests::process::run;
use wheelfarm_tests::sha256;

/// What the list is: a line has a file name and its sha256.
const LIST: &str = include_str!("wheels.txt");

/// How many pips run at a time: they mostly wait.
const PARALLEL: usize = 4;

/// Most wheels that one pip gets: what it has fetched is kept only at its end.
const BATCH: usize = 12;

/// A wheel of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pinned {
    pub(crate) filename: String,
    pub(crate) sha256: String,
}

/// How pip has to be asked for a wheel: for which interpreter.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Interpreter {
    implementation: String,
    version: String,
}

/// The directory of a benchmark: `target/bench/<name>`.
pub(crate) fn directory(name: &str) -> Result<PathBuf> {
    let directory = target_directory()?.join("bench").join(name);
    fs_err::create_dir_all(&directory)?;
    Ok(directory)
}

/// The list, in its order.
pub(crate) fn pinned() -> Result<Vec<Pinned>> {
    parse(LIST)
}

/// The wheels of a list: a line has a file name and its sha256.
pub(crate) fn parse(list: &str) -> Result<Vec<Pinned>> {
    let lines = list.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (filename, sha256) = line
                .split_once(' ')
                .with_context(|| format!("`{line}` is no line of a list of wheels"))?;
            Ok(Pinned {
                filename: filename.to_owned(),
                sha256: sha256.to_owned(),
            })
        })
        .collect()
}

impl Pinned {
    /// Where it lies once it is fetched.
    pub(crate) fn path(&self) -> Result<PathBuf> {
        Ok(directory("wheels")?.join(&self.filename))
    }

    /// Name, version, Python, ABI and platform: the parts of the file name.
    fn parts(&self) -> Result<[&str; 5]> {
        let stem = self.filename.strip_suffix(".whl");
        let parts: Vec<&str> = stem.unwrap_or_default().split('-').collect();
        match parts.as_slice() {
            [name, version, python, abi, platform]
            // With a build tag.
            | [name, version, _, python, abi, platform] => {
                Ok([name, version, python, abi, platform])
            }
            _ => bail!("`{}` is no name of a wheel", self.filename),
        }
    }

    /// The interpreter to name to pip: any that can install the wheel.
    fn interpreter(&self) -> Result<Interpreter> {
        let [_, _, python, abi, _] = self.parts()?;
        let python = python.split('.').next_back().unwrap_or(python);
        let digits = python.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let (major, minor) = digits.split_at_checked(1).unwrap_or((digits, ""));
        let version = match minor {
            // `py3`, and the stable ABI of every version.
            "" => "3.12".to_owned(),
            _ if abi == "abi3" => "3.12".to_owned(),
            minor => format!("{major}.{minor}"),
        };
        let implementation = if python.starts_with("pp") { "pp" } else { "cp" };
        Ok(Interpreter {
            implementation: implementation.to_owned(),
            version,
        })
    }
}

/// Fetches what is not there yet.
///
/// # Errors
/// Some wheel cannot be had; those that can are kept.
pub(crate) fn fetch(all: &[Pinned]) -> Result<()> {
    let mut missing = Vec::new();
    for wheel in all {
        if !wheel.path()?.exists() {
            missing.push(wheel.clone());
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!("fetching {} of {} wheels", missing.len(), all.len());
    let batches = Mutex::new(batches(&missing)?);
    let done = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for worker in 0..PARALLEL {
            let (batches, done, failures) = (&batches, &done, &failures);
            let total = missing.len();
            scope.spawn(move || {
                while let Some(batch) = next(batches) {
                    let failed = fetch_batch(&batch, worker);
                    let done = done.fetch_add(batch.1.len(), Ordering::Relaxed) + batch.1.len();
                    eprintln!("  {done} of {total}");
                    if let Ok(mut failures) = failures.lock() {
                        failures.extend(failed);
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(
        failures.is_empty(),
        "{} wheels could not be fetched:\n{}",
        failures.len(),
        failures.join("\n")
    );
    Ok(())
}

type Batch = (Interpreter, Vec<Pinned>);

fn next(batches: &Mutex<VecDeque<Batch>>) -> Option<Batch> {
    batches.lock().ok()?.pop_front()
}

/// What one pip can fetch: for one interpreter, and no project twice.
fn batches(wheels: &[Pinned]) -> Result<VecDeque<Batch>> {
    let mut open: BTreeMap<Interpreter, Vec<Vec<Pinned>>> = BTreeMap::new();
    for wheel in wheels {
        let [name, ..] = wheel.parts()?;
        let of_interpreter = open.entry(wheel.interpreter()?).or_default();
        let fits = |batch: &&mut Vec<Pinned>| {
            let taken = |other: &Pinned| other.parts().is_ok_and(|parts| parts[0] == name);
            batch.len() < BATCH && !batch.iter().any(taken)
        };
        match of_interpreter.iter_mut().find(fits) {
            Some(batch) => batch.push(wheel.clone()),
            None => of_interpreter.push(vec![wheel.clone()]),
        }
    }
    let flat = open.into_iter().flat_map(|(interpreter, batches)| {
        batches
            .into_iter()
            .map(move |batch| (interpreter.clone(), batch))
    });
    Ok(flat.collect())
}

/// Fetches a batch; if pip fails, one wheel after the other. Returns what went wrong.
fn fetch_batch((interpreter, wheels): &Batch, worker: usize) -> Vec<String> {
    if pip(interpreter, wheels, worker).is_ok() {
        return Vec::new();
    }
    wheels
        .iter()
        .filter_map(|wheel| {
            let error = pip(interpreter, std::slice::from_ref(wheel), worker).err()?;
            Some(format!("{}: {error:#}", wheel.filename))
        })
        .collect()
}

fn pip(interpreter: &Interpreter, wheels: &[Pinned], worker: usize) -> Result<()> {
    let part = directory("wheels")?.join(format!(".part-{worker}"));
    if part.exists() {
        fs_err::remove_dir_all(&part)?;
    }
    fs_err::create_dir_all(&part)?;
    let mut command = Command::new("python3");
    command
        .args([
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(["--no-deps", "--only-binary", ":all:", "--require-hashes"])
        .args(["--ignore-requires-python", "--no-cache-dir"])
        .args(["--implementation", &interpreter.implementation])
        .args(["--python-version", &interpreter.version])
        .arg("--dest")
        .arg(&part);
    let mut lines = Vec::new();
    let (mut abis, mut platforms) = (BTreeSet::new(), BTreeSet::new());
    for wheel in wheels {
        let [name, version, _, abi, platform] = wheel.parts()?;
        lines.push(format!("{name}=={version} --hash=sha256:{}", wheel.sha256));
        abis.extend(abi.split('.'));
        platforms.extend(platform.split('.'));
    }
    for abi in abis {
        command.args(["--abi", abi]);
    }
    for platform in platforms {
        command.args(["--platform", platform]);
    }
    let requirements = part.join("requirements.txt");
    fs_err::write(&requirements, lines.join("\n"))?;
    run(command.arg("--requirement").arg(&requirements))?;
    for wheel in wheels {
        keep(&part.join(&wheel.filename), wheel)?;
    }
    fs_err::remove_dir_all(&part)?;
    Ok(())
}

/// Only checked wheels get their place, so that what lies there is right.
fn keep(file: &Path, wheel: &Pinned) -> Result<()> {
    let found = sha256(&fs_err::read(file)?);
    ensure!(found == wheel.sha256, "its sha256 is {found}");
    fs_err::rename(file, wheel.path()?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sound() {
        let wheels = pinned().unwrap();
        assert!(wheels.len() >= 300);
        let names: BTreeSet<&str> = wheels.iter().map(|wheel| wheel.filename.as_str()).collect();
        assert_eq!(names.len(), wheels.len());
        for wheel in &wheels {
            assert!(wheel.sha256.len() == 64, "{}", wheel.filename);
            assert!(wheel.sha256.bytes().all(|byte| byte.is_ascii_hexdigit()));
            wheel.parts().unwrap();
        }
        let has = |part: &str| names.iter().any(|name| name.contains(part));
        for family in [
            "manylinux1_",
            "manylinux2010_",
            "manylinux2014_",
            "manylinux_2_28_",
            "musllinux_1_1_",
            "musllinux_1_2_",
            "linux_armv6l",
        ] {
            assert!(has(family), "{family}");
        }
        for arch in [
            "aarch64", "armv7l", "i686", "ppc64le", "riscv64", "s390x", "x86_64",
        ] {
            assert!(has(&format!("_{arch}")), "{arch}");
        }
    }

    #[test]
    fn pip_is_asked_for_an_interpreter_that_takes_the_wheel() {
        let interpreter = |tags: &str| {
            let wheel = Pinned {
                filename: format!("x-1-{tags}-linux_x86_64.whl"),
                sha256: String::new(),
            };
            let found = wheel.interpreter().unwrap();
            format!("{} {}", found.implementation, found.version)
        };
        assert_eq!(interpreter("cp36-cp36m"), "cp 3.6");
        assert_eq!(interpreter("cp313-cp313t"), "cp 3.13");
        assert_eq!(interpreter("cp38-abi3"), "cp 3.12");
        assert_eq!(interpreter("pp310-pypy310_pp73"), "pp 3.10");
        assert_eq!(interpreter("py2.py3-none"), "cp 3.12");
    }

    #[test]
    fn no_batch_has_a_project_twice() {
        let wheels = pinned().unwrap();
        let batches = batches(&wheels).unwrap();
        let mut count = 0;
        for (_, batch) in &batches {
            let projects: BTreeSet<_> = batch
                .iter()
                .map(|wheel| wheel.parts().unwrap()[0])
                .collect();
            assert_eq!(projects.len(), batch.len());
            count += batch.len();
        }
        assert_eq!(count, wheels.len());
    }
}
