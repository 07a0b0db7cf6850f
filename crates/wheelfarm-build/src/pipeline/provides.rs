//! Which system package has what a build missed: asked of the distribution's own index, once per image and thing.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use wheelfarm_types::{Arch, Digest};

use super::Job;
use super::context::Context;
use crate::action::{Action, Exit, Limits};
use crate::error::JobError;
use crate::event::Stage;
use crate::hints::Missing;
use crate::records::kind;

const SCRIPT: &str = include_str!("../scripts/provides.sh");
/// How long mirrors may take.
const TIME: Duration = Duration::from_secs(10 * 60);
/// How much of the answer is read: names such as `config.h` are everywhere.
const ANSWER: u64 = 4 << 20;
/// No name of a header, program, module or library is longer.
const NAME: usize = 100;

/// What is asked: the content of the image stands for its distribution and release.
#[derive(Serialize)]
struct Question<'a> {
    script: Digest,
    image: Digest,
    kind: &'a str,
    name: &'a str,
}

/// The answer: the most likely package, if there is one.
#[derive(Debug, Serialize, Deserialize)]
struct ProvidesRecord {
    package: Option<String>,
}

/// The package that has what is `missing`, by the index of the distribution of the job's image. None where it cannot
/// be asked, too: that a build failed is worth more than why nobody knows what it misses.
pub(super) async fn package(context: &Context, job: &Job, missing: &Missing) -> Option<String> {
    if !is_plain(&missing.name) {
        return None;
    }
    ask(context, job, missing).await.ok().flatten()
}

async fn ask(context: &Context, job: &Job, missing: &Missing) -> Result<Option<String>, JobError> {
    let Some(facts) = context.environments.image(&job.cell.image).await? else {
        return Ok(None);
    };
    let manager = job.cell.image.manager;
    let key = crate::key::canonical_digest(&Question {
        script: Digest::of(SCRIPT),
        image: facts.content,
        kind: missing.kind,
        name: &missing.name,
    });
    let id = job.id();
    let _flight = context.alone(&id, key).await?;
    if let Some(record) = context
        .store
        .record::<ProvidesRecord>(kind::PROVIDES, &key)
        .await?
    {
        return Ok(record.package);
    }
    let script = context.store.put(SCRIPT.into()).await?;
    let words = ["/bin/sh", "/in/provides.sh", manager.as_str(), missing.kind];
    let mut command: Vec<String> = words.map(str::to_owned).into();
    command.push(missing.name.clone());
    let action = Action {
        name: format!("look for {}", missing.name),
        image: facts.id,
        inputs: [("provides.sh".to_owned(), script)].into(),
        tools: BTreeMap::new(),
        trees: BTreeMap::new(),
        command,
        environment: [("HOME", "/tmp"), ("LC_ALL", "C.UTF-8")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        network: true,
        keep_failed: false,
        compiler_cache: None,
        cores: None,
        limits: Limits {
            time: TIME,
            output: ANSWER,
            ..context.limits.clone()
        },
    };
    let log = context.log_of(&id);
    log(&format!(
        "asking the index of {} for the {} `{}`",
        job.cell.image.name, missing.kind, missing.name
    ));
    let run = async {
        Ok(context
            .executor
            .run(&action, log.into(), &context.cancel)
            .await?)
    };
    let (result, _) = context.staged(&id, Stage::Environment, run).await?;
    let (Exit::Code(0), Some(answer)) = (result.exit, result.outputs.get("provides")) else {
        return Ok(None);
    };
    let answer = String::from_utf8_lossy(answer);
    let package = best(&answer, missing, job.cell.image.target.arch);
    let record = ProvidesRecord { package };
    context
        .store
        .create_record(kind::PROVIDES, &key, &record)
        .await?;
    Ok(record.package)
}

/// Whether a name from a log is one that a shell and `grep` take as it is.
fn is_plain(name: &str) -> bool {
    (1..=NAME).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.contains("..")
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._+/-".contains(c))
}

/// The most likely of the packages that an index names: the one whose file lies where compilers and linkers look
/// first; of several, a development package with the shortest name.
fn best(answer: &str, missing: &Missing, arch: Arch) -> Option<String> {
    let candidates = answer.lines().filter_map(|line| {
        let (path, packages) = line.trim_end().rsplit_once(char::is_whitespace)?;
        let place = place(path.trim(), missing, arch)?;
        Some((place, packages))
    });
    candidates
        .flat_map(|(place, packages)| packages.split(',').map(move |package| (place, package)))
        .filter_map(|(place, package)| {
            // Debian's have their section in front: `libdevel/libpq-dev`.
            let name = package.rsplit('/').next()?;
            let plain = name.starts_with(|c: char| c.is_ascii_alphanumeric())
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".+-_".contains(c));
            let cross = name.contains("-cross") || name.contains("mingw");
            let development = name.ends_with("-dev") || name.ends_with("-devel");
            (plain && !cross).then(|| (place, !development, name.len(), name.to_owned()))
        })
        .min()
        .map(|(.., name)| name)
}

/// How good a place is for what is missing, the lower the better; none if it does not serve.
fn place(path: &str, missing: &Missing, arch: Arch) -> Option<usize> {
    if path == "-" {
        return Some(0);
    }
    let path = path.trim_start_matches('/');
    let path = path.strip_prefix("usr/").unwrap_or(path);
    let name = missing.name.as_str();
    let triplet = format!("{arch}-linux-gnu");
    // Of other architectures: cross compilers' files.
    let foreign = path
        .split('/')
        .any(|part| part.contains("-linux-gnu") && part != triplet);
    if foreign {
        return None;
    }
    let depth = path.matches('/').count();
    match missing.kind {
        "header" => {
            let below = path.strip_prefix("include/")?;
            let below = below.strip_prefix(&format!("{triplet}/")).unwrap_or(below);
            let directory = below.strip_suffix(name)?;
            (directory.is_empty() || directory.ends_with('/'))
                .then(|| directory.matches('/').count())
        }
        "program" => ["bin/", "sbin/"]
            .iter()
            .any(|directory| path.strip_prefix(directory) == Some(name))
            .then_some(0),
        "pkg-config module" => path
            .ends_with(&format!("/pkgconfig/{name}.pc"))
            .then_some(depth),
        _ => {
            let library = format!("lib{}.so", name.strip_prefix("lib").unwrap_or(name));
            let directory = path.strip_suffix(&library)?;
            let usual =
                ["lib/", "lib64/"].contains(&directory) || directory == format!("lib/{triplet}/");
            usual.then_some(0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: &'static str, name: &str, answer: &str, expected: Option<&str>) {
        let missing = Missing {
            kind,
            name: name.to_owned(),
            package: None,
        };
        let found = best(answer, &missing, Arch::X86_64);
        assert_eq!(found.as_deref(), expected, "{name}");
    }

    #[test]
    fn the_usual_place_wins() {
        let contents = "usr/include/cyassl/openssl/ssl.h     libdevel/libwolfssl-dev\n\
            usr/include/openssl/ssl.h                        libdevel/libssl-dev\n\
            usr/aarch64-linux-gnu/include/openssl/ssl.h      libdevel/libssl-dev-arm64-cross\n\
            usr/share/doc/x/openssl/ssl.h                    doc/x-doc\n";
        check("header", "openssl/ssl.h", contents, Some("libssl-dev"));
        let contents = "usr/include/x86_64-linux-gnu/curl/curl.h libdevel/libcurl4-gnutls-dev,libdevel/libcurl4-nss-dev\n";
        check("header", "curl/curl.h", contents, Some("libcurl4-nss-dev"));
        check("header", "curl.h", contents, Some("libcurl4-nss-dev"));
        check("header", "url.h", contents, None);
        check(
            "program",
            "pg_config",
            "usr/bin/pg_config libdevel/libpq-dev\nusr/lib/postgresql/15/bin/pg_config database/postgresql-15\n",
            Some("libpq-dev"),
        );
        check(
            "pkg-config module",
            "cairo",
            "usr/lib/x86_64-linux-gnu/pkgconfig/cairo.pc libdevel/libcairo2-dev\nusr/lib/x86_64-linux-gnu/pkgconfig/pycairo.pc python/x\n",
            Some("libcairo2-dev"),
        );
        check(
            "library",
            "pq",
            "usr/lib/x86_64-linux-gnu/libpq.so libdevel/libpq-dev\nusr/lib/x86_64-linux-gnu/libpq.so.5 libs/libpq5\n",
            Some("libpq-dev"),
        );
        check("header", "x.h", "- x-devel\n- x-tools\n", Some("x-devel"));
        check("header", "x.h", "", None);
    }

    #[test]
    fn names_that_a_shell_would_read_are_not_asked_for() {
        for good in ["libpq-fe.h", "openssl/ssl.h", "glib-2.0", "gtk+-3.0", "c++"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in [
            "",
            "-rf",
            "../x.h",
            "a b",
            "$(x)",
            "a;b",
            "*",
            "/etc/passwd",
        ] {
            assert!(!is_plain(bad), "{bad}");
        }
        assert!(!is_plain(&"x".repeat(101)));
    }
}
