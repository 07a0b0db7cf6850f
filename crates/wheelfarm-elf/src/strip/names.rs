//! A string table in which names share their ends, as linkers write it.

/// The table, and where each of `names` begins in it.
pub(super) fn table(names: &[&[u8]]) -> Option<(Vec<u8>, Vec<u32>)> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    let name = |index: &usize| names.get(*index).copied().unwrap_or_default();
    // By their ends, so that `.text` comes right before `.rela.text`; the longest is written, the others are ends
    // of it.
    order.sort_by(|a, b| name(b).iter().rev().cmp(name(a).iter().rev()));
    let mut table = vec![0];
    let mut starts = vec![0; names.len()];
    let mut written: &[u8] = &[];
    let mut end = 0;
    for index in &order {
        let name = name(index);
        if name.is_empty() {
            continue;
        }
        if !written.ends_with(name) {
            table.extend_from_slice(name);
            end = table.len();
            table.push(0);
            written = name;
        }
        let start = u32::try_from(end.checked_sub(name.len())?).ok()?;
        *starts.get_mut(*index)? = start;
    }
    Some((table, starts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_shared() {
        let names: [&[u8]; 6] = [b"", b".text", b".rela.plt", b".plt", b".plt", b".rel.text"];
        let (table, starts) = table(&names).unwrap();
        assert_eq!(
            table.len(),
            1 + ".rela.plt".len() + 1 + ".rel.text".len() + 1
        );
        let strings = crate::strings::Strings(&table);
        for (name, start) in names.iter().zip(starts) {
            assert_eq!(strings.bytes(u64::from(start), "x").as_ref(), Ok(name));
        }
    }
}
