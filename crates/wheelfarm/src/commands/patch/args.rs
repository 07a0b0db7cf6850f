//! Patchelf's argument style: words are taken in order, an option's values are the
//! words after it whatever they look like, `@FILE` stands for what the file holds, and
//! every word that is no option names a file to patch.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::Path;

use super::words::Words;
use super::{Refusal, os_abi, rename_map};

/// What the words ask for.
#[derive(Debug)]
pub(super) enum Action {
    Help,
    Version,
    Patch(Box<Operations>),
}

/// What to do with every file.
#[derive(Debug, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Operations {
    pub(super) files: Vec<OsString>,
    pub(super) output: Option<OsString>,
    pub(super) print_interpreter: bool,
    pub(super) print_os_abi: bool,
    pub(super) print_soname: bool,
    pub(super) print_rpath: bool,
    pub(super) print_needed: bool,
    pub(super) print_executable_stack: bool,
    pub(super) interpreter: Option<String>,
    pub(super) soname: Option<String>,
    /// As written: only a file that is there makes an unknown one an error.
    pub(super) os_abi: Option<String>,
    pub(super) set_rpath: bool,
    pub(super) add_rpath: bool,
    pub(super) remove_rpath: bool,
    pub(super) shrink_rpath: bool,
    pub(super) force_rpath: bool,
    /// Of `--set-rpath` or `--add-rpath`.
    pub(super) rpath: String,
    pub(super) allowed_prefixes: Vec<String>,
    pub(super) add_needed: BTreeSet<String>,
    pub(super) remove_needed: BTreeSet<String>,
    pub(super) replace_needed: BTreeMap<String, String>,
    pub(super) clear_symbol_versions: BTreeSet<String>,
    pub(super) rename_symbols: BTreeMap<String, String>,
    pub(super) no_default_libraries: bool,
    pub(super) debug_tag: bool,
    pub(super) clear_executable_stack: bool,
    pub(super) set_executable_stack: bool,
    pub(super) page_size: Option<u64>,
}

/// Reads `words`, which are patchelf's arguments.
pub(super) fn parse(words: &[OsString]) -> Result<Action, Refusal> {
    let mut operations = Operations::default();
    let mut words = Words::new(words);
    while let Some(word) = words.option() {
        match word.to_str().unwrap_or_default() {
            "--help" | "-h" => return Ok(Action::Help),
            "--version" => return Ok(Action::Version),
            option => {
                let known = printing(option, &mut operations)
                    || flag(option, &mut operations)
                    || valued(option, &mut words, &mut operations)?;
                if !known {
                    operations.files.push(word.clone());
                }
            }
        }
    }
    if operations.files.is_empty() {
        return Err("missing filename".into());
    }
    if operations.output.is_some() && operations.files.len() != 1 {
        return Err("--output option only allowed with single input file".into());
    }
    if operations.set_rpath && operations.add_rpath {
        return Err("--set-rpath option not allowed with --add-rpath".into());
    }
    Ok(Action::Patch(Box::new(operations)))
}

fn printing(option: &str, operations: &mut Operations) -> bool {
    let flag = match option {
        "--print-interpreter" => &mut operations.print_interpreter,
        "--print-os-abi" => &mut operations.print_os_abi,
        "--print-soname" => &mut operations.print_soname,
        "--print-rpath" => &mut operations.print_rpath,
        "--print-needed" => &mut operations.print_needed,
        "--print-execstack" => &mut operations.print_executable_stack,
        _ => return false,
    };
    *flag = true;
    true
}

fn flag(option: &str, operations: &mut Operations) -> bool {
    let flag = match option {
        "--remove-rpath" => &mut operations.remove_rpath,
        "--shrink-rpath" => &mut operations.shrink_rpath,
        "--force-rpath" => &mut operations.force_rpath,
        "--no-default-lib" => &mut operations.no_default_libraries,
        "--add-debug-tag" => &mut operations.debug_tag,
        "--clear-execstack" => &mut operations.clear_executable_stack,
        "--set-execstack" => &mut operations.set_executable_stack,
        // The editor never sorts or clobbers, and has nothing to tell.
        "--no-sort" | "--no-clobber-old-sections" | "--debug" => return true,
        _ => return false,
    };
    *flag = true;
    true
}

fn valued(
    option: &str,
    words: &mut Words<'_>,
    operations: &mut Operations,
) -> Result<bool, Refusal> {
    match option {
        "--set-interpreter" | "--interpreter" => operations.interpreter = Some(words.value()?),
        "--set-soname" => operations.soname = Some(words.value()?),
        "--set-os-abi" => operations.os_abi = Some(words.value()?),
        "--set-rpath" => {
            operations.rpath = words.value()?;
            operations.set_rpath = true;
        }
        "--add-rpath" => {
            operations.rpath = words.value()?;
            operations.add_rpath = true;
        }
        "--allowed-rpath-prefixes" => {
            operations.allowed_prefixes = split_path(&words.text()?).map(str::to_owned).collect();
        }
        "--add-needed" => {
            operations.add_needed.insert(words.value()?);
        }
        "--remove-needed" => {
            operations.remove_needed.insert(words.value()?);
        }
        "--replace-needed" => {
            if words.left() < 2 {
                return Err("missing argument(s)".into());
            }
            let old = words.text()?;
            operations.replace_needed.insert(old, words.text()?);
        }
        "--clear-symbol-version" => {
            operations.clear_symbol_versions.insert(words.value()?);
        }
        "--rename-dynamic-symbols" => {
            let map = words.next()?;
            rename_map::read(Path::new(map), &mut operations.rename_symbols)?;
        }
        "--page-size" => operations.page_size = Some(page_size(&words.text()?)?),
        "--output" => operations.output = Some(words.place()?),
        "--build-resolution-cache" => {
            return Err(
                "--build-resolution-cache is not supported: no loader but that of Nix reads such a cache"
                    .into(),
            );
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The digits that `text` begins with, as C's `atoi` has it.
fn page_size(text: &str) -> Result<u64, Refusal> {
    let text = text.trim_start();
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|character: char| !character.is_ascii_digit());
    let digits = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
    digits
        .parse()
        .ok()
        .filter(|size| (1..=0x7fff_ffff).contains(size))
        .ok_or_else(|| "invalid argument to --page-size".into())
}

/// The entries of a search path; none behind the last colon.
pub(super) fn split_path(path: &str) -> impl Iterator<Item = &str> {
    path.split_terminator(':')
}

/// The number of the ABI that `--set-os-abi` names.
pub(super) fn os_abi(operations: &Operations) -> Result<Option<u8>, Refusal> {
    let Some(name) = &operations.os_abi else {
        return Ok(None);
    };
    let number = os_abi::number(name).ok_or("unrecognized OS ABI")?;
    Ok(Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations(words: &[&str]) -> Result<Operations, Refusal> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        match parse(&words)? {
            Action::Patch(operations) => Ok(*operations),
            other => Err(format!("{other:?}")),
        }
    }

    #[test]
    fn values_follow_whatever_they_look_like() {
        let parsed = operations(&[
            "a.so",
            "--set-rpath",
            "--print-rpath",
            "--page-size",
            "16k",
            "-x",
        ]);
        let parsed = parsed.unwrap();
        assert_eq!(parsed.rpath, "--print-rpath");
        assert!(parsed.set_rpath && !parsed.print_rpath);
        assert_eq!(parsed.page_size, Some(16));
        assert_eq!(parsed.files, ["a.so", "-x"]);
    }

    #[test]
    fn errors_are_those_of_patchelf() {
        let error = |words: &[&str]| operations(words).unwrap_err();
        assert_eq!(error(&["--set-soname"]), "missing argument");
        assert_eq!(error(&["--replace-needed", "a"]), "missing argument(s)");
        assert_eq!(error(&["--print-rpath"]), "missing filename");
        let output = ["--output", "o", "a", "b"];
        assert_eq!(
            error(&output),
            "--output option only allowed with single input file"
        );
        let both = ["--set-rpath", "a", "--add-rpath", "b", "f"];
        assert_eq!(
            error(&both),
            "--set-rpath option not allowed with --add-rpath"
        );
        assert_eq!(
            error(&["--page-size", "0", "f"]),
            "invalid argument to --page-size"
        );
        assert_eq!(
            error(&["--set-soname", "@absent/file", "f"]),
            "getting info about 'absent/file': No such file or directory"
        );
    }

    #[test]
    fn values_come_from_files() {
        let directory = tempfile::tempdir().unwrap();
        let value = directory.path().join("value");
        fs_err::write(&value, "liba.so").unwrap();
        let word = format!("@{}", value.display());
        let parsed = operations(&["--set-soname", &word, "--add-needed", &word, "f"]).unwrap();
        assert_eq!(parsed.soname.as_deref(), Some("liba.so"));
        assert_eq!(parsed.add_needed, BTreeSet::from(["liba.so".to_owned()]));
        // Names that are replaced are never read from files.
        let parsed = operations(&["--replace-needed", &word, "b", "f"]).unwrap();
        assert!(parsed.replace_needed.contains_key(&word));
    }

    #[test]
    fn help_and_version_win_over_what_follows() {
        for (word, wanted) in [("--help", "Help"), ("-h", "Help"), ("--version", "Version")] {
            let error = operations(&[word, "--set-soname"]).unwrap_err();
            assert_eq!(error, wanted);
        }
    }
}
