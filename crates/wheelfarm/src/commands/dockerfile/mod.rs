//! `wheelfarm dockerfile`: prints the stages of an image that is made of farm wheels.

mod bases;
mod text;

use std::path::{Component, Path};

use wheelfarm_build::matrix::cell_id;

use self::bases::Base;
use self::text::{Copied, Image};
use crate::cli::dockerfile::{BaseKind, DockerfileArgs, Source};
use crate::cli::{Format, GlobalArgs};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) fn run(
    global: &GlobalArgs,
    args: &DockerfileArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    if global.format != Format::Text {
        return Err(Failure::usage("a Dockerfile has one form: it is text"));
    }
    let config = Config::load(global)?;
    let python = args.python.or(config.farm.python.first().copied());
    let target = args.target.or(config.farm.targets.first().copied());
    let (Some(python), Some(target)) = (python, target) else {
        let missing = if python.is_none() { "Python" } else { "target" };
        let hint = "as to `wheelfarm build`: `--python 3.11 --target manylinux_2_28_x86_64`, or in wheelfarm.toml";
        return Err(
            Failure::usage(format!("it is not said for which {missing} the wheels are"))
                .with_hint(Some(hint.to_owned())),
        );
    };
    let base = bases::base(args.base, python, target)?;
    let source = args.from.unwrap_or(match args.base {
        BaseKind::Distroless => Source::Tree,
        BaseKind::Slim | BaseKind::Alpine => Source::Wheelhouse,
    });
    check(args, source)?;
    let image = Image {
        args,
        python,
        target,
        cell: cell_id(python, target),
        base: &base,
        source,
        copied: copied(&args.copy)?,
        command: command(args, &base)?,
    };
    let text = if args.ignore {
        image.ignore_file()
    } else {
        image.dockerfile()
    };
    printer.result(text.trim_end());
    Ok(Exit::Ok)
}

/// Refuses what contradicts itself.
fn check(args: &DockerfileArgs, source: Source) -> Result<(), Failure> {
    let refused =
        |message: &str, hint: &str| Err(Failure::usage(message).with_hint(Some(hint.to_owned())));
    if args.install && source == Source::Tree {
        return refused(
            "a tree has the project in it already, if it was exported with it",
            "leave `--install` out, and export `-r requirements.txt .`",
        );
    }
    if !args.package.is_empty() && args.base == BaseKind::Distroless {
        return refused(
            "a distroless image has no package manager to install system packages with",
            "have the wheels vendor their libraries, or take `--base slim`",
        );
    }
    let words = args.package.iter().chain(&args.command);
    let paths = args.requirements.iter().map(|path| path.to_string_lossy());
    for word in words.map(Into::into).chain(paths) {
        if word.chars().any(char::is_control) {
            return refused(
                &format!("{word:?} has control characters, which a Dockerfile cannot hold"),
                "put it into a script of the project, and name that",
            );
        }
    }
    let is_name = |name: &String| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "+-._:=~".contains(c);
        name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(plain)
    };
    if let Some(name) = args.package.iter().find(|name| !is_name(name)) {
        return refused(
            &format!("{name:?} is no name of a system package"),
            "`--package libpq5`, once for each",
        );
    }
    Ok(())
}

/// What the final stage runs, as the engine is told it.
fn command(args: &DockerfileArgs, base: &Base) -> Result<Vec<String>, Failure> {
    if args.base != BaseKind::Distroless {
        return Ok(args.command.clone());
    }
    // Scripts of packages begin with the path of an interpreter; `-m` needs none.
    match args.command.split_first() {
        Some((first, rest)) if first.starts_with("python") => {
            let interpreter = std::iter::once(base.interpreter.clone());
            Ok(interpreter.chain(rest.iter().cloned()).collect())
        }
        _ => Err(Failure::usage(format!(
            "in a distroless image `{}` is on no path",
            args.command.join(" ")
        ))
        .with_hint(Some(
            "begin it with `python`, as in `-- python -m waitress wsgi:app`".to_owned(),
        ))),
    }
}

/// The files and directories of the project, as they are here.
fn copied(paths: &[std::path::PathBuf]) -> Result<Vec<Copied>, Failure> {
    let one = |path: &std::path::PathBuf| {
        let refused = |what: &str| Failure::usage(format!("{}: {what}", path.display()));
        let inside = |path: &Path| {
            path.components()
                .all(|component| matches!(component, Component::Normal(_) | Component::CurDir))
        };
        let text = path
            .to_str()
            .filter(|text| {
                !text.contains(|c: char| {
                    c.is_whitespace() || "$\"\\[*?".contains(c) || c.is_control()
                })
            })
            .ok_or_else(|| {
                refused("its name has characters that mean something else in a Dockerfile")
            })?;
        if !inside(path) {
            return Err(refused(
                "it is not below the current directory, which is what an image is built from",
            ));
        }
        let metadata = fs_err::metadata(path).map_err(|error| {
            Failure::usage(error.to_string())
                .with_hint(Some("run it where the Dockerfile will be".to_owned()))
        })?;
        Ok(Copied {
            path: text
                .trim_start_matches("./")
                .trim_end_matches('/')
                .to_owned(),
            is_directory: metadata.is_dir(),
        })
    };
    paths.iter().map(one).collect()
}
