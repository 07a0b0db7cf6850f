//! `wheelfarm export --push` gives the image of a wheelhouse to a registry.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::farm::{Farm, Run, uv_wheel};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::registry::{Access, Registry};
use wheelfarm_tests::sdist::pure_wheel;

use crate::support::{failed, farm_of, needs_docker};

/// `me:secret` in base64.
const LOGIN: &str = "bWU6c2VjcmV0";

/// An image's name in a registry.
fn image(registry: &Registry) -> String {
    format!("{}/team/wheels:1", registry.host())
}

/// A farm with one wheel, and with Docker's configuration in a directory of its own.
fn farm() -> Farm {
    let plain = pure_wheel("plain", "1.0", "").unwrap();
    let index = Index::start()
        .unwrap()
        .with_file("plain", "plain-1.0-py3-none-any.whl", plain);
    let farm = farm_of(&index);
    let arguments = ["plain", "--image", "debian-12"];
    farm.build(arguments).unwrap().success().unwrap();
    let docker = farm.work().join("docker");
    fs_err::create_dir(&docker).unwrap();
    farm.with("DOCKER_CONFIG", &docker.display().to_string())
}

fn push(farm: &Farm, image: &str) -> Run {
    let uv = uv_wheel().unwrap().display().to_string();
    let arguments = ["export", "plain", "--format", "json", "--uv-wheel", &uv];
    let target = ["--python", "3.11", "--target", "manylinux_2_36_x86_64"];
    let push = ["--push", "--tag", image];
    let arguments = [&arguments[..], &target, &push].concat();
    let run = farm.run(arguments).unwrap();
    Engine::connect().unwrap().remove_image(image).unwrap();
    run
}

fn pushed(run: &Run) -> String {
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let report: Value = serde_json::from_str(&run.stdout).unwrap();
    report["image"]["pushed"].as_str().unwrap().to_owned()
}

fn configure(farm: &Farm, configuration: &Value) {
    let path = farm.work().join("docker/config.json");
    fs_err::write(path, configuration.to_string()).unwrap();
}

#[test]
fn an_image_is_pushed_to_an_open_registry() {
    needs_docker!();
    let farm = farm();
    let registry = Registry::start(&farm.work().join("registry"), Access::Open).unwrap();
    let image = image(&registry);
    let run = push(&farm, &image);
    assert!(run.stderr.contains("Pushed"), "{}", run.stderr);
    let digest = pushed(&run);
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert_eq!(pushed(&push(&farm, &image)), digest, "the same twice");
}

#[test]
fn a_login_is_taken_from_dockers_configuration() {
    needs_docker!();
    let farm = farm();
    let registry = Registry::start(&farm.work().join("registry"), Access::Login).unwrap();
    let image = image(&registry);
    let host = registry.host();
    failed(
        &push(&farm, &image),
        4,
        &[&image, "no basic auth credentials"],
        &["`docker login`"],
    );

    configure(&farm, &json!({ "auths": { &host: { "auth": LOGIN } } }));
    let digest = pushed(&push(&farm, &image));

    // A helper is asked for the registry by name on its stdin.
    let helper = farm.work().join("docker-credential-wheelfarm-test");
    let script = format!(
        "#!/bin/sh\n[ \"$1 $(cat)\" = 'get {host}' ] || exit 1\n\
         echo '{{\"ServerURL\": \"{host}\", \"Username\": \"me\", \"Secret\": \"secret\"}}'\n"
    );
    fs_err::write(&helper, script).unwrap();
    fs_err::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", farm.work().display());
    let farm = farm.with("PATH", &path);
    configure(
        &farm,
        &json!({ "credHelpers": { &host: "wheelfarm-test" } }),
    );
    assert_eq!(pushed(&push(&farm, &image)), digest);

    configure(
        &farm,
        &json!({ "auths": { &host: { "auth": "bWU6d3Jvbmc=" } } }),
    );
    let run = push(&farm, &image);
    failed(&run, 4, &[&image, "unauthorized"], &["`docker login`"]);
    assert!(!run.stderr.contains("bWU6d3Jvbmc"), "{}", run.stderr);
}
