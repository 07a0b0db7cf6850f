//! Findings about an image in words: what is true, and what to try.

use std::collections::BTreeSet;

use serde::Serialize;
use wheelfarm_audit::Problem;
use wheelfarm_build::matrix::Cell;
use wheelfarm_types::{PythonVersion, Target};

use super::findings::Concerned;

/// So many names are shown of a list.
const SHOWN: usize = 4;

/// What keeps wheels from running on an image.
#[derive(Debug, Serialize)]
pub(crate) struct CheckFinding {
    /// `architecture`, `python`, `libc`, `library` or `version`.
    kind: &'static str,
    cell: String,
    /// The wheels that it concerns; none: all of the cell.
    wheels: BTreeSet<String>,
    /// The objects in them.
    files: BTreeSet<String>,
    /// The library that is missing or too old.
    library: Option<String>,
    /// What is needed: a Python, a C library, a version of symbols.
    needs: Vec<String>,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// There is no Python for the wheels of `cell`.
pub(super) fn python(cell: &Cell, there: &[(PythonVersion, String)], asked: bool) -> CheckFinding {
    let (id, wanted) = (cell.id(), cell.python);
    let list: Vec<_> = there
        .iter()
        .map(|(version, path)| format!("{version} at {path}"))
        .collect();
    let others = match list.as_slice() {
        [] if asked => "what `--interpreter` names is no Python".to_owned(),
        [] => "there is none at all in a `bin` directory".to_owned(),
        _ => format!("there is {}", some(list.iter())),
    };
    let hint = match there.first() {
        Some((version, _)) if !asked => {
            format!(
                "export for what is there, `--python {version}`, or take an image with Python {wanted}"
            )
        }
        _ => format!(
            "take an image with Python {wanted}; `--interpreter` says where it is, if it has another name than `python*`"
        ),
    };
    CheckFinding {
        needs: vec![format!("Python {wanted}")],
        hint: Some(hint),
        ..finding(
            "python",
            id.clone(),
            format!("{id}: it has no Python {wanted}; {others}"),
        )
    }
}

/// The wheels of `cell` are for other machines.
pub(super) fn architecture(cell: &Cell, architecture: &str) -> CheckFinding {
    let (id, arch) = (cell.id(), cell.target.arch);
    let there = if architecture.is_empty() {
        "machines that it does not name".to_owned()
    } else {
        format!("{architecture} machines")
    };
    CheckFinding {
        needs: vec![arch.to_string()],
        hint: Some(
            "export with the `--target` of its architecture, or take the image for the other one"
                .to_owned(),
        ),
        ..finding(
            "architecture",
            id.clone(),
            format!("{id}: it is for {there}, and the wheels are for {arch}"),
        )
    }
}

/// Wheels of `cell` need what is not there.
pub(super) fn wheel(cell: &str, problem: &Problem, concerned: &Concerned) -> CheckFinding {
    let members = &concerned.members;
    let wheels: BTreeSet<_> = members.iter().map(|(wheel, _)| wheel.clone()).collect();
    let files: BTreeSet<_> = members
        .iter()
        .filter_map(|(_, file)| file.clone())
        .collect();
    let users = members.iter().map(|(wheel, file)| match file {
        Some(file) => format!("{file} of {wheel}"),
        None => wheel.clone(),
    });
    let users = some(users);
    let (kind, library, needs, message, hint) = match problem {
        Problem::Libc { needed } => {
            let there = match concerned.libc {
                Some(libc) => format!("it has {libc}"),
                None => "it has no C library that can be told".to_owned(),
            };
            let message = format!("{there}, and {needed} is needed by {users}");
            let needs = vec![needed.clone()];
            ("libc", None, needs, message, libc_hint(concerned))
        }
        Problem::Library { library, by } => {
            let by = by.as_ref();
            let by = by.map_or(String::new(), |by| format!("{by}, which is needed by "));
            let message = format!("it has no `{library}`, which is needed by {by}{users}");
            let hint = match &concerned.package {
                Some(package) => format!("install `{package}` in the image"),
                None => format!(
                    "install the system package that has `{library}` in the image, or take another image"
                ),
            };
            ("library", Some(library), Vec::new(), message, hint)
        }
        Problem::Version {
            library,
            path,
            versions,
        } => {
            let message = format!("{path} lacks {}, needed by {users}", some(versions.iter()));
            let hint = format!(
                "take a newer image, or build without `{library}` among what is excluded from vendoring"
            );
            ("version", Some(library), versions.clone(), message, hint)
        }
    };
    CheckFinding {
        wheels,
        files,
        library: library.cloned(),
        needs,
        hint: Some(hint),
        ..finding(kind, cell.to_owned(), format!("{cell}: {message}"))
    }
}

fn libc_hint(concerned: &Concerned) -> String {
    let target = concerned.libc.and_then(|libc| {
        let arch = concerned.arch.parse().ok()?;
        Some(Target { libc, arch })
    });
    match target {
        Some(target) => {
            format!("take another image, or export wheels for this one: `--target {target}`")
        }
        None => "take an image that Python runs on".to_owned(),
    }
}

fn finding(kind: &'static str, cell: String, message: String) -> CheckFinding {
    CheckFinding {
        kind,
        cell,
        wheels: BTreeSet::new(),
        files: BTreeSet::new(),
        library: None,
        needs: Vec::new(),
        message,
        hint: None,
    }
}

/// The first of `names`, and how many there are beyond.
fn some(names: impl ExactSizeIterator<Item = impl ToString>) -> String {
    let more = names.len().saturating_sub(SHOWN);
    let shown: Vec<_> = names.take(SHOWN).map(|name| name.to_string()).collect();
    let shown = shown.join(", ");
    match more {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use wheelfarm_types::Libc;

    use super::*;

    #[test]
    fn long_lists_are_cut() {
        let names = ["a", "b", "c", "d", "e", "f"];
        assert_eq!(some(names.iter()), "a, b, c, d and 2 more");
        assert_eq!(some(names[..4].iter()), "a, b, c, d");
        assert_eq!(some(names[..0].iter()), "");
    }

    #[test]
    fn a_missing_library_is_named_with_its_package() {
        let problem = Problem::Library {
            library: "libpq.so.5".to_owned(),
            by: None,
        };
        let member = ("x.whl".to_owned(), Some("x/_x.so".to_owned()));
        let concerned = Concerned {
            members: [member].into(),
            package: Some("libpq5".to_owned()),
            ..Concerned::default()
        };
        let found = wheel("cell", &problem, &concerned);
        let expected = "cell: it has no `libpq.so.5`, which is needed by x/_x.so of x.whl";
        assert_eq!(found.message, expected);
        assert_eq!(found.hint.as_deref(), Some("install `libpq5` in the image"));
        assert_eq!(found.library.as_deref(), Some("libpq.so.5"));
    }

    #[test]
    fn an_old_libc_names_the_target_that_runs() {
        let problem = Problem::Libc {
            needed: "glibc 2.36".to_owned(),
        };
        let concerned = Concerned {
            members: [("x.whl".to_owned(), None)].into(),
            libc: Some(Libc::Glibc {
                major: 2,
                minor: 31,
            }),
            arch: "x86_64".to_owned(),
            package: None,
        };
        let found = wheel("cell", &problem, &concerned);
        let expected = "cell: it has glibc 2.31, and glibc 2.36 is needed by x.whl";
        assert_eq!(found.message, expected);
        assert!(
            found
                .hint
                .unwrap()
                .contains("`--target manylinux_2_31_x86_64`")
        );
    }
}
