//! Python in a bare runtime container: the release's Python and nothing else, no pip, no compiler, no libraries.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::bubble;
use crate::docker::{ContainerRun, Engine};
use crate::environment::architecture;

/// Unpacks wheels as an installer would, but for scripts and metadata; then runs the program, each symbol bound at
/// the start.
const RUN: &str = r#"set -eu
python3 - <<'END'
import glob, zipfile
for wheel in glob.glob("/wf/wheels/*.whl"):
    zipfile.ZipFile(wheel).extractall("/wf/site")
END
LD_BIND_NOW=1 PYTHONPATH=/wf/site exec python3 -B /wf/main.py
"#;

/// Installs a project with a pip that is run out of its wheel, from one index, and runs the program.
const INSTALL: &str = r#"set -eu
if command -v cc gcc make; then exit 9; fi
python3 /wf/pip.whl/pip install --quiet --no-cache-dir --disable-pip-version-check --no-input \
    --index-url "$INDEX" --target /wf/site "$REQUIREMENT"
LD_BIND_NOW=1 PYTHONPATH=/wf/site exec python3 -B /wf/main.py
"#;

/// The bare runtime that goes with a builder image.
#[derive(Debug, Clone)]
pub struct BareRuntime {
    way: Way,
    image: String,
}

/// What runs its containers.
#[derive(Debug, Clone)]
enum Way {
    /// The engine that has the image.
    Engine(Engine),
    /// Bubblewrap, on the image's root file system.
    Bubblewrap(PathBuf),
}

impl BareRuntime {
    /// The runtime for wheels built in `image`: `debian-12`.
    pub fn of(engine: &Engine, image: &str) -> Self {
        Self {
            way: Way::Engine(engine.clone()),
            image: name(image),
        }
    }

    /// The runtime for wheels built in `image`, out of the sandbox in `directory`. No engine is asked, nor the sandbox's
    /// own program.
    pub fn of_sandbox(directory: &Path, image: &str) -> Result<Self> {
        let image = name(image);
        Ok(Self {
            way: Way::Bubblewrap(bubble::root(directory, &image)?),
            image,
        })
    }

    /// Runs `program` with `wheels` installed; returns what it printed. An error if it fails.
    pub fn python(&self, wheels: &[&Path], program: &str, host_network: bool) -> Result<String> {
        let mut files = vec![
            ("/wf/run.sh".to_owned(), RUN.as_bytes().to_vec()),
            ("/wf/main.py".to_owned(), program.as_bytes().to_vec()),
        ];
        for wheel in wheels {
            let name = wheel.file_name().context("a wheel without a name")?;
            files.push((
                format!("/wf/wheels/{}", name.to_string_lossy()),
                fs_err::read(wheel)?,
            ));
        }
        self.run(&["sh", "/wf/run.sh"], files, host_network)
    }

    /// Installs `requirement` from `index`, an index on this machine, with `pip`, pip's own wheel, and runs `program`;
    /// returns what was printed. An error if something fails, or if there is a compiler.
    pub fn install(
        &self,
        pip: &Path,
        index: &str,
        requirement: &str,
        program: &str,
    ) -> Result<String> {
        let files = vec![
            ("/wf/run.sh".to_owned(), INSTALL.as_bytes().to_vec()),
            ("/wf/main.py".to_owned(), program.as_bytes().to_vec()),
            ("/wf/pip.whl".to_owned(), fs_err::read(pip)?),
        ];
        let environment = [
            ("INDEX".to_owned(), index.to_owned()),
            ("REQUIREMENT".to_owned(), requirement.to_owned()),
        ];
        self.run_with(&["sh", "/wf/run.sh"], environment, files, true)
    }

    /// Checks that there is nothing in the runtime that could help a wheel which is not whole.
    pub fn is_bare(&self) -> Result<()> {
        // The C library shows that the search has been everywhere. Not by file system: each directory may be one.
        let look = "find / '(' -path /proc -o -path /sys -o -path /dev ')' -prune -o '(' -name libc.so.6 -o -name 'libpq.so*' -o -name 'libxml2.so*' -o -name 'libyaml*.so*' -o -name pip -o -name 'x86_64-linux-gnu-gcc*' ')' -print; command -v cc gcc ld || true";
        let found = self.run(&["sh", "-c", look], Vec::new(), false)?;
        let (libc, helpful): (Vec<_>, Vec<_>) = found
            .lines()
            .filter(|line| !line.is_empty())
            .partition(|line| line.ends_with("/libc.so.6"));
        ensure!(!libc.is_empty(), "{} could not be searched", self.image);
        ensure!(
            helpful.is_empty(),
            "{} is not bare: {helpful:?}",
            self.image
        );
        Ok(())
    }

    fn run(
        &self,
        command: &[&str],
        files: Vec<(String, Vec<u8>)>,
        host_network: bool,
    ) -> Result<String> {
        self.run_with(command, [], files, host_network)
    }

    fn run_with(
        &self,
        command: &[&str],
        environment: impl IntoIterator<Item = (String, String)>,
        files: Vec<(String, Vec<u8>)>,
        host_network: bool,
    ) -> Result<String> {
        let locale = ("LC_ALL".to_owned(), "C.UTF-8".to_owned());
        let run = ContainerRun {
            image: &self.image,
            command: command.iter().map(|&word| word.to_owned()).collect(),
            environment: environment.into_iter().chain([locale]).collect(),
            host_network,
            files,
        };
        match &self.way {
            Way::Engine(engine) => {
                let (code, text) = engine.run(&run)?;
                ensure!(code == 0, "in {} (exit code {code}):\n{text}", self.image);
                Ok(text)
            }
            Way::Bubblewrap(root) => {
                bubble::run_on(root, &run).with_context(|| format!("in {}", self.image))
            }
        }
    }
}

/// The image's name: `wheelfarm/debian-12-runtime:x86_64`.
fn name(image: &str) -> String {
    format!("wheelfarm/{image}-runtime:{}", architecture())
}
