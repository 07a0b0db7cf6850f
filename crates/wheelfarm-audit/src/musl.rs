//! Which functions musl got with which release, as far as that tells `musllinux_1_1` from later tags.
//!
//! musl does not version its symbols, so an object does not say which release it needs; but one that uses `gettid`
//! does not load with a musl that has none. Written from what is known of musl's release notes (`WHATSNEW`), and not yet
//! compared with them.

/// A release of musl.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Release {
    /// `MUSL_1.2.2`: like a symbol version, which musl has none of.
    pub(crate) name: &'static str,
    /// Major and minor number, as in platform tags.
    pub(crate) minor: (u16, u16),
}

const V1_2_0: Release = Release {
    name: "MUSL_1.2.0",
    minor: (1, 2),
};
const V1_2_2: Release = Release {
    name: "MUSL_1.2.2",
    minor: (1, 2),
};
const V1_2_3: Release = Release {
    name: "MUSL_1.2.3",
    minor: (1, 2),
};
const V1_2_5: Release = Release {
    name: "MUSL_1.2.5",
    minor: (1, 2),
};

/// The release that brought a function, if it is later than 1.1.
pub(crate) fn added(symbol: &str) -> Option<Release> {
    match symbol {
        "_Fork" | "gettid" | "reallocarray" => Some(V1_2_2),
        "pthread_getname_np" | "qsort_r" => Some(V1_2_3),
        "preadv2" | "pwritev2" | "statx" => Some(V1_2_5),
        symbol if is_time64(symbol) => Some(V1_2_0),
        _ => None,
    }
}

/// What programs for 32-bit machines use since times have 64 bits there: `__clock_gettime64`, `__stat_time64`.
fn is_time64(symbol: &str) -> bool {
    const OTHERS: [&str; 9] = [
        "__clock_getres_time64",
        "__clock_gettime64",
        "__clock_settime64",
        "__gmtime64",
        "__localtime64",
        "__mktime64",
        "__time64",
        "__timegm_time64",
        "__difftime64",
    ];
    symbol.starts_with("__")
        && (symbol.ends_with("_time64") || symbol.ends_with("time64_r") || OTHERS.contains(&symbol))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_have_their_release() {
        let release = |symbol| added(symbol).map(|release| release.name);
        assert_eq!(release("gettid"), Some("MUSL_1.2.2"));
        assert_eq!(release("__stat_time64"), Some("MUSL_1.2.0"));
        assert_eq!(release("__localtime64_r"), Some("MUSL_1.2.0"));
        assert_eq!(release("__clock_gettime64"), Some("MUSL_1.2.0"));
        for old in ["malloc", "getentropy", "time64", "__time", "explicit_bzero"] {
            assert_eq!(release(old), None, "{old}");
        }
    }
}
