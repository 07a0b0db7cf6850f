//! The objects: those of this machine, of Debian packages for other machines, and of wheels.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use wheelfarm_elf::constants::{
    EM_386, EM_AARCH64, EM_ARM, EM_LOONGARCH, EM_MIPS, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64,
    ET_REL, PT_DYNAMIC,
};
use wheelfarm_elf::{Class, Elf, ElfError, Endian};
use wheelfarm_tests::anyhow::Result;
use wheelfarm_tests::process::run;
use wheelfarm_tests::sha256;

use crate::bench::wheels::directory;

/// Where this machine keeps its own.
const ROOTS: [&str; 2] = ["/usr", "/opt"];
/// Detached debug information has no dynamic section.
const DEBUG: &str = "/usr/lib/debug";

/// The machine whose objects can be loaded.
pub(crate) const NATIVE: &str = "x86_64";

/// One object of the set.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) path: PathBuf,
    pub(crate) sha256: String,
    /// Size in bytes.
    pub(crate) size: u64,
    pub(crate) machine: String,
    /// Where it is from: `system`, `deb` or `wheel`.
    pub(crate) source: &'static str,
}

/// What was looked at and left out.
#[derive(Debug, Default)]
pub(crate) struct Corpus {
    pub(crate) objects: Vec<Object>,
    /// Same bytes as another one.
    pub(crate) copies: usize,
    /// Static programs, relocatable objects and others without a dynamic section.
    pub(crate) not_dynamic: usize,
    /// Larger than what was asked for.
    pub(crate) too_large: usize,
    /// More of the same machine and source than were asked for.
    pub(crate) surplus: usize,
    /// Dynamic objects that cannot be read, with the reason.
    pub(crate) unreadable: Vec<String>,
}

impl Corpus {
    /// All objects of at most `largest` bytes whose path contains `only`.
    pub(crate) fn collect(largest: u64, only: &str) -> Result<Corpus> {
        let mut corpus = Corpus::default();
        let mut seen = BTreeSet::new();
        for root in ROOTS {
            corpus.walk(Path::new(root), "system", largest, only, &mut seen)?;
        }
        for (archives, source, unpack) in [
            (
                directory("debs")?,
                "deb",
                unpack_deb as fn(&Path, &Path) -> Result<()>,
            ),
            (directory("wheels")?, "wheel", unpack_wheel),
        ] {
            for tree in unpacked(&archives, unpack)? {
                corpus.walk(&tree, source, largest, only, &mut seen)?;
            }
        }
        Ok(corpus)
    }

    fn walk(
        &mut self,
        directory: &Path,
        source: &'static str,
        largest: u64,
        only: &str,
        seen: &mut BTreeSet<String>,
    ) -> Result<()> {
        let Ok(entries) = fs_err::read_dir(directory) else {
            return Ok(());
        };
        let mut entries: Vec<_> = entries.filter_map(Result::ok).collect();
        entries.sort_by_key(fs_err::DirEntry::path);
        for entry in entries {
            let (kind, path) = (entry.file_type()?, entry.path());
            if kind.is_dir() && path != Path::new(DEBUG) {
                self.walk(&path, source, largest, only, seen)?;
            } else if kind.is_file() && path.to_string_lossy().contains(only) {
                self.look(path, source, largest, seen)?;
            }
        }
        Ok(())
    }

    fn look(
        &mut self,
        path: PathBuf,
        source: &'static str,
        largest: u64,
        seen: &mut BTreeSet<String>,
    ) -> Result<()> {
        if !begins_as_elf(&path) {
            return Ok(());
        }
        let size = fs_err::metadata(&path)?.len();
        if size > largest {
            self.too_large += 1;
            return Ok(());
        }
        let bytes = fs_err::read(&path)?;
        let machine = match Elf::parse(&bytes) {
            Ok(elf) if is_candidate(&elf) => machine(&elf),
            Ok(_) | Err(ElfError::NotElf) => {
                self.not_dynamic += 1;
                return Ok(());
            }
            Err(error) => {
                self.unreadable.push(format!("{}: {error}", path.display()));
                return Ok(());
            }
        };
        let sha256 = sha256(&bytes);
        if !seen.insert(sha256.clone()) {
            self.copies += 1;
            return Ok(());
        }
        self.objects.push(Object {
            path,
            sha256,
            size,
            machine,
            source,
        });
        Ok(())
    }

    /// Keeps `each` objects of every machine and source, three times as many of those that can be loaded here. Which
    /// ones is as good as chance, and the same every time.
    pub(crate) fn sample(&mut self, each: usize) {
        self.objects
            .sort_by(|one, other| one.sha256.cmp(&other.sha256));
        let before = self.objects.len();
        let mut counts: BTreeMap<(String, &str), usize> = BTreeMap::new();
        self.objects.retain(|object| {
            let count = counts
                .entry((object.machine.clone(), object.source))
                .or_default();
            *count += 1;
            let most = if object.machine == NATIVE {
                3 * each
            } else {
                each
            };
            *count <= most
        });
        self.surplus = before - self.objects.len();
    }

    /// How many objects there are for each machine.
    pub(crate) fn machines(&self) -> BTreeMap<&str, usize> {
        let mut machines = BTreeMap::new();
        for object in &self.objects {
            *machines.entry(object.machine.as_str()).or_default() += 1;
        }
        machines
    }
}

/// Whether a loader deals with the object. A static program with a dynamic section has none to set a path for.
fn is_candidate(elf: &Elf<'_>) -> bool {
    let has_dynamic = elf
        .segments()
        .iter()
        .any(|segment| segment.kind == PT_DYNAMIC);
    let is_static = elf.is_executable() && elf.interpreter().is_none();
    elf.header().kind != ET_REL && has_dynamic && elf.is_dynamic() && !is_static
}

fn begins_as_elf(path: &Path) -> bool {
    use std::io::Read;
    let mut magic = [0; 4];
    let read = fs_err::File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    read.is_ok() && magic == *b"\x7fELF"
}

/// The name of the machine that the object is for.
fn machine(elf: &Elf<'_>) -> String {
    let header = elf.header();
    let (wide, little) = (
        header.class == Class::Elf64,
        header.endian == Endian::Little,
    );
    let name = match (header.machine, wide, little) {
        (EM_X86_64, true, _) => "x86_64",
        (EM_X86_64, false, _) => "x32",
        (EM_386, ..) => "i686",
        (EM_AARCH64, ..) => "aarch64",
        (EM_ARM, ..) => "arm",
        (EM_PPC64, _, true) => "ppc64le",
        (EM_PPC64, _, false) => "ppc64",
        (EM_S390, ..) => "s390x",
        (EM_RISCV, true, _) => "riscv64",
        (EM_LOONGARCH, true, _) => "loongarch64",
        (EM_MIPS, true, true) => "mips64el",
        (EM_MIPS, false, true) => "mipsel",
        (EM_MIPS, ..) => "mips",
        (other, ..) => return format!("machine {other}"),
    };
    name.to_owned()
}

/// The directories with what is in the archives of `from`, unpacked on the first run.
fn unpacked(from: &Path, unpack: fn(&Path, &Path) -> Result<()>) -> Result<Vec<PathBuf>> {
    let mut trees = Vec::new();
    let mut archives = archives(from)?;
    archives.sort();
    for archive in archives {
        let name = archive.strip_prefix(from).unwrap_or(&archive);
        let tree = directory("unpacked")?.join(name);
        if !tree.exists() {
            let part = tree.with_extension("part");
            if part.exists() {
                fs_err::remove_dir_all(&part)?;
            }
            fs_err::create_dir_all(&part)?;
            unpack(&archive, &part)?;
            fs_err::rename(&part, &tree)?;
        }
        trees.push(tree);
    }
    Ok(trees)
}

/// Wheels and packages below `directory`.
fn archives(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(directory)? {
        let (entry, path) = entry.map(|entry| (entry.file_type(), entry.path()))?;
        let extension = path.extension().unwrap_or_default();
        if entry?.is_dir() {
            found.extend(archives(&path)?);
        } else if extension == "whl" || extension == "deb" {
            found.push(path);
        }
    }
    Ok(found)
}

fn unpack_deb(archive: &Path, directory: &Path) -> Result<()> {
    run(Command::new("dpkg-deb")
        .arg("-x")
        .arg(archive)
        .arg(directory))?;
    Ok(())
}

fn unpack_wheel(archive: &Path, directory: &Path) -> Result<()> {
    run(Command::new("python3")
        .args(["-m", "zipfile", "-e"])
        .arg(archive)
        .arg(directory))?;
    Ok(())
}
