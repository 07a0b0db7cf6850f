//! Debian with Python, `venv` and pip: stands in for `python:3.11-slim-bookworm`.

use wheelfarm_tests::anyhow::Result;

use super::root::Root;

const PACKAGES: [&str; 6] = [
    "python3",
    "python3-venv",
    "python3-pip",
    "ca-certificates",
    "netbase",
    "tzdata",
];
/// The official image has its Python, which is nobody else's, in /usr/local.
const AS_OFFICIAL: &str = r#"ln -s /usr/bin/python3.11 "$1"/usr/local/bin/python3.11 && ln -s python3.11 "$1"/usr/local/bin/python3 && ln -s python3.11 "$1"/usr/local/bin/python && rm "$1"/usr/lib/python3.11/EXTERNALLY-MANAGED"#;

pub(super) fn make(image: &str) -> Result<()> {
    let mut root = Root::new("debian-12", &PACKAGES)?;
    root.after_packages(AS_OFFICIAL);
    root.import(image, &["ENV LANG=C.UTF-8", r#"CMD ["python3"]"#])
}
