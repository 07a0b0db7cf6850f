//! Environment markers, evaluated for a cell of the matrix
//! ([dependency specifiers](https://packaging.python.org/en/latest/specifications/dependency-specifiers/), with what
//! [PEP 751](https://peps.python.org/pep-0751/) adds).

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use crate::{PythonVersion, Target};

/// A condition on the environment: `python_version < "3.11" and "dev" in dependency_groups`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    text: String,
    expression: Expression,
}

/// What markers are evaluated for.
#[derive(Debug, Clone)]
pub struct MarkerEnvironment {
    /// Python. Its patch release is taken for 0, which is what resolving for `3.11` means.
    pub python: PythonVersion,
    /// Platform.
    pub target: Target,
    /// Extras that are wanted, normalized.
    pub extras: BTreeSet<String>,
    /// Dependency groups that are wanted, normalized.
    pub groups: BTreeSet<String>,
}

/// A text that is no marker.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an environment marker: {reason}")]
pub struct MarkerError {
    text: String,
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Expression {
    All(Vec<Self>),
    Any(Vec<Self>),
    Comparison {
        left: Operand,
        operator: &'static str,
        right: Operand,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Operand {
    Literal(String),
    Variable(&'static str),
}

/// Texts and nesting of markers are bounded: they come from files that others wrote.
const LENGTH_LIMIT: usize = 64 << 10;
const DEPTH_LIMIT: usize = 50;

const VARIABLES: [&str; 14] = [
    "python_version",
    "python_full_version",
    "os_name",
    "sys_platform",
    "platform_machine",
    "platform_python_implementation",
    "platform_release",
    "platform_system",
    "platform_version",
    "implementation_name",
    "implementation_version",
    "extra",
    "extras",
    "dependency_groups",
];
/// Variables that are compared as versions.
const VERSIONS: [&str; 3] = [
    "python_version",
    "python_full_version",
    "implementation_version",
];
/// Longest first, so that none is taken for its beginning.
const OPERATORS: [&str; 8] = ["===", "~=", "==", "!=", "<=", ">=", "<", ">"];

impl Marker {
    /// Whether it holds in `environment`.
    pub fn holds(&self, environment: &MarkerEnvironment) -> bool {
        self.expression.holds(environment)
    }
}

impl FromStr for Marker {
    type Err = MarkerError;

    fn from_str(text: &str) -> Result<Self, MarkerError> {
        let error = |reason| MarkerError {
            text: text.chars().take(200).collect(),
            reason,
        };
        if text.len() > LENGTH_LIMIT {
            return Err(error("it is too long"));
        }
        let mut parser = Parser { rest: text };
        let expression = parser.any(DEPTH_LIMIT).map_err(error)?;
        if !parser.rest.trim_start().is_empty() {
            return Err(error("there is something behind its end"));
        }
        Ok(Self {
            text: text.trim().to_owned(),
            expression,
        })
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PythonVersion {
    /// Whether some patch release of this Python is among `specifiers`, as in `Requires-Python`; none if that is no
    /// set of version specifiers.
    pub fn is_allowed_by(&self, specifiers: &str) -> Option<bool> {
        let specifiers = pep440_rs::VersionSpecifiers::from_str(specifiers).ok()?;
        Some(["0", "99"].iter().any(|patch| {
            let version = format!("{}.{patch}", self.release());
            version
                .parse()
                .is_ok_and(|version: pep440_rs::Version| specifiers.contains(&version))
        }))
    }
}

impl Expression {
    fn holds(&self, environment: &MarkerEnvironment) -> bool {
        match self {
            Self::All(parts) => parts.iter().all(|part| part.holds(environment)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(environment)),
            Self::Comparison {
                left,
                operator,
                right,
            } => compare(left, operator, right, environment),
        }
    }
}

fn compare(
    left: &Operand,
    operator: &str,
    right: &Operand,
    environment: &MarkerEnvironment,
) -> bool {
    match (left, right) {
        (Operand::Literal(literal), Operand::Variable(name @ ("extras" | "dependency_groups"))) => {
            let set = if *name == "extras" {
                &environment.extras
            } else {
                &environment.groups
            };
            set.contains(&normalized(literal)) == (operator != "not in")
        }
        (Operand::Variable("extra"), Operand::Literal(literal))
        | (Operand::Literal(literal), Operand::Variable("extra")) => {
            environment.extras.contains(&normalized(literal)) == (operator != "!=")
        }
        (Operand::Variable(name), Operand::Literal(literal)) => {
            let value = environment.value(name);
            if VERSIONS.contains(name)
                && let Some(answer) = compare_versions(&value, operator, literal)
            {
                return answer;
            }
            compare_texts(&value, operator, literal)
        }
        (Operand::Literal(literal), Operand::Variable(name)) => {
            let value = environment.value(name);
            if VERSIONS.contains(name)
                && let Some(answer) = compare_versions(&value, mirrored(operator), literal)
            {
                return answer;
            }
            compare_texts(literal, operator, &value)
        }
        (Operand::Literal(left), Operand::Literal(right)) => compare_texts(left, operator, right),
        (Operand::Variable(left), Operand::Variable(right)) => compare_texts(
            &environment.value(left),
            operator,
            &environment.value(right),
        ),
    }
}

/// The comparison by [PEP 440](https://peps.python.org/pep-0440/); none if it is none of versions.
fn compare_versions(value: &str, operator: &str, literal: &str) -> Option<bool> {
    let specifier = format!("{operator}{literal}");
    let specifier = pep440_rs::VersionSpecifier::from_str(&specifier).ok()?;
    let value = value.parse::<pep440_rs::Version>().ok()?;
    Some(specifier.contains(&value))
}

fn compare_texts(left: &str, operator: &str, right: &str) -> bool {
    match operator {
        "==" | "===" => left == right,
        "!=" => left != right,
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        "in" => right.contains(left),
        "not in" => !right.contains(left),
        _ => false,
    }
}

/// The operator that says the same with its sides changed.
fn mirrored(operator: &str) -> &str {
    match operator {
        "<" => ">",
        "<=" => ">=",
        ">" => "<",
        ">=" => "<=",
        other => other,
    }
}

fn normalized(name: &str) -> String {
    name.parse::<crate::ProjectName>()
        .map_or_else(|_| name.to_owned(), |name| name.to_string())
}

impl MarkerEnvironment {
    fn value(&self, variable: &str) -> String {
        let release = self.python.release();
        match variable {
            "python_version" => release,
            "python_full_version" | "implementation_version" => format!("{release}.0"),
            "os_name" => "posix".to_owned(),
            "sys_platform" => "linux".to_owned(),
            "platform_machine" => self.target.arch.as_str().to_owned(),
            "platform_python_implementation" => "CPython".to_owned(),
            "platform_system" => "Linux".to_owned(),
            "implementation_name" => "cpython".to_owned(),
            // The kernel's name and version: nothing is known of them.
            _ => String::new(),
        }
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn any(&mut self, depth: usize) -> Result<Expression, &'static str> {
        let mut parts = vec![self.all(depth)?];
        while self.word("or") {
            parts.push(self.all(depth)?);
        }
        Ok(one(parts, Expression::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Expression, &'static str> {
        let mut parts = vec![self.part(depth)?];
        while self.word("and") {
            parts.push(self.part(depth)?);
        }
        Ok(one(parts, Expression::All))
    }

    fn part(&mut self, depth: usize) -> Result<Expression, &'static str> {
        if !self.sign("(") {
            let left = self.operand()?;
            let operator = self.operator()?;
            let right = self.operand()?;
            return Ok(Expression::Comparison {
                left,
                operator,
                right,
            });
        }
        let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
        let inner = self.any(depth)?;
        if self.sign(")") {
            Ok(inner)
        } else {
            Err("a parenthesis is not closed")
        }
    }

    fn operand(&mut self) -> Result<Operand, &'static str> {
        self.rest = self.rest.trim_start();
        if let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '\'' | '"')) {
            let inner = self.rest.get(1..).unwrap_or_default();
            let (literal, rest) = inner
                .split_once(quote)
                .ok_or("a quotation mark is not closed")?;
            self.rest = rest;
            return Ok(Operand::Literal(literal.to_owned()));
        }
        let name = self.name();
        // Names from before PEP 508, which are still about.
        let name = match name {
            "os.name" => "os_name",
            "sys.platform" => "sys_platform",
            "platform.version" => "platform_version",
            "platform.machine" => "platform_machine",
            "platform.python_implementation" | "python_implementation" => {
                "platform_python_implementation"
            }
            name => name,
        };
        VARIABLES
            .iter()
            .find(|variable| **variable == name)
            .map(|variable| Operand::Variable(variable))
            .ok_or("it compares something that markers do not have")
    }

    fn operator(&mut self) -> Result<&'static str, &'static str> {
        if let Some(operator) = OPERATORS.iter().find(|operator| self.sign(operator)) {
            return Ok(operator);
        }
        if self.word("in") {
            return Ok("in");
        }
        if self.word("not") && self.word("in") {
            return Ok("not in");
        }
        Err("it lacks a comparison")
    }

    fn name(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.')))
            .unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    /// Takes `word` off, if it is next.
    fn word(&mut self, word: &str) -> bool {
        let before = self.rest;
        self.rest = self.rest.trim_start();
        let found = self.name() == word;
        if !found {
            self.rest = before;
        }
        found
    }

    /// Takes `sign` off, if it is next.
    fn sign(&mut self, sign: &str) -> bool {
        let rest = self.rest.trim_start().strip_prefix(sign);
        if let Some(rest) = rest {
            self.rest = rest;
        }
        rest.is_some()
    }
}

fn one(mut parts: Vec<Expression>, several: impl Fn(Vec<Expression>) -> Expression) -> Expression {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            several(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(text: &str) -> bool {
        let environment = MarkerEnvironment {
            python: "3.11".parse().unwrap(),
            target: "manylinux_2_36_x86_64".parse().unwrap(),
            extras: ["html".to_owned()].into(),
            groups: ["dev-tools".to_owned()].into(),
        };
        text.parse::<Marker>().unwrap().holds(&environment)
    }

    #[test]
    fn what_holds() {
        for text in [
            "python_version >= '3.9'",
            "'3.9' < python_version",
            "python_version == '3.*'",
            "python_full_version < '3.11.3'",
            "python_version in '3.10 3.11'",
            "python_version not in '2.7'",
            "sys_platform == 'linux' and platform_machine == \"x86_64\"",
            "sys_platform == 'win32' or (os_name=='posix' and implementation_name=='cpython')",
            "sys.platform == 'linux'",
            "'html' in extras",
            "'Dev_Tools' in dependency_groups and 'x' not in extras",
            "extra == 'html'",
            "platform_release == ''",
        ] {
            assert!(holds(text), "{text}");
        }
    }

    #[test]
    fn what_does_not() {
        for text in [
            "python_version < '3.9'",
            // As versions, not as texts.
            "python_version <= '3.9'",
            "python_version ~= '3.12'",
            "sys_platform == 'darwin' and python_version >= '3.9' or os_name == 'nt'",
            "'x' in extras",
            "'html' in dependency_groups",
            "extra == 'x'",
        ] {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn what_is_no_marker() {
        let deep = format!("{}os_name=='x'{}", "(".repeat(60), ")".repeat(60));
        for text in [
            "",
            "python_version",
            "python_version >=",
            "shoe_size > '40'",
            "os_name == 'posix",
            "(os_name == 'posix'",
            "os_name == 'posix' os_name",
            "os_name = 'posix'",
            &deep,
        ] {
            assert!(text.parse::<Marker>().is_err(), "{text}");
        }
    }

    #[test]
    fn pythons_by_requires_python() {
        let python: PythonVersion = "3.11".parse().unwrap();
        for (specifiers, allowed) in [
            (">=3.9", Some(true)),
            (">=3.11.4", Some(true)),
            ("<3.11", Some(false)),
            ("==3.11.*", Some(true)),
            (">=3.12,<4", Some(false)),
            ("three", None),
        ] {
            assert_eq!(python.is_allowed_by(specifiers), allowed, "{specifiers}");
        }
    }
}
