//! Where wheelfarm differs from auditwheel and is right.

use serde_json::Value;

use super::Compared;

/// A difference that is explained.
#[derive(Debug)]
pub(super) struct Known {
    /// Fields that differ.
    pub(super) fields: &'static [&'static str],
    /// Whether a wheel is such a case.
    pub(super) fits: fn(&Compared) -> bool,
    /// Why ours is right.
    pub(super) reason: &'static str,
}

/// What the tag and everything that follows from it is.
const VERDICT: &[&str] = &["overall_tag", "external_libs", "policy_upgrades"];

pub(super) const KNOWN: &[Known] = &[
    Known {
        fields: VERDICT,
        fits: |wheel| {
            is_musl(wheel) && wants(&wheel.theirs, "libc.so") && !wants(&wheel.ours, "libc.so")
        },
        reason: "musl's loader takes `libc.so`, to which Rust links, for itself and searches for no file \
            (`load_library` in ldso/dynlink.c); auditwheel wants it grafted and denies the tag",
    },
    Known {
        fields: &["crash"],
        fits: |wheel| {
            is_musl(wheel)
                && said(&wheel.theirs, "crash").contains("ELFError")
                && wants(&wheel.theirs, "libc.so")
        },
        reason: "auditwheel ends with a traceback where the machine has a `libc.so` that is a linker script, as \
            every glibc system with a compiler has",
    },
];

fn is_musl(wheel: &Compared) -> bool {
    said(&wheel.ours, "sym_tag").starts_with("musllinux")
}

fn said<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn wants(value: &Value, soname: &str) -> bool {
    value
        .get("external_libs")
        .is_some_and(|libraries| libraries.get(soname).is_some())
}
