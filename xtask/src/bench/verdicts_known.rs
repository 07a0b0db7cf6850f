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
    Known {
        fields: &["overall_tag", "sym_tag"],
        fits: |wheel| {
            wheel.filename.contains("-musllinux_1_1_")
                && ["overall_tag", "sym_tag"].iter().all(|field| {
                    said(&wheel.ours, field).starts_with("musllinux_1_1_")
                        && !said(&wheel.theirs, field).starts_with("musllinux_1_1_")
                })
        },
        reason: "musl objects do not say which version they need: auditwheel takes the machine's, or the newest that \
            it knows; wheelfarm believes the file name if no function is used that musl got later",
    },
    Known {
        fields: &["overall_tag", "sym_tag"],
        fits: |wheel| {
            wheel.filename.ends_with("-linux_armv6l.whl")
                && said(&wheel.ours, "overall_tag") == "linux_armv6l"
                && said(&wheel.theirs, "overall_tag").ends_with("_armv7l")
        },
        reason: "the wheel says that it is for ARMv6, for which there is no policy; auditwheel takes every ARM object with \
            hard floats for ARMv7, and installers on ARMv6 do not take such tags",
    },
    Known {
        fields: &["ucs2"],
        fits: |wheel| wheel.filename.contains("-cp27m-") && said_yes(&wheel.ours, "ucs2"),
        reason: "its objects use PyUnicodeUCS2_*; auditwheel looks for undefined symbols of the type FUNC, which \
            linkers give only to those that they found a definition of",
    },
];

fn said_yes(value: &Value, field: &str) -> bool {
    value.get(field) == Some(&Value::Bool(true))
}

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
