//! Digests that stand in a text.

use wheelfarm_types::Digest;

/// Hexadecimal digits of a digest.
const DIGITS: usize = 64;

/// Every run of exactly 64 hexadecimal digits in lower case: what a record, a lock or a list of files may name.
pub(crate) fn digests_in(bytes: &[u8]) -> Vec<Digest> {
    bytes
        .split(|byte| !matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        .filter(|run| run.len() == DIGITS)
        .filter_map(|run| std::str::from_utf8(run).ok()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_any_text() {
        let (one, two) = (Digest::of("one"), Digest::of("two"));
        let text = format!(r#"{{"a": "{one}", "b": "sha256={two}#x", "c": "{one}0", "d": "ab"}}"#);
        assert_eq!(digests_in(text.as_bytes()), [one, two]);
        assert_eq!(digests_in(b""), []);
    }
}
