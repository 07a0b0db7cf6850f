//! What `wheelfarm repair` is asked for, by options and by auditwheel's environment variables.

use wheelfarm_types::{Arch, Target};
use wheelfarm_wheel::Level;

use crate::cli::inspect::RepairArgs;
use crate::environment::variable;
use crate::exit::Failure;

/// The request, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// None: the best tag that each wheel can have.
    plat: Option<Named>,
    /// Whether ELF files may be edited.
    pub(crate) edit: bool,
    /// How hard everything is compressed; none: the default for what changes.
    pub(crate) level: Option<Level>,
}

/// A value, and the option or variable that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    name: &'static str,
    value: String,
}

impl Settings {
    /// From the options, and from the environment where there is none.
    pub(crate) fn of(args: &RepairArgs) -> Result<Self, Failure> {
        Self::with(args, variable)
    }

    fn with(args: &RepairArgs, variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let named = |option: Option<String>, name, key: &'static str| {
            let of_environment = || variable(key).map(|value| Named { name: key, value });
            match option {
                Some(value) => Some(Named { name, value }),
                None => of_environment(),
            }
        };
        let plat = named(args.plat.clone(), "--plat", "AUDITWHEEL_PLAT")
            .filter(|plat| !matches!(plat.value.as_str(), "" | "auto"));
        if let Some(plat) = &plat {
            // Completed by some architecture: each wheel has its own.
            target(plat, Some(Arch::X86_64))?;
        }
        let patcher = named(args.patcher.clone(), "--patcher", "AUDITWHEEL_PATCHER");
        let level = named(
            args.zip_compression_level.clone(),
            "-z/--zip-compression-level",
            "AUDITWHEEL_ZIP_COMPRESSION_LEVEL",
        );
        Ok(Self {
            plat,
            level: level.as_ref().map(compression).transpose()?,
            edit: patcher.as_ref().map_or(Ok(true), edits)?,
        })
    }

    /// The target for a wheel of an architecture; none: the best it can have.
    pub(crate) fn target(&self, arch: Option<Arch>) -> Result<Option<Target>, Failure> {
        let plat = self.plat.as_ref();
        plat.map(|plat| target(plat, arch)).transpose()
    }
}

/// Whether a patcher edits ELF files. All names of auditwheel's stand for the one we have.
fn edits(patcher: &Named) -> Result<bool, Failure> {
    match patcher.value.as_str() {
        "patchelf" | "lief-patchelf" => Ok(true),
        "none" => Ok(false),
        other => Err(Failure::usage(format!(
            "{}: `{}` is not a patcher",
            patcher.name,
            other.escape_debug()
        ))
        .with_hint(Some(
            "write `none` to have no ELF file edited, or leave it out: `patchelf` and `lief-patchelf` change nothing"
                .to_owned(),
        ))),
    }
}

/// The level of that number.
fn compression(level: &Named) -> Result<Level, Failure> {
    let value = level.value.as_str();
    value.parse().ok().and_then(Level::new).ok_or_else(|| {
        Failure::usage(format!(
            "{}: `{}` is not a compression level",
            level.name,
            value.escape_debug()
        ))
        .with_hint(Some("write a number from 0 to 9".to_owned()))
    })
}

/// The target that a platform means for a wheel of an architecture; the text may name its own.
fn target(plat: &Named, arch: Option<Arch>) -> Result<Target, Failure> {
    let value = &plat.value;
    value
        .parse::<Target>()
        .or_else(|error| {
            let completed = arch.map(|arch| format!("{value}_{arch}").parse());
            completed.unwrap_or(Err(error))
        })
        .map_err(|_| {
            let message = format!(
                "{}: `{}` is not a platform",
                plat.name,
                value.escape_debug()
            );
            Failure::usage(message).with_hint(Some(
                "write `auto`, `manylinux_2_28_x86_64`, `manylinux2014` or `musllinux_1_2`"
                    .to_owned(),
            ))
        })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::exit::Exit;

    fn settings(options: &[&str], environment: &[(&str, &str)]) -> Result<Settings, Failure> {
        let words = ["wheelfarm", "repair", "x.whl"].iter().chain(options);
        let Command::Repair(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("another command");
        };
        let variable = |name: &str| {
            let found = environment.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Settings::with(&args, variable)
    }

    #[test]
    fn platforms_may_lack_their_architecture() {
        let arch = Some(Arch::Aarch64);
        for (plat, expected) in [
            ("manylinux2014", Some("manylinux_2_17_aarch64")),
            ("musllinux_1_2", Some("musllinux_1_2_aarch64")),
            ("manylinux_2_28_x86_64", Some("manylinux_2_28_x86_64")),
            ("auto", None),
        ] {
            let settings = settings(&["--plat", plat], &[("AUDITWHEEL_PLAT", "musllinux_1_1")]);
            let target = settings.unwrap().target(arch).unwrap();
            assert_eq!(target.map(|target| target.to_string()).as_deref(), expected);
        }
        let of_environment = settings(&[], &[("AUDITWHEEL_PLAT", "musllinux_1_1")]).unwrap();
        let target = of_environment.target(arch).unwrap().unwrap();
        assert_eq!(target.to_string(), "musllinux_1_1_aarch64");
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (options, environment, place) in [
            (vec!["--plat", "linux_x86_64"], vec![], "--plat"),
            (vec!["--plat", "manylinux"], vec![], "--plat"),
            (
                vec![],
                vec![("AUDITWHEEL_PLAT", "linux")],
                "AUDITWHEEL_PLAT",
            ),
            (vec!["--patcher", "sed"], vec![], "--patcher"),
            (vec!["-z", "10"], vec![], "-z"),
            (vec!["-z=-1"], vec![], "-z"),
            (
                vec![],
                vec![("AUDITWHEEL_ZIP_COMPRESSION_LEVEL", "best")],
                "AUDITWHEEL_ZIP_COMPRESSION_LEVEL",
            ),
            (
                vec![],
                vec![("AUDITWHEEL_PATCHER", "sed")],
                "AUDITWHEEL_PATCHER",
            ),
        ] {
            let failure = settings(&options, &environment).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(failure.message.starts_with(place), "{failure:?}");
            assert!(failure.hint.is_some());
        }
    }

    #[test]
    fn levels_are_zlibs() {
        for level in 0..=9_u8 {
            let text = level.to_string();
            let of_option = settings(&["-z", &text], &[]).unwrap();
            let of_environment = settings(&[], &[("AUDITWHEEL_ZIP_COMPRESSION_LEVEL", &text)]);
            assert_eq!(of_option.level.map(Level::number), Some(level));
            assert_eq!(of_environment.unwrap(), of_option);
        }
        assert_eq!(settings(&[], &[]).unwrap().level, None);
    }

    #[test]
    fn patchers_are_one_editor_or_none() {
        for (patcher, edit) in [("patchelf", true), ("lief-patchelf", true), ("none", false)] {
            assert_eq!(settings(&["--patcher", patcher], &[]).unwrap().edit, edit);
            let environment = [("AUDITWHEEL_PATCHER", patcher)];
            assert_eq!(settings(&[], &environment).unwrap().edit, edit);
        }
        let environment = [("AUDITWHEEL_PATCHER", "none")];
        let settings = settings(&["--patcher", "patchelf"], &environment).unwrap();
        assert!(settings.edit, "the option comes first");
    }
}
