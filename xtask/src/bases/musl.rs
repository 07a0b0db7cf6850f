//! The bare runtime for musl with a compiled Python in `/usr/local`, pip and venv: stands in for `python:3.11-alpine`.

use std::path::Path;
use std::process::Command;

use wheelfarm_build::catalogue::Catalogue;
use wheelfarm_build::pythons::add_compiled;
use wheelfarm_store::Store;
use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::environment::{architecture, kept_directory};
use wheelfarm_types::PythonVersion;

use crate::images;
use crate::steps::show;

/// The builder image whose Python it is.
const IMAGE: &str = "debian-12-musl";
const PYTHON: &str = "3.11";
const DOCKERFILE: &str = include_str!("musl/Dockerfile");
const INSTALL: &str = include_str!("musl/install.sh");

/// Makes the image, and before that what it is made of: the builder, its runtime and the Python, each unless it is
/// here.
pub(super) fn make(image: &str, wheelfarm: &Path) -> Result<()> {
    let store = images::pythons(wheelfarm, IMAGE, &[PYTHON])?;
    let context = kept_directory()?.join("python-musl");
    fs_err::create_dir_all(&context)?;
    fs_err::write(context.join("python.tar.gz"), tree(&store)?)?;
    fs_err::write(context.join("install.sh"), INSTALL)?;
    let runtime = format!("RUNTIME=wheelfarm/{IMAGE}-runtime:{}", architecture());
    let dockerfile = context.join("Dockerfile");
    fs_err::write(&dockerfile, DOCKERFILE)?;
    show(
        Command::new("docker")
            .args(["build", "--tag", image, "--build-arg", &runtime])
            .arg("--file")
            .arg(dockerfile)
            .arg(context),
    )
}

/// The Python's files, as the store has them.
fn tree(store: &Path) -> Result<Vec<u8>> {
    let python: PythonVersion = PYTHON.parse()?;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let store = Store::open(&store.to_string_lossy()).await?;
        let mut catalogue = Catalogue::builtin(architecture().parse()?);
        add_compiled(&mut catalogue, &store).await?;
        let tree = catalogue.get(IMAGE).and_then(|image| image.tree(python));
        let tree = tree.with_context(|| format!("the store has no Python {PYTHON} for {IMAGE}"))?;
        Ok(store.get(&tree).await?.to_vec())
    })
}
