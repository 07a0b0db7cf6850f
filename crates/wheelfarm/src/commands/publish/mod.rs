//! `wheelfarm publish`: into the store's index, or to an index server.

mod server;
mod store;

use wheelfarm_index::registry::Channel;

use crate::cli::GlobalArgs;
use crate::cli::serve::PublishArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

pub(crate) async fn run(
    global: &GlobalArgs,
    args: PublishArgs,
    printer: Printer,
) -> Result<Exit, Failure> {
    if args.index.is_some() {
        return server::run(global, &args, printer).await;
    }
    let channel = args.channel.unwrap_or_else(Channel::main);
    store::run(global, &args.files, &channel, printer).await
}

/// The worst of what happened: one file that cannot be published does not keep the others back.
#[derive(Debug, Default)]
struct Tally {
    worst: Option<Exit>,
}

impl Tally {
    fn failed(&mut self, failure: &Failure) {
        let worst = self
            .worst
            .filter(|worst| *worst as u8 >= failure.exit as u8);
        self.worst = worst.or(Some(failure.exit));
    }

    fn exit(&self) -> Exit {
        self.worst.unwrap_or(Exit::Ok)
    }
}
