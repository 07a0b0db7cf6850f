//! What an audit finds, in words and colours for a terminal.

use owo_colors::OwoColorize;
use wheelfarm_audit::{Finding, Obstacle, Package, SYMBOLS};

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

/// What is in the way, with the first of the symbols.
pub(crate) fn obstacle(obstacle: &Obstacle) -> String {
    obstacle_with(obstacle, SYMBOLS)
}

/// What is in the way, with so many of the symbols.
pub(crate) fn obstacle_with(obstacle: &Obstacle, most: usize) -> String {
    obstacle.sentence(most, |what| what.yellow().to_string())
}

/// A finding as one sentence without its stop.
pub(crate) fn finding(finding: &Finding) -> String {
    finding.sentence(|what| what.yellow().to_string())
}
