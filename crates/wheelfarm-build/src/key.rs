//! Keys: sha256 over canonical JSON.

use serde::Serialize;
use wheelfarm_types::Digest;

/// The digest of `value`'s canonical JSON: object members sorted by name, no white space.
///
/// # Panics
/// Never for the types of this crate: they hold no maps with non-string keys.
pub fn canonical_digest(value: &impl Serialize) -> Digest {
    // `serde_json::Value` keeps objects in a BTreeMap (its `preserve_order` feature is off): sorted.
    let value = serde_json::to_value(value).expect("keys are plain data");
    Digest::of(value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn member_order_does_not_matter() {
        #[derive(Serialize)]
        struct A {
            b: u8,
            a: u8,
        }
        #[derive(Serialize)]
        struct B {
            a: u8,
            b: u8,
        }
        assert_eq!(
            canonical_digest(&A { b: 1, a: 2 }),
            canonical_digest(&B { a: 2, b: 1 })
        );
        assert_ne!(
            canonical_digest(&A { b: 1, a: 2 }),
            canonical_digest(&A { b: 2, a: 1 })
        );
    }
}
