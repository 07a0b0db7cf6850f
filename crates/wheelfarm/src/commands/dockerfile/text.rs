//! The text of a Dockerfile. docs/dockerfiles.md explains each line.

use std::fmt::Write as _;

use wheelfarm_types::{PythonVersion, Target};

use super::bases::Base;
use crate::cli::dockerfile::{BaseKind, DockerfileArgs, Source};

/// Servers that end in order when they get SIGTERM. Other Python programs do not hear it as the first process of a
/// container, while Python itself turns SIGINT into `KeyboardInterrupt`.
const HEAR_SIGTERM: [&str; 5] = ["gunicorn", "uvicorn", "hypercorn", "granian", "celery"];
/// Where packages lie in the image.
const VENV: &str = "/opt/venv";
const SITE: &str = "/opt/site";

/// An image to be described.
pub(super) struct Image<'a> {
    pub(super) args: &'a DockerfileArgs,
    pub(super) python: PythonVersion,
    pub(super) target: Target,
    /// `cp311-manylinux_2_28_x86_64`, as in the names of locks.
    pub(super) cell: String,
    pub(super) base: &'a Base,
    pub(super) source: Source,
    pub(super) copied: Vec<Copied>,
    /// What it runs.
    pub(super) command: Vec<String>,
}

/// A file or directory of the project.
pub(super) struct Copied {
    pub(super) path: String,
    pub(super) is_directory: bool,
}

impl Image<'_> {
    /// The Dockerfile.
    pub(super) fn dockerfile(&self) -> String {
        let mut text = self.header();
        text.push_str(&self.arguments());
        if self.source != Source::Tree {
            text.push_str(&self.build_stage());
        }
        text.push_str(&self.final_stage());
        text
    }

    /// The `.dockerignore`: nothing but what the Dockerfile copies.
    pub(super) fn ignore_file(&self) -> String {
        let mut text = String::from("*\n");
        let mut names: Vec<&str> = match self.source {
            Source::Wheelhouse => vec!["wheelhouse"],
            Source::Image => Vec::new(),
            Source::Tree => vec![self.tree()],
        };
        if self.args.install {
            names.push("app-wheelhouse");
        }
        names.extend(self.copied.iter().map(|copied| copied.path.as_str()));
        for name in names {
            writeln!(text, "!{name}").ok();
        }
        // A tree's own byte code is wanted.
        for directory in self.copied.iter().filter(|copied| copied.is_directory) {
            writeln!(text, "{}/**/__pycache__", directory.path).ok();
        }
        text
    }

    /// How it was made, and what comes before it.
    fn header(&self) -> String {
        let mut text = format!("# Made by: {}\n#\n# First:\n", self.line());
        let cell = format!("--python {} --target {}", self.python, self.target);
        let files = self.requirements();
        let interpreter = &self.base.interpreter;
        let mut commands = vec![format!("wheelfarm build {files}{cell}")];
        match self.source {
            Source::Wheelhouse => {}
            Source::Image => commands.push(format!(
                "wheelfarm export {files}{cell} --load --tag wheels"
            )),
            Source::Tree => {
                let form = if self.is_distroless() {
                    format!("--site {SITE_NAME} --site-prefix {SITE}")
                } else {
                    format!("--venv {VENV_NAME}")
                };
                commands.push(format!(
                    "wheelfarm export {files}{cell} {form} --interpreter {interpreter} --bytecode"
                ));
            }
        }
        if self.args.install {
            commands.push(format!(
                "wheelfarm build . --no-deps {cell} --out app-wheelhouse"
            ));
        }
        for command in commands {
            writeln!(text, "#   {command}").ok();
        }
        text
    }

    /// Names of images, which builds can be given other values for.
    fn arguments(&self) -> String {
        let mut text = String::new();
        if self.source == Source::Image {
            text.push_str("ARG WHEELS=wheels\n");
        }
        if let (Some(build), false) = (&self.base.build, self.source == Source::Tree) {
            writeln!(text, "ARG BUILD={build}").ok();
        }
        writeln!(text, "ARG BASE={}", self.base.image).ok();
        text
    }

    /// The stage that has pip, and what it installs.
    fn build_stage(&self) -> String {
        let mut text = String::new();
        if self.source == Source::Image {
            text.push_str("\nFROM ${WHEELS} AS wheels\n");
        }
        let image = if self.base.build.is_some() {
            "BUILD"
        } else {
            "BASE"
        };
        writeln!(text, "\nFROM ${{{image}}} AS build").ok();
        text.push_str(match self.source {
            Source::Image => "COPY --from=wheels /wheelhouse /wheelhouse\n",
            Source::Wheelhouse | Source::Tree => "COPY wheelhouse /wheelhouse\n",
        });
        let make = if self.is_distroless() {
            String::new()
        } else {
            format!("python3 -m venv --without-pip {VENV} \\\n    && ")
        };
        writeln!(text, "RUN {make}{}", self.install("/wheelhouse", "")).ok();
        if self.args.install {
            text.push_str("COPY app-wheelhouse /app-wheelhouse\n");
            writeln!(
                text,
                "RUN {}",
                self.install("/app-wheelhouse", " --no-deps")
            )
            .ok();
        }
        text
    }

    /// pip's command line for the lock in `wheelhouse`.
    fn install(&self, wheelhouse: &str, more: &str) -> String {
        let (of, into) = if self.is_distroless() {
            (String::new(), format!(" --target {SITE}"))
        } else {
            (format!(" --python {VENV}/bin/python"), String::new())
        };
        format!(
            "python3 -m pip{of} install{into} --no-index --find-links {wheelhouse} \\\n        \
             --require-hashes --no-cache-dir{more} --requirement {wheelhouse}/requirements-{}.txt",
            self.cell
        )
    }

    fn final_stage(&self) -> String {
        let mut text = String::from("\nFROM ${BASE}\n");
        text.push_str(&self.system_packages());
        let packages = if self.is_distroless() {
            format!("PYTHONPATH={SITE}")
        } else {
            format!("PATH={VENV}/bin:$PATH")
        };
        writeln!(
            text,
            "ENV {packages} PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1"
        )
        .ok();
        let place = if self.is_distroless() { SITE } else { VENV };
        let copy = match self.source {
            Source::Tree => format!("COPY {} {place}", self.tree()),
            Source::Wheelhouse | Source::Image => format!("COPY --from=build {place} {place}"),
        };
        writeln!(text, "{copy}").ok();
        if !self.copied.is_empty() {
            text.push_str("WORKDIR /app\n");
        }
        writeln!(text, "USER {0}:{0}", self.args.user).ok();
        let ports: Vec<_> = self.args.port.iter().map(ToString::to_string).collect();
        if !ports.is_empty() {
            writeln!(text, "EXPOSE {}", ports.join(" ")).ok();
        }
        let mut words = self.command.iter();
        let hears = |word: &String| {
            let name = word.rsplit('/').next().unwrap_or_default();
            HEAR_SIGTERM.contains(&name)
        };
        if !words.any(hears) {
            text.push_str("STOPSIGNAL SIGINT\n");
        }
        text.push_str(&self.start());
        text.push_str(&self.project());
        text
    }

    /// The project's own files. They change most often, so they are last: a change is one layer and no other step.
    fn project(&self) -> String {
        let mut text = String::new();
        for directory in self.copied.iter().filter(|copied| copied.is_directory) {
            writeln!(text, "COPY {0} {0}", directory.path).ok();
        }
        let files = self.copied.iter().filter(|copied| !copied.is_directory);
        let files: Vec<_> = files.map(|copied| copied.path.as_str()).collect();
        if !files.is_empty() {
            writeln!(text, "COPY {} ./", files.join(" ")).ok();
        }
        text
    }

    fn system_packages(&self) -> String {
        let names = self.args.package.join(" ");
        if names.is_empty() {
            return String::new();
        }
        match self.args.base {
            BaseKind::Alpine => {
                format!("# hadolint ignore=DL3018\nRUN apk add --no-cache {names}\n")
            }
            BaseKind::Slim | BaseKind::Distroless => format!(
                "# hadolint ignore=DL3008\nRUN apt-get update \\\n    \
                 && apt-get install --no-install-recommends --yes {names} \\\n    \
                 && rm -rf /var/lib/apt/lists/*\n"
            ),
        }
    }

    /// `CMD`, and for distroless images, which have an entry point that is not told, that too.
    fn start(&self) -> String {
        let quoted = |words: &[String]| {
            let words = words
                .iter()
                .map(|word| serde_json::Value::from(word.as_str()).to_string());
            words.collect::<Vec<_>>().join(", ")
        };
        match self.command.split_first() {
            Some((interpreter, rest)) if self.is_distroless() => format!(
                "ENTRYPOINT [{}]\nCMD [{}]\n",
                quoted(std::slice::from_ref(interpreter)),
                quoted(rest)
            ),
            _ => format!("CMD [{}]\n", quoted(&self.command)),
        }
    }

    fn is_distroless(&self) -> bool {
        self.args.base == BaseKind::Distroless
    }

    /// The directory that the tree is in.
    fn tree(&self) -> &'static str {
        if self.is_distroless() {
            SITE_NAME
        } else {
            VENV_NAME
        }
    }

    /// `-r requirements.txt `.
    fn requirements(&self) -> String {
        let mut text = String::new();
        for file in &self.args.requirements {
            write!(text, "-r {} ", quote(&file.to_string_lossy())).ok();
        }
        text
    }

    /// The command line that prints this, with all that has no default.
    fn line(&self) -> String {
        let args = self.args;
        let mut line = format!(
            "wheelfarm dockerfile --base {} --python {} --target {} --from {}",
            args.base.as_str(),
            self.python,
            self.target,
            self.source.as_str()
        );
        for file in &args.requirements {
            write!(line, " -r {}", quote(&file.to_string_lossy())).ok();
        }
        for copied in &self.copied {
            write!(line, " --copy {}", copied.path).ok();
        }
        if args.install {
            line.push_str(" --install");
        }
        for package in &args.package {
            write!(line, " --package {package}").ok();
        }
        for port in &args.port {
            write!(line, " --port {port}").ok();
        }
        if args.user != 65532 {
            write!(line, " --user {}", args.user).ok();
        }
        line.push_str(" --");
        for word in &args.command {
            write!(line, " {}", quote(word)).ok();
        }
        line
    }
}

/// The directories that trees are exported to.
const VENV_NAME: &str = "venv";
const SITE_NAME: &str = "site";

/// A word as a shell reads it. Control characters were refused before.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._/:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
