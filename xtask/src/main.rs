//! Developer commands: `cargo xtask help`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for developers at a terminal"
)]

mod bases;
mod bench;
mod demo;
mod engines;
mod executor;
mod fuzz;
mod images;
mod packages;
mod prove;
mod remote_execution;
mod runtime;
mod steps;
mod table;
mod test;

use std::process::ExitCode;

use wheelfarm_tests::anyhow::Result;

struct Command {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const COMMANDS: [Command; 9] = [
    Command {
        name: "demo",
        help: "run the main job, psycopg2 for three Pythons, from nothing, and prove what it makes, in Docker if it answers, else in the sandbox; `--executor docker|sandbox`: there",
        run: demo::run,
    },
    Command {
        name: "test",
        help: "check formatting, lints and documentation; run all tests, those with Docker included; `--full`: all examples of final images and a cluster too",
        run: test::run,
    },
    Command {
        name: "ci",
        help: "what .ci/run does: test",
        run: test::run,
    },
    Command {
        name: "runtime",
        help: "build, run, check and measure the examples of final images: all, or those that are named",
        run: runtime::run,
    },
    Command {
        name: "images",
        help: "make builder images and bases of final stages that are missing; `--again`: all bases; `images remote-execution`: a cluster's",
        run: images::run,
    },
    Command {
        name: "bench",
        help: "measure beside other tools: `cargo xtask bench` lists what there is",
        run: bench::run,
    },
    Command {
        name: "engines",
        help: "the executor's tests on Docker, Podman and the sandbox, as root and as an ordinary user; `engines podman::`: a part",
        run: engines::run,
    },
    Command {
        name: "fuzz",
        help: "run every fuzz target for a minute each, or `fuzz SECONDS [TARGET...]`",
        run: fuzz::run,
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
    let arguments: Vec<String> = arguments.collect();
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("error: there is no command `{name}`");
        eprintln!("hint: `cargo xtask help` shows those there are");
        return ExitCode::from(2);
    };
    let result = (command.run)(&arguments);
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::unnecessary_wraps, reason = "like every command")]
fn help(_: &[String]) -> Result<()> {
    println!("usage: cargo xtask <command>\n");
    for command in &COMMANDS {
        println!("  {:7} {}", command.name, command.help);
    }
    Ok(())
}
