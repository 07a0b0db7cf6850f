//! The `--print-...` options. They tell what the file has before it is edited, in an
//! order that is not that of the words.

use wheelfarm_elf::Elf;
use wheelfarm_elf::constants::{ET_DYN, PF_X, PT_GNU_STACK};

use super::args::Operations;
use super::{Refusal, missing, os_abi};
use crate::printer::Printer;

/// All but `--print-needed`, which comes last.
pub(super) fn before(
    elf: &Elf<'_>,
    operations: &Operations,
    printer: Printer,
) -> Result<(), Refusal> {
    if operations.print_interpreter {
        let interpreter = elf.interpreter().ok_or_else(|| missing(".interp"))?;
        printer.result(interpreter);
    }
    if operations.print_os_abi {
        printer.result(os_abi::name(elf.header().os_abi));
    }
    if operations.print_soname && elf.header().kind == ET_DYN {
        needs_dynamic(elf)?;
        if let Some(soname) = elf.soname().filter(|soname| !soname.is_empty()) {
            printer.result(soname);
        }
    }
    if operations.print_rpath {
        needs_dynamic(elf)?;
        printer.result(search_path(elf).unwrap_or_default());
    }
    if operations.print_executable_stack {
        printer.result(format_args!("execstack: {}", stack(elf)));
    }
    if operations.print_needed {
        needs_dynamic(elf)?;
    }
    Ok(())
}

/// `--print-needed`.
pub(super) fn needed(elf: &Elf<'_>, printer: Printer) {
    for name in elf.needed() {
        printer.result(name);
    }
}

/// The path that loaders use: `DT_RUNPATH` hides `DT_RPATH`.
pub(super) fn search_path<'a>(elf: &Elf<'a>) -> Option<&'a str> {
    elf.runpath().or(elf.rpath())
}

pub(super) fn needs_dynamic(elf: &Elf<'_>) -> Result<(), Refusal> {
    if elf.is_dynamic() {
        Ok(())
    } else {
        Err(missing(".dynamic"))
    }
}

fn stack(elf: &Elf<'_>) -> char {
    let stack = elf.segments().iter().find(|seg| seg.kind == PT_GNU_STACK);
    match stack {
        Some(segment) if segment.flags & PF_X != 0 => 'X',
        Some(_) => '-',
        None => '?',
    }
}
