//! Installing wheels into a tree, for a Python that is somewhere else.
//!
//! uv does it, with a stand-in for the interpreter that the tree will be used with ([`crate::interpreter`]): console
//! scripts begin with that one's path, and no code of any package is run. What differs from run to run is put right
//! afterwards ([`tidy`]), so the same wheels make the same tree, to the byte, mode and time.

mod bytecode;
mod tidy;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use bytes::Bytes;
use tokio::process::Command;
use wheelfarm_types::{PythonVersion, Target};

pub use self::bytecode::module_of;
use crate::interpreter;
use crate::{ResolveError, ResolveErrorKind, Uv};

/// What is to be installed, and where.
#[derive(Debug, Clone)]
pub struct Installation<'a> {
    /// For which Python.
    pub python: PythonVersion,
    /// For which system.
    pub target: Target,
    /// The directory that has the wheels.
    pub wheels: &'a Path,
    /// A requirements file that names each of them with its hash.
    pub requirements: &'a Path,
    /// The interpreter that it will be used with, by its absolute path there.
    pub interpreter: &'a Path,
    /// Its form.
    pub form: Form<'a>,
    /// Where it is written: a directory that is not there yet, or is empty.
    pub directory: &'a Path,
}

/// The form of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form<'a> {
    /// Packages at the top, for `PYTHONPATH`, and console scripts in `bin`: as `pip install --target` makes it.
    Site,
    /// A virtual environment ([PEP 405](https://peps.python.org/pep-0405/)) that will lie at this absolute path.
    Venv(&'a Path),
}

/// A tree that is installed and has not got its place yet. Dropped, it is gone.
#[derive(Debug)]
pub struct Installed {
    /// What the tree lies in, beside the place where it will be.
    work: tempfile::TempDir,
    /// Where in the tree the packages are.
    site: PathBuf,
    directory: PathBuf,
}

/// Installs what `wanted` says, aside.
pub async fn install(uv: &Uv, wanted: &Installation<'_>) -> Result<Installed, ResolveError> {
    check(wanted)?;
    let parent = wanted
        .directory
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs_err::create_dir_all(parent)?;
    // Beside the place where it will be, to be renamed. uv is given absolute paths: it runs elsewhere.
    let work = tempfile::Builder::new()
        .prefix(".wheelfarm-")
        .tempdir_in(parent)?;
    let work_path = fs_err::canonicalize(work.path())?;
    let tree = work_path.join("tree");
    fs_err::create_dir(&tree)?;
    run_uv(uv, wanted, &work_path, &tree).await?;
    if let Form::Venv(_) = wanted.form {
        make_environment(wanted, &tree)?;
    }
    Ok(Installed {
        work,
        site: match wanted.form {
            Form::Site => PathBuf::new(),
            Form::Venv(_) => site_packages(wanted.python),
        },
        directory: wanted.directory.to_owned(),
    })
}

impl Installed {
    fn tree(&self) -> PathBuf {
        self.work.path().join("tree")
    }

    /// The modules that can be compiled, by path in the tree.
    pub fn modules(&self) -> Result<BTreeMap<String, Bytes>, ResolveError> {
        bytecode::modules(&self.tree(), &self.site)
    }

    /// Adds byte code, by path in the tree; RECORD files list it as pip's do.
    pub fn add_bytecode(&self, files: &BTreeMap<String, Bytes>) -> Result<(), ResolveError> {
        bytecode::add(&self.tree(), &self.site, files)
    }

    /// Gives the tree its place: the directory appears whole or not at all.
    pub fn place(self) -> Result<(), ResolveError> {
        tidy::tidy(&self.tree())?;
        fs_err::rename(self.tree(), &self.directory)?;
        Ok(())
    }
}

/// Refuses what cannot work before anything is written.
fn check(wanted: &Installation<'_>) -> Result<(), ResolveError> {
    let mut paths = vec![wanted.interpreter];
    if let Form::Venv(prefix) = wanted.form {
        paths.push(prefix);
    }
    for path in paths {
        // Both stand in the first line of scripts, and in lines of a configuration file.
        let text = path.to_str().unwrap_or_default();
        if !path.is_absolute() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let message = format!("{} is no absolute path without white space", path.display());
            return Err(ResolveError::new(ResolveErrorKind::Input, message));
        }
    }
    let directory = wanted.directory;
    match fs_err::read_dir(directory) {
        Ok(mut entries) => {
            if entries.next().is_none() {
                return Ok(());
            }
            let message = format!("{} is there and not empty", directory.display());
            let error = ResolveError::new(ResolveErrorKind::Input, message);
            Err(error.hint("remove it first, or name another directory"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error.into()),
    }
}

async fn run_uv(
    uv: &Uv,
    wanted: &Installation<'_>,
    work: &Path,
    tree: &Path,
) -> Result<(), ResolveError> {
    let (prefix, executable) = match wanted.form {
        Form::Site => (Path::new("/usr"), wanted.interpreter.to_owned()),
        Form::Venv(prefix) => (prefix, prefix.join("bin/python")),
    };
    let interpreter =
        interpreter::stand_in_of(work, prefix, &executable, wanted.python, wanted.target)?;
    let into = match wanted.form {
        Form::Site => "--target",
        Form::Venv(_) => "--prefix",
    };
    let mut command = Command::new(&uv.path);
    command
        .args([
            "pip",
            "install",
            "--quiet",
            "--color",
            "never",
            "--no-config",
        ])
        .args([
            "--no-index",
            "--no-deps",
            "--require-hashes",
            "--only-binary",
            ":all:",
        ])
        .args([
            "--no-python-downloads",
            "--link-mode",
            "copy",
            "--cache-dir",
        ])
        .arg(work.join("cache"))
        .arg("--python")
        .arg(interpreter)
        .arg("--find-links")
        .arg(fs_err::canonicalize(wanted.wheels)?)
        .arg(into)
        .arg(tree)
        .arg("--requirements")
        .arg(fs_err::canonicalize(wanted.requirements)?)
        .current_dir(work)
        // The stand-in is a script of the shell; everything else that uv reads of an environment is not wanted here.
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let failed = |detail: &str| {
        let message = format!(
            "uv could not install the wheels of {}: {detail}",
            wanted.requirements.display()
        );
        ResolveError::new(ResolveErrorKind::Uv, message)
    };
    let output = command.output().await;
    let output = output.map_err(|error| failed(&error.to_string()))?;
    if !output.status.success() {
        return Err(failed(String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(())
}

/// Where an environment has its packages.
fn site_packages(python: PythonVersion) -> PathBuf {
    Path::new("lib")
        .join(interpreter::library_directory(python))
        .join("site-packages")
}

/// What makes a tree with `lib` and `bin` an environment: its configuration, and links to the interpreter.
fn make_environment(wanted: &Installation<'_>, tree: &Path) -> Result<(), ResolveError> {
    let release = wanted.python.release();
    let home = wanted.interpreter.parent().unwrap_or(Path::new("/"));
    let configuration = format!(
        "home = {}\ninclude-system-site-packages = false\nversion = {release}\n",
        home.display()
    );
    fs_err::write(tree.join("pyvenv.cfg"), configuration)?;
    fs_err::create_dir_all(tree.join(site_packages(wanted.python)))?;
    let bin = tree.join("bin");
    fs_err::create_dir_all(&bin)?;
    fs_err::os::unix::fs::symlink(wanted.interpreter, bin.join("python"))?;
    for name in ["python3".to_owned(), format!("python{release}")] {
        fs_err::os::unix::fs::symlink(PathBuf::from("python"), bin.join(name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted<'a>(directory: &'a Path, form: Form<'a>, interpreter: &'a str) -> Installation<'a> {
        Installation {
            python: "3.11".parse().unwrap(),
            target: "manylinux_2_36_x86_64".parse().unwrap(),
            wheels: directory,
            requirements: directory,
            interpreter: Path::new(interpreter),
            form,
            directory,
        }
    }

    #[test]
    fn what_is_there_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let wanted = wanted(folder.path(), Form::Site, "/usr/bin/python3.11");
        check(&wanted).unwrap();
        fs_err::write(folder.path().join("file"), "").unwrap();
        let error = check(&wanted).unwrap_err();
        assert!(error.to_string().contains("not empty"), "{error}");
    }

    #[test]
    fn paths_that_a_script_cannot_begin_with_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for path in ["python", "/opt/my python", "/opt/py\nthon"] {
            let site = wanted(folder.path(), Form::Site, path);
            assert!(check(&site).is_err(), "{path}");
            let form = Form::Venv(Path::new(path));
            assert!(check(&wanted(folder.path(), form, "/usr/bin/python3")).is_err());
        }
    }
}
