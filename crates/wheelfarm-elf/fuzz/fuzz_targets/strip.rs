//! Stripping any object: refused, or nothing that a loader maps has changed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wheelfarm_elf::constants::{DT_SYMTAB, PT_LOAD};
use wheelfarm_elf::{Class, Elf, strip};

/// Loadable segments that are compared: they may all name the same bytes.
const MOST_LOADS: usize = 16;

fuzz_target!(|data: &[u8]| {
    let Ok(stripped) = strip(data) else { return };
    assert!(stripped.len() <= data.len() + 4096);
    let old = Elf::parse(data).expect("what was stripped could be read");
    let new = Elf::parse(&stripped).expect("a stripped object can be read");
    assert_eq!(old.dynamic_entries(), new.dynamic_entries());
    assert_eq!(old.soname(), new.soname());
    assert_eq!(old.interpreter(), new.interpreter());
    assert_eq!(old.version_definitions(), new.version_definitions());
    assert_eq!(old.x86_isa_needed(), new.x86_isa_needed());
    if stripped != data {
        check_image(data, &old, &stripped, &new);
    }
    let again = strip(&stripped).expect("a stripped object can be stripped again");
    assert!(again == stripped, "a second strip changes bytes");
});

/// Compares what is mapped, but for the ELF header and the section numbers of dynamic symbols:
/// how many there are, the object may not tell.
fn check_image(data: &[u8], old: &Elf<'_>, stripped: &[u8], new: &Elf<'_>) {
    let (header, entry, number) = match old.header().class {
        Class::Elf32 => (52, 16, 14..16),
        Class::Elf64 => (64, 24, 6..8),
    };
    let table = old.dynamic_entries().iter().rev();
    let table = table.clone().find(|entry| entry.tag == DT_SYMTAB);
    let loads = |elf: &Elf<'_>| -> Vec<(u64, u64, u64)> {
        let all = elf
            .segments()
            .iter()
            .filter(|segment| segment.kind == PT_LOAD);
        all.map(|segment| (segment.offset, segment.file_size, segment.address))
            .collect()
    };
    let table_at = table.and_then(|entry| {
        loads(old).into_iter().find_map(|(offset, size, address)| {
            let within = entry.value.checked_sub(address)?;
            (within < size).then_some(offset.saturating_add(within))
        })
    });
    // The program headers say where moved segments are.
    let headers = old.header().program_header_offset;
    let headers_end = headers
        .saturating_add(old.header().program_header_count * if header == 64 { 56 } else { 32 });
    for ((before, size, _), (after, ..)) in loads(old).into_iter().zip(loads(new)).take(MOST_LOADS)
    {
        for within in 0..size.min(data.len() as u64) {
            let at = before.saturating_add(within);
            let in_symbols = table_at.and_then(|table| at.checked_sub(table));
            let is_number = in_symbols.is_some_and(|at| number.contains(&(at % entry)));
            if at < header || is_number || (headers..headers_end).contains(&at) {
                continue;
            }
            let byte = |bytes: &[u8], at: u64| {
                usize::try_from(at)
                    .ok()
                    .and_then(|at| bytes.get(at).copied())
            };
            assert_eq!(
                byte(data, at),
                byte(stripped, after.saturating_add(within)),
                "at {at:#x}"
            );
        }
    }
}
