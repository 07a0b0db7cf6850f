//! Environments made over the bare runtime image, which is quicker than over a builder.

use std::collections::BTreeMap;
use std::io::Read;

use bollard::query_parameters::RemoveImageOptionsBuilder;
use tokio_util::sync::CancellationToken;
use wheelfarm_build::action::ExecutorErrorKind;
use wheelfarm_build::environment::{EnvironmentRecipe, EnvironmentRecord, PackageManager};
use wheelfarm_executor::HostNetwork;
use wheelfarm_types::Digest;

use crate::engine::{Engine, Kind, debian, lines, quiet};

on_every_engine! {
    packages_are_installed_recorded_and_found_again,
    an_environment_without_packages_needs_no_network,
    an_unknown_package_is_named,
    making_an_environment_can_be_cancelled,
}

fn recipe(engine: &Engine, packages: &[&str]) -> EnvironmentRecipe {
    EnvironmentRecipe {
        image: "debian-12".to_owned(),
        image_content: engine.runtime.content,
        manager: PackageManager::Apt,
        packages: packages.iter().map(|&name| name.to_owned()).collect(),
    }
}

async fn packages_are_installed_recorded_and_found_again(mut engine: Engine) {
    // As on a machine with a certificate authority of its own.
    let bundle = engine.runs.path().join("ca.pem");
    fs_err::write(&bundle, "secret of this machine").unwrap();
    let network = HostNetwork {
        ca_bundle: Some(bundle),
        proxies: BTreeMap::from([("no_proxy".to_owned(), "example.invalid".to_owned())]),
        index: BTreeMap::new(),
    };
    engine.reconnect(network).await;

    let recipe = recipe(&engine, &["liblzo2-2"]);
    let cancel = CancellationToken::new();
    let image = debian().1;
    let environments = engine.tested.environments();
    let make = || environments.make(&image, &engine.runtime, &recipe, quiet(), &cancel);
    let made = make().await.unwrap();
    engine.assert_clean().await;
    let package = made
        .manifest
        .iter()
        .find(|package| package.name == "liblzo2-2");
    let package = package.unwrap();
    assert!(made.manifest.iter().any(|package| package.name == "libc6"));
    assert!(made.manifest.is_sorted());

    let files = files(&made.root);
    assert_eq!(files["lib"], "-> usr/lib");
    assert_eq!(files[".wheelfarm/manager"], "deb\n");
    let row = format!(
        "/usr/lib/x86_64-linux-gnu/liblzo2.so.2.0.0\tliblzo2-2\t{}\tamd64\n",
        package.version
    );
    let owners = &files[".wheelfarm/owners.tsv"];
    assert!(owners.contains(&row), "{owners}");
    assert!(
        owners.contains("/usr/lib/x86_64-linux-gnu/libc.so.6\tlibc6\t"),
        "{owners}"
    );
    let licenses = &files[".wheelfarm/licenses.tsv"];
    assert!(licenses.contains("liblzo2-2\tGPL-2+\n"), "{licenses}");
    for path in [
        "etc/os-release",
        "usr/lib/os-release",
        "etc/ld.so.conf",
        "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
        "usr/lib/x86_64-linux-gnu/liblzo2.so.2",
    ] {
        assert!(files.contains_key(path), "{path}");
    }

    let record = EnvironmentRecord {
        generation: 1,
        recipe: recipe.clone(),
        manifest: made.manifest.clone(),
        root: Digest::of(&made.root),
    };
    let found = environments.find(&record).await.unwrap();
    assert_eq!(found.as_ref(), Some(&made.image));
    let mut older = record.clone();
    older.manifest.pop();
    assert_eq!(environments.find(&older).await.unwrap(), None);

    // Neither the certificates nor the variables of this machine stay in the image, nor a label by which a sweep
    // would take somebody's container for ours.
    if engine.kind != Kind::Sandbox {
        let inspected = engine.client().inspect_image(&made.image).await.unwrap();
        let config = inspected.config.unwrap();
        assert!(!format!("{:?}", config.env).contains("example.invalid"));
        assert_eq!(config.labels.unwrap()["wheelfarm.runs"], "");
    }
    let mut action = engine.action("ls -A /tmp; find /var/lib/apt/lists /var/cache/apt -type f -size +0 2>/dev/null; grep -rls 'secret of this' /etc /usr/local /var /root; true");
    action.image.clone_from(&made.image);
    assert_eq!(engine.log_of(&action).await, "");

    // Equal packages give equal bytes, and the image stays: builds with another store may be about to use it.
    let again = make().await.unwrap();
    assert_eq!(again.root, made.root);
    assert_eq!(again.manifest, made.manifest);
    assert_eq!(again.image, made.image);
    let found = environments.find(&record).await.unwrap();
    assert_eq!(found.as_ref(), Some(&made.image));
    remove(&engine, &made.image).await;
}

async fn an_environment_without_packages_needs_no_network(engine: Engine) {
    let recipe = recipe(&engine, &[]);
    let cancel = CancellationToken::new();
    let made = engine
        .tested
        .environments()
        .make(&debian().1, &engine.runtime, &recipe, quiet(), &cancel)
        .await
        .unwrap();
    assert!(made.manifest.iter().any(|package| package.name == "libc6"));
    engine.assert_clean().await;
    remove(&engine, &made.image).await;
}

async fn an_unknown_package_is_named(engine: Engine) {
    let recipe = recipe(&engine, &["libno-such-dev"]);
    let cancel = CancellationToken::new();
    let made = engine
        .tested
        .environments()
        .make(&debian().1, &engine.runtime, &recipe, quiet(), &cancel)
        .await;
    let error = made.unwrap_err();
    assert_eq!(error.kind, ExecutorErrorKind::Packages);
    assert!(error.message.contains("`libno-such-dev`"), "{error}");
    assert!(error.message.contains("debian-12"), "{error}");
    engine.assert_clean().await;
}

async fn making_an_environment_can_be_cancelled(engine: Engine) {
    let recipe = recipe(&engine, &["liblzo2-2"]);
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let (sink, _) = lines(move |_| token.cancel());
    let made = engine
        .tested
        .environments()
        .make(&debian().1, &engine.runtime, &recipe, sink, &cancel)
        .await;
    assert_eq!(made.unwrap_err().kind, ExecutorErrorKind::Cancelled);
    engine.assert_clean().await;
}

fn files(tar: &[u8]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_string_lossy().into_owned();
        let content = if let Some(target) = entry.link_name().unwrap() {
            format!("-> {}", target.display())
        } else {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        files.insert(path, content);
    }
    files
}

async fn remove(engine: &Engine, image: &str) {
    // The sandbox makes it anew all the same.
    if engine.kind != Kind::Sandbox {
        let options = RemoveImageOptionsBuilder::new().build();
        let client = engine.client();
        client
            .remove_image(image, Some(options), None)
            .await
            .unwrap();
    }
}
