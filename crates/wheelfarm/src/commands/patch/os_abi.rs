//! The names that patchelf has for `EI_OSABI`.

/// Name to print and number of each.
const PRINTED: [(&str, u8); 12] = [
    ("System V", 0),
    ("HP-UX", 1),
    ("NetBSD", 2),
    ("Linux", 3),
    ("GNU Hurd", 4),
    ("Solaris", 6),
    ("AIX", 7),
    ("IRIX", 8),
    ("FreeBSD", 9),
    ("Tru64", 10),
    ("OpenBSD", 12),
    ("OpenVMS", 13),
];

/// Further names that are understood.
const ALIASES: [(&str, u8); 5] = [
    ("system-v", 0),
    ("sysv", 0),
    ("gnu", 3),
    ("gnu-hurd", 4),
    ("hurd", 4),
];

/// The name of ABI `number`.
pub(super) fn name(number: u8) -> String {
    PRINTED
        .iter()
        .find(|(_, known)| *known == number)
        .map_or_else(|| format!("0x{number:02X}"), |(name, _)| (*name).to_owned())
}

/// The number of the ABI that `name` stands for.
pub(super) fn number(name: &str) -> Option<u8> {
    let name = name.trim();
    PRINTED
        .iter()
        .chain(&ALIASES)
        .find(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, number)| *number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        for (printed, abi) in PRINTED {
            assert_eq!(name(abi), printed);
            assert_eq!(number(printed), Some(abi));
        }
        assert_eq!(number(" GNU-Hurd\n"), Some(4));
        assert_eq!(number("plan9"), None);
        assert_eq!(name(97), "0x61");
    }
}
