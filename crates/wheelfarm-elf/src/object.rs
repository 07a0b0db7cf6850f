//! The parsed view over an object.

use crate::arm;
use crate::bytes::Reader;
use crate::constants::{
    DF_1_NODEFLIB, DF_1_PIE, DT_FLAGS_1, DT_NEEDED, DT_RPATH, DT_RUNPATH, DT_SONAME, DT_STRSZ,
    DT_STRTAB, DT_VERDEF, DT_VERDEFNUM, DT_VERNEED, DT_VERNEEDNUM, EM_386, EM_ARM, EM_X86_64,
    ET_EXEC, PF_X, PT_GNU_PROPERTY, PT_GNU_STACK, PT_INTERP, PT_NOTE, SHT_ARM_ATTRIBUTES, SHT_NOTE,
};
use crate::dynamic::{Dynamic, DynamicEntry};
use crate::error::ElfError;
use crate::header::{self, Endian, Header};
use crate::notes;
use crate::section::{self, Section};
use crate::segment::{self, Segment};
use crate::strings::Strings;
use crate::symbols::DynamicSymbol;
use crate::versions::{self, RawDefinition, RawNeed, VersionDefinition, VersionNeed};

/// A parsed view over the bytes of an ELF object.
///
/// Parsing reads the header tables, the dynamic section and the version tables;
/// symbols are read on request.
#[derive(Debug, Clone)]
pub struct Elf<'a> {
    pub(crate) reader: Reader<'a>,
    pub(crate) header: Header,
    pub(crate) segments: Vec<Segment>,
    pub(crate) sections: Vec<Section>,
    pub(crate) dynamic: Option<Dynamic>,
    /// `DT_STRTAB`; empty when there is none.
    pub(crate) strings: Strings<'a>,
    pub(crate) raw_needs: Vec<RawNeed>,
    pub(crate) raw_definitions: Vec<RawDefinition>,
    interpreter: Option<&'a str>,
    soname: Option<&'a str>,
    needed: Vec<&'a str>,
    rpath: Option<&'a str>,
    runpath: Option<&'a str>,
    version_needs: Vec<VersionNeed<'a>>,
    version_definitions: Vec<VersionDefinition<'a>>,
}

impl<'a> Elf<'a> {
    /// Reads the object in `bytes`. Relocatable files, static executables and
    /// objects without section headers are fine.
    pub fn parse(bytes: &'a [u8]) -> Result<Elf<'a>, ElfError> {
        let header = Header::parse(bytes)?;
        Self::parse_with(header, Reader::new(bytes, header.encoding()))
    }

    pub(crate) fn parse_with(header: Header, reader: Reader<'a>) -> Result<Elf<'a>, ElfError> {
        let segments = segment::parse_table(reader, &header)?;
        let sections = section::parse_table(reader, &header)?;
        let dynamic = Dynamic::parse(reader, &segments)?;
        let mut elf = Elf {
            reader,
            header,
            segments,
            sections,
            dynamic,
            strings: Strings(&[]),
            raw_needs: Vec::new(),
            raw_definitions: Vec::new(),
            interpreter: None,
            soname: None,
            needed: Vec::new(),
            rpath: None,
            runpath: None,
            version_needs: Vec::new(),
            version_definitions: Vec::new(),
        };
        elf.interpreter = elf.read_interpreter()?;
        elf.read_dynamic()?;
        elf.read_versions()?;
        Ok(elf)
    }

    /// Whether `bytes` begin with the ELF magic; says nothing about the rest.
    pub fn is_elf(bytes: &[u8]) -> bool {
        header::has_magic(bytes)
    }

    /// The ELF header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The program headers, in file order.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Names and contents of the sections that have bytes in the file, in the table's order. A name or content that
    /// cannot be read is empty, and the list ends where sections claim more than the file can hold: it is for people.
    pub fn section_contents(&self) -> Vec<(&'a str, &'a [u8])> {
        let contents = |section: &Section| {
            let slice = self.reader.slice(section.offset, section.size, "section");
            slice.unwrap_or_default()
        };
        let names = usize::try_from(self.header.section_names_index)
            .ok()
            .and_then(|index| self.sections.get(index))
            .map(contents);
        let names = Strings(names.unwrap_or_default());
        let in_file = self.sections.iter().filter(|section| section.is_in_file());
        // Sections of honest objects do not overlap; others must not make this quadratic.
        let mut budget = 4 * self.reader.length();
        in_file
            .take_while(|section| {
                let left = budget.checked_sub(section.size);
                budget = left.unwrap_or(0);
                left.is_some()
            })
            .map(|section| {
                let name = names.get(u64::from(section.name), "section name");
                (name.unwrap_or_default(), contents(section))
            })
            .collect()
    }

    /// The entries of the dynamic section before `DT_NULL`, in file order.
    pub fn dynamic_entries(&self) -> &[DynamicEntry] {
        self.dynamic
            .as_ref()
            .map_or(&[], |dynamic| dynamic.entries.as_slice())
    }

    /// Path of the program interpreter (`PT_INTERP`): executables have one.
    pub fn interpreter(&self) -> Option<&'a str> {
        self.interpreter
    }

    /// `DT_SONAME`.
    pub fn soname(&self) -> Option<&'a str> {
        self.soname
    }

    /// The `DT_NEEDED` names, in order.
    pub fn needed(&self) -> &[&'a str] {
        &self.needed
    }

    /// `DT_RPATH`: colon-separated, as written (nothing expanded).
    pub fn rpath(&self) -> Option<&'a str> {
        self.rpath
    }

    /// `DT_RUNPATH`: colon-separated, as written (nothing expanded).
    pub fn runpath(&self) -> Option<&'a str> {
        self.runpath
    }

    /// Whether the object has a dynamic section, that is, a loader deals with it.
    pub fn is_dynamic(&self) -> bool {
        self.dynamic.is_some()
    }

    /// Whether the object is a program rather than a library: it has a fixed
    /// address, an interpreter, or says so in `DT_FLAGS_1`.
    ///
    /// A library with an interpreter, such as `libc.so.6`, also counts.
    pub fn is_executable(&self) -> bool {
        self.header.kind == ET_EXEC
            || self.interpreter.is_some()
            || self.dynamic_value(DT_FLAGS_1).unwrap_or(0) & DF_1_PIE != 0
    }

    /// Whether loaders must not search the default directories for what this
    /// object needs (`DF_1_NODEFLIB`).
    pub fn no_default_libraries(&self) -> bool {
        self.dynamic_value(DT_FLAGS_1).unwrap_or(0) & DF_1_NODEFLIB != 0
    }

    /// The versions needed, by library, in order (`DT_VERNEED`).
    pub fn version_needs(&self) -> &[VersionNeed<'a>] {
        &self.version_needs
    }

    /// The versions defined, in order (`DT_VERDEF`).
    pub fn version_definitions(&self) -> &[VersionDefinition<'a>] {
        &self.version_definitions
    }

    /// The dynamic symbols in order, without the empty symbol 0. Empty when the
    /// object is not dynamic.
    pub fn dynamic_symbols(&self) -> Result<Vec<DynamicSymbol<'a>>, ElfError> {
        match self.symbol_table()? {
            Some(table) => table.read(self.reader, &self.version_needs, &self.version_definitions),
            None => Ok(Vec::new()),
        }
    }

    /// `GNU_PROPERTY_X86_ISA_1_NEEDED`: the x86-64 levels the code cannot do
    /// without, as bits (`GNU_PROPERTY_X86_ISA_1_*`). 0 when nothing is said, on
    /// other machines, and for notes that cannot be read.
    pub fn x86_isa_needed(&self) -> u32 {
        if !matches!(self.header.machine, EM_386 | EM_X86_64) {
            return 0;
        }
        let segments = self
            .segments
            .iter()
            .filter(|segment| matches!(segment.kind, PT_GNU_PROPERTY | PT_NOTE))
            .map(|segment| (segment.offset, segment.file_size, segment.align));
        let sections = self
            .sections
            .iter()
            .filter(|section| section.kind == SHT_NOTE)
            .map(|section| (section.offset, section.size, section.align));
        // Honest notes are described by a segment or two and a section; overlapping
        // ones must not make this quadratic.
        let mut budget = 4 * self.reader.length();
        segments
            .chain(sections)
            .take_while(|(_, size, _)| {
                let left = budget.checked_sub(*size);
                budget = left.unwrap_or(0);
                left.is_some()
            })
            .filter_map(|(offset, size, align)| {
                notes::x86_isa_needed(self.reader, offset, size, align).ok()
            })
            .fold(0, |all, isa| all | isa)
    }

    /// `Tag_CPU_arch` of an ARM object's build attributes: 6 is `ARMv6`, 10 `ARMv7`, higher ones are newer or
    /// variants. None on other machines, for objects without section headers, and where nothing is said.
    pub fn arm_cpu_arch(&self) -> Option<u64> {
        if self.header.machine != EM_ARM {
            return None;
        }
        let attributes = self
            .sections
            .iter()
            .find(|section| section.kind == SHT_ARM_ATTRIBUTES)?;
        let what = "ARM build attributes";
        let contents = self
            .reader
            .slice(attributes.offset, attributes.size, what)
            .ok()?;
        arm::cpu_arch(contents, self.header.endian == Endian::Big)
    }

    /// Whether `PT_GNU_STACK` asks for an executable stack. glibc 2.41 and later
    /// refuse to `dlopen` such libraries. An object without `PT_GNU_STACK`, for
    /// which the default depends on the machine, counts as not asking.
    pub fn has_executable_stack(&self) -> bool {
        self.segments
            .iter()
            .any(|segment| segment.kind == PT_GNU_STACK && segment.flags & PF_X != 0)
    }

    /// The value of dynamic entry `tag`.
    pub(crate) fn dynamic_value(&self, tag: u64) -> Option<u64> {
        self.dynamic.as_ref()?.get(tag)
    }

    /// The file offset that dynamic entry `tag` points at; `None` without such an entry.
    pub(crate) fn dynamic_offset(
        &self,
        tag: u64,
        what: &'static str,
    ) -> Result<Option<u64>, ElfError> {
        let Some(address) = self.dynamic_value(tag) else {
            return Ok(None);
        };
        segment::file_range(&self.segments, address)
            .map(|(offset, _)| Some(offset))
            .ok_or_else(|| ElfError::malformed(what, "address is not in a loadable segment"))
    }

    /// Index of the allocated section of `kind` at `address`.
    pub(crate) fn section_index(&self, kind: u32, address: u64) -> Option<usize> {
        self.sections.iter().position(|section| {
            section.kind == kind && section.is_allocated() && section.address == address
        })
    }

    fn read_interpreter(&self) -> Result<Option<&'a str>, ElfError> {
        let what = "program interpreter (PT_INTERP)";
        let Some(segment) = self
            .segments
            .iter()
            .find(|segment| segment.kind == PT_INTERP)
        else {
            return Ok(None);
        };
        // Detached debug files keep the header but not the bytes.
        if segment.file_size == 0 {
            return Ok(None);
        }
        let bytes = self.reader.slice(segment.offset, segment.file_size, what)?;
        Strings(bytes).get(0, what).map(Some)
    }

    fn read_dynamic(&mut self) -> Result<(), ElfError> {
        let what = "dynamic string table (DT_STRTAB)";
        if let Some(offset) = self.dynamic_offset(DT_STRTAB, what)? {
            let size = self.dynamic_value(DT_STRSZ).unwrap_or(0);
            self.strings = Strings(self.reader.slice(offset, size, what)?);
        }
        let strings = self.strings;
        let string = |tag, what| {
            self.dynamic_value(tag)
                .map(|offset| strings.get(offset, what))
                .transpose()
        };
        let soname = string(DT_SONAME, "DT_SONAME")?;
        let rpath = string(DT_RPATH, "DT_RPATH")?;
        let runpath = string(DT_RUNPATH, "DT_RUNPATH")?;
        let needed = self
            .dynamic_entries()
            .iter()
            .filter(|entry| entry.tag == DT_NEEDED)
            .map(|entry| strings.get(entry.value, "DT_NEEDED"))
            .collect::<Result<_, _>>()?;
        self.soname = soname;
        self.rpath = rpath;
        self.runpath = runpath;
        self.needed = needed;
        Ok(())
    }

    fn read_versions(&mut self) -> Result<(), ElfError> {
        if let Some(offset) = self.dynamic_offset(DT_VERNEED, "DT_VERNEED")? {
            let count = self.dynamic_value(DT_VERNEEDNUM).unwrap_or(0);
            self.raw_needs = versions::raw_needs(self.reader, offset, count)?;
            self.version_needs = versions::needs(&self.raw_needs, self.strings)?;
        }
        if let Some(offset) = self.dynamic_offset(DT_VERDEF, "DT_VERDEF")? {
            let count = self.dynamic_value(DT_VERDEFNUM).unwrap_or(0);
            self.raw_definitions = versions::raw_definitions(self.reader, offset, count)?;
            self.version_definitions = versions::definitions(&self.raw_definitions, self.strings)?;
        }
        Ok(())
    }
}
