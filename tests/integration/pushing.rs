//! `wheelfarm export --push` gives the image of a wheelhouse to a registry.

use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::farm::{Farm, Run, uv_wheel};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::sdist::pure_wheel;

use crate::support::{failed, farm_of, needs_docker};

/// The user `me` with the password `secret`, as registries keep it.
const USERS: &str = "me:$2b$04$v94a/aesmW8Y7O/RW2w0bOBb1RdTzR0V3fUlQ09VTVOAqawKQnh/m\n";
/// `me:secret` in base64.
const LOGIN: &str = "bWU6c2VjcmV0";

/// Debian's `docker-registry` on a free port.
struct Registry {
    process: Child,
    port: u16,
}

impl Registry {
    /// One that is open to all, or to who is in [`USERS`].
    fn start(directory: &Path, open: bool) -> Self {
        fs_err::create_dir_all(directory).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let users = directory.join("users");
        fs_err::write(&users, USERS).unwrap();
        let auth = if open {
            String::new()
        } else {
            format!(
                "auth: {{htpasswd: {{realm: test, path: {}}}}}\n",
                users.display()
            )
        };
        let config = directory.join("config.yml");
        let data = directory.join("data");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\n\
             http: {{addr: '127.0.0.1:{port}'}}\n{auth}",
            data.display()
        );
        fs_err::write(&config, text).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's package docker-registry is installed");
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(start.elapsed() < Duration::from_secs(30), "no registry");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { process, port }
    }

    /// An image's name there.
    fn image(&self) -> String {
        format!("localhost:{}/team/wheels:1", self.port)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
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
    let registry = Registry::start(&farm.work().join("registry"), true);
    let image = registry.image();
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
    let registry = Registry::start(&farm.work().join("registry"), false);
    let image = registry.image();
    let host = format!("localhost:{}", registry.port);
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
