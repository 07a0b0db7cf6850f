//! Dynamic symbols (gABI "Symbol Table") with their versions.

use std::borrow::Cow;

use crate::bytes::Reader;
use crate::error::ElfError;
use crate::header::Class;
use crate::strings::Strings;
use crate::versions::{VersionDefinition, VersionNeed};

pub(crate) const WHAT: &str = "dynamic symbol table";

/// Binding of a symbol (`ELF_ST_BIND`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Binding {
    /// `STB_LOCAL`: not visible outside.
    Local,
    /// `STB_GLOBAL`.
    Global,
    /// `STB_WEAK`: may stay undefined.
    Weak,
    /// Any other, as `STB_GNU_UNIQUE` (10).
    Other(u8),
}

/// Type of a symbol (`ELF_ST_TYPE`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SymbolKind {
    /// `STT_NOTYPE`, usual for undefined symbols.
    None,
    /// `STT_OBJECT`: data.
    Object,
    /// `STT_FUNC`.
    Func,
    /// `STT_SECTION`.
    Section,
    /// `STT_TLS`: thread-local data.
    Tls,
    /// `STT_GNU_IFUNC`: a function chosen at load time.
    IndirectFunc,
    /// Any other.
    Other(u8),
}

/// One symbol of the dynamic symbol table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynamicSymbol<'a> {
    /// Name without version; bytes that are not UTF-8 are replaced by U+FFFD.
    pub name: Cow<'a, str>,
    /// Binding.
    pub binding: Binding,
    /// Type.
    pub kind: SymbolKind,
    /// Whether this object defines it (`st_shndx` is not `SHN_UNDEF`).
    pub defined: bool,
    /// Its version, if it has one.
    pub version: Option<&'a str>,
    /// The library the version is needed from (`vn_file`); `None` when this
    /// object defines the version.
    pub version_file: Option<&'a str>,
    /// Whether a defined version is not the default one (`name@VERSION` rather
    /// than `name@@VERSION`).
    pub hidden: bool,
}

/// `Elfxx_Sym` as it lies in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawSymbol {
    pub(crate) name: u32,
    pub(crate) value: u64,
    pub(crate) size: u64,
    pub(crate) info: u8,
    pub(crate) section: u16,
}

impl RawSymbol {
    /// Size in bytes of a symbol.
    pub(crate) fn size(class: Class) -> u64 {
        match class {
            Class::Elf32 => 16,
            Class::Elf64 => 24,
        }
    }

    pub(crate) fn parse(reader: Reader<'_>, offset: u64) -> Result<RawSymbol, ElfError> {
        let class = reader.encoding.class;
        let mut fields = reader.fields(offset, RawSymbol::size(class), WHAT)?;
        let name = fields.u32()?;
        Ok(match class {
            Class::Elf32 => {
                let value = fields.word()?;
                let size = fields.word()?;
                let info = fields.u8()?;
                let _other = fields.u8()?;
                let section = fields.u16()?;
                RawSymbol {
                    name,
                    value,
                    size,
                    info,
                    section,
                }
            }
            Class::Elf64 => {
                let info = fields.u8()?;
                let _other = fields.u8()?;
                let section = fields.u16()?;
                let value = fields.word()?;
                let size = fields.word()?;
                RawSymbol {
                    name,
                    value,
                    size,
                    info,
                    section,
                }
            }
        })
    }
}

/// Where the pieces of the symbol table lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SymbolTable<'a> {
    /// File offset of symbol 0.
    pub(crate) offset: u64,
    /// Number of symbols, counting symbol 0.
    pub(crate) count: u64,
    /// File offset of the version indices (`DT_VERSYM`).
    pub(crate) versions: Option<u64>,
    pub(crate) strings: Strings<'a>,
}

impl<'a> SymbolTable<'a> {
    /// All symbols but the empty symbol 0.
    pub(crate) fn read(
        &self,
        reader: Reader<'a>,
        needs: &[VersionNeed<'a>],
        definitions: &[VersionDefinition<'a>],
    ) -> Result<Vec<DynamicSymbol<'a>>, ElfError> {
        let size = RawSymbol::size(reader.encoding.class);
        let table = self
            .count
            .checked_mul(size)
            .ok_or_else(|| ElfError::malformed(WHAT, "size overflows"))?;
        // The whole table must be in the file, which bounds the allocation.
        reader.slice(self.offset, table, WHAT)?;
        let names = version_names(needs, definitions);
        // Linkers share suffixes, and versions of a symbol share its name; but many
        // symbols with one huge name must not be read, or copied, over and over.
        let mut budget = 16 * self.strings.0.len() + 4096;
        let mut symbols = Vec::new();
        for index in 1..self.count {
            let raw = RawSymbol::parse(reader, self.offset + index * size)?;
            let version = self.version_index(reader, index)?;
            let named = names.get(usize::from(version & 0x7fff)).copied().flatten();
            let defined = raw.section != 0;
            let name = self.strings.lossy(u64::from(raw.name), WHAT)?;
            budget = budget
                .checked_sub(name.len())
                .ok_or_else(|| ElfError::malformed(WHAT, "names overlap"))?;
            symbols.push(DynamicSymbol {
                name,
                binding: binding(raw.info >> 4),
                kind: kind(raw.info & 0xf),
                defined,
                version: named.map(|(name, _)| name),
                version_file: named.and_then(|(_, file)| file),
                hidden: defined && version & 0x8000 != 0,
            });
        }
        Ok(symbols)
    }

    /// The entry of `.gnu.version` for symbol `index`; 1 (global) when there is none.
    fn version_index(&self, reader: Reader<'a>, index: u64) -> Result<u16, ElfError> {
        match self.versions {
            Some(offset) => reader
                .fields(
                    offset.saturating_add(index * 2),
                    2,
                    "symbol versions (.gnu.version)",
                )?
                .u16(),
            None => Ok(1),
        }
    }
}

/// Version name and library by version index. Indices 0 and 1 (local, global) have none.
fn version_names<'a>(
    needs: &[VersionNeed<'a>],
    definitions: &[VersionDefinition<'a>],
) -> Vec<Option<(&'a str, Option<&'a str>)>> {
    let needed = needs.iter().flat_map(|need| {
        need.versions
            .iter()
            .map(|entry| (entry.index, (entry.name, Some(need.file))))
    });
    let defined = definitions
        .iter()
        .filter(|definition| !definition.base)
        .map(|definition| (definition.index, (definition.name, None)));
    let mut names = Vec::new();
    for (index, name) in needed.chain(defined) {
        let index = usize::from(index);
        if index < 2 {
            continue;
        }
        if names.len() <= index {
            names.resize(index + 1, None);
        }
        if let Some(slot) = names.get_mut(index) {
            *slot = Some(name);
        }
    }
    names
}

fn binding(value: u8) -> Binding {
    match value {
        0 => Binding::Local,
        1 => Binding::Global,
        2 => Binding::Weak,
        other => Binding::Other(other),
    }
}

fn kind(value: u8) -> SymbolKind {
    match value {
        0 => SymbolKind::None,
        1 => SymbolKind::Object,
        2 => SymbolKind::Func,
        3 => SymbolKind::Section,
        6 => SymbolKind::Tls,
        10 => SymbolKind::IndirectFunc,
        other => SymbolKind::Other(other),
    }
}
