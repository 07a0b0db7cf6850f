//! `bench farm`: a set of packages that need system libraries, built by `pip wheel` in one container and by
//! `wheelfarm build`; then with one package changed, then with nothing changed.

mod ours;
mod records;
mod table;
mod theirs;

use std::path::{Path, PathBuf};

use wheelfarm_tests::anyhow::{Context, Result, bail};
use wheelfarm_tests::report::Report;

use ours::Ours;
use records::Records;

const PACKAGES: &str = include_str!("packages.txt");
const HUNDRED: &str = include_str!("hundred.txt");

/// What is measured.
#[derive(Debug)]
struct Settings {
    /// Name of the builder image.
    image: String,
    /// Its Python.
    python: String,
    /// Lines of the requirements file.
    requirements: Vec<String>,
    /// Leave `pip wheel` out.
    only_ours: bool,
}

/// What was measured, in seconds, with containers started.
#[derive(Debug, Clone, Copy)]
struct Measured {
    seconds: f64,
    containers: u64,
}

/// Runs the benchmark: `[--image NAME] [--only NAME,...] [--only-ours]`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let settings = settings(arguments)?;
    let ours = Ours::prepare(&directory()?, &settings)?;
    let cold = ours.cold()?;
    table::cold(&cold);
    let records = Records::read(&ours.store)?;
    let pip = if settings.only_ours {
        None
    } else {
        Some(theirs::wheels(&directory()?, &settings, &records)?)
    };
    let changed = ours.changed()?;
    let unchanged = ours.unchanged()?;
    table::print(&cold, &changed, &unchanged, pip.as_ref());
    Ok(())
}

/// `bench packages [REPORT...]`: builds the whole list in both cells and prints what came of it, for
/// `docs/packages.md`. Reports of runs (`build --format json`) can be given instead; a later one counts.
pub(crate) fn packages(arguments: &[String]) -> Result<()> {
    let reports = if arguments.is_empty() {
        vec![Ours::prepare(&directory()?, &settings(&[])?)?.both()?]
    } else {
        let read = |path: &String| Report::parse(&fs_err::read_to_string(path)?, Path::new(""));
        arguments.iter().map(read).collect::<Result<_>>()?
    };
    table::packages(&reports);
    Ok(())
}

fn settings(arguments: &[String]) -> Result<Settings> {
    let mut settings = Settings {
        image: "debian-12".to_owned(),
        python: "3.11".to_owned(),
        requirements: requirements(PACKAGES),
        only_ours: false,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        match argument.as_str() {
            "--image" => {
                let name = rest.next().context("`--image` wants a name")?;
                let python = match name.as_str() {
                    "debian-12" => "3.11",
                    "debian-13" => "3.13",
                    _ => bail!("the list is for debian-12 and debian-13, not `{name}`"),
                };
                python.clone_into(&mut settings.python);
                settings.image.clone_from(name);
            }
            "--only" => {
                let names = rest.next().context("`--only` wants names")?;
                let wanted: Vec<_> = names.split(',').collect();
                settings
                    .requirements
                    .retain(|line| wanted.contains(&project(line)));
            }
            "--only-ours" => settings.only_ours = true,
            other => bail!("`bench farm` has `--image`, `--only` and `--only-ours`, not `{other}`"),
        }
    }
    Ok(settings)
}

fn requirements(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(str::to_owned).collect()
}

/// The project of a requirement.
fn project(line: &str) -> &str {
    let end = line.find(|char: char| !char.is_ascii_alphanumeric() && !"-_.".contains(char));
    line.get(..end.unwrap_or(line.len())).unwrap_or(line)
}

/// The projects of a list, comma-separated: for `--from-source` and `--no-binary`.
fn projects(lines: &[String]) -> String {
    let mut names: Vec<_> = lines.iter().map(|line| project(line)).collect();
    names.dedup();
    names.join(",")
}

fn directory() -> Result<PathBuf> {
    super::wheels::directory("farm")
}
