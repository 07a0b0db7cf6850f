//! The compiler cache as builds see it: ccache, and what it keeps, in a place that outlives the run.
//!
//! ccache must not be a package of the environment, or it would be in the manifest and in every key. So a container of
//! the builder image installs it, copies it with its libraries into that place and is thrown away. Builds find
//! compilers of the usual names there, before the image's own. Programs in it belong to root and cannot be changed by
//! builds; what ccache keeps can, so a hostile build can make later ones wrong: it is off by default.

use std::collections::BTreeMap;

use wheelfarm_build::action::{CompilerCache, ExecutorError, ExecutorErrorKind};
use wheelfarm_build::environment::EnvironmentRecipe;
use wheelfarm_types::Digest;

use crate::error::error;

/// Where builds see it.
pub(crate) const PLACE: &str = "/tools/compiler-cache";

/// The variables that make builds use it.
pub(crate) fn variables() -> BTreeMap<String, String> {
    [
        ("WHEELFARM_COMPILERS", format!("{PLACE}/bin")),
        ("CCACHE_DIR", format!("{PLACE}/data")),
        ("CCACHE_TEMPDIR", "/tmp/.ccache".to_owned()),
        // Environments of one image differ in what they install: the compiler's time says nothing.
        ("CCACHE_COMPILERCHECK", "content".to_owned()),
        ("CCACHE_MAXSIZE", "5G".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// What installs it.
pub(crate) fn recipe(cache: &CompilerCache) -> EnvironmentRecipe {
    EnvironmentRecipe {
        image: cache.image.clone(),
        image_content: Digest::of(""),
        manager: cache.manager,
        packages: vec!["ccache".to_owned()],
    }
}

/// It could not be installed; `log` is what the package manager said last.
pub(crate) fn failure(cache: &CompilerCache, log: &str) -> ExecutorError {
    let message = format!("ccache could not be installed in {}: {log}", cache.image);
    error(ExecutorErrorKind::Packages, message)
}
