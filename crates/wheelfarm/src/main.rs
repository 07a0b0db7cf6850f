//! The `wheelfarm` program: arguments and environment to settings, settings to a command, a command to an exit code.

mod builder;
mod cli;
mod commands;
mod config;
mod docker_login;
mod dsse;
mod engine;
mod environment;
mod exit;
mod farm;
mod index_settings;
mod netrc;
mod no_engine;
mod pip_config;
mod printer;
mod progress;
mod remote;
mod servers;
mod services;
mod settings;
mod units;
mod uploads;
mod uv_config;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, SandboxArgs, SandboxCommand};
use crate::exit::Failure;
use crate::printer::Printer;

fn main() -> ExitCode {
    give_memory_back();
    let cli = Cli::parse();
    let printer = Printer::new(cli.global.quiet, cli.global.verbose > 0);
    // The default hook has said where; the code tells scripts that it was no fault of theirs.
    std::panic::catch_unwind(|| start(cli, printer)).unwrap_or_else(|_| {
        printer.error("this is a bug in wheelfarm", None);
        exit::Exit::Bug.into()
    })
}

/// Has large pieces of memory taken from the system and given back to it one by one. Otherwise glibc keeps what was
/// freed, up to twice the largest piece for each thread: wheels with large libraries would need half as much again.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[allow(unsafe_code, reason = "there is no safe way to tell glibc")]
fn give_memory_back() {
    const LARGE: libc::c_int = 1 << 20;
    // SAFETY: it sets a number of the allocator, and no other thread has been started yet.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE);
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn give_memory_back() {}

fn start(cli: Cli, printer: Printer) -> ExitCode {
    if let Command::Sandbox(SandboxArgs {
        command: SandboxCommand::Launch,
    }) = &cli.command
    {
        // Before any thread is started: namespaces are made for a process that has one.
        return wheelfarm_executor::sandbox::launcher_main();
    }
    match run(cli, printer) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            printer.failure(&failure);
            failure.exit.into()
        }
    }
}

fn run(cli: Cli, printer: Printer) -> Result<exit::Exit, Failure> {
    let global = &cli.global;
    let is_plan = matches!(cli.command, Command::Plan(_));
    if global.format == cli::Format::GithubMatrix && !is_plan {
        return Err(Failure::usage(
            "only `wheelfarm plan` has the form `github-matrix`",
        ));
    }
    match cli.command {
        Command::Build(args) => wait(commands::build::run(global, args, printer)),
        Command::Plan(args) => wait(commands::plan::run(global, args, printer)),
        Command::Export(args) => wait(commands::export::run(global, args, printer)),
        Command::Dockerfile(args) => commands::dockerfile::run(global, &args, printer),
        Command::Images(args) => wait(commands::images::run(global, args, printer)),
        Command::Sandbox(args) => wait(commands::sandbox::run(global, args.command, printer)),
        Command::Doctor => wait(commands::doctor::run(global, printer)),
        Command::Patch { words } => Ok(commands::patch::run(&words, printer)),
        Command::Show(args) => commands::show::run(global, &args, printer),
        Command::Refresh(args) => wait(commands::refresh::run(global, args, printer)),
        Command::Repair(args) => commands::repair::run(global, &args, printer),
        Command::Lddtree(args) => commands::lddtree::run(global, &args, printer),
        Command::Logs(args) => wait(commands::logs::run(global, args, printer)),
        Command::Verify(args) => wait(commands::verify::run(global, args, printer)),
        Command::Serve(args) => wait(commands::serve::run(global, args, printer)),
        Command::Index(args) => wait(commands::index::run(global, args, printer)),
        Command::Publish(args) => wait(commands::publish::run(global, args, printer)),
        Command::Token(args) => wait(commands::token::run(global, args, printer)),
        Command::Store(args) => wait(commands::store::run(global, args, printer)),
        Command::Config(args) => commands::config::run(global, &args, printer),
    }
}

/// Runs a command that waits for engines, indexes or stores.
fn wait<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            Failure::machine(format!("the program could not start its threads: {error}"))
        })?;
    let outcome = runtime.block_on(command);
    // A blocking task that is still running, say an edit, must not hold up a cancelled program.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    outcome
}
