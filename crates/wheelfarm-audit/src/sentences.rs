//! Sentences about what an audit finds.

use crate::{Finding, Obstacle};

/// Most symbols that are named in a sentence, if nothing else is asked for.
pub const SYMBOLS: usize = 5;

/// The first names, and how many more there are.
fn shortened<T: std::fmt::Display>(names: impl Iterator<Item = T>, most: usize) -> String {
    let mut names = names.map(|name| name.to_string());
    let first: Vec<String> = names.by_ref().take(most).collect();
    match names.count() {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

impl Obstacle {
    /// What is in the way, as one sentence without its stop: with at most so many of the symbols. `mark` emphasises
    /// what matters of it.
    pub fn sentence(&self, most: usize, mark: impl Fn(&str) -> String) -> String {
        match self {
            Self::TooRecent {
                file,
                library,
                version,
                symbols,
            } => {
                let what = if symbols.is_empty() {
                    mark(version)
                } else {
                    let named = symbols.iter().map(|symbol| format!("{symbol}@{version}"));
                    mark(&shortened(named, most))
                };
                format!("{file} needs {what} from {library}")
            }
            Self::Blacklisted {
                file,
                library,
                symbols,
            } => format!(
                "{file} uses {} from {library}, which not every build of that library has",
                mark(&shortened(symbols.iter(), most))
            ),
            Self::Isa { file, level } => format!(
                "{file} needs an {} processor",
                mark(&format!("x86-64-v{level}"))
            ),
            Self::PyFpe { file } => format!(
                "{file} uses {}, which few interpreters have",
                mark("PyFPE_*")
            ),
        }
    }
}

impl Finding {
    /// It as one sentence without its stop. `mark` emphasises what matters of it.
    pub fn sentence(&self, mark: impl Fn(&str) -> String) -> String {
        match self {
            Self::NoElf => "there is no ELF object in it".to_owned(),
            Self::SymbolicLink { path } => {
                format!("{path} is a symbolic link: installers write its target as text")
            }
            Self::OtherArch { path, arch } => {
                format!("{path} is for {arch} and was left out of account")
            }
            Self::OtherLibc { path, libc } => {
                format!("{path} is linked to {libc} and was left out of account")
            }
            Self::Unreadable { path, reason } => {
                format!("{path} looks like an ELF object but cannot be read: {reason}")
            }
            Self::ElfInPurelib { path } => {
                format!("{path} is an ELF object in purelib: it has to be in platlib")
            }
            Self::ExecutableStack { path } => {
                format!("{path} asks for an executable stack: glibc 2.41 and later do not load it")
            }
            Self::MissingLibrary { soname, needed_by } => format!(
                "{} is neither in the wheel nor in the library root; needed by {}",
                mark(soname),
                needed_by.join(", ")
            ),
            Self::LinksLibpython { path, soname } => {
                format!("{path} is linked to {soname}, which extension modules must not be")
            }
            Self::OutsideRpath { path, entry } => format!(
                "{path} searches `{}`, a directory that no installation has",
                entry.escape_debug()
            ),
            Self::AmbiguousLibrary { soname, paths } => {
                format!("{soname} leads to several files: {}", paths.join(", "))
            }
            Self::UnearnedTag { tag } => format!("it does not earn the tag {tag} of its name"),
            Self::NotInRecord { path } => format!("{path} is not listed in RECORD"),
            Self::BeyondStableAbi { path, symbols } => format!(
                "{path} uses what the stable ABI of Python does not have: {}",
                mark(&shortened(symbols.iter(), SYMBOLS))
            ),
            Self::LaterStableAbi {
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
                    mark(&shortened(symbols, SYMBOLS))
                )
            }
            Self::NamedForOthers { path, infix } => format!(
                "{path} is named for `{infix}`, which no interpreter of the wheel's tags looks for"
            ),
            Self::OtherThreading {
                path,
                free_threaded: true,
            } => format!(
                "{path} is compiled for free-threaded Python, which the wheel's tags do not name"
            ),
            Self::OtherThreading {
                path,
                free_threaded: false,
            } => {
                format!("{path} is compiled for Python with its lock, not for free-threaded Python")
            }
            Self::OtherCharacters { path, bytes } => format!(
                "{path} is compiled for characters of {bytes} bytes, unlike the Python of the wheel's tag"
            ),
            Self::NewerArm { path } => {
                format!("{path} says that it needs newer ARM processors than the wheel's tag names")
            }
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
        let obstacle = Obstacle::TooRecent {
            file: "x.so".into(),
            library: "libc.so.6".into(),
            version: "GLIBC_2.34".into(),
            symbols: vec!["dlopen".into(), "dlsym".into()],
        };
        assert_eq!(
            obstacle.sentence(SYMBOLS, |what| format!("<{what}>")),
            "x.so needs <dlopen@GLIBC_2.34, dlsym@GLIBC_2.34> from libc.so.6"
        );
    }
}
