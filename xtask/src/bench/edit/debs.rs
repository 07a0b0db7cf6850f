//! Debian packages for other machines, fetched by apt with a state of its own: nothing is installed.

use std::path::Path;
use std::process::Command;

use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::process::run;

use crate::bench::wheels::directory;

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Debian's names of machines, with the suite that has them and the packages of that suite.
const MACHINES: [(&str, &str, &str); 10] = [
    ("arm64", "bookworm", BOOKWORM),
    ("armel", "bookworm", BOOKWORM),
    ("armhf", "bookworm", BOOKWORM),
    ("i386", "bookworm", BOOKWORM),
    ("mips64el", "bookworm", BOOKWORM),
    ("mipsel", "bookworm", BOOKWORM),
    ("ppc64el", "bookworm", BOOKWORM),
    ("s390x", "bookworm", BOOKWORM),
    ("riscv64", "trixie", TRIXIE),
    ("loong64", "forky", TRIXIE),
];

/// Libraries, programs and Python modules of several languages and sizes.
const BOOKWORM: &str = "libc6 libstdc++6 libgcc-s1 zlib1g libssl3 libpython3.11-stdlib libpython3.11-minimal \
    python3.11-minimal libpython3.11 coreutils util-linux bash tar perl-base libperl5.36 libgnutls30 libglib2.0-0 \
    libxml2 libsqlite3-0 libcurl4 libgfortran5 libopenblas0-pthread liblapack3 python3-numpy python3-lxml \
    python3-pil libgomp1 libzstd1 liblzma5 libdb5.3 libgmp10 libkrb5-3 libgssapi-krb5-2 libpq5 libldap-2.5-0 libcap2 \
    libtinfo6 libncursesw6 libicu72 iproute2 dpkg apt libapt-pkg6.0 ripgrep python3-cryptography runc binutils-common \
    libbinutils libpam-modules libsystemd0 libx11-6 libcairo2 libfreetype6 libtiff6 libjpeg62-turbo libpng16-16 \
    libhdf5-103-1 libgeos3.11.1 libproj25 openssl git libselinux1 e2fsprogs libext2fs2 libuuid1";
const TRIXIE: &str = "libc6 libstdc++6 libgcc-s1 zlib1g libssl3t64 libpython3.13-stdlib libpython3.13-minimal \
    python3.13-minimal libpython3.13 coreutils util-linux bash tar perl-base libgnutls30t64 libglib2.0-0t64 libxml2 \
    libsqlite3-0 libcurl4t64 libgfortran5 libopenblas0-pthread python3-numpy python3-lxml python3-pil libgomp1 \
    libzstd1 liblzma5 libdb5.3t64 libgmp10 libkrb5-3 libgssapi-krb5-2 libpq5 libcap2 libtinfo6 libncursesw6 libicu76 \
    iproute2 dpkg apt libapt-pkg7.0 ripgrep python3-cryptography runc binutils-common libbinutils libpam-modules \
    libsystemd0 libx11-6 libcairo2 libfreetype6 libtiff6 libpng16-16t64 openssl git libselinux1 e2fsprogs \
    libext2fs2t64 libuuid1";

/// Fetches what is not there yet to `target/bench/debs`. What a suite has no more is left out, and said.
pub(crate) fn fetch() -> Result<()> {
    let mirror = mirror()?;
    for (machine, suite, packages) in MACHINES {
        let into = directory("debs")?.join(machine);
        if into.exists() {
            continue;
        }
        eprintln!("fetching packages for {machine}");
        let part = directory("debs")?.join(format!("{machine}.part"));
        fs_err::create_dir_all(&part)?;
        let apt = Apt::new(
            machine,
            &format!("deb [signed-by={KEYRING}] {mirror} {suite} main\n"),
        )?;
        if let Err(error) = run(apt.command("update").current_dir(&part)) {
            eprintln!("no packages for {machine}: {error:#}");
            continue;
        }
        for package in packages.split_whitespace() {
            if run(apt.command("download").arg(package).current_dir(&part)).is_err() {
                eprintln!("  {suite} has no {package} for {machine}");
            }
        }
        fs_err::rename(&part, &into)?;
    }
    Ok(())
}

/// The address of the Debian archive that this machine uses.
fn mirror() -> Result<String> {
    let format = "$(LABEL)|$(REPO_URI)";
    let text = run(Command::new("apt-get").args(["indextargets", "--format", format]))?;
    let mirror = text.lines().find_map(|line| line.strip_prefix("Debian|"));
    mirror
        .map(str::to_owned)
        .context("this machine's apt has no Debian archive; run `apt-get update`")
}

/// An apt for one machine, with its own state.
#[derive(Debug)]
struct Apt {
    options: Vec<String>,
}

impl Apt {
    fn new(machine: &str, sources: &str) -> Result<Apt> {
        let root = directory("apt")?.join(machine);
        for name in ["state/lists/partial", "cache/archives/partial"] {
            fs_err::create_dir_all(root.join(name))?;
        }
        fs_err::write(root.join("status"), "")?;
        fs_err::write(root.join("sources.list"), sources)?;
        let place = |name: &str, path: &Path| format!("{name}={}", path.display());
        let settings = [
            format!("APT::Architecture={machine}"),
            format!("APT::Architectures={machine}"),
            "Acquire::Languages=none".to_owned(),
            place("Dir::State", &root.join("state")),
            place("Dir::State::status", &root.join("status")),
            place("Dir::Cache", &root.join("cache")),
            place("Dir::Etc::sourcelist", &root.join("sources.list")),
            place("Dir::Etc::sourceparts", Path::new("/dev/null")),
            place("Dir::Etc::preferencesparts", Path::new("/dev/null")),
        ];
        let options = settings
            .into_iter()
            .flat_map(|setting| ["-o".to_owned(), setting]);
        Ok(Apt {
            options: options.collect(),
        })
    }

    fn command(&self, what: &str) -> Command {
        let mut command = Command::new("apt-get");
        command.args(&self.options).arg("--quiet").arg(what);
        command
    }
}
