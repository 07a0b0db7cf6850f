//! Licences as an SBOM has them: SPDX's names where a package's are the same, its own text otherwise.

use serde::Serialize;
use wheelfarm_audit::{Manager, Package};

/// Licences in the [SPDX list](https://spdx.org/licenses/) that distributions' libraries have.
const KNOWN: [&str; 88] = [
    "0BSD",
    "AFL-2.1",
    "AGPL-3.0-only",
    "AGPL-3.0-or-later",
    "Apache-1.1",
    "Apache-2.0",
    "APSL-2.0",
    "Artistic-1.0",
    "Artistic-1.0-Perl",
    "Artistic-2.0",
    "Beerware",
    "BSD-1-Clause",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSD-3-Clause-Clear",
    "BSD-4-Clause",
    "BSD-4-Clause-UC",
    "BSD-Source-Code",
    "BSL-1.0",
    "bzip2-1.0.6",
    "CC-BY-3.0",
    "CC-BY-4.0",
    "CC-BY-SA-3.0",
    "CC-BY-SA-4.0",
    "CC0-1.0",
    "CDDL-1.0",
    "CPL-1.0",
    "curl",
    "ECL-2.0",
    "EPL-1.0",
    "EPL-2.0",
    "EUPL-1.2",
    "FSFAP",
    "FSFUL",
    "FSFULLR",
    "FTL",
    "GFDL-1.2-or-later",
    "GFDL-1.3-or-later",
    "GPL-1.0-or-later",
    "GPL-2.0-only",
    "GPL-2.0-or-later",
    "GPL-3.0-only",
    "GPL-3.0-or-later",
    "HPND",
    "HPND-sell-variant",
    "IBM-pibs",
    "ICU",
    "IJG",
    "Info-ZIP",
    "ISC",
    "JasPer-2.0",
    "JSON",
    "LGPL-2.0-only",
    "LGPL-2.0-or-later",
    "LGPL-2.1-only",
    "LGPL-2.1-or-later",
    "LGPL-3.0-only",
    "LGPL-3.0-or-later",
    "libpng-2.0",
    "Libpng",
    "libtiff",
    "LPPL-1.3c",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "MPL-1.1",
    "MPL-2.0",
    "MS-PL",
    "NCSA",
    "NTP",
    "OFL-1.1",
    "OLDAP-2.8",
    "OpenSSL",
    "PHP-3.01",
    "PostgreSQL",
    "PSF-2.0",
    "Python-2.0",
    "Ruby",
    "Sleepycat",
    "SSH-OpenSSH",
    "TCL",
    "Unicode-3.0",
    "Unlicense",
    "W3C",
    "WTFPL",
    "X11",
    "Zlib",
    "ZPL-2.1",
];
/// Exceptions of the same list.
const EXCEPTIONS: [&str; 6] = [
    "Autoconf-exception-3.0",
    "Bison-exception-2.2",
    "Classpath-exception-2.0",
    "GCC-exception-3.1",
    "Libtool-exception",
    "LLVM-exception",
];
/// What the short names of Debian's machine-readable copyright files mean, by the definition of that form.
const SHORT_NAMES: [(&str, &str); 17] = [
    ("Expat", "MIT"),
    ("Artistic", "Artistic-1.0"),
    ("BSD-2-clause", "BSD-2-Clause"),
    ("BSD-3-clause", "BSD-3-Clause"),
    ("BSD-4-clause", "BSD-4-Clause"),
    ("CC0", "CC0-1.0"),
    ("Python", "Python-2.0"),
    ("GPL-1+", "GPL-1.0-or-later"),
    ("GPL-2", "GPL-2.0-only"),
    ("GPL-2+", "GPL-2.0-or-later"),
    ("GPL-3", "GPL-3.0-only"),
    ("GPL-3+", "GPL-3.0-or-later"),
    ("LGPL-2", "LGPL-2.0-only"),
    ("LGPL-2+", "LGPL-2.0-or-later"),
    ("LGPL-2.1", "LGPL-2.1-only"),
    ("LGPL-2.1+", "LGPL-2.1-or-later"),
    ("LGPL-3+", "LGPL-3.0-or-later"),
];

/// An entry of a component's `licenses`.
#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    /// One licence.
    License(License),
    /// Several, as an SPDX expression.
    Expression(String),
}

#[derive(Serialize, Clone, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum License {
    /// A name of the SPDX list.
    Id(&'static str),
    /// Any other.
    Name(String),
}

/// The licences of a package.
pub(crate) fn of(package: &Package) -> Vec<Choice> {
    let mut choices = Vec::new();
    for name in &package.licenses {
        let choice = match package.manager {
            Manager::Deb => Choice::License(short_name(name)),
            Manager::Rpm | Manager::Apk => expression(name),
        };
        // `zlib` and `Zlib`, say.
        if !choices.contains(&choice) {
            choices.push(choice);
        }
    }
    choices
}

fn short_name(name: &str) -> License {
    let same = |short: &str| short.eq_ignore_ascii_case(name);
    let defined = SHORT_NAMES.iter().find(|(short, _)| same(short));
    let id = defined.map(|(_, id)| *id);
    let id = id.or_else(|| KNOWN.iter().copied().find(|id| same(id)));
    id.map_or_else(|| License::Name(name.to_owned()), License::Id)
}

/// An SPDX expression, if that is what the text is; names of other lists (`GPLv2+`, `BSD`) are text.
fn expression(text: &str) -> Choice {
    if let Some(id) = KNOWN.iter().find(|id| **id == text) {
        return Choice::License(License::Id(id));
    }
    if is_expression(text) {
        Choice::Expression(text.to_owned())
    } else {
        Choice::License(License::Name(text.to_owned()))
    }
}

/// Whether a text is an expression of known licences ([SPDX, annex D](https://spdx.github.io/spdx-spec/v2.3/)).
fn is_expression(text: &str) -> bool {
    let spaced = text.replace('(', " ( ").replace(')', " ) ");
    let mut depth = 0_u32;
    // Whether a licence has to come next, not an operator.
    let mut operand = true;
    let mut words = spaced.split_whitespace();
    while let Some(word) = words.next() {
        match word {
            "(" if operand => depth += 1,
            ")" if !operand && depth > 0 => depth -= 1,
            "AND" | "OR" if !operand => operand = true,
            "WITH" if !operand => {
                if !words.next().is_some_and(|name| EXCEPTIONS.contains(&name)) {
                    return false;
                }
            }
            id if operand && KNOWN.contains(&id) => operand = false,
            _ => return false,
        }
    }
    depth == 0 && !operand
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_of_known_licences() {
        for text in [
            "LGPL-2.1-or-later AND MIT",
            "(Apache-2.0 WITH LLVM-exception) OR (BSD-3-Clause AND Zlib)",
        ] {
            assert_eq!(expression(text), Choice::Expression(text.to_owned()));
        }
        assert_eq!(expression("MIT"), Choice::License(License::Id("MIT")));
        for text in [
            "LGPLv2+",
            "MIT BSD-3-Clause",
            "MIT AND",
            "(MIT",
            "MIT)",
            "MIT and Zlib",
            "MIT WITH luck",
            "AND MIT",
            "()",
            "public domain",
        ] {
            let name = License::Name(text.to_owned());
            assert_eq!(expression(text), Choice::License(name), "{text}");
        }
    }

    #[test]
    fn short_names_are_what_their_form_defines() {
        for (name, id) in [
            ("Expat", "MIT"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("bsd-3-clause", "BSD-3-Clause"),
            ("zlib", "Zlib"),
            ("PostgreSQL", "PostgreSQL"),
        ] {
            assert_eq!(short_name(name), License::Id(id));
        }
        let name = License::Name("public-domain".to_owned());
        assert_eq!(short_name("public-domain"), name);
        assert!(SHORT_NAMES.iter().all(|(_, id)| KNOWN.contains(id)));
    }
}
