//! What several themes share.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use wheelfarm_tests::engines::{Kind, podman};
use wheelfarm_tests::environment::{docker_is_allowed, scratch_directory};
use wheelfarm_tests::farm::{Farm, Run};
use wheelfarm_tests::index::Index;
use wheelfarm_tests::report::{Report, ReportedFailure};
use wheelfarm_tests::sdist::Sdist;

/// The job that the README begins with, and its columns: Python, builder image, the newest glibc allowed.
pub(crate) const MAIN_JOB: [&str; 3] = ["psycopg2", "--python", "3.9,3.11,3.13"];
pub(crate) const COLUMNS: [(&str, &str, (u32, u32)); 3] = [
    ("3.9", "debian-11", (2, 31)),
    ("3.11", "debian-12", (2, 36)),
    ("3.13", "debian-13", (2, 41)),
];

/// Ends the test where the engine may not be used.
macro_rules! needs_docker {
    () => {
        if !crate::support::may_use_docker() {
            return;
        }
    };
}
pub(crate) use needs_docker;

pub(crate) fn may_use_docker() -> bool {
    let may = docker_is_allowed();
    if !may {
        #[expect(
            clippy::print_stderr,
            reason = "the test's output says that nothing was tested"
        )]
        {
            eprintln!("not tested: WHEELFARM_TEST_DOCKER=1 is not set");
        }
    }
    may
}

/// Makes a test of each of these functions for every engine: of `is_alone` in `places.rs`, the tests
/// `places::docker::is_alone`, `places::podman::is_alone` and `places::sandbox::is_alone`.
macro_rules! on_every_engine {
    ($($test:ident),* $(,)?) => {
        $crate::support::tests_on! { docker Docker [$($test)*] }
        $crate::support::tests_on! { podman Podman [$($test)*] }
        $crate::support::tests_on! { sandbox Sandbox [$($test)*] }
    };
}
macro_rules! tests_on {
    ($module:ident $kind:ident [$($test:ident)*]) => {
        mod $module {
            $(
                #[test]
                fn $test() {
                    let kind = wheelfarm_tests::engines::Kind::$kind;
                    if crate::support::may_use(kind) {
                        super::$test(kind);
                    }
                }
            )*
        }
    };
}
pub(crate) use {on_every_engine, tests_on};

/// Whether tests may use this engine.
pub(crate) fn may_use(kind: Kind) -> bool {
    let has_podman = kind != Kind::Podman || podman().is_some();
    #[expect(
        clippy::print_stderr,
        reason = "the test's output says that nothing was tested"
    )]
    if !has_podman {
        eprintln!("not tested: WHEELFARM_TEST_PODMAN does not say where it listens");
    }
    may_use_docker() && has_podman
}

/// The main job, run once by the first test that asks, in the shared store, which is empty until then.
pub(crate) fn main_job() -> &'static MainJob {
    static JOB: LazyLock<MainJob> = LazyLock::new(|| {
        let out = scratch_directory().unwrap().join("main-wheelhouse");
        let farm = Farm::sharing().unwrap();
        let mut arguments = MAIN_JOB.to_vec();
        let place = out.display().to_string();
        arguments.extend(["--out", &place]);
        let report = farm.build(arguments).unwrap().success().unwrap();
        MainJob { report, out }
    });
    &JOB
}

pub(crate) struct MainJob {
    pub(crate) report: Report,
    pub(crate) out: PathBuf,
}

impl MainJob {
    /// The wheel for `python`.
    pub(crate) fn wheel(&self, python: &str) -> PathBuf {
        self.out
            .join(&self.report.wheel("psycopg2", python).unwrap().filename)
    }
}

/// A farm with a store of its own that asks `index` and no other.
pub(crate) fn farm_of(index: &Index) -> Farm {
    only(Farm::new().unwrap(), index)
}

/// `farm`, made to ask `index` and no other.
pub(crate) fn only(farm: Farm, index: &Index) -> Farm {
    farm.with("UV_DEFAULT_INDEX", &index.url())
        .with("UV_INDEX", "")
        .with("PIP_EXTRA_INDEX_URL", "")
}

/// Checks how a run failed: its exit code, one clear error and its hint on stderr; returns the reported failures.
#[track_caller]
pub(crate) fn failed(run: &Run, code: i32, error: &[&str], hint: &[&str]) -> Vec<ReportedFailure> {
    let said = format!("{}\n{}", run.stdout, run.stderr);
    assert_eq!(run.code, Some(code), "{said}");
    let errors: Vec<_> = run.stderr.match_indices("error: ").collect();
    assert!(!errors.is_empty(), "no error is shown: {said}");
    for text in error.iter().chain(hint) {
        assert!(run.stderr.contains(text), "`{text}` is not said: {said}");
    }
    if !hint.is_empty() {
        assert!(run.stderr.contains("hint: "), "no hint is given: {said}");
    }
    assert!(!run.stderr.contains("panicked"), "{said}");
    run.report()
        .map(|report| report.failures)
        .unwrap_or_default()
}

/// The names of the files in a directory; none if it is not there.
pub(crate) fn files(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs_err::read_dir(directory) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Whether a file's name ends so.
pub(crate) fn has_extension(name: &str, extension: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|found| found == extension)
}

/// Wheels in a directory.
pub(crate) fn wheels(directory: &Path) -> Vec<String> {
    files(directory)
        .into_iter()
        .filter(|name| has_extension(name, "whl"))
        .collect()
}

/// Checks that everything in the farm's store is whole.
#[track_caller]
pub(crate) fn store_is_whole(farm: &Farm) {
    let run = farm.run(["store", "verify"]).unwrap();
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
}

/// A source distribution, `wfcached`, whose wheel says in `hits.txt` how often ccache had what its build compiled.
pub(crate) fn counting_ccache() -> Sdist {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let backend = r#"
def hits():
    stats = subprocess.check_output(["ccache", "--print-stats"]).decode()
    stats = dict(line.split("\t") for line in stats.splitlines())
    return sum(int(stats[name]) for name in ("direct_cache_hit", "preprocessed_cache_hit"))

def build_wheel(directory, config_settings=None, metadata_directory=None):
    with open("x.c", "w") as file:
        file.write("int made_by_$MARK(void) { return 1; }\n")
    before = hits()
    subprocess.check_call(["gcc", "-c", "x.c", "-o", "x.o"])
    return write_wheel(directory, {"hits.txt": str(hits() - before)})
"#;
    // Nobody compiled this before.
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mark = format!("{}_{number}", std::process::id());
    let backend = backend.replace("$MARK", &mark);
    Sdist::with_backend("wfcached", "1.0", &[], &backend)
}
