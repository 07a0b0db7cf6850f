//! Kinds of addresses, so that what is counted has few labels whatever clients ask for.

use std::fmt::{self, Write};

use prometheus_client::encoding::{EncodeLabelValue, LabelValueEncoder};

/// What an address is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum RouteClass {
    /// Pages of the simple API.
    Simple,
    /// Files.
    File,
    /// METADATA of wheels.
    Metadata,
    /// Uploads.
    Upload,
    /// `/api/`.
    Api,
    /// `/healthz`, `/readyz`, `/metrics`.
    Health,
    /// Pages for people, and what is nowhere.
    Page,
}

impl RouteClass {
    /// The kind of `path`, which begins with a slash; a channel may stand in front of `/simple` and `/legacy`.
    pub(crate) fn of(path: &str) -> Self {
        let mut segments = path.split('/').skip(1);
        match segments.next() {
            Some("files") if path.ends_with(".metadata") => Self::Metadata,
            Some("files") => Self::File,
            Some("simple") => Self::Simple,
            Some("legacy") => Self::Upload,
            Some("api") => Self::Api,
            Some("healthz" | "readyz" | "metrics") => Self::Health,
            _ => match segments.next() {
                Some("simple") => Self::Simple,
                Some("legacy") => Self::Upload,
                _ => Self::Page,
            },
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Simple => "simple",
            Self::File => "file",
            Self::Metadata => "metadata",
            Self::Upload => "upload",
            Self::Api => "api",
            Self::Health => "health",
            Self::Page => "page",
        }
    }
}

impl EncodeLabelValue for RouteClass {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_stand_in_front() {
        for (path, expected) in [
            ("/simple/", RouteClass::Simple),
            ("/simple/x/", RouteClass::Simple),
            ("/staging/simple/x/", RouteClass::Simple),
            ("/staging/legacy", RouteClass::Upload),
            ("/legacy/", RouteClass::Upload),
            ("/files/0/x.whl", RouteClass::File),
            ("/files/0/x.whl.metadata", RouteClass::Metadata),
            ("/metrics", RouteClass::Health),
            ("/", RouteClass::Page),
            ("", RouteClass::Page),
            ("/projects/simple", RouteClass::Simple),
        ] {
            assert_eq!(RouteClass::of(path), expected, "{path}");
        }
    }
}
