//! Build attributes of ARM objects (Addenda to the ABI for the Arm Architecture, "Build attributes"): only what
//! processor the code is for.

/// Vendor of the attributes that the ABI defines.
const VENDOR: &[u8] = b"aeabi";
/// `Tag_File`: what follows is about the whole object.
const TAG_FILE: u64 = 1;
const TAG_CPU_RAW_NAME: u64 = 4;
const TAG_CPU_NAME: u64 = 5;
const TAG_CPU_ARCH: u64 = 6;
const TAG_COMPATIBILITY: u64 = 32;

/// The value of `Tag_CPU_arch` in the contents of `.ARM.attributes`; none if they do not say, or make no sense.
pub(crate) fn cpu_arch(contents: &[u8], big_endian: bool) -> Option<u64> {
    let mut subsections = contents.strip_prefix(b"A")?;
    while !subsections.is_empty() {
        let (subsection, rest) = sized(subsections, 0, big_endian)?;
        subsections = rest;
        let end = subsection.iter().position(|byte| *byte == 0)?;
        let (vendor, attributes) = subsection.split_at_checked(end)?;
        if vendor == VENDOR {
            return file_arch(attributes.get(1..)?, big_endian);
        }
    }
    None
}

fn file_arch(mut groups: &[u8], big_endian: bool) -> Option<u64> {
    while !groups.is_empty() {
        let (tag, after) = uleb128(groups)?;
        let tag_size = groups.len().checked_sub(after.len())?;
        // The size counts the tag too.
        let (attributes, rest) = sized(after, tag_size, big_endian)?;
        groups = rest;
        if tag == TAG_FILE {
            return arch_of(attributes);
        }
    }
    None
}

fn arch_of(mut attributes: &[u8]) -> Option<u64> {
    while !attributes.is_empty() {
        let (tag, value) = uleb128(attributes)?;
        if tag == TAG_CPU_ARCH {
            return uleb128(value).map(|(arch, _)| arch);
        }
        attributes = match tag {
            TAG_CPU_RAW_NAME | TAG_CPU_NAME => text(value)?,
            TAG_COMPATIBILITY => text(uleb128(value)?.1)?,
            // Beyond 32, odd tags have texts and even ones numbers, so that unknown ones can be passed over.
            tag if tag > 32 && tag % 2 == 1 => text(value)?,
            _ => uleb128(value)?.1,
        };
    }
    None
}

/// What a 32-bit size at the start, which counts itself and `before` bytes before it, encloses; and what follows.
fn sized(bytes: &[u8], before: usize, big_endian: bool) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let size = if big_endian {
        u32::from_be_bytes(*size)
    } else {
        u32::from_le_bytes(*size)
    };
    let size = usize::try_from(size).ok()?.checked_sub(4 + before)?;
    rest.split_at_checked(size)
}

/// An unsigned number in LEB128, and what follows.
fn uleb128(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().enumerate().take(9) {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(index + 1..)?));
        }
    }
    None
}

/// What follows a text that ends with a zero byte.
fn text(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    bytes.get(end + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `as -march=armv6` writes them: the raw name first, then the name, then the number.
    fn section(big_endian: bool) -> Vec<u8> {
        let size = |size: usize| {
            let size = u32::try_from(size).unwrap();
            if big_endian {
                size.to_be_bytes()
            } else {
                size.to_le_bytes()
            }
        };
        let attributes = [b"\x04raw\0\x05ARM v6\0\x06\x06".as_slice(), b"\x43c\0"].concat();
        let file = [&[1], &size(5 + attributes.len())[..], &attributes].concat();
        let group = |vendor: &[u8], body: &[u8]| {
            [&size(4 + vendor.len() + body.len()), vendor, body].concat()
        };
        let other = group(b"gnu\0", b"\xff\xff");
        [b"A".to_vec(), other, group(b"aeabi\0", &file)].concat()
    }

    #[test]
    fn the_processor_is_found() {
        for big_endian in [false, true] {
            assert_eq!(cpu_arch(&section(big_endian), big_endian), Some(6));
        }
    }

    #[test]
    fn nonsense_says_nothing() {
        let whole = section(false);
        for length in 0..whole.len() {
            // Cut off after the number it is still there; before, it is not.
            let _any = cpu_arch(whole.get(..length).unwrap(), false);
        }
        assert_eq!(cpu_arch(b"", false), None);
        assert_eq!(cpu_arch(&whole, true), None);
        assert_eq!(cpu_arch(b"A\0\0\0\0", false), None);
        assert_eq!(cpu_arch(b"A\xff\xff\xff\xffaeabi\0", false), None);
        assert_eq!(uleb128(&[0x80; 20]), None);
    }
}
