//! `cargo xtask bench <name>`: figures beside the tools that wheelfarm wants to pass, taken side by side in one run.
//!
//! What they find goes into `docs/benchmarks.md` by hand: it depends on the machine.

use wheelfarm_tests::anyhow::{Result, bail};

mod edit;
mod farm;
mod index;
mod plan;
mod remote;
mod repair;
mod sandbox;
mod verdicts;
mod wheels;

struct Bench {
    name: &'static str,
    help: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const BENCHES: [Bench; 9] = [
    Bench {
        name: "edit",
        help: "edit thousands of real ELF objects, beside patchelf",
        run: edit::run,
    },
    Bench {
        name: "farm",
        help: "build packages that need system libraries, beside `pip wheel`: cold, one changed, nothing changed",
        run: farm::run,
    },
    Bench {
        name: "index",
        help: "`wheelfarm serve` beside nginx, pypiserver, devpi, proxpi and simpleindex; `--requests N`, `--files N`",
        run: index::run,
    },
    Bench {
        name: "packages",
        help: "build the same packages in two cells, or read reports of it, for the table of docs/packages.md",
        run: farm::packages,
    },
    Bench {
        name: "plan",
        help: "plan thousands of made-up jobs: time and memory of each",
        run: plan::run,
    },
    Bench {
        name: "remote",
        help: "Remote Execution beside the engines' own clients; `--only PART,...`, `--engine NAME`, `--actions N`",
        run: remote::run,
    },
    Bench {
        name: "sandbox",
        help: "start of a container: `docker run`, `podman run`, `crun run`, and each executor, as root and as an ordinary user",
        run: sandbox::run,
    },
    Bench {
        name: "verdicts",
        help: "compare `show` with auditwheel's on real wheels of the index",
        run: verdicts::run,
    },
    Bench {
        name: "repair",
        help: "`show` and `repair` beside auditwheel and patchelf: time, memory, size",
        run: repair::run,
    },
];

/// Runs the benchmark that the first argument names; it gets the others.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let named = arguments.first().map(String::as_str);
    if named == Some("repair-limit") {
        // Called by `bench repair` itself.
        return repair::limit(arguments.get(1..).unwrap_or_default());
    }
    if named == Some("index-download") {
        // Called by `bench index` itself.
        return index::download(arguments.get(1..).unwrap_or_default());
    }
    let Some(bench) = BENCHES.iter().find(|bench| Some(bench.name) == named) else {
        for bench in &BENCHES {
            eprintln!("  bench {:10} {}", bench.name, bench.help);
        }
        bail!("`cargo xtask bench` wants the name of a benchmark");
    };
    (bench.run)(arguments.get(1..).unwrap_or_default())
}
