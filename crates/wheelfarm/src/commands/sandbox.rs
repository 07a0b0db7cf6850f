//! `wheelfarm sandbox`: containers of failed builds that were kept.

use wheelfarm_executor::sandbox::Sandbox;
use wheelfarm_resolve::inputs::IndexOptions;

use crate::cli::{GlobalArgs, SandboxCommand};
use crate::config::Config;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::settings::Places;
use crate::{engine, index_settings};

pub(crate) async fn run(
    global: &GlobalArgs,
    command: SandboxCommand,
    printer: Printer,
) -> Result<Exit, Failure> {
    let config = Config::load(global)?;
    let places = Places::open(global, &config).await?;
    let (_, network) = index_settings::read(&IndexOptions::default());
    let sandbox = engine::swept_sandbox(&places, network).await?;
    let done = act(&sandbox, command, printer).await;
    sandbox.close().await;
    done
}

async fn act(
    sandbox: &Sandbox,
    command: SandboxCommand,
    printer: Printer,
) -> Result<Exit, Failure> {
    match command {
        SandboxCommand::List => {
            for name in sandbox.kept()? {
                printer.result(name);
            }
            Ok(Exit::Ok)
        }
        SandboxCommand::Enter { name } => {
            let code = sandbox.enter(&name).await?;
            Ok(if code == 0 { Exit::Ok } else { Exit::Finding })
        }
        SandboxCommand::Remove { names } => {
            for name in names {
                sandbox.remove_kept(&name).await?;
            }
            Ok(Exit::Ok)
        }
        // The program has ended before it comes here.
        SandboxCommand::Launch => Ok(Exit::Ok),
    }
}
