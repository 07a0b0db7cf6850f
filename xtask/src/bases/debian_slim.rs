//! For who brings a Python of their own, or needs none: stands in for `debian:bookworm-slim`, `debian:bullseye-slim` and
//! `debian:forky-slim`.

use wheelfarm_tests::anyhow::Result;

use super::root::Root;

const SHELL: &str = r#"CMD ["/bin/sh"]"#;

/// With certificates of authorities.
pub(super) fn bookworm(image: &str) -> Result<()> {
    make(image, "debian-12", &["ca-certificates"])
}

/// With what `images/runtime/org-base` installs, so that it builds without a mirror.
pub(super) fn bullseye(image: &str) -> Result<()> {
    make(
        image,
        "debian-11",
        &[
            "ca-certificates",
            "libbz2-1.0",
            "libffi7",
            "liblzma5",
            "libmpdec3",
            "libncursesw6",
            "libreadline8",
            "libsqlite3-0",
            "libssl1.1",
            "libuuid1",
            "zlib1g",
        ],
    )
}

/// With what `images/remote-execution/buildbox` installs, so that it builds without a mirror.
pub(super) fn forky(image: &str) -> Result<()> {
    let packages = ["bubblewrap", "buildbox", "ca-certificates"];
    Root::of_suite("forky", &packages)?.import(image, &[SHELL])
}

fn make(image: &str, builder: &str, packages: &[&str]) -> Result<()> {
    Root::new(builder, packages)?.import(image, &[SHELL])
}
