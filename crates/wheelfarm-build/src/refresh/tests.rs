use serde_json::json;
use wheelfarm_types::Arch;

use super::*;
use crate::environment::PackageManager;

fn package(name: &str, version: &str) -> SystemPackage {
    SystemPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        arch: "amd64".to_owned(),
    }
}

fn recipe(packages: &[&str]) -> EnvironmentRecipe {
    EnvironmentRecipe {
        image: "debian-12".to_owned(),
        image_content: Digest::of("image"),
        manager: PackageManager::Apt,
        packages: packages.iter().map(|&name| name.to_owned()).collect(),
    }
}

/// Files an environment, and a wheel of psycopg2 that was built in it and holds libpq of `version`.
async fn file(store: &Store, packages: &[&str], generation: u32, version: &str) {
    let environment = EnvironmentRecord {
        generation,
        recipe: recipe(packages),
        manifest: vec![package("libpq5", version)],
        root: Digest::of("root"),
    };
    let digest = environment.recipe.digest();
    let number = u64::from(generation);
    store
        .append(kind::ENVIRONMENT, &digest, number, &environment)
        .await
        .unwrap();
    let some = Digest::of("some");
    let raw: RawRecord = serde_json::from_value(json!({
        "inputs": {
            "schema": 1, "project": "psycopg2", "version": "2.9",
            "source": { "name": "psycopg2-2.9.tar.gz", "sha256": some }, "python": "3.11",
            "environment": digest, "manifest": environment.manifest_digest(), "generation": generation,
            "build_requires": [], "front_end": { "name": "uv", "sha256": some }, "scripts": some,
            "env": {}, "config_settings": {},
        },
        "filename": "psycopg2-2.9-cp311-cp311-linux_x86_64.whl", "wheel": some, "log": some, "seconds": 1.0,
    }))
    .unwrap();
    let raw_key = crate::key::canonical_digest(&raw.inputs);
    store
        .create_record(kind::RAW, &raw_key, &raw)
        .await
        .unwrap();
    let name = format!("psycopg2-2.9-{generation}wf0-cp311-cp311-manylinux_2_36_x86_64.whl");
    let wheel: WheelRecord = serde_json::from_value(json!({
        "inputs": {
            "schema": 1, "tool": "wheelfarm", "raw_filename": raw.filename, "raw": some, "raw_key": raw_key,
            "target": "manylinux_2_36_x86_64", "libraries": some, "exclude": [], "build_tag": generation,
        },
        "filename": name, "wheel": some, "size": 1, "modules": [], "seconds": 1.0,
        "vendored": [
            { "soname": "libpq.so.5", "path": "x.libs/libpq.so.5", "package": format!("libpq5 {version}") },
            { "soname": "libown.so", "path": "x.libs/libown.so", "package": null },
        ],
    }))
    .unwrap();
    let key = crate::key::canonical_digest(&wheel.inputs);
    store
        .create_record(kind::WHEEL, &key, &wheel)
        .await
        .unwrap();
}

async fn known(store: &Store) -> Vec<BuiltWheel> {
    let catalogue = Catalogue::builtin(Arch::X86_64);
    wheels(store, &catalogue, &Recipes::builtin())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_wheel_is_stale_when_its_library_was_updated() {
    let store = Store::open("memory:").await.unwrap();
    file(&store, &["libpq-dev"], 1, "15.1-0").await;
    let wheels = known(&store).await;
    let [wheel] = wheels.as_slice() else {
        panic!("{wheels:?}")
    };
    assert_eq!(wheel.stale(&[package("libpq5", "15.1-0")]), []);
    let library = |new: Option<&str>| StaleLibrary {
        soname: "libpq.so.5".to_owned(),
        package: "libpq5".to_owned(),
        old: "15.1-0".to_owned(),
        new: new.map(str::to_owned),
    };
    let now = [package("libpq5", "15.2-0"), package("libssl3", "3")];
    assert_eq!(wheel.stale(&now), [library(Some("15.2-0"))]);
    assert_eq!(wheel.stale(&[]), [library(None)]);
}

#[tokio::test]
async fn the_store_alone_knows_which_wheels_are_behind_its_own_environments() {
    let store = Store::open("memory:").await.unwrap();
    let mut stock = Stock::default();
    file(&store, &["libpq-dev"], 1, "15.1-0").await;
    let compared = stock.compare(&store).await.unwrap();
    let wheel = Digest::of("some");
    assert_eq!(compared[&wheel].stale, []);
    assert_eq!(compared[&wheel].environment, "debian-12 with libpq-dev");
    let newer = EnvironmentRecord {
        generation: 2,
        recipe: recipe(&["libpq-dev"]),
        manifest: vec![package("libpq5", "15.2-0")],
        root: Digest::of("root"),
    };
    let digest = newer.recipe.digest();
    let series = kind::ENVIRONMENT;
    store.append(series, &digest, 2, &newer).await.unwrap();
    let compared = stock.compare(&store).await.unwrap();
    let [library] = compared[&wheel].stale.as_slice() else {
        panic!("{compared:?}")
    };
    assert_eq!(
        (library.old.as_str(), library.new.as_deref()),
        ("15.1-0", Some("15.2-0"))
    );
}

#[tokio::test]
async fn what_was_replaced_is_not_looked_at() {
    let store = Store::open("memory:").await.unwrap();
    for (generation, version) in [(1, "15.1-0"), (3, "15.3-0"), (2, "15.2-0")] {
        file(&store, &["libpq-dev"], generation, version).await;
    }
    // Of a recipe that asked for more: the next build makes another wheel anyway.
    file(&store, &["libfoo-dev", "libpq-dev"], 9, "15.0-0").await;
    let wheels = known(&store).await;
    let generations: Vec<_> = wheels.iter().map(|wheel| wheel.generation).collect();
    assert_eq!(generations, [3]);
}

#[tokio::test]
async fn an_environment_is_looked_at_once_as_its_image_is_today() {
    let store = Store::open("memory:").await.unwrap();
    file(&store, &["libpq-dev"], 1, "15.1-0").await;
    let mut wheels = known(&store).await;
    wheels.extend(known(&store).await);
    assert!(lines(&wheels, &BTreeMap::new()).is_empty());
    let today = Digest::of("made anew");
    let lines = lines(&wheels, &[("debian-12".to_owned(), today)].into());
    let [(image, line)] = lines.as_slice() else {
        panic!("{lines:?}")
    };
    assert_eq!(image.name, "debian-12");
    assert_eq!(line.image_content, today);
    assert_eq!(line.line(), recipe(&["libpq-dev"]).line());
    assert_ne!(line.digest(), recipe(&["libpq-dev"]).digest());
}

#[test]
fn changes_are_told_by_package() {
    let old = [package("a", "1"), package("b", "1"), package("c", "1")];
    let new = [package("a", "1"), package("b", "2"), package("d", "1")];
    let change = |name: &str, old: Option<&str>, new: Option<&str>| PackageChange {
        package: name.to_owned(),
        old: old.map(str::to_owned),
        new: new.map(str::to_owned),
    };
    assert_eq!(
        changes(&old, &new),
        [
            change("b", Some("1"), Some("2")),
            change("c", Some("1"), None),
            change("d", None, Some("1")),
        ]
    );
    assert_eq!(changes(&new, &new), []);
}
