//! System packages that the demo and the tests need: installed where we may, else named.

use std::process::Command;

use wheelfarm_tests::anyhow::{Result, bail};
use wheelfarm_tests::docker::Engine;
use wheelfarm_tests::environment::is_root;
use wheelfarm_tests::process::is_installed;

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

const PACKAGES: [Package; 6] = [
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
    Package {
        name: "docker-registry",
        purpose: "images are pulled from it in tests",
        sign: Sign::Program("docker-registry"),
    },
];

/// Makes sure that all packages are there and that the engine answers.
pub(crate) fn install() -> Result<()> {
    let missing: Vec<_> = PACKAGES
        .iter()
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
    Engine::connect()?;
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
