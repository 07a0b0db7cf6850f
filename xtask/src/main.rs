//! Developer commands: `cargo xtask help`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for developers at a terminal"
)]

mod demo;
mod images;
mod packages;
mod prove;
mod steps;
mod table;
mod test;

use std::process::ExitCode;

use wheelfarm_tests::anyhow::Result;

struct Command {
    name: &'static str,
    help: &'static str,
    run: fn() -> Result<()>,
}

const COMMANDS: [Command; 4] = [
    Command {
        name: "demo",
        help: "run the main job, psycopg2 for three Pythons, from nothing, and prove what it makes",
        run: demo::run,
    },
    Command {
        name: "test",
        help: "check formatting, lints and documentation; run all tests, those with Docker included",
        run: test::run,
    },
    Command {
        name: "ci",
        help: "what .ci/run does: test",
        run: test::run,
    },
    Command {
        name: "help",
        help: "show this",
        run: help,
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_else(|| "help".to_owned());
    let result = match (
        COMMANDS.iter().find(|command| command.name == name),
        arguments.next(),
    ) {
        (Some(command), None) => (command.run)(),
        (Some(_), Some(argument)) => {
            eprintln!("error: `{name}` takes no `{argument}`");
            return ExitCode::from(2);
        }
        (None, _) => {
            eprintln!("error: there is no command `{name}`");
            eprintln!("hint: `cargo xtask help` shows those there are");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "like every command")]
fn help() -> Result<()> {
    println!("usage: cargo xtask <command>\n");
    for command in &COMMANDS {
        println!("  {:6} {}", command.name, command.help);
    }
    Ok(())
}
