//! Where things are kept: configuration, cache directory, store.

use std::path::Path;

use wheelfarm_store::{Store, StoreErrorKind};
use wheelfarm_types::Digest;

use super::gibibytes;
use super::report::Finding;
use crate::cli::GlobalArgs;
use crate::config::Config;
use crate::exit::Failure;
use crate::settings::open_store;

/// Room that a build of a few packages takes, in bytes: images aside, which the engine keeps.
const COMFORTABLE: u64 = 4 << 30;
/// Room that one build takes.
const LEAST: u64 = 512 << 20;

/// Whether the configuration can be used; what holds if not is what would hold without it.
pub(super) fn configuration(global: &GlobalArgs) -> (Finding, Config) {
    match Config::load(global).and_then(|config| config.recipes().map(|_| config)) {
        Ok(config) => (Finding::ok("it can be used"), config),
        Err(failure) => {
            let hint = failure.hint.unwrap_or_else(|| {
                "docs/configuration.md explains every key; `wheelfarm config schema` prints them for editors.".to_owned()
            });
            (Finding::failed(failure.message, hint), Config::default())
        }
    }
}

/// Whether the cache directory can be written, and how much room it has.
pub(super) fn cache(directory: &Path) -> Finding {
    let shown = directory.display();
    let hint = "Make it writable for you, or name another one with `--cache` or WHEELFARM_CACHE.";
    let written = fs_err::create_dir_all(directory)
        .and_then(|()| tempfile::tempfile_in(directory))
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"wheelfarm doctor\n"));
    if let Err(error) = written {
        return Finding::failed(format!("{shown} cannot be written: {error}"), hint);
    }
    match free(directory) {
        Ok(free) => room(&shown.to_string(), free),
        Err(error) => Finding::warning(
            format!("{shown} can be written, but does not say how much room it has: {error}"),
            "Look with `df -h`.",
        ),
    }
}

fn free(directory: &Path) -> std::io::Result<u64> {
    let facts = rustix::fs::statvfs(directory)?;
    Ok(facts.f_bavail.saturating_mul(facts.f_frsize))
}

fn room(shown: &str, free: u64) -> Finding {
    let found = format!("{shown} can be written; {} are free", gibibytes(free));
    let hint = "Make room there, or name another directory with `--cache` or WHEELFARM_CACHE; `wheelfarm store gc` frees what nothing needs.";
    match free {
        0..LEAST => Finding::failed(found, hint),
        LEAST..COMFORTABLE => Finding::warning(found, hint),
        _ => Finding::ok(found),
    }
}

/// Whether the store opens, and can be written. Nothing in a store is ever removed on purpose, so what is written is a
/// lease, which goes when it is given up.
pub(super) async fn store(
    global: &GlobalArgs,
    config: &Config,
    cache: &Path,
) -> (Finding, Option<Store>) {
    let store = match open_store(global, config, cache).await {
        Ok(store) => store,
        Err(failure) => return (unopened(failure), None),
    };
    let shown = store.address().to_owned();
    let lease = store.try_lease(&Digest::of("wheelfarm doctor")).await;
    let finding = match lease {
        // Another doctor has it: then it can be written.
        Ok(_) if store.is_remote() || store.directory().is_some() => {
            Finding::ok(format!("{shown} can be read and written"))
        }
        Ok(_) => Finding::warning(
            format!("{shown} forgets everything when the program ends"),
            "Name a directory or a bucket with `--store` or WHEELFARM_STORE.",
        ),
        Err(error) if error.kind() == StoreErrorKind::Denied => Finding::warning(
            format!("{shown} can be read, but not written: {error}"),
            "That is enough for `export`; builds have to write.",
        ),
        Err(error) => Failure::from(error).into(),
    };
    (finding, Some(store))
}

fn unopened(failure: Failure) -> Finding {
    let hint = failure.hint.unwrap_or_else(|| {
        "`--store` or WHEELFARM_STORE name a directory that can be written, or a bucket.".to_owned()
    });
    Finding::failed(failure.message, hint)
}

#[cfg(test)]
mod tests {
    use super::super::report::State;
    use super::*;

    #[test]
    fn little_room_is_a_warning_and_none_a_failure() {
        for (free, state) in [
            (0, State::Failed),
            (LEAST, State::Warning),
            (COMFORTABLE, State::Ok),
        ] {
            assert_eq!(room("here", free).state, state, "{free}");
        }
    }

    #[test]
    fn a_cache_that_is_a_file_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs_err::write(&file, "").unwrap();
        let finding = cache(&file);
        assert_eq!(finding.state, State::Failed);
        assert!(finding.found.contains("cannot be written"), "{finding:?}");
        assert_ne!(cache(&folder.path().join("new")).state, State::Failed);
        assert_eq!(
            fs_err::read_dir(folder.path().join("new")).unwrap().count(),
            0
        );
    }
}
