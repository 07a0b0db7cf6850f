//! Python and its needs only, without a shell: stands in for `gcr.io/distroless/python3-debian12`.

use wheelfarm_tests::anyhow::Result;

use super::root::Root;

/// What runs in the root to pick the files.
const PICK: &str = include_str!("distroless.py");
/// Where it puts them.
const PICKED: &str = "/distroless";
/// Whose files are picked, and no files of what they depend on: that has perl and a shell.
const PACKAGES: [&str; 23] = [
    "base-files",
    "ca-certificates",
    "libbz2-1.0",
    "libc6",
    "libcrypt1",
    "libexpat1",
    "libffi8",
    "libgcc-s1",
    "liblzma5",
    "libncursesw6",
    "libpython3.11-minimal",
    "libpython3.11-stdlib",
    "libreadline8",
    "libsqlite3-0",
    "libssl3",
    "libtinfo6",
    "libuuid1",
    "media-types",
    "netbase",
    "openssl",
    "python3.11-minimal",
    "tzdata",
    "zlib1g",
];

pub(super) fn make(image: &str) -> Result<()> {
    let mut root = Root::new("debian-12", &PACKAGES)?;
    root.file("/pick.py", PICK, 0o644)?;
    root.after_packages(&format!(
        r#"chroot "$1" python3.11 /pick.py {PICKED} {}"#,
        PACKAGES.join(" ")
    ));
    root.import_directory(
        image,
        PICKED,
        &[
            "ENV LANG=C.UTF-8",
            "ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt",
            r#"ENTRYPOINT ["/usr/bin/python3.11"]"#,
        ],
    )
}
