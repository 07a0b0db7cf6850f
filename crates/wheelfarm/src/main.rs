//! The `wheelfarm` program: arguments and environment to settings, settings to a command, a command to an exit code.

mod cli;
mod commands;
mod config;
mod environment;
mod exit;
mod index_settings;
mod netrc;
mod pip_config;
mod printer;
mod progress;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};
use crate::exit::Failure;
use crate::printer::Printer;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let printer = Printer::new(cli.global.quiet, cli.global.verbose > 0);
    // The default hook has said where; the code tells scripts that it was no fault of theirs.
    std::panic::catch_unwind(|| start(cli, printer)).unwrap_or_else(|_| {
        printer.error("this is a bug in wheelfarm", None);
        exit::Exit::Bug.into()
    })
}

fn start(cli: Cli, printer: Printer) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => {
            let outcome = runtime.block_on(run(cli, printer));
            // A blocking task that is still running, say an edit, must not hold up a cancelled program.
            runtime.shutdown_timeout(std::time::Duration::from_millis(200));
            outcome
        }
        Err(error) => Err(Failure::machine(format!(
            "the program could not start its threads: {error}"
        ))),
    };
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.failure(&failure);
            failure.exit.into()
        }
    }
}

async fn run(cli: Cli, printer: Printer) -> Result<exit::Exit, Failure> {
    match cli.command {
        Command::Build(args) => commands::build::run(&cli.global, args, printer).await,
        Command::Images(args) => commands::images::run(&cli.global, args, printer).await,
        Command::Patch { words } => Ok(commands::patch::run(&words, printer)),
        Command::Show(args) => commands::show::run(&cli.global, &args, printer),
        Command::Repair(args) => commands::repair::run(&cli.global, &args, printer),
        Command::Lddtree(args) => commands::lddtree::run(&cli.global, &args, printer),
        Command::Store(args) => commands::store::run(&cli.global, args, printer).await,
    }
}
