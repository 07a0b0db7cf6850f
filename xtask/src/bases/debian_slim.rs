//! For who brings a Python of their own: stands in for `debian:bookworm-slim`, with certificates of authorities.

use wheelfarm_tests::anyhow::Result;

use super::root::Root;

pub(super) fn make(image: &str) -> Result<()> {
    Root::new(&["ca-certificates"])?.import(image, &[r#"CMD ["/bin/sh"]"#])
}
