//! The tests of the executor on every engine: Docker, Podman and the sandbox, as root and as an ordinary user.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::environment::target_directory;
use wheelfarm_tests::ordinary::User;
use wheelfarm_tests::podman::Podman;

use crate::packages;
use crate::steps::{cargo, show};

/// What tests are told of the services of Podman.
pub(crate) struct Podmen {
    root: Podman,
    rootless: Podman,
    user: User,
    registry_port: u16,
}

/// `cargo xtask engines [ARGUMENT...]`: the arguments go to the test program.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    packages::install()?;
    let podmen = Podmen::start()?;
    podmen.tests(arguments)?;
    podmen.tests_of_an_ordinary_user(arguments)
}

impl Podmen {
    /// Starts them. They end with this.
    pub(crate) fn start() -> Result<Self> {
        let user = User::ordinary()?;
        let registry_port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self {
            root: Podman::start(None, registry_port)?,
            rootless: Podman::start(Some(&user), registry_port)?,
            user,
            registry_port,
        })
    }

    /// Where that of root and that of an ordinary user listen.
    pub(crate) fn hosts(&self) -> [String; 2] {
        [self.root.host(), self.rootless.host()]
    }

    /// Tells `command` of them.
    pub(crate) fn tell<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env("WHEELFARM_TEST_PODMAN", self.root.host())
            .env("WHEELFARM_TEST_ROOTLESS_PODMAN", self.rootless.host())
            .env(
                "WHEELFARM_TEST_REGISTRY_PORT",
                self.registry_port.to_string(),
            )
    }

    fn tests(&self, arguments: &[String]) -> Result<()> {
        let mut test = cargo("test --package wheelfarm-executor --test engines --locked --");
        test.args(arguments).env("WHEELFARM_TEST_DOCKER", "1");
        show(self.tell(&mut test))
    }

    /// The sandbox again, as somebody who may do nothing on this machine.
    pub(crate) fn tests_of_an_ordinary_user(&self, arguments: &[String]) -> Result<()> {
        let tests = test_program()?;
        let launcher = target_directory()?.join("debug/sandbox-launcher");
        // Where an ordinary user may read, wherever the repository lies.
        let place = tempfile::tempdir()?;
        fs_err::set_permissions(place.path(), Permissions::from_mode(0o755))?;
        let copy = |program: &Path, name: &str| -> Result<PathBuf> {
            let copy = place.path().join(name);
            fs_err::copy(program, &copy)?;
            Ok(copy)
        };
        let tests = copy(&tests, "engines")?;
        let launcher = copy(&launcher, "sandbox-launcher")?;
        let all = ["sandbox::".to_owned()];
        let arguments = if arguments.is_empty() {
            &all
        } else {
            arguments
        };
        let mut command = self.user.command(&tests);
        command
            .args(arguments)
            .env("WHEELFARM_TEST_SANDBOX", "1")
            .env("WHEELFARM_TEST_LAUNCHER", launcher);
        show(&mut User::with_device(&command))
    }
}

/// The program with the tests, which is built.
fn test_program() -> Result<PathBuf> {
    let mut build = cargo("test --package wheelfarm-executor --test engines --locked --no-run");
    build
        .args(["--message-format", "json"])
        .stderr(Stdio::inherit());
    let messages = build.output()?.stdout;
    let messages = String::from_utf8(messages)?;
    let program = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let name = message.get("target")?.get("name")?.as_str()?;
        let program = message.get("executable")?.as_str()?;
        (name == "engines").then(|| PathBuf::from(program))
    });
    program.context("cargo names no test program")
}
