//! The figures, as Markdown: for a terminal, and for `docs/benchmarks.md`.

use wheelfarm_tests::anyhow::{Context, Result};

use super::measure::Cost;
use super::name;

/// The medians of one command on one wheel.
struct Median {
    wall: f64,
    cpu: f64,
    memory: f64,
    size: f64,
}

/// Ratios of one wheel: what auditwheel costs for what wheelfarm costs.
struct Row {
    show: f64,
    wall: f64,
    cpu: f64,
    /// Of our size to theirs.
    size: f64,
    /// Of our CPU time to that of what cannot be left out.
    limit: f64,
}

pub(crate) fn print(costs: &[Cost]) -> Result<()> {
    let mut groups: Vec<&str> = costs.iter().map(|cost| cost.group.as_str()).collect();
    groups.dedup();
    println!(
        "\n| wheel | show CPU s | | repair wall s | | repair CPU s | | MB out | | peak MB show | repair | of the limit |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    let mut rows = Vec::new();
    for group in groups.iter().filter(|group| **group != name::TOGETHER) {
        rows.push(row(costs, group)?);
    }
    let median_of = |of: fn(&Row) -> f64| median(rows.iter().map(of).collect());
    println!(
        "\nmedian of {} wheels: show {:.0}x less CPU, repair {:.0}x faster and {:.0}x less CPU, size {:.3}, {:.2} of the limit",
        rows.len(),
        median_of(|row| row.show),
        median_of(|row| row.wall),
        median_of(|row| row.cpu),
        median_of(|row| row.size),
        median_of(|row| row.limit),
    );
    let least = |of: fn(&Row) -> f64| rows.iter().map(of).fold(f64::INFINITY, f64::min);
    println!(
        "least: show {:.0}x, repair {:.0}x faster, {:.0}x less CPU; largest: size {:.3}, {:.2} of the limit",
        least(|row| row.show),
        least(|row| row.wall),
        least(|row| row.cpu),
        -least(|row| -row.size),
        -least(|row| -row.limit),
    );
    let theirs = costs_of(costs, name::TOGETHER, name::REPAIR)?;
    let ours = costs_of(costs, name::TOGETHER, name::OUR_REPAIR)?;
    println!(
        "small wheels in one call: {:.1} s and {:.1} s CPU against {:.2} s and {:.2} s: {:.0}x faster, {:.0}x less CPU; size {:.3}; peak {:.0} MB against {:.0} MB",
        theirs.wall,
        theirs.cpu,
        ours.wall,
        ours.cpu,
        theirs.wall / ours.wall,
        theirs.cpu / ours.cpu,
        ours.size / theirs.size,
        theirs.memory / 1024.0,
        ours.memory / 1024.0,
    );
    Ok(())
}

fn row(costs: &[Cost], group: &str) -> Result<Row> {
    let [show, our_show, repair, our_repair, limit] = [
        name::SHOW,
        name::OUR_SHOW,
        name::REPAIR,
        name::OUR_REPAIR,
        name::LIMIT,
    ]
    .map(|run| costs_of(costs, group, run));
    let (show, our_show, repair) = (show?, our_show?, repair?);
    let (our_repair, limit) = (our_repair?, limit?);
    let short: Vec<&str> = group.split('-').take(2).collect();
    let row = Row {
        show: show.cpu / our_show.cpu,
        wall: repair.wall / our_repair.wall,
        cpu: repair.cpu / our_repair.cpu,
        size: our_repair.size / repair.size,
        limit: our_repair.cpu / limit.cpu,
    };
    println!(
        "| {} | {:.2} / {:.3} | {:.0}x | {:.2} / {:.3} | {:.0}x | {:.2} / {:.3} | {:.0}x | {:.2} / {:.2} | {:.3} | {:.0} / {:.0} | {:.2} / {:.2} | {:.2} |",
        short.join(" "),
        show.cpu,
        our_show.cpu,
        row.show,
        repair.wall,
        our_repair.wall,
        row.wall,
        repair.cpu,
        our_repair.cpu,
        row.cpu,
        repair.size / 1e6,
        our_repair.size / 1e6,
        row.size,
        show.memory / 1024.0,
        our_show.memory / 1024.0,
        repair.memory / 1024.0,
        our_repair.memory / 1024.0,
        row.limit,
    );
    Ok(row)
}

fn costs_of(costs: &[Cost], group: &str, run: &str) -> Result<Median> {
    let all: Vec<&Cost> = costs
        .iter()
        .filter(|cost| cost.group == group && cost.run == run)
        .collect();
    all.first()
        .with_context(|| format!("{group}: {run} was not measured"))?;
    let of = |figure: fn(&Cost) -> f64| median(all.iter().map(|cost| figure(cost)).collect());
    Ok(Median {
        wall: of(|cost| cost.wall),
        cpu: of(|cost| cost.cpu),
        memory: of(|cost| cost.memory),
        size: of(|cost| cost.size),
    })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
