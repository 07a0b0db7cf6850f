//! Sentences about what an audit finds.

use owo_colors::OwoColorize;
use wheelfarm_audit::{Finding, Obstacle, Package};

/// `libpq5 15.8-0+deb12u1`.
pub(crate) fn package(owner: &Package) -> String {
    format!("{} {}", owner.name, owner.version)
}

/// The owner in brackets with a space before it; nothing if there is none.
pub(crate) fn in_brackets(owner: Option<&Package>) -> String {
    owner.map_or_else(String::new, |owner| {
        format!(" {}", format_args!("({})", package(owner)).dimmed())
    })
}

/// Most symbols that are named in a sentence.
const SYMBOLS: usize = 5;

/// The first names, and how many more there are.
fn shortened<T: std::fmt::Display>(names: impl Iterator<Item = T>, most: usize) -> String {
    let mut names = names.map(|name| name.to_string());
    let first: Vec<String> = names.by_ref().take(most).collect();
    match names.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

/// What is in the way, with the first of the symbols.
pub(crate) fn obstacle(obstacle: &Obstacle) -> String {
    obstacle_with(obstacle, SYMBOLS)
}

/// What is in the way, with so many of the symbols.
pub(crate) fn obstacle_with(obstacle: &Obstacle, most: usize) -> String {
    match obstacle {
        Obstacle::TooRecent {
            file,
            library,
            version,
            symbols,
        } => {
            let what = if symbols.is_empty() {
                version.yellow().to_string()
            } else {
                let named = symbols.iter().map(|symbol| format!("{symbol}@{version}"));
                shortened(named, most).yellow().to_string()
            };
            format!("{file} needs {what} from {library}")
        }
        Obstacle::Blacklisted {
            file,
            library,
            symbols,
        } => format!(
            "{file} uses {} from {library}, which not every build of that library has",
            shortened(symbols.iter(), most).yellow()
        ),
        Obstacle::Isa { file, level } => format!(
            "{file} needs an {} processor",
            format_args!("x86-64-v{level}").yellow()
        ),
        Obstacle::PyFpe { file } => format!(
            "{file} uses {}, which few interpreters have",
            "PyFPE_*".yellow()
        ),
    }
}

/// A finding as one sentence without its stop.
pub(crate) fn finding(finding: &Finding) -> String {
    match finding {
        Finding::NoElf => "there is no ELF object in it".to_owned(),
        Finding::SymbolicLink { path } => {
            format!("{path} is a symbolic link: installers write its target as text")
        }
        Finding::OtherArch { path, arch } => {
            format!("{path} is for {arch} and was left out of account")
        }
        Finding::OtherLibc { path, libc } => {
            format!("{path} is linked to {libc} and was left out of account")
        }
        Finding::Unreadable { path, reason } => {
            format!("{path} looks like an ELF object but cannot be read: {reason}")
        }
        Finding::ElfInPurelib { path } => {
            format!("{path} is an ELF object in purelib: it has to be in platlib")
        }
        Finding::ExecutableStack { path } => {
            format!("{path} asks for an executable stack: glibc 2.41 and later do not load it")
        }
        Finding::MissingLibrary { soname, needed_by } => format!(
            "{} is neither in the wheel nor in the library root; needed by {}",
            soname.red(),
            needed_by.join(", ")
        ),
        Finding::LinksLibpython { path, soname } => {
            format!("{path} is linked to {soname}, which extension modules must not be")
        }
        Finding::OutsideRpath { path, entry } => format!(
            "{path} searches `{}`, a directory that no installation has",
            entry.escape_debug()
        ),
        Finding::AmbiguousLibrary { soname, paths } => {
            format!("{soname} leads to several files: {}", paths.join(", "))
        }
        Finding::UnearnedTag { tag } => format!("it does not earn the tag {tag} of its name"),
        Finding::NotInRecord { path } => format!("{path} is not listed in RECORD"),
        Finding::BeyondStableAbi { path, symbols } => format!(
            "{path} uses what the stable ABI of Python does not have: {}",
            shortened(symbols.iter(), SYMBOLS).yellow()
        ),
        Finding::LaterStableAbi {
            path,
            claimed,
            needed,
            symbols,
        } => {
            let symbols = symbols
                .iter()
                .map(|(name, release)| format!("{name} ({release})"));
            format!(
                "{path} needs the stable ABI of Python {needed}, but the wheel is installed on {claimed}: {}",
                shortened(symbols, SYMBOLS).yellow()
            )
        }
        Finding::NamedForOthers { path, infix } => format!(
            "{path} is named for `{infix}`, which no interpreter of the wheel's tags looks for"
        ),
        Finding::OtherThreading {
            path,
            free_threaded: true,
        } => format!(
            "{path} is compiled for free-threaded Python, which the wheel's tags do not name"
        ),
        Finding::OtherThreading {
            path,
            free_threaded: false,
        } => format!("{path} is compiled for Python with its lock, not for free-threaded Python"),
        Finding::OtherCharacters { path, bytes } => format!(
            "{path} is compiled for characters of {bytes} bytes, unlike the Python of the wheel's tag"
        ),
        Finding::NewerArm { path } => {
            format!("{path} says that it needs newer ARM processors than the wheel's tag names")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_end_with_a_count() {
        assert_eq!(shortened(["a", "b", "c"].iter(), 3), "a, b, c");
        assert_eq!(shortened(["a", "b", "c", "d"].iter(), 2), "a, b and 2 more");
    }

    #[test]
    fn symbols_carry_their_version() {
        let text = obstacle(&Obstacle::TooRecent {
            file: "x.so".into(),
            library: "libc.so.6".into(),
            version: "GLIBC_2.34".into(),
            symbols: vec!["dlopen".into(), "dlsym".into()],
        });
        let text = anstream::adapter::strip_str(&text).to_string();
        assert_eq!(
            text,
            "x.so needs dlopen@GLIBC_2.34, dlsym@GLIBC_2.34 from libc.so.6"
        );
    }
}
