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

/// What is in the way, with all symbols that the audit kept.
pub(crate) fn obstacle(obstacle: &Obstacle) -> String {
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
                let named: Vec<_> = symbols.iter().map(|s| format!("{s}@{version}")).collect();
                named.join(", ").yellow().to_string()
            };
            format!("{file} needs {what} from {library}")
        }
        Obstacle::Blacklisted {
            file,
            library,
            symbols,
        } => format!(
            "{file} uses {} from {library}, which not every build of that library has",
            symbols.join(", ").yellow()
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
