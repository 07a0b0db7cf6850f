//! What is looked at of one object: before and after an edit by either tool, stripped and not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};
use wheelfarm_elf::constants::PT_LOAD;
use wheelfarm_elf::{Edits, Elf, RpathEdit};
use wheelfarm_tests::anyhow::{Context, Result};

use super::corpus::{NATIVE, Object};
use super::dump::{self, Dump, Names};
use super::libraries::Libraries;
use super::load::{self, Loader};

/// The search path that edited objects get, as a wheel's would be.
const RPATH: &str = "$ORIGIN/../example.libs";

/// What objects are stripped with afterwards.
pub(crate) const STRIPS: [(&str, &[&str]); 3] = [
    ("strip", &["--strip-all"]),
    ("strip", &["--strip-unneeded"]),
    ("llvm-strip", &["--strip-all"]),
];

/// What is true of the object as it came.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Baseline {
    findings: Vec<String>,
    /// Whether it is for this machine and loads.
    pub(crate) loads: bool,
    /// What it answers to `--version`.
    version: Option<(bool, String)>,
    /// By strip, the findings afterwards, unless it does not survive.
    strips: Vec<Option<Vec<String>>>,
}

/// What one tool made of an object.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// Why the tool did not edit it.
    pub(crate) refused: Option<String>,
    /// What `readelf` reads otherwise than intended.
    pub(crate) tables: Vec<String>,
    /// Whether the base version definition keeps the old soname.
    pub(crate) old_base: bool,
    /// New complaints of `readelf` and `eu-elflint`.
    pub(crate) findings: Vec<String>,
    /// Why it does not load any more.
    pub(crate) load: Option<String>,
    /// By strip, what it broke that it left whole in the original.
    pub(crate) strips: Vec<Option<String>>,
    /// Bytes that the file grew by.
    pub(crate) growth: u64,
    /// Bytes that a second identical edit changed.
    pub(crate) again: Option<u64>,
    /// CPU time of the edit in nanoseconds.
    pub(crate) cpu: u64,
}

/// The places and processes of one worker.
#[derive(Debug)]
pub(crate) struct Bench<'a> {
    directory: PathBuf,
    libraries: &'a Libraries,
    /// Loads objects as they came.
    before: Loader,
    /// Loads edited ones.
    after: Loader,
}

/// An object that is being looked at.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) object: &'a Object,
    pub(crate) bytes: Vec<u8>,
    pub(crate) edits: Edits,
    /// The largest alignment of its loadable segments.
    pub(crate) align: u64,
    names: Names,
    dump: Dump,
    file: PathBuf,
    has_interpreter: bool,
    is_native: bool,
}

impl<'a> Bench<'a> {
    /// A worker with its own directory below `parent`.
    pub(crate) fn new(parent: &Path, number: usize, libraries: &'a Libraries) -> Result<Bench<'a>> {
        let directory = parent.join(number.to_string());
        if directory.exists() {
            fs_err::remove_dir_all(&directory)?;
        }
        for name in [
            "original",
            "original.libs",
            "edited",
            "example.libs",
            "stripped",
        ] {
            fs_err::create_dir_all(directory.join(name))?;
        }
        Ok(Bench {
            before: Loader::start(Some(&directory.join("original.libs")), &directory)?,
            after: Loader::start(None, &directory)?,
            directory,
            libraries,
        })
    }

    /// Puts a copy of the object and links to the libraries it needs in place.
    pub(crate) fn prepare<'o>(&self, object: &'o Object) -> Result<Subject<'o>> {
        let bytes = fs_err::read(&object.path)?;
        let elf = Elf::parse(&bytes)?;
        let name = object.path.file_name().unwrap_or_default();
        let names = new_names(&elf, &name.to_string_lossy());
        let is_native = object.machine == NATIVE;
        for directory in [
            "original",
            "original.libs",
            "edited",
            "example.libs",
            "stripped",
        ] {
            empty(&self.directory.join(directory))?;
        }
        let closure = if is_native {
            self.libraries.closure(&elf, &object.path)
        } else {
            None
        };
        if let Some(closure) = &closure {
            self.link(closure, &names)?;
        }
        let file = self.directory.join("original").join(name);
        fs_err::write(&file, &bytes)?;
        make_executable(&file)?;
        let loads = elf
            .segments()
            .iter()
            .filter(|segment| segment.kind == PT_LOAD);
        Ok(Subject {
            object,
            edits: edits(&names),
            align: loads.map(|segment| segment.align).max().unwrap_or(0),
            dump: Dump::read(&file)?,
            has_interpreter: elf
                .interpreter()
                .is_some_and(|path| path.contains("ld-linux")),
            is_native: closure.is_some(),
            names,
            file,
            bytes,
        })
    }

    /// Links to all libraries in `closure`, under old names and under those that edited objects ask for.
    fn link(&self, closure: &BTreeMap<String, PathBuf>, names: &Names) -> Result<()> {
        for (name, path) in closure {
            fs_err::os::unix::fs::symlink(path, self.directory.join("original.libs").join(name))?;
            let new = names.needed.get(name).unwrap_or(name);
            fs_err::os::unix::fs::symlink(path, self.directory.join("example.libs").join(new))?;
        }
        Ok(())
    }

    /// Looks at the object as it came.
    pub(crate) fn baseline(&mut self, subject: &Subject<'_>) -> Result<Baseline> {
        let mut findings = subject.dump.findings.clone();
        findings.extend(lint(&subject.file)?);
        let libraries = self.directory.join("original.libs");
        let loads = subject.is_native && self.load(subject, &subject.file, true)?.is_none();
        let mut baseline = Baseline {
            findings,
            loads,
            ..Baseline::default()
        };
        if loads && subject.has_interpreter {
            let name = subject
                .object
                .path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy();
            baseline.version = load::version(&subject.file, &name, Some(&libraries))?;
        }
        let tables = Tables::read(&subject.bytes);
        for (program, options) in STRIPS {
            let stripped = self
                .directory
                .join("stripped")
                .join(subject.file.file_name().unwrap_or_default());
            let survives = strip(program, options, &subject.file, &stripped)?.is_none()
                && Tables::read(&fs_err::read(&stripped)?) == tables
                && (!loads || self.load(subject, &stripped, true)?.is_none());
            baseline.strips.push(if survives {
                Some(complaints(&stripped)?)
            } else {
                None
            });
        }
        Ok(baseline)
    }

    /// Whether the object at `path` loads: `None`, or what went wrong.
    fn load(
        &mut self,
        subject: &Subject<'_>,
        path: &Path,
        original: bool,
    ) -> Result<Option<String>> {
        if subject.has_interpreter {
            let libraries = self.directory.join("original.libs");
            return load::trace(path, original.then_some(&libraries));
        }
        if original {
            self.before.load(path)
        } else {
            self.after.load(path)
        }
    }

    /// Edits the object in this process.
    pub(crate) fn ours(&mut self, subject: &Subject<'_>, baseline: &Baseline) -> Result<Outcome> {
        let start = thread_cpu()?;
        let edited = wheelfarm_elf::edit(&subject.bytes, &subject.edits);
        let cpu = thread_cpu()? - start;
        let edited = match edited {
            Ok(edited) => edited,
            Err(error) => return Ok(refusal(error.to_string())),
        };
        let file = self.edited_file(subject);
        fs_err::write(&file, &edited)?;
        let mut outcome = self.look(subject, baseline, &file, &edited)?;
        outcome.cpu = cpu;
        outcome.again = Some(match wheelfarm_elf::edit(&edited, &subject.edits) {
            Ok(again) => changed_bytes(&edited, &again),
            Err(_) => u64::MAX,
        });
        Ok(outcome)
    }

    /// Has `patchelf` edit the object.
    pub(crate) fn patchelf(
        &mut self,
        patchelf: &Path,
        subject: &Subject<'_>,
        baseline: &Baseline,
    ) -> Result<Outcome> {
        let file = self.edited_file(subject);
        let arguments = patchelf_arguments(&subject.names);
        let run = |from: &Path, to: &Path| -> Result<(Option<String>, u64)> {
            // The shell's own `time` counts its children alone, in milliseconds.
            let output = Command::new("bash")
                .args(["-c", "TIMEFORMAT='cpu %U %S'; time \"$@\"", "bash"])
                .arg(patchelf)
                .args(&arguments)
                .arg("--output")
                .args([to, from])
                .env("LC_ALL", "C")
                .output()?;
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            let cpu = text
                .lines()
                .find_map(|line| line.strip_prefix("cpu "))
                .unwrap_or_default();
            let seconds: f64 = cpu
                .split(' ')
                .filter_map(|part| part.parse::<f64>().ok())
                .sum();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "some seconds"
            )]
            let nanoseconds = (seconds * 1e9) as u64;
            let failed = !output.status.success();
            Ok((
                failed.then(|| text.lines().next().unwrap_or("no message").to_owned()),
                nanoseconds,
            ))
        };
        let (error, cpu) = run(&subject.file, &file)?;
        if let Some(error) = error {
            return Ok(refusal(error));
        }
        let edited = fs_err::read(&file)?;
        let mut outcome = self.look(subject, baseline, &file, &edited)?;
        outcome.cpu = cpu;
        let twice = self.directory.join("stripped/twice");
        let (error, _) = run(&file, &twice)?;
        outcome.again = Some(match error {
            None => changed_bytes(&edited, &fs_err::read(&twice)?),
            Some(_) => u64::MAX,
        });
        Ok(outcome)
    }

    fn edited_file(&self, subject: &Subject<'_>) -> PathBuf {
        self.directory
            .join("edited")
            .join(subject.file.file_name().unwrap_or_default())
    }

    /// Looks at an edited object.
    fn look(
        &mut self,
        subject: &Subject<'_>,
        baseline: &Baseline,
        file: &Path,
        edited: &[u8],
    ) -> Result<Outcome> {
        make_executable(file)?;
        let dump = Dump::read(file)?;
        let mut findings = dump.findings.clone();
        findings.extend(lint(file)?);
        let mut outcome = Outcome {
            tables: subject.dump.differences(&dump, &subject.names),
            old_base: dump.keeps_old_base(&subject.names),
            findings: dump::added(&baseline.findings, &findings),
            growth: (edited.len() as u64).saturating_sub(subject.bytes.len() as u64),
            ..Outcome::default()
        };
        if baseline.loads {
            outcome.load = self.load(subject, file, false)?;
            if let (None, Some(version)) = (&outcome.load, &baseline.version) {
                let name = subject
                    .object
                    .path
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy();
                let answer = load::version(file, &name, None)?;
                if answer.as_ref() != Some(version) {
                    outcome.load = Some(format!("--version: {answer:?}"));
                }
            }
        }
        let tables = Tables::read(edited);
        for ((program, options), before) in STRIPS.into_iter().zip(&baseline.strips) {
            let Some(before) = before else {
                outcome.strips.push(None);
                continue;
            };
            let stripped = self
                .directory
                .join("stripped")
                .join(file.file_name().unwrap_or_default());
            outcome.strips.push(self.stripped(
                subject,
                (program, options),
                (file, &stripped),
                (baseline, &tables, before),
            )?);
        }
        Ok(outcome)
    }

    /// What a strip broke.
    fn stripped(
        &mut self,
        subject: &Subject<'_>,
        (program, options): (&str, &[&str]),
        (file, stripped): (&Path, &Path),
        (baseline, tables, before): (&Baseline, &Option<Tables>, &[String]),
    ) -> Result<Option<String>> {
        if let Some(error) = strip(program, options, file, stripped)? {
            return Ok(Some(format!("refused: {error}")));
        }
        if Tables::read(&fs_err::read(stripped)?) != *tables {
            return Ok(Some("other names or symbols".to_owned()));
        }
        if baseline.loads
            && let Some(error) = self.load(subject, stripped, false)?
        {
            return Ok(Some(error));
        }
        let known = [before, &baseline.findings].concat();
        Ok(dump::added(&known, &complaints(stripped)?)
            .first()
            .map(|finding| format!("finding: {finding}")))
    }
}

/// What a loader reads, to see whether a strip left it alone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Tables {
    names: Vec<String>,
    symbols: Vec<String>,
}

impl Tables {
    fn read(bytes: &[u8]) -> Option<Tables> {
        let elf = Elf::parse(bytes).ok()?;
        let names = elf
            .needed()
            .iter()
            .copied()
            .chain(elf.soname())
            .chain(elf.rpath())
            .chain(elf.runpath());
        let mut names: Vec<String> = names.map(str::to_owned).collect();
        names.extend(elf.version_needs().iter().map(|need| format!("{need:?}")));
        names.extend(
            elf.version_definitions()
                .iter()
                .map(|definition| format!("{definition:?}")),
        );
        let symbols = elf.dynamic_symbols().ok()?;
        Some(Tables {
            names,
            symbols: symbols.iter().map(|symbol| format!("{symbol:?}")).collect(),
        })
    }
}

fn refusal(why: String) -> Outcome {
    Outcome {
        refused: Some(why),
        ..Outcome::default()
    }
}

/// The names of a repaired object: hashed ones for all it needs, but for the loader itself.
fn new_names(elf: &Elf<'_>, file: &str) -> Names {
    let hashed = |name: &str| {
        let (stem, rest) = name.split_once('.').unwrap_or((name, ""));
        let digest = wheelfarm_tests::sha256(name.as_bytes());
        let digest = digest.get(..8).unwrap_or_default();
        let dot = if rest.is_empty() { "" } else { "." };
        format!("{stem}-{digest}{dot}{rest}")
    };
    // glibc finds its own loader by name, not by file.
    let is_loader = |name: &str| {
        name.starts_with("ld-linux") || name.starts_with("ld64.") || name.starts_with("ld.so")
    };
    let needed = elf
        .needed()
        .iter()
        .filter(|name| !is_loader(name) && !name.contains('/'));
    let soname = elf.soname().map(str::to_owned);
    let is_library =
        elf.interpreter().is_none() && elf.header().kind == wheelfarm_elf::constants::ET_DYN;
    Names {
        needed: needed
            .map(|name| ((*name).to_owned(), hashed(name)))
            .collect(),
        soname: is_library.then(|| (soname.clone(), hashed(soname.as_deref().unwrap_or(file)))),
        rpath: RPATH.to_owned(),
    }
}

fn edits(names: &Names) -> Edits {
    Edits {
        soname: names.soname.as_ref().map(|(_, new)| new.clone()),
        replace_needed: names.needed.clone(),
        rpath: RpathEdit::SetRpath(names.rpath.clone()),
        ..Edits::default()
    }
}

fn patchelf_arguments(names: &Names) -> Vec<String> {
    let mut arguments = vec![
        "--force-rpath".to_owned(),
        "--set-rpath".to_owned(),
        names.rpath.clone(),
    ];
    for (old, new) in &names.needed {
        arguments.extend(["--replace-needed".to_owned(), old.clone(), new.clone()]);
    }
    if let Some((_, new)) = &names.soname {
        arguments.extend(["--set-soname".to_owned(), new.clone()]);
    }
    arguments
}

fn lint(file: &Path) -> Result<Vec<String>> {
    let output = Command::new("eu-elflint")
        .arg("--gnu-ld")
        .arg(file)
        .output();
    let output = output.context("`eu-elflint` (Debian's package elfutils) could not be started")?;
    let text = [output.stdout, output.stderr].concat();
    Ok(dump::findings(&text, file))
}

/// What both tools say of a stripped object; of `readelf` only what it says of its structure.
fn complaints(file: &Path) -> Result<Vec<String>> {
    let output = Command::new("readelf")
        .args(["-hlSdV", "--wide"])
        .arg(file)
        .env("LC_ALL", "C")
        .output()?;
    let mut complaints = dump::findings(&output.stderr, file);
    complaints.extend(lint(file)?);
    Ok(complaints)
}

/// Strips `from` into `to`; what went wrong.
fn strip(program: &str, options: &[&str], from: &Path, to: &Path) -> Result<Option<String>> {
    let output = Command::new(program)
        .args(options)
        .arg("-o")
        .args([to, from])
        .output();
    let output = output.with_context(|| format!("`{program}` could not be started"))?;
    if output.status.success() {
        make_executable(to)?;
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok(Some(format!(
        "{} {}",
        output.status,
        text.lines().next().unwrap_or_default()
    )))
}

fn changed_bytes(one: &[u8], other: &[u8]) -> u64 {
    let differing = one
        .iter()
        .zip(other)
        .filter(|(one, other)| one != other)
        .count();
    (differing + one.len().abs_diff(other.len())) as u64
}

/// CPU time of this thread in nanoseconds.
fn thread_cpu() -> Result<u64> {
    let text = fs_err::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split(' ').next().unwrap_or_default();
    first
        .parse()
        .context("/proc/thread-self/schedstat has no number")
}

fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs_err::set_permissions(file, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn empty(directory: &Path) -> Result<()> {
    for entry in fs_err::read_dir(directory)? {
        fs_err::remove_file(entry?.path())?;
    }
    Ok(())
}
