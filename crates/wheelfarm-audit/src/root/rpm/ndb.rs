//! rpm's own package database (`Packages.db`): pages of slots, each with the place of a blob. Little-endian.

const PAGE: usize = 4096;
/// Slots, and the units of places and sizes, have this many bytes.
const BLOCK: usize = 16;

/// Calls `take` for every blob. What is broken is passed over.
pub(super) fn blobs(file: &[u8], take: &mut dyn FnMut(&[u8])) {
    let header: Vec<u32> = numbers(file.get(..20).unwrap_or_default());
    let [magic, version, _generation, pages, _next] = header.as_slice() else {
        return;
    };
    if magic.to_le_bytes() != *b"RpmP" || *version != 0 {
        return;
    }
    let Some(slots) = usize::try_from(*pages)
        .ok()
        .and_then(|pages| file.get(..pages.checked_mul(PAGE)?))
    else {
        return;
    };
    // What all blobs have together cannot be more than the file.
    let mut budget = file.len();
    // The first two are the header.
    for slot in slots.chunks_exact(BLOCK).skip(2) {
        let Some(blob) = blob(file, slot) else {
            continue;
        };
        let Some(left) = budget.checked_sub(blob.len()) else {
            return;
        };
        budget = left;
        take(blob);
    }
}

/// The blob of a slot: magic, package, time and length come before it.
fn blob<'a>(file: &'a [u8], slot: &[u8]) -> Option<&'a [u8]> {
    let slot = numbers(slot);
    let [magic, package, place, blocks] = slot.as_slice() else {
        return None;
    };
    if magic.to_le_bytes() != *b"Slot" || *place == 0 {
        return None;
    }
    let start = usize::try_from(*place).ok()?.checked_mul(BLOCK)?;
    let size = usize::try_from(*blocks).ok()?.checked_mul(BLOCK)?;
    let whole = file.get(start..start.checked_add(size)?)?;
    let (head, rest) = whole.split_at_checked(16)?;
    let head = numbers(head);
    let [magic, owner, _time, length] = head.as_slice() else {
        return None;
    };
    if magic.to_le_bytes() != *b"BlbS" || owner != package {
        return None;
    }
    rest.get(..usize::try_from(*length).ok()?)
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    let words = bytes.chunks_exact(4);
    words
        .filter_map(|word| Some(u32::from_le_bytes(word.try_into().ok()?)))
        .collect()
}
