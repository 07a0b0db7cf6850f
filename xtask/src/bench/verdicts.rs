//! `cargo xtask bench verdicts [FILE|DIRECTORY...]`: `wheelfarm show --json` beside `auditwheel show --json`, on the
//! wheels of `wheels.txt`, on some of them under a `linux_*` name, and on the wheels given.
//!
//! A difference has to be in [`known::KNOWN`] with the reason why ours is right; any other fails, and so does an
//! entry there that nothing needs any more. Where auditwheel ends with a traceback it is asked again without the
//! machine's libraries, and the traceback is a difference of its own: the field `crash`.

#[path = "verdicts_known.rs"]
mod known;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::auditwheel::{AuditWheel, VERSION};
use wheelfarm_tests::environment::binary;
use wheelfarm_tests::process::start;
use wheelfarm_tests::sha256;
use wheelfarm_tests::wheel::platforms;

use super::wheels;

/// Fields of auditwheel's schema that must be equal, and others that are reported alike.
const FIELDS: [&str; 11] = [
    "overall_tag",
    "sym_tag",
    "external_libs",
    "versioned_symbols",
    "pure",
    "pyfpe",
    "ucs2",
    "unsupported_isa",
    "policy_upgrades",
    "error",
    "crash",
];

/// auditwheel needs a second per wheel, most of it waiting for nothing but one core.
const PARALLEL: usize = 2;

/// A wheel to judge.
#[derive(Debug, Clone)]
struct Subject {
    path: PathBuf,
    sha256: String,
}

/// What the two say of one wheel.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) filename: String,
    family: &'static str,
    arch: String,
    pub(crate) ours: Value,
    pub(crate) theirs: Value,
    /// Fields that differ.
    differences: Vec<&'static str>,
}

pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let auditwheel = AuditWheel::install()?;
    let ours = binary()?;
    let subjects = subjects(arguments)?;
    let compared = Mutex::new(Vec::new());
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..PARALLEL {
            scope.spawn(|| {
                while let Some(subject) = subjects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = compare(subject, &auditwheel, &ours);
                    if let Ok(mut compared) = compared.lock() {
                        compared.push(result);
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    if done.is_multiple_of(20) {
                        eprintln!("  {done} of {}", subjects.len());
                    }
                }
            });
        }
    });
    let compared = compared.into_inner().unwrap_or_default();
    let mut compared = compared.into_iter().collect::<Result<Vec<_>>>()?;
    compared.sort_by(|a, b| a.filename.cmp(&b.filename));
    print_counts(&compared);
    report(&compared, arguments.is_empty())
}

/// The wheels of the list, copies of some of them that claim nothing, and those that the arguments name.
fn subjects(arguments: &[String]) -> Result<Vec<Subject>> {
    let mut subjects = Vec::new();
    let mut renamed = BTreeSet::new();
    let directory = wheels::directory("renamed")?;
    let list = wheels::pinned()?;
    wheels::fetch(&list)?;
    for wheel in list {
        let (family, arch) = platform(&wheel.filename);
        let path = wheel.path()?;
        // One of each family and architecture, and of each Python.
        let python = wheel.filename.split('-').nth(2).unwrap_or_default();
        if renamed.insert((family, arch.clone(), python.to_owned())) {
            let stem = wheel.filename.rsplit_once('-').map_or("", |(stem, _)| stem);
            let copy = directory.join(format!("{stem}-linux_{arch}.whl"));
            if !copy.exists() {
                fs_err::copy(&path, &copy)?;
            }
            subjects.push(Subject {
                path: copy,
                sha256: wheel.sha256.clone(),
            });
        }
        subjects.push(Subject {
            path,
            sha256: wheel.sha256,
        });
    }
    for argument in arguments {
        let path = PathBuf::from(argument);
        let mut paths = vec![path.clone()];
        if path.is_dir() {
            paths = fs_err::read_dir(&path)?
                .map(|entry| Ok(entry?.path()))
                .collect::<Result<Vec<_>>>()?;
            paths.retain(|path| path.extension().is_some_and(|extension| extension == "whl"));
            paths.sort();
        }
        for path in paths {
            let sha256 = sha256(&fs_err::read(&path)?);
            subjects.push(Subject { path, sha256 });
        }
    }
    Ok(subjects)
}

/// The family of a wheel's first platform tag, and its architecture.
fn platform(filename: &str) -> (&'static str, String) {
    let tag = platforms(filename).into_iter().next().unwrap_or_default();
    let (family, rest) = [
        ("manylinux1", "manylinux1_"),
        ("manylinux2010", "manylinux2010_"),
        ("manylinux2014", "manylinux2014_"),
        ("manylinux_2_x", "manylinux_2_"),
        ("musllinux_1_1", "musllinux_1_1_"),
        ("musllinux_1_2", "musllinux_1_2_"),
        ("linux", "linux_"),
    ]
    .iter()
    .find_map(|(family, prefix)| Some((*family, tag.strip_prefix(prefix)?)))
    .unwrap_or(("other", ""));
    let arch = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    let arch = arch.strip_prefix('_').unwrap_or(arch);
    (family, arch.to_owned())
}

fn compare(subject: &Subject, auditwheel: &AuditWheel, ours: &Path) -> Result<Compared> {
    let filename = subject.path.file_name().unwrap_or_default();
    let filename = filename.to_string_lossy().into_owned();
    let theirs = real_paths(auditwheel_says(subject, &filename, auditwheel)?);
    let ours = real_paths(wheelfarm_says(&subject.path, ours)?);
    let differences = FIELDS
        .into_iter()
        .filter(|field| theirs.get(field) != ours.get(field))
        .collect();
    let (family, arch) = platform(&filename);
    Ok(Compared {
        filename,
        family,
        arch,
        ours,
        theirs,
        differences,
    })
}

/// auditwheel's answer, kept: it depends on the wheel's bytes and name, on auditwheel, and on the machine's libraries.
fn auditwheel_says(subject: &Subject, filename: &str, auditwheel: &AuditWheel) -> Result<Value> {
    let key = sha256(format!("{filename} {}", subject.sha256).as_bytes());
    let cached = wheels::directory(&format!("auditwheel-{VERSION}"))?.join(format!("{key}.json"));
    if cached.exists() {
        return Ok(serde_json::from_slice(&fs_err::read(&cached)?)?);
    }
    let output = auditwheel.try_show(&subject.path, None)?;
    // It prints JSON or a traceback.
    let said = if let Ok(said) = serde_json::from_slice(&output.stdout) {
        said
    } else {
        let nothing = wheels::directory("nothing")?;
        let again = auditwheel.try_show(&subject.path, Some(&nothing))?;
        let mut said = serde_json::from_slice(&again.stdout).unwrap_or_else(|_| json!({}));
        let last = output.stderr.trim_end().lines().next_back();
        if let Some(said) = said.as_object_mut() {
            said.insert("crash".to_owned(), last.unwrap_or_default().into());
        }
        said
    };
    fs_err::write(&cached, serde_json::to_vec_pretty(&said)?)?;
    Ok(said)
}

fn wheelfarm_says(wheel: &Path, binary: &Path) -> Result<Value> {
    let mut command = Command::new(binary);
    command
        .args(["show", "--json"])
        .arg(wheel)
        .env_remove("LD_LIBRARY_PATH")
        .env_remove("AUDITWHEEL_LD_LIBRARY_PATH");
    let output = start(&mut command)?.finish(Duration::from_secs(600))?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("{} {}", wheel.display(), output.stderr))
}

/// One spelling for files: auditwheel leaves links of directories (`/lib`) as they are.
fn real_paths(mut shown: Value) -> Value {
    if let Some(libraries) = shown
        .get_mut("external_libs")
        .and_then(Value::as_object_mut)
    {
        for path in libraries.values_mut() {
            let real = path
                .as_str()
                .and_then(|path| fs_err::canonicalize(path).ok());
            if let Some(real) = real {
                *path = real.to_string_lossy().into();
            }
        }
    }
    shown
}

fn print_counts(compared: &[Compared]) {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for wheel in compared {
        *counts.entry((wheel.family, &wheel.arch)).or_default() += 1;
    }
    let families: BTreeSet<&str> = counts.keys().map(|(family, _)| *family).collect();
    let arches: BTreeSet<&str> = counts.keys().map(|(_, arch)| *arch).collect();
    let row = |name: &str, cells: Vec<String>| println!("| {name} | {} |", cells.join(" | "));
    println!();
    let header = arches.iter().map(|arch| (*arch).to_owned());
    row("", header.chain(["sum".to_owned()]).collect());
    row("---", vec!["---:".to_owned(); arches.len() + 1]);
    for family in families {
        let of: Vec<usize> = arches
            .iter()
            .map(|arch| counts.get(&(family, arch)).copied().unwrap_or_default())
            .collect();
        let sum = of.iter().sum::<usize>();
        let cells = of.iter().chain([&sum]).map(usize::to_string);
        row(family, cells.collect());
    }
}

/// Prints the differences; an unknown one is an error.
fn report(compared: &[Compared], whole_list: bool) -> Result<()> {
    let mut used = vec![BTreeSet::new(); known::KNOWN.len()];
    let (mut equal, mut unknown) = (0, 0);
    for wheel in compared {
        equal += usize::from(wheel.differences.is_empty());
        for field in &wheel.differences {
            let fits = |known: &known::Known| known.fields.contains(field) && (known.fits)(wheel);
            if let Some(index) = known::KNOWN.iter().position(fits) {
                if let Some(used) = used.get_mut(index) {
                    used.insert(&wheel.filename);
                }
                continue;
            }
            unknown += 1;
            println!("\n{}: {field}", wheel.filename);
            let said = |value: &Value| value.get(field).cloned().unwrap_or_default();
            println!("  auditwheel {}", said(&wheel.theirs));
            println!("  wheelfarm  {}", said(&wheel.ours));
        }
    }
    println!(
        "\n{} wheels, {equal} of them equal in all fields",
        compared.len()
    );
    for field in FIELDS {
        let differs = |wheel: &&Compared| wheel.differences.contains(&field);
        let count = compared.iter().filter(differs).count();
        println!("  {field:18} differs on {count}");
    }
    println!("\nknown differences, where wheelfarm is right:");
    for (known, used) in known::KNOWN.iter().zip(&used) {
        println!("  {:3} wheels: {}", used.len(), known.reason);
        for wheel in used.iter().take(3) {
            println!("        {wheel}");
        }
    }
    ensure!(unknown == 0, "{unknown} differences are not explained");
    let mut entries = known::KNOWN.iter().zip(&used);
    if let Some((idle, _)) = entries.find(|(_, used)| used.is_empty()) {
        ensure!(
            !whole_list,
            "an entry of verdicts_known.rs explains nothing: {}",
            idle.reason
        );
    }
    Ok(())
}
