//! `wheelfarm show --why TAG`: who stands in the tag's way, where it comes from, and what would remove it.

use owo_colors::OwoColorize;
use serde::Serialize;
use wheelfarm_audit::{AuditReport, Found, LibraryRoot, Obstacle, Package};
use wheelfarm_types::{Libc, Target};

use super::wording;
use crate::exit::Failure;
use crate::printer::Printer;

/// Most symbols that the text names of one obstacle; JSON has all.
const SYMBOLS: usize = 20;

/// The answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Why {
    /// The tag asked for.
    tag: String,
    /// The policy that judges it: its own, or the next older one that there is.
    policy: Target,
    /// Whether the wheel has the tag as it is, and whether it can have it by grafting.
    fits: bool,
    fits_with_grafts: bool,
    obstacles: Vec<Explained>,
    grafts: Vec<Graft>,
}

/// An obstacle with its origin.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Explained {
    #[serde(flatten)]
    obstacle: Obstacle,
    /// The package of the file, if it is a library of the root.
    file_owner: Option<Package>,
    /// Where the library it is needed from was found, and its package.
    library_path: Option<String>,
    library_owner: Option<Package>,
    remedy: String,
}

/// A library that the tag's systems do not have.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Graft {
    soname: String,
    path: Option<String>,
    owner: Option<Package>,
    needed_by: Vec<String>,
}

/// Explains what the report says of `tag`, which may lack its architecture.
pub(crate) fn why(report: &AuditReport, root: &LibraryRoot, tag: &str) -> Result<Why, Failure> {
    let target = tag.parse::<Target>().or_else(|error| {
        let completed = report.arch.map(|arch| format!("{tag}_{arch}").parse());
        completed.unwrap_or(Err(error))
    });
    let target = target.map_err(|error| Failure::usage(format!("--why: {error}")))?;
    let verdict = report.verdict(target).ok_or_else(|| {
        Failure::usage(format!(
            "--why: there is no policy for {target} that {} could be judged by",
            report.wheel
        ))
    })?;
    let explain = |obstacle: &Obstacle| {
        let (file, library) = parties(obstacle);
        let library_path = library.and_then(|library| found(report, file, library));
        Explained {
            file_owner: owner(root, file),
            library_owner: library_path.as_deref().and_then(|path| root.owner(path)),
            library_path,
            remedy: remedy(obstacle, target, owner(root, file).as_ref()),
            obstacle: obstacle.clone(),
        }
    };
    let graft = |soname: &String| {
        let library = report.external.iter().find(|l| l.soname == *soname);
        Graft {
            soname: soname.clone(),
            path: library.and_then(|library| library.path.clone()),
            owner: library.and_then(|library| library.owner.clone()),
            needed_by: library.map_or_else(Vec::new, |library| library.needed_by.clone()),
        }
    };
    let (own, grafted) = own_first(&verdict.obstacles);
    Ok(Why {
        tag: target.to_string(),
        policy: verdict.target,
        fits: verdict.is_possible() && verdict.grafts.is_empty(),
        fits_with_grafts: verdict.is_possible(),
        obstacles: own.chain(grafted).map(explain).collect(),
        grafts: verdict.grafts.iter().map(graft).collect(),
    })
}

/// Obstacles of the wheel's own files, and those of libraries that would be grafted: the first are its maker's to
/// remove.
pub(crate) fn own_first(
    obstacles: &[Obstacle],
) -> (
    impl Iterator<Item = &Obstacle>,
    impl Iterator<Item = &Obstacle>,
) {
    let is_own = |obstacle: &&Obstacle| !parties(obstacle).0.starts_with('/');
    (
        obstacles.iter().filter(is_own),
        obstacles.iter().filter(move |obstacle| !is_own(obstacle)),
    )
}

/// Who has the obstacle, and the library it is about.
fn parties(obstacle: &Obstacle) -> (&str, Option<&str>) {
    match obstacle {
        Obstacle::TooRecent { file, library, .. } | Obstacle::Blacklisted { file, library, .. } => {
            (file, Some(library))
        }
        Obstacle::Isa { file, .. } | Obstacle::PyFpe { file } => (file, None),
    }
}

/// Where `library` was found: for `file` itself if it is in the wheel, else for any object that leads to it.
fn found(report: &AuditReport, file: &str, library: &str) -> Option<String> {
    let own = report.objects.iter().filter(|object| object.path == file);
    own.chain(&report.objects)
        .find_map(|object| match &object.libraries.get(library)?.found {
            Found::Root(path) | Found::Wheel(path) => Some(path.clone()),
            Found::Libpython | Found::Missing => None,
        })
}

/// The package of a library of the root; members of the wheel have none.
fn owner(root: &LibraryRoot, file: &str) -> Option<Package> {
    file.starts_with('/').then(|| root.owner(file)).flatten()
}

/// What would remove an obstacle.
fn remedy(obstacle: &Obstacle, target: Target, owner: Option<&Package>) -> String {
    let (file, _) = parties(obstacle);
    if file.starts_with('/') {
        let what = owner.map_or_else(|| file.to_owned(), |owner| owner.name.clone());
        let version = match obstacle {
            Obstacle::Isa { .. } => "for the architecture's baseline",
            _ => "in an older environment",
        };
        return format!(
            "take {what} from a system of {}, build it {version}, link it statically, or exclude it if the systems have it",
            target.policy_name()
        );
    }
    match obstacle {
        Obstacle::TooRecent { version, .. } => too_recent(version, target),
        Obstacle::Blacklisted { library, .. } => {
            format!("do not use these symbols of {library}, or link a copy of it statically")
        }
        Obstacle::Isa { level, .. } => format!(
            "compile without `-march=x86-64-v{level}` and the like; if the code asks the processor first, use --disable-isa-ext-check"
        ),
        Obstacle::PyFpe { .. } => {
            "build with an interpreter that was configured without `--with-fpectl`".to_owned()
        }
    }
}

fn too_recent(version: &str, target: Target) -> String {
    let environment = match target.libc {
        Libc::Glibc { major, minor } => {
            format!("build where glibc is {major}.{minor} or older (`wheelfarm images list`)")
        }
        Libc::Musl { major, minor } => format!("build where musl is {major}.{minor} or older"),
    };
    match version.split_once('_').map(|(prefix, _)| prefix) {
        _ if version == "GLIBC_ABI_DT_RELR" => {
            "link with `-Wl,-z,nopack-relative-relocs`".to_owned()
        }
        Some("GLIBCXX" | "CXXABI") => {
            format!("{environment}, or link with `-static-libstdc++`")
        }
        Some("GCC") => format!("{environment}, or link with `-static-libgcc`"),
        _ => environment,
    }
}

impl Why {
    /// For people.
    pub(crate) fn print(&self, printer: Printer) {
        let tag = self.tag.bold();
        if self.fits {
            printer.result(format_args!("{tag}: nothing stands in its way"));
            return;
        }
        if self.obstacles.is_empty() {
            printer.result(format_args!(
                "{tag}: {}, by grafting what its systems do not have",
                "possible".green()
            ));
        } else {
            printer.result(format_args!("{tag}: {}", "not possible".red()));
        }
        if self.policy.to_string() != self.tag {
            printer.result(format_args!(
                "  judged as {}: there is no policy of its own",
                self.policy
            ));
        }
        let mut last = None;
        for explained in &self.obstacles {
            let text = wording::obstacle_with(&explained.obstacle, SYMBOLS);
            let library = wording::in_brackets(explained.library_owner.as_ref());
            printer.result(format_args!("  {text}{library}"));
            if let Some(owner) = &explained.file_owner {
                let (file, _) = parties(&explained.obstacle);
                printer.result(format_args!("    {file} is of {}", wording::package(owner)));
            }
            // The same advice once for all that it is for.
            if last != Some(&explained.remedy) {
                printer.result(format_args!(
                    "    {} {}",
                    "way out:".cyan(),
                    explained.remedy
                ));
            }
            last = Some(&explained.remedy);
        }
        for graft in &self.grafts {
            let path = graft.path.as_deref();
            printer.result(format_args!(
                "  {} is not on its systems: {}{}",
                graft.soname.yellow(),
                path.map_or_else(|| "not found".red().to_string(), str::to_owned),
                wording::in_brackets(graft.owner.as_ref()),
            ));
            printer.result(format_args!("    needed by {}", graft.needed_by.join(", ")));
        }
        if !self.grafts.is_empty() {
            printer.result(format_args!(
                "    {} `wheelfarm repair` grafts {}; or link statically, or exclude what the systems have",
                "way out:".cyan(),
                if self.grafts.len() == 1 { "it" } else { "them" },
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> Target {
        "manylinux_2_17_x86_64".parse().unwrap()
    }

    #[test]
    fn advice_fits_the_library() {
        assert!(too_recent("GLIBC_2.34", target()).contains("glibc is 2.17 or older"));
        assert!(too_recent("GLIBCXX_3.4.30", target()).contains("-static-libstdc++"));
        assert!(too_recent("GCC_12.0.0", target()).contains("-static-libgcc"));
        assert!(too_recent("GLIBC_ABI_DT_RELR", target()).contains("nopack"));
    }

    #[test]
    fn the_wheels_own_obstacles_come_first() {
        let pyfpe = |file: &str| Obstacle::PyFpe {
            file: file.to_owned(),
        };
        let obstacles = [pyfpe("/usr/lib/x.so"), pyfpe("y.so")];
        let (own, grafted) = own_first(&obstacles);
        let files: Vec<_> = own.chain(grafted).map(|o| parties(o).0).collect();
        assert_eq!(files, ["y.so", "/usr/lib/x.so"]);
    }

    #[test]
    fn libraries_of_the_root_are_not_ours_to_compile() {
        let isa = |file: &str| Obstacle::Isa {
            file: file.to_owned(),
            level: 3,
        };
        assert!(remedy(&isa("/usr/lib/x.so"), target(), None).contains("/usr/lib/x.so"));
        assert!(remedy(&isa("x.so"), target(), None).contains("-march=x86-64-v3"));
    }
}
