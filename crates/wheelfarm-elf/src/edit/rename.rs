//! Renaming dynamic symbols. A loader finds a symbol by the hash of its name, and
//! `DT_GNU_HASH` wants the symbols sorted by bucket: new names mean a new order, which
//! version indices and relocations have to follow. All tables keep their size.

use std::collections::BTreeMap;

use super::EditError;
use super::buffer::Buffer;
use super::pool::Pool;
use super::symbol_hash::{self, GnuHash};
use crate::bytes::Record;
use crate::constants::{
    DT_ANDROID_REL, DT_ANDROID_RELASZ, DT_CREL, DT_GNU_CONFLICT, DT_GNU_LIBLIST, DT_JMPREL,
    DT_MIPS_XHASH, DT_PLTREL, DT_PLTRELSZ, DT_REL, DT_RELA, DT_RELASZ, DT_RELSZ, DT_SYMINFO,
    EM_MIPS,
};
use crate::header::Class;
use crate::object::Elf;
use crate::symbols::{RawSymbol, SymbolTable};

/// Old names to new ones.
type Renames = BTreeMap<String, String>;

/// Puts the new names that are used into `pool`.
pub(super) fn add_names(
    elf: &Elf<'_>,
    renames: &Renames,
    pool: &mut Pool<'_>,
) -> Result<(), EditError> {
    if renames.is_empty() {
        return Ok(());
    }
    for symbol in elf.dynamic_symbols()? {
        if let Some(new) = renames.get(symbol.name.as_ref()) {
            pool.offset(new)?;
        }
    }
    Ok(())
}

/// Renames the symbols of the object in `bytes`, whose strings have all names.
pub(super) fn rename(bytes: Vec<u8>, renames: &Renames) -> Result<Vec<u8>, EditError> {
    if renames.is_empty() {
        return Ok(bytes);
    }
    let elf = Elf::parse(&bytes)?;
    let Some(table) = elf.symbol_table()? else {
        return Ok(bytes);
    };
    let Some(names) = new_names(&elf, &table, renames)? else {
        return Ok(bytes);
    };
    check_is_known(&elf)?;
    let hashes = symbol_hash::gnu_hashes(&elf, &table, &names)?;
    let order = Order::new(table.count, hashes.as_ref());
    let mut buffer = Buffer(bytes.clone());
    order.apply(&elf, &table, &names, &mut buffer)?;
    relocations(&elf, &order, &mut buffer)?;
    if let Some(hashes) = &hashes {
        hashes.write(&elf, &order.old, &mut buffer)?;
    }
    symbol_hash::write_system_v(&elf, &table, &names, &order.old, &mut buffer)?;
    verify(&elf, &buffer.0, renames, &order)?;
    Ok(buffer.0)
}

/// The name of each symbol after the edit, as an offset into the strings; `None`
/// when no symbol is renamed.
fn new_names(
    elf: &Elf<'_>,
    table: &SymbolTable<'_>,
    renames: &Renames,
) -> Result<Option<Vec<u32>>, EditError> {
    // Reads all names within bounds, so what follows is bounded too.
    let symbols = elf.dynamic_symbols()?;
    let mut pool = Pool::new(elf.strings);
    let mut names = vec![0];
    let mut changed = false;
    for (symbol, index) in symbols.iter().zip(1u64..) {
        let offset = match renames.get(symbol.name.as_ref()) {
            Some(new) if new.as_str() != symbol.name => {
                changed = true;
                u32::try_from(pool.offset(new)?)
                    .map_err(|_| EditError::Unsupported("the string table exceeds 4 GiB"))?
            }
            _ => raw(elf, table, index)?.name,
        };
        names.push(offset);
    }
    if pool.has_grown() {
        return Err(EditError::SelfCheck("strings"));
    }
    Ok(changed.then_some(names))
}

fn raw(elf: &Elf<'_>, table: &SymbolTable<'_>, index: u64) -> Result<RawSymbol, EditError> {
    let size = RawSymbol::size(elf.header.class);
    Ok(RawSymbol::parse(elf.reader, table.offset + index * size)?)
}

/// Refuses objects with further tables that go by the order of symbols.
fn check_is_known(elf: &Elf<'_>) -> Result<(), EditError> {
    let unknown = elf.dynamic_entries().iter().any(|entry| {
        matches!(
            entry.tag,
            DT_MIPS_XHASH | DT_GNU_CONFLICT | DT_GNU_LIBLIST | DT_SYMINFO | DT_CREL | DT_ANDROID_REL
                ..=DT_ANDROID_RELASZ
        )
    });
    if elf.header.machine == EM_MIPS || unknown {
        return Err(EditError::Unsupported(
            "more than its relocations goes by the order of its symbols, which new names change",
        ));
    }
    Ok(())
}

/// Where the symbols go.
#[derive(Debug)]
struct Order {
    /// Old index by new index.
    old: Vec<usize>,
    /// New index by old index.
    new: Vec<usize>,
}

impl Order {
    fn new(count: u64, hashes: Option<&GnuHash>) -> Order {
        let count = usize::try_from(count).unwrap_or(0);
        let mut old: Vec<usize> = (0..count).collect();
        if let Some(hashes) = hashes {
            // Stable: symbols of a bucket keep their order.
            old.sort_by_key(|index| hashes.bucket(*index));
        }
        let mut new = vec![0; count];
        for (to, from) in old.iter().enumerate() {
            if let Some(slot) = new.get_mut(*from) {
                *slot = to;
            }
        }
        Order { old, new }
    }

    /// Writes symbols and version indices in the new order.
    fn apply(
        &self,
        elf: &Elf<'_>,
        table: &SymbolTable<'_>,
        names: &[u32],
        buffer: &mut Buffer,
    ) -> Result<(), EditError> {
        let size = RawSymbol::size(elf.header.class);
        for (to, from) in self.old.iter().enumerate() {
            let (to, old) = (to as u64, *from as u64);
            // All but the name, which comes first in either class.
            let symbol = elf
                .reader
                .slice(table.offset + old * size, size, "symbol table")?;
            let name = names.get(*from).copied().unwrap_or(0);
            let name = Record::new(elf.reader.encoding).u32(name).bytes;
            let rest = symbol.get(name.len()..).unwrap_or_default();
            buffer.put(table.offset + to * size, &[&name, rest].concat())?;
            if let Some(start) = table.versions {
                let version =
                    elf.reader
                        .slice(start.saturating_add(old * 2), 2, "symbol versions")?;
                buffer.put(start.saturating_add(to * 2), version)?;
            }
        }
        Ok(())
    }
}

/// Points relocations at the new places of their symbols.
fn relocations(elf: &Elf<'_>, order: &Order, buffer: &mut Buffer) -> Result<(), EditError> {
    let word = elf.reader.encoding.word_size();
    let shift = match elf.header.class {
        Class::Elf32 => 8,
        Class::Elf64 => 32,
    };
    let plt_is_rela = elf.dynamic_value(DT_PLTREL) == Some(DT_RELA);
    for (tag, size, rela) in [
        (DT_REL, DT_RELSZ, false),
        (DT_RELA, DT_RELASZ, true),
        (DT_JMPREL, DT_PLTRELSZ, plt_is_rela),
    ] {
        let what = "relocations";
        let Some(start) = elf.dynamic_offset(tag, what)? else {
            continue;
        };
        let entry = if rela { 3 * word } else { 2 * word };
        let count = elf.dynamic_value(size).unwrap_or(0) / entry;
        elf.reader.slice(start, count * entry, what)?;
        for index in 0..count {
            // The tables may overlap: always from the original.
            let at = start + index * entry + word;
            let info = elf.reader.fields(at, word, what)?.word()?;
            let new = usize::try_from(info >> shift)
                .ok()
                .and_then(|old| order.new.get(old))
                .ok_or(EditError::Unsupported("a relocation has no symbol"))?;
            let info = (*new as u64) << shift | (info & ((1 << shift) - 1));
            buffer.put(at, &Record::new(elf.reader.encoding).word(info).bytes)?;
        }
    }
    Ok(())
}

/// Every symbol must be found again under its new name, otherwise as before.
fn verify(old: &Elf<'_>, edited: &[u8], renames: &Renames, order: &Order) -> Result<(), EditError> {
    let new = Elf::parse(edited)?;
    let before = old.dynamic_symbols()?;
    let after = new.dynamic_symbols()?;
    let same = before.len() == after.len()
        && after
            .iter()
            .zip(order.old.iter().skip(1))
            .all(|(new, from)| {
                // Symbol 0 is not listed.
                let Some(old) = from.checked_sub(1).and_then(|index| before.get(index)) else {
                    return false;
                };
                let name = renames
                    .get(old.name.as_ref())
                    .map_or(old.name.as_ref(), String::as_str);
                let mut wanted = old.clone();
                wanted.name = name.into();
                *new == wanted
            });
    if same && symbol_hash::finds_all(&new)? {
        Ok(())
    } else {
        Err(EditError::SelfCheck("renamed symbols"))
    }
}
