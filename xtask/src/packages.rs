//! System packages that the demo and the tests need: installed where we may, else named.

use std::process::Command;

use wheelfarm_tests::anyhow::{Result, bail};
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::environment::is_root;
use wheelfarm_tests::process::is_installed;

use crate::executor::Executor;
use crate::steps::show;

/// How one sees that a package is there.
enum Sign {
    Program(&'static str),
    /// A directory with something in it.
    Directory(&'static str),
    PythonModules(&'static str),
}

struct Package {
    name: &'static str,
    purpose: &'static str,
    sign: Sign,
}

/// What the demo needs wherever it builds.
const FOR_DEMO: [Package; 5] = [
    Package {
        name: "mmdebstrap",
        purpose: "makes builder images",
        sign: Sign::Program("mmdebstrap"),
    },
    Package {
        name: "postgresql",
        purpose: "psycopg2 is proved against it",
        sign: Sign::Directory("/usr/lib/postgresql"),
    },
    Package {
        name: "openssl",
        purpose: "makes the server's certificate",
        sign: Sign::Program("openssl"),
    },
    Package {
        name: "python3-venv",
        purpose: "auditwheel gets a place of its own",
        sign: Sign::PythonModules("venv, ensurepip"),
    },
    Package {
        name: "python3-pip",
        purpose: "downloads from the package index",
        sign: Sign::PythonModules("pip"),
    },
];

/// What it needs beside them where it builds in the sandbox.
const FOR_SANDBOX: [Package; 4] = [
    Package {
        name: "crun",
        purpose: "runs containers of the sandbox",
        sign: Sign::Program("crun"),
    },
    Package {
        name: "uidmap",
        purpose: "gives containers of ordinary users their ids",
        sign: Sign::Program("newuidmap"),
    },
    Package {
        name: "slirp4netns",
        purpose: "gives containers of ordinary users a network",
        sign: Sign::Program("slirp4netns"),
    },
    Package {
        name: "bubblewrap",
        purpose: "runs proofs where there is no engine",
        sign: Sign::Program("bwrap"),
    },
];

/// What tests need beside them.
const FOR_TESTS: [Package; 13] = [
    Package {
        name: "docker-registry",
        purpose: "images are pulled from it in tests",
        sign: Sign::Program("docker-registry"),
    },
    Package {
        name: "nginx-light",
        purpose: "says how ranges of files are answered",
        sign: Sign::Program("nginx"),
    },
    Package {
        name: "curl",
        purpose: "asks over TLS and HTTP/2",
        sign: Sign::Program("curl"),
    },
    Package {
        name: "radosgw",
        purpose: "the S3 server that stores are tested on",
        sign: Sign::Program("radosgw"),
    },
    Package {
        name: "ceph-mon",
        purpose: "what the S3 server stands on",
        sign: Sign::Program("ceph-mon"),
    },
    Package {
        name: "ceph-osd",
        purpose: "where the S3 server keeps its objects",
        sign: Sign::Program("ceph-osd"),
    },
    Package {
        name: "podman",
        purpose: "an engine that containers are tested on",
        sign: Sign::Program("podman"),
    },
    Package {
        name: "runc",
        purpose: "runs containers, for Podman and the sandbox",
        sign: Sign::Program("runc"),
    },
    Package {
        name: "tini",
        purpose: "the first process in Podman's containers",
        sign: Sign::Program("tini"),
    },
    Package {
        name: "containernetworking-plugins",
        purpose: "gives Podman's containers a network",
        sign: Sign::Directory("/usr/lib/cni"),
    },
    Package {
        name: "docker-compose",
        purpose: "runs the example of several services",
        sign: Sign::Program("docker-compose"),
    },
    Package {
        name: "chromium",
        purpose: "pages are looked at with it",
        sign: Sign::Program("chromium"),
    },
    Package {
        name: "chromium-driver",
        purpose: "drives the browser",
        sign: Sign::Program("chromedriver"),
    },
];

/// What `bench index` needs beside them.
const FOR_INDEX: [Package; 4] = [
    Package {
        name: "nginx",
        purpose: "serves a static index",
        sign: Sign::Program("nginx"),
    },
    Package {
        name: "wrk",
        purpose: "asks many times",
        sign: Sign::Program("wrk"),
    },
    Package {
        name: "util-linux",
        purpose: "gives servers and clients a core each",
        sign: Sign::Program("taskset"),
    },
    Package {
        name: "python3-venv",
        purpose: "gives each server in Python a place of its own",
        sign: Sign::PythonModules("venv, ensurepip"),
    },
];

/// Makes sure that all packages are there and that the engine answers.
pub(crate) fn install() -> Result<()> {
    install_missing(FOR_DEMO.iter().chain(&FOR_SANDBOX).chain(&FOR_TESTS))?;
    Engine::connect()?;
    Ok(())
}

/// Makes sure that all packages are there that the demo needs to build with `executor`.
pub(crate) fn install_for_demo(executor: &Executor) -> Result<()> {
    match executor {
        Executor::Docker(_) => install_missing(&FOR_DEMO),
        Executor::Sandbox(_) => install_missing(FOR_DEMO.iter().chain(&FOR_SANDBOX)),
    }
}

/// Makes sure that all packages are there that `bench index` needs.
pub(crate) fn install_for_index() -> Result<()> {
    install_missing(&FOR_INDEX)
}

fn install_missing<'a>(packages: impl IntoIterator<Item = &'a Package>) -> Result<()> {
    let missing: Vec<_> = packages
        .into_iter()
        .filter(|package| !package.sign.is_there())
        .collect();
    for package in &missing {
        eprintln!("{} is missing: {}", package.name, package.purpose);
    }
    let names: Vec<_> = missing.iter().map(|package| package.name).collect();
    if !names.is_empty() {
        let command = format!("apt-get install -y {}", names.join(" "));
        if !is_root() || !is_installed("apt-get") {
            bail!("these packages are missing; on Debian, install them with `sudo {command}`");
        }
        show(&mut apt(&["update"]))?;
        show(apt(&["install", "-y", "--no-install-recommends"]).args(&names))?;
    }
    Ok(())
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}

impl Sign {
    fn is_there(&self) -> bool {
        match self {
            Self::Program(program) => is_installed(program),
            Self::Directory(path) => std::path::Path::new(path)
                .read_dir()
                .is_ok_and(|mut entries| entries.next().is_some()),
            Self::PythonModules(modules) => {
                let look = Command::new("python3")
                    .args(["-c", &format!("import {modules}")])
                    .output();
                look.is_ok_and(|output| output.status.success())
            }
        }
    }
}
