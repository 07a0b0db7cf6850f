//! Gets the upstream archive of a Debian source package: by apt, which checks the suite's signature and the hashes,
//! in a root that mmdebstrap sets up for another suite than this machine's.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::{ExecutorErrorKind, LogSink};
use wheelfarm_build::catalogue::DebianRecipe;
use wheelfarm_build::pythons::PythonSource;
use wheelfarm_types::PythonVersion;

use crate::debian::{mmdebstrap, run, temporary_directory};
use crate::error::{Result, hinted, io};

/// Sources instead of packages, from the same places.
const SOURCES: &str = r#"sed -i 's/^deb /deb-src /' "$1"/etc/apt/sources.list"#;
/// The newest version that can be had: a mirror that is being updated may list one that it does not have.
const DOWNLOAD: &str = r#"mkdir "$1"/source && cd "$1"/source && export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
for version in $(apt-cache showsrc --only-source PACKAGE | sed -n 's/^Version: //p' | sort -ruV); do
    apt-get source -q --tar-only --download-only --only-source "PACKAGE=$version" && exit 0
done
exit 1"#;

/// The source archive of `python`, from the first of `suites` that has it.
///
/// Without Debian's patches, some of which change where Python looks for modules: a Python beside the
/// distribution's own is laid out as upstream has it.
pub async fn python_source(
    python: PythonVersion,
    suites: &[String],
    recipe: &DebianRecipe,
    progress: &LogSink,
    cancel: &CancellationToken,
) -> Result<PythonSource> {
    let mut failures = Vec::new();
    for suite in suites {
        match from_suite(python, suite, recipe, progress, cancel).await {
            Ok(source) => return Ok(source),
            Err(error) if error.kind == ExecutorErrorKind::Cancelled => return Err(error),
            Err(error) => failures.push(error.message),
        }
    }
    Err(hinted(
        ExecutorErrorKind::ImageUnavailable,
        format!(
            "the source of Python {} could not be had. {}",
            python.release(),
            failures.join("\n")
        ),
        "The mirror may be in the middle of an update: try again later.",
    ))
}

async fn from_suite(
    python: PythonVersion,
    suite: &str,
    recipe: &DebianRecipe,
    progress: &LogSink,
    cancel: &CancellationToken,
) -> Result<PythonSource> {
    let package = format!("python{}", python.release());
    let directory = temporary_directory()?;
    let mut command = mmdebstrap(recipe, directory.path());
    let target = directory.path().display();
    command
        .args(["--variant=custom", "--format=null"])
        .arg(format!("--setup-hook={SOURCES}"))
        .arg(format!(
            "--customize-hook={}",
            DOWNLOAD.replace("PACKAGE", &package)
        ))
        .arg(format!("--customize-hook=copy-out /source {target}"))
        .args([suite, "/dev/null"]);
    let what = format!("get the source of {package} from Debian's {suite}");
    run(command, &what, progress, cancel).await?;
    read(&directory.path().join("source")).map_err(io(what))
}

fn read(directory: &Path) -> std::io::Result<PythonSource> {
    for entry in fs_err::read_dir(directory)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && name.contains(".orig.tar.")
        {
            let bytes = fs_err::read(entry.path())?.into();
            return Ok(PythonSource { name, bytes });
        }
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::NotFound,
        "apt left no source archive",
    ))
}
