//! Records of a wheel whose libraries its build environment has other versions of by now.

use anyhow::Result;
use serde_json::json;
use wheelfarm_build::environment::{
    EnvironmentRecipe, EnvironmentRecord, PackageManager, SystemPackage,
};
use wheelfarm_store::Store;
use wheelfarm_types::{Digest, WheelFilename};

/// A library in a wheel.
#[derive(Debug, Clone, Copy)]
pub struct Library<'a> {
    /// What it is needed by.
    pub soname: &'a str,
    /// Its package.
    pub package: &'a str,
    /// The version it was taken from.
    pub had: &'a str,
    /// The version that the environment has now; none if it does not have the package any more.
    pub has: Option<&'a str>,
}

/// Writes what a farm would have written that built `filename`, with the bytes `wheel`, and has updated the environment
/// since.
pub async fn outdated(
    store: &Store,
    filename: &WheelFilename,
    wheel: &Digest,
    libraries: &[Library<'_>],
) -> Result<()> {
    let recipe = EnvironmentRecipe {
        image: "debian-12".to_owned(),
        image_content: Digest::of("image"),
        manager: PackageManager::Apt,
        packages: vec![format!("{}-dev", filename.name)],
    };
    let manifest = libraries.iter().filter_map(|library| {
        Some(SystemPackage {
            name: library.package.to_owned(),
            version: library.has?.to_owned(),
            arch: "amd64".to_owned(),
        })
    });
    let environment = EnvironmentRecord {
        generation: 2,
        manifest: manifest.collect(),
        root: Digest::of("root"),
        recipe,
    };
    let recipe = environment.recipe.digest();
    store
        .append("environment", &recipe, 2, &environment)
        .await?;
    let some = Digest::of("some");
    let file = json!({ "name": "some", "sha256": some });
    let raw = json!({
        "inputs": {
            "schema": 1, "project": filename.project()?, "version": filename.version, "source": file, "python": "3.11",
            "environment": recipe, "manifest": some, "generation": 1, "build_requires": [], "front_end": file,
            "scripts": some, "env": {}, "config_settings": {},
        },
        "filename": filename, "wheel": some, "log": some, "seconds": 1.0,
    });
    let key = Digest::of(filename.to_string());
    store.create_record("raw-wheel", &key, &raw).await?;
    let vendored: Vec<_> = libraries
        .iter()
        .map(|library| {
            let package = format!("{} {}", library.package, library.had);
            json!({ "soname": library.soname, "path": library.soname, "package": package })
        })
        .collect();
    let record = json!({
        "inputs": {
            "schema": 1, "tool": "wheelfarm", "raw_filename": filename, "raw": some, "raw_key": key,
            "target": "manylinux_2_36_x86_64", "libraries": some, "exclude": [], "build_tag": 1,
        },
        "filename": filename, "wheel": wheel, "size": 1, "modules": [], "seconds": 1.0, "vendored": vendored,
    });
    store.create_record("wheel", &key, &record).await?;
    Ok(())
}
