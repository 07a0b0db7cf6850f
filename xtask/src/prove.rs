//! Proofs of the demo's wheels that do not take the farm's word for anything.

use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::auditwheel::AuditWheel;
use wheelfarm_tests::postgres::Postgres;
use wheelfarm_tests::psycopg2::query_over_tls;
use wheelfarm_tests::report::{Report, ReportedWheel};
use wheelfarm_tests::sha256;

use crate::executor::Executor;

/// What was found for one wheel, in words.
pub(crate) type Findings = Vec<String>;

/// Proves every wheel, with the bare runtimes of `executor`; an error if one does not hold.
pub(crate) fn all(executor: &Executor, report: &Report) -> Result<Vec<Findings>> {
    ensure!(
        report.wheels.len() == 3,
        "there are {} wheels, not three",
        report.wheels.len()
    );
    let reference = AuditWheel::install()?;
    let postgres = Postgres::start()?;
    let prove = |wheel| {
        let found =
            one(executor, &reference, &postgres, wheel).with_context(|| wheel.filename.clone())?;
        eprintln!("{}: {}", wheel.filename, found.join("; "));
        Ok(found)
    };
    report.wheels.iter().map(prove).collect()
}

fn one(
    executor: &Executor,
    reference: &AuditWheel,
    postgres: &Postgres,
    wheel: &ReportedWheel,
) -> Result<Findings> {
    let bytes = fs_err::read(&wheel.path)?;
    ensure!(
        sha256(&bytes) == wheel.sha256,
        "the file has another sha256 than the report"
    );
    let proof = wheel.proof.as_ref().context("the farm did not import it")?;
    ensure!(
        proof.failed.is_empty() && !proof.imported.is_empty(),
        "the farm could not import it: {proof:?}"
    );

    let runtime = executor.bare_runtime(&wheel.image)?;
    runtime.is_bare()?;
    let query = query_over_tls(&runtime, postgres, &wheel.path)?;
    ensure!(
        query.outside.is_empty(),
        "libraries from outside the wheel were loaded: {:?}",
        query.outside
    );
    let shown = reference.agrees(&wheel.path)?;
    Ok(vec![
        format!(
            "{} modules imported in {}-runtime, LD_BIND_NOW=1",
            proof.imported.len(),
            wheel.image
        ),
        format!(
            "PostgreSQL over {} ({}), libpq {} and {} more libraries from the wheel",
            query.tls,
            query.cipher,
            query.libpq,
            query.libraries.len().saturating_sub(1)
        ),
        format!("auditwheel: {}, no external libraries", shown.overall_tag),
    ])
}
