//! `wheelfarm patch`: patchelf's command line over the editor of `wheelfarm-elf`.
//!
//! A script that calls `patchelf` may call this instead: same words, same lines on
//! stdout, same exit codes. The words are not clap's to parse: see [`args`].

mod args;
mod help;
mod os_abi;
mod print;
mod rename_map;
mod request;
mod shrink;
mod words;
mod write;

use std::ffi::OsString;
use std::path::Path;

use wheelfarm_elf::constants::{ET_DYN, ET_EXEC};
use wheelfarm_elf::{Elf, edit};

use self::args::{Action, Operations};
use crate::exit::Exit;
use crate::printer::Printer;

/// What stderr says before the program ends with exit code 1. Files that came before
/// keep their edits, as with patchelf.
type Refusal = String;

/// Runs with `words` as patchelf would with its arguments.
pub(crate) fn run(words: &[OsString], printer: Printer) -> Exit {
    if words.is_empty() {
        printer.always(help::TEXT);
        return Exit::Finding;
    }
    match args::parse(words).and_then(|action| perform(&action, printer)) {
        Ok(()) => Exit::Ok,
        Err(refusal) => {
            printer.always(format_args!("patchelf: {refusal}"));
            Exit::Finding
        }
    }
}

fn perform(action: &Action, printer: Printer) -> Result<(), Refusal> {
    match action {
        Action::Help => printer.always(help::TEXT),
        Action::Version => printer.result(help::VERSION),
        Action::Patch(operations) => {
            for file in &operations.files {
                patch(Path::new(file), operations, printer)?;
            }
        }
    }
    Ok(())
}

/// Prints of one file what is asked for, then edits it.
fn patch(file: &Path, operations: &Operations, printer: Printer) -> Result<(), Refusal> {
    let bytes = words::read(file)?;
    let elf = parse(&bytes)?;
    print::before(&elf, operations, printer)?;
    let edits = request::edits(&elf, operations)?;
    if operations.print_needed {
        print::needed(&elf, printer);
    }
    let edited = if edits.is_empty() {
        None
    } else {
        Some(edit(&bytes, &edits).map_err(|error| error.to_string())?)
    };
    let edited = edited.filter(|edited| *edited != bytes);
    match (&operations.output, edited) {
        (Some(output), edited) => write::replace(Path::new(output), &edited.unwrap_or(bytes)),
        (None, Some(edited)) => write::replace(file, &edited),
        (None, None) => Ok(()),
    }
}

fn parse(bytes: &[u8]) -> Result<Elf<'_>, Refusal> {
    // The size of the smaller of the two ELF headers.
    if bytes.len() < 52 {
        return Err("missing ELF header".into());
    }
    if !Elf::is_elf(bytes) {
        return Err("not an ELF executable".into());
    }
    let elf = Elf::parse(bytes).map_err(|error| error.to_string())?;
    if !matches!(elf.header().kind, ET_EXEC | ET_DYN) {
        return Err("wrong ELF type".into());
    }
    Ok(elf)
}

/// What patchelf says of a file without the section that an option is about.
fn missing(section: &str) -> Refusal {
    format!("cannot find section '{section}'. The input file is most likely statically linked")
}
