//! `--shrink-rpath`: which directories of a search path hold a library that is needed.

use std::io::Read;
use std::path::Path;

use wheelfarm_elf::{Elf, Endian};

use super::args::split_path;

/// `path` without the absolute directories in which no needed library is found that an
/// earlier one does not have, and without those that begin with none of `prefixes`, if
/// there are any. Entries such as `$ORIGIN/lib` stay: what they mean is not known here.
pub(super) fn shrink(path: &str, elf: &Elf<'_>, prefixes: &[String]) -> String {
    let mut missing = elf.needed().to_vec();
    let kept: Vec<&str> = split_path(path)
        .filter(|directory| {
            if !directory.is_empty() && !directory.starts_with('/') {
                return true;
            }
            let allowed = prefixes.is_empty()
                || prefixes
                    .iter()
                    .any(|prefix| directory.starts_with(prefix.as_str()));
            if !allowed {
                return false;
            }
            let before = missing.len();
            missing.retain(|name| {
                let library = format!("{directory}/{name}");
                machine(Path::new(&library)) != Some(elf.header().machine)
            });
            missing.len() < before
        })
        .collect();
    kept.join(":")
}

/// The machine that the library at `path` is for, if it is one: `e_machine` behind the
/// 16 bytes of `e_ident` and `e_type`.
fn machine(path: &Path) -> Option<u16> {
    let mut header = [0; 20];
    let mut file = fs_err::File::open(path).ok()?;
    file.read_exact(&mut header).ok()?;
    if !Elf::is_elf(&header) {
        return None;
    }
    let [.., one, other] = header;
    let endian = match header {
        [_, _, _, _, _, 2, ..] => Endian::Big,
        _ => Endian::Little,
    };
    Some(match endian {
        Endian::Big => u16::from_be_bytes([one, other]),
        Endian::Little => u16::from_le_bytes([one, other]),
    })
}
