//! Numbers of the gABI and the Linux ABI supplements, under their own names.

#![allow(missing_docs, reason = "the specification documents them")]

/// `e_type`: relocatable file.
pub const ET_REL: u16 = 1;
/// `e_type`: executable at a fixed address.
pub const ET_EXEC: u16 = 2;
/// `e_type`: shared object or position-independent executable.
pub const ET_DYN: u16 = 3;
/// `e_type`: core dump.
pub const ET_CORE: u16 = 4;

/// `e_machine`: 32-bit x86 (`i686`).
pub const EM_386: u16 = 3;
/// `e_machine`: MIPS.
pub const EM_MIPS: u16 = 8;
/// `e_machine`: 32-bit `PowerPC`.
pub const EM_PPC: u16 = 20;
/// `e_machine`: 64-bit `PowerPC` (`ppc64` big-endian, `ppc64le` little-endian).
pub const EM_PPC64: u16 = 21;
/// `e_machine`: IBM Z (`s390x` when 64-bit).
pub const EM_S390: u16 = 22;
/// `e_machine`: 32-bit ARM (`armv7l` and relatives; see `e_flags`).
pub const EM_ARM: u16 = 40;
/// `e_machine`: x86-64.
pub const EM_X86_64: u16 = 62;
/// `e_machine`: 64-bit ARM (`aarch64`).
pub const EM_AARCH64: u16 = 183;
/// `e_machine`: RISC-V (`riscv64` when 64-bit).
pub const EM_RISCV: u16 = 243;
/// `e_machine`: `LoongArch` (`loongarch64` when 64-bit).
pub const EM_LOONGARCH: u16 = 258;
/// `e_machine`: Alpha, the unofficial number that is in use.
pub const EM_ALPHA: u16 = 0x9026;

/// `e_flags` of ARM: arguments are passed in floating-point registers (`armhf`).
pub const EF_ARM_ABI_FLOAT_HARD: u32 = 0x400;
/// `e_flags` of ARM: mask of the EABI version.
pub const EF_ARM_EABIMASK: u32 = 0xff00_0000;
/// `e_flags` of ARM: EABI version 5.
pub const EF_ARM_EABI_VER5: u32 = 0x0500_0000;

/// `EI_OSABI`: System V, or not specified.
pub const ELFOSABI_NONE: u8 = 0;
/// `EI_OSABI`: GNU/Linux.
pub const ELFOSABI_GNU: u8 = 3;

/// `p_type`: unused entry.
pub const PT_NULL: u32 = 0;
/// `p_type`: loadable segment.
pub const PT_LOAD: u32 = 1;
/// `p_type`: the dynamic section.
pub const PT_DYNAMIC: u32 = 2;
/// `p_type`: path of the program interpreter.
pub const PT_INTERP: u32 = 3;
/// `p_type`: notes.
pub const PT_NOTE: u32 = 4;
/// `p_type`: the program header table itself.
pub const PT_PHDR: u32 = 6;
/// `p_type`: stack permissions.
pub const PT_GNU_STACK: u32 = 0x6474_e551;
/// `p_type`: range to be made read-only after relocation.
pub const PT_GNU_RELRO: u32 = 0x6474_e552;
/// `p_type`: the `.note.gnu.property` note.
pub const PT_GNU_PROPERTY: u32 = 0x6474_e553;

/// `p_flags`: executable.
pub const PF_X: u32 = 1;
/// `p_flags`: writable.
pub const PF_W: u32 = 2;
/// `p_flags`: readable.
pub const PF_R: u32 = 4;

pub const SHT_NULL: u32 = 0;
pub const SHT_PROGBITS: u32 = 1;
pub const SHT_SYMTAB: u32 = 2;
pub const SHT_STRTAB: u32 = 3;
pub const SHT_RELA: u32 = 4;
pub const SHT_HASH: u32 = 5;
pub const SHT_DYNAMIC: u32 = 6;
pub const SHT_NOTE: u32 = 7;
pub const SHT_NOBITS: u32 = 8;
pub const SHT_REL: u32 = 9;
pub const SHT_DYNSYM: u32 = 11;
pub const SHT_GROUP: u32 = 17;
/// Section indices of symbols that do not fit into `st_shndx`.
pub const SHT_SYMTAB_SHNDX: u32 = 18;
pub const SHT_GNU_HASH: u32 = 0x6fff_fff6;
pub const SHT_GNU_VERDEF: u32 = 0x6fff_fffd;
pub const SHT_GNU_VERNEED: u32 = 0x6fff_fffe;
pub const SHT_GNU_VERSYM: u32 = 0x6fff_ffff;
/// Build attributes, on ARM.
pub const SHT_ARM_ATTRIBUTES: u32 = 0x7000_0003;

/// `sh_flags`: occupies memory at run time.
pub const SHF_ALLOC: u64 = 2;
/// `sh_flags`: `sh_info` is the index of a section.
pub const SHF_INFO_LINK: u64 = 0x40;

/// `st_shndx`, `e_shstrndx`: from here on, values are no indices.
pub const SHN_LORESERVE: u16 = 0xff00;
/// `st_shndx`, `e_shstrndx`: the index stands elsewhere.
pub const SHN_XINDEX: u16 = 0xffff;

pub const DT_NULL: u64 = 0;
pub const DT_NEEDED: u64 = 1;
pub const DT_HASH: u64 = 4;
pub const DT_STRTAB: u64 = 5;
pub const DT_SYMTAB: u64 = 6;
pub const DT_RELA: u64 = 7;
pub const DT_RELASZ: u64 = 8;
pub const DT_STRSZ: u64 = 10;
pub const DT_SONAME: u64 = 14;
pub const DT_RPATH: u64 = 15;
pub const DT_REL: u64 = 17;
pub const DT_RELSZ: u64 = 18;
pub const DT_PLTRELSZ: u64 = 2;
pub const DT_PLTREL: u64 = 20;
pub const DT_JMPREL: u64 = 23;
pub const DT_DEBUG: u64 = 21;
pub const DT_RUNPATH: u64 = 29;
pub const DT_FLAGS: u64 = 30;
/// Relocations in a compact form (`CREL`).
pub const DT_CREL: u64 = 0x4000_0026;
/// First and last tag of the packed relocations of Android.
pub const DT_ANDROID_REL: u64 = 0x6000_000f;
pub const DT_ANDROID_RELASZ: u64 = 0x6000_0012;
/// What `prelink` and Solaris keep beside the symbols.
pub const DT_GNU_CONFLICT: u64 = 0x6fff_fef8;
pub const DT_GNU_LIBLIST: u64 = 0x6fff_fef9;
pub const DT_SYMINFO: u64 = 0x6fff_feff;
pub const DT_GNU_HASH: u64 = 0x6fff_fef5;
pub const DT_VERSYM: u64 = 0x6fff_fff0;
pub const DT_FLAGS_1: u64 = 0x6fff_fffb;
pub const DT_VERDEF: u64 = 0x6fff_fffc;
pub const DT_VERDEFNUM: u64 = 0x6fff_fffd;
pub const DT_VERNEED: u64 = 0x6fff_fffe;
pub const DT_VERNEEDNUM: u64 = 0x6fff_ffff;
pub const DT_MIPS_SYMTABNO: u64 = 0x7000_0011;
/// Offset from its own entry to the debugger's link map (MIPS).
pub const DT_MIPS_RLD_MAP_REL: u64 = 0x7000_0035;
pub const DT_MIPS_XHASH: u64 = 0x7000_0036;

/// `DT_FLAGS_1`: do not search the default library directories.
pub const DF_1_NODEFLIB: u64 = 0x800;
/// `DT_FLAGS_1`: a position-independent executable.
pub const DF_1_PIE: u64 = 0x0800_0000;

/// `vd_flags`: definition of the object itself (its soname).
pub const VER_FLG_BASE: u16 = 1;
/// `vd_flags`, `vna_flags`: weak.
pub const VER_FLG_WEAK: u16 = 2;

/// Bit of [`crate::Elf::x86_isa_needed`]: baseline x86-64.
pub const GNU_PROPERTY_X86_ISA_1_BASELINE: u32 = 1;
/// Bit of [`crate::Elf::x86_isa_needed`]: x86-64-v2.
pub const GNU_PROPERTY_X86_ISA_1_V2: u32 = 2;
/// Bit of [`crate::Elf::x86_isa_needed`]: x86-64-v3.
pub const GNU_PROPERTY_X86_ISA_1_V3: u32 = 4;
/// Bit of [`crate::Elf::x86_isa_needed`]: x86-64-v4.
pub const GNU_PROPERTY_X86_ISA_1_V4: u32 = 8;
