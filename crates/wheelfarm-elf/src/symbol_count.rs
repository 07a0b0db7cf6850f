//! Where the dynamic symbols lie and how many there are, which the dynamic section
//! does not say.

use crate::constants::{
    DT_GNU_HASH, DT_HASH, DT_JMPREL, DT_MIPS_SYMTABNO, DT_PLTREL, DT_PLTRELSZ, DT_REL, DT_RELA,
    DT_RELASZ, DT_RELSZ, DT_SYMTAB, DT_VERSYM, EM_MIPS, SHT_DYNSYM,
};
use crate::error::ElfError;
use crate::hash;
use crate::header::{Class, Endian};
use crate::object::Elf;
use crate::symbols::{self, RawSymbol, SymbolTable};

impl<'a> Elf<'a> {
    /// Where the dynamic symbols lie; `None` when there are none.
    pub(crate) fn symbol_table(&self) -> Result<Option<SymbolTable<'a>>, ElfError> {
        let Some(offset) = self.dynamic_offset(DT_SYMTAB, symbols::WHAT)? else {
            return Ok(None);
        };
        Ok(Some(SymbolTable {
            offset,
            count: self.symbol_count()?,
            versions: self.dynamic_offset(DT_VERSYM, "symbol versions (DT_VERSYM)")?,
            strings: self.strings,
        }))
    }

    /// Number of dynamic symbols, counting symbol 0, from the most exact source
    /// the object has.
    fn symbol_count(&self) -> Result<u64, ElfError> {
        if let Some(offset) = self.dynamic_offset(DT_HASH, "hash table (DT_HASH)")? {
            return Ok(hash::system_v(self.reader, &self.header, offset)?.symbols);
        }
        if self.header.machine == EM_MIPS
            && let Some(count) = self.dynamic_value(DT_MIPS_SYMTABNO)
        {
            return Ok(count);
        }
        let address = self.dynamic_value(DT_SYMTAB);
        if let Some(section) = self
            .sections
            .iter()
            .find(|section| section.kind == SHT_DYNSYM && Some(section.address) == address)
        {
            return Ok(section.size / RawSymbol::size(self.header.class));
        }
        let hashed = match self.dynamic_offset(DT_GNU_HASH, "hash table (DT_GNU_HASH)")? {
            Some(offset) => hash::gnu(self.reader, offset)?.symbols,
            None => 1,
        };
        // Undefined symbols are not hashed; what is used is at least relocated.
        Ok(hashed.max(self.highest_relocated_symbol()? + 1))
    }

    fn highest_relocated_symbol(&self) -> Result<u64, ElfError> {
        let mut highest = 0;
        self.each_relocation(|_, symbol| highest = highest.max(symbol))?;
        Ok(highest)
    }

    /// Calls `see` with the address (`r_offset`) and symbol of every relocation that
    /// a loader carries out, compact ones (`DT_RELR`), which have no symbols, left out.
    pub(crate) fn each_relocation(&self, mut see: impl FnMut(u64, u64)) -> Result<(), ElfError> {
        let jump_slots_are_rela = self.dynamic_value(DT_PLTREL) == Some(DT_RELA);
        for (table, size, rela) in [
            (DT_REL, DT_RELSZ, false),
            (DT_RELA, DT_RELASZ, true),
            (DT_JMPREL, DT_PLTRELSZ, jump_slots_are_rela),
        ] {
            let what = "relocations";
            let Some(offset) = self.dynamic_offset(table, what)? else {
                continue;
            };
            let word = self.reader.encoding.word_size();
            let size = self.dynamic_value(size).unwrap_or(0);
            let entry = if rela { 3 * word } else { 2 * word };
            let mut fields = self.reader.fields(offset, size, what)?;
            for _ in 0..size / entry {
                let address = fields.word()?;
                let info = fields.word()?;
                if rela {
                    let _addend = fields.word()?;
                }
                see(address, self.relocated_symbol(info));
            }
        }
        Ok(())
    }

    /// `ELF_R_SYM`.
    fn relocated_symbol(&self, info: u64) -> u64 {
        match (self.header.class, self.header.endian) {
            (Class::Elf32, _) => info >> 8,
            // Little-endian MIPS64 stores the symbol in the first half.
            (Class::Elf64, Endian::Little) if self.header.machine == EM_MIPS => info & 0xffff_ffff,
            (Class::Elf64, _) => info >> 32,
        }
    }
}
