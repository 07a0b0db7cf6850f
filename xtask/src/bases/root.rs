//! A root file system of Debian packages, and the image it becomes.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use wheelfarm_build::catalogue::{Catalogue, ImageSource};
use wheelfarm_executor::{CLEAN, EPOCH, steady};
use wheelfarm_tests::anyhow::{Context, Result, bail};
use wheelfarm_tests::environment::architecture;
use wheelfarm_tests::process::run;

/// What goes into a root: Debian's `minbase`, packages, and what hooks make of it.
pub(super) struct Root {
    directory: tempfile::TempDir,
    command: Command,
    suite: String,
}

impl Root {
    /// A root of the Debian release that the catalogue's image `builder` is of, with `packages` and all that these need.
    pub(super) fn new(builder: &str, packages: &[&str]) -> Result<Self> {
        let catalogue = Catalogue::builtin(architecture().parse()?);
        let source = catalogue.get(builder).map(|image| &image.source);
        let Some(ImageSource::Debian { suite }) = source else {
            bail!("the catalogue has no image {builder} that is made from Debian packages");
        };
        Self::of_suite(suite, packages)
    }

    /// A root of the Debian release `suite`, which no builder has to be of.
    pub(super) fn of_suite(suite: &str, packages: &[&str]) -> Result<Self> {
        let catalogue = Catalogue::builtin(architecture().parse()?);
        let directory = tempfile::tempdir()?;
        // apt reads in it as a user of its own.
        let mode = std::fs::Permissions::from_mode(0o755);
        fs_err::set_permissions(directory.path(), mode)?;
        let recipe = &catalogue.debian_recipe;
        let mut command = Command::new("mmdebstrap");
        command
            .arg("--variant=minbase")
            .arg(format!("--include={}", packages.join(",")))
            .args(
                recipe
                    .apt_options
                    .iter()
                    .map(|line| format!("--aptopt={line}")),
            )
            .args(
                recipe
                    .dpkg_options
                    .iter()
                    .map(|line| format!("--dpkgopt={line}")),
            )
            .env("TMPDIR", directory.path());
        steady(&mut command);
        Ok(Self {
            directory,
            command,
            suite: suite.to_owned(),
        })
    }

    /// A shell command between the essential packages and the others; `"$1"` is the root.
    pub(super) fn before_packages(&mut self, command: &str) {
        self.command.arg(format!("--essential-hook={command}"));
    }

    /// A shell command after all packages; `"$1"` is the root.
    pub(super) fn after_packages(&mut self, command: &str) {
        self.command.arg(format!("--customize-hook={command}"));
    }

    /// Leaves what hooks put into /run, which mmdebstrap empties at the end.
    pub(super) fn keep_run(&mut self) {
        self.command.arg("--skip=cleanup/run");
    }

    /// Writes `text` to `path` in the root, for `mode`.
    pub(super) fn file(&mut self, path: &str, text: &str, mode: u32) -> Result<()> {
        let name = path.trim_start_matches('/').replace('/', "-");
        let outside = self.directory.path().join(name);
        fs_err::write(&outside, text)?;
        self.after_packages(&format!("upload {} {path}", outside.display()));
        self.after_packages(&format!(r#"chmod {mode:o} "$1"{path}"#));
        Ok(())
    }

    /// Makes the root, and an image of all of it. `changes` are lines of a Dockerfile that configure it.
    pub(super) fn import(mut self, image: &str, changes: &[&str]) -> Result<()> {
        for hook in CLEAN {
            self.after_packages(hook);
        }
        let tar = self.directory.path().join("root.tar");
        run(self.command.arg(&self.suite).arg(&tar))?;
        import(image, &tar, changes)
    }

    /// Makes the root, and an image of what is below `directory` in it.
    pub(super) fn import_directory(
        mut self,
        image: &str,
        directory: &str,
        changes: &[&str],
    ) -> Result<()> {
        let tar = self.directory.path().join("directory.tar");
        self.after_packages(&format!(
            r#"tar --create --file "$1"/directory.tar --directory "$1"{directory} --sort=name --numeric-owner --mtime=@{EPOCH} ."#
        ));
        self.after_packages(&format!("download /directory.tar {}", tar.display()));
        run(self
            .command
            .args(["--format=null", &self.suite, "/dev/null"]))?;
        import(image, &tar, changes)
    }
}

/// Gives the engine `tar` as `image`. What had the name before goes, unless it is in use.
fn import(image: &str, tar: &Path, changes: &[&str]) -> Result<()> {
    let id = || run(Command::new("docker").args(["image", "inspect", "--format={{.Id}}", image]));
    let before = id().ok();
    let mut command = Command::new("docker");
    command.arg("import");
    for change in changes {
        command.args(["--change", change]);
    }
    run(command.arg(tar).arg(image)).context("the engine did not take the root")?;
    if let Some(before) = before
        && before != id()?
    {
        // Containers may still need it.
        run(Command::new("docker").args(["image", "rm", before.trim()])).ok();
    }
    Ok(())
}
