//! The figures as a section of `docs/benchmarks.md`.

use std::fmt::Write;

use wheelfarm_tests::anyhow::Result;

use super::cases::{CASES, Case};
use super::clients::Fetched;
use super::load::{CONNECTIONS, Load};
use super::measure::{AT_ONCE, Effort, Measured, Transfer};
use super::mirror::{Mirrored, RATE};
use super::peers::Peer;

/// What is measured and how; the tables follow.
pub(super) fn section(
    all: &[Measured],
    mirrored: &[Mirrored],
    effort: Effort,
    machine: &str,
) -> String {
    let mut text = String::from("## Index\n\n");
    text.push_str(&how(effort, machine));
    pages_and_files(&mut text, all);
    ratios(&mut text, all);
    text.push('\n');
    rest(&mut text, all);
    reasons(&mut text, all);
    mirrors(&mut text, mirrored);
    text
}

fn how(effort: Effort, machine: &str) -> String {
    format!(
        "`cargo xtask bench index` starts one server after the other with the same made-up wheels: 100 projects with two
small ones each, one project with 500 versions, wheels of 1 MB and 100 MB, and one that requires 29 others. nginx 
serves them from files, with the pages that wheelfarm gave: that is the limit. pypiserver 2.4.2 runs under gunicorn
with a gevent worker and its cache (as in its own image), devpi-server 6.20.3 with a private index and core metadata,
proxpi 1.3.1 under gunicorn with 16 threads and everything cached, simpleindex 0.6.3 under uvicorn. Each server has
core 0 (nginx one worker); `wrk` asks from core 1 over {CONNECTIONS} connections for {} s, the best of {} turns (servers
in Python: one). A cell is requests/s, the median and the 99th percentile of the latency in ms, and the server's
processor time for a request in us, user and system, of all its processes: that is what to compare. {machine}\n\n",
        effort.seconds, effort.turns
    )
    .replace(" \n", "\n")
}

fn header(text: &mut String, all: &[Measured]) {
    text.push_str("| |");
    for measured in all {
        // Writing to a string cannot fail, here and below.
        let _infallible = write!(text, " {} |", measured.peer.name());
    }
    text.push_str("\n|---|");
    text.push_str(&"---|".repeat(all.len()));
    text.push('\n');
}

fn row<T>(
    text: &mut String,
    name: &str,
    all: &[Measured],
    cell: impl Fn(&Measured) -> Option<T>,
    show: impl Fn(T) -> String,
) {
    let _infallible = write!(text, "| {name} |");
    for measured in all {
        let shown = cell(measured).map_or("–".to_owned(), &show);
        let _infallible = write!(text, " {shown} |");
    }
    text.push('\n');
}

fn load_of(measured: &Measured, case: usize) -> Option<Load> {
    measured.cases.get(case)?.as_ref().ok().copied()
}

fn pages_and_files(text: &mut String, all: &[Measured]) {
    header(text, all);
    for (number, case) in CASES.iter().enumerate() {
        row(
            text,
            case.name,
            all,
            |measured| load_of(measured, number),
            |load| {
                format!(
                    "{:.0} · {} / {} · **{}**",
                    load.rate,
                    short(load.p50),
                    short(load.p99),
                    short(load.cpu)
                )
            },
        );
    }
    let transfer =
        |transfer: Transfer| format!("{:.0} MB/s · **{:.0} ms**", transfer.rate, transfer.cpu);
    row(
        text,
        "wheel of 100 MB",
        all,
        |it| it.one.as_ref().ok().copied(),
        transfer,
    );
    let name = format!("wheel of 100 MB, {AT_ONCE} at once");
    row(
        text,
        &name,
        all,
        |it| it.several.as_ref().ok().copied(),
        transfer,
    );
}

/// Three digits that say something.
fn short(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// What others need of the processor for what wheelfarm needs.
fn ratios(text: &mut String, all: &[Measured]) {
    let find = |peer| all.iter().find(|measured| measured.peer == peer);
    let Some(ours) = find(Peer::Wheelfarm) else {
        return;
    };
    text.push_str(
        "\nProcessor time of the others for one of wheelfarm's. nginx: at least 0.7 is wanted on pages, 0.9 on files;\nthe least of those in Python: 10; devpi: 25 on pages.\n\n| | nginx | least in Python | devpi |\n|---|---:|---:|---:|\n",
    );
    let least = |cpu: &dyn Fn(&Measured) -> Option<f64>| {
        let python = all.iter().filter(|it| it.peer.is_python());
        python.filter_map(cpu).min_by(f64::total_cmp)
    };
    let mut line = |name: &str, cpu: &dyn Fn(&Measured) -> Option<f64>| {
        let Some(own) = cpu(ours) else {
            return;
        };
        let ratio = |other: Option<f64>| match other {
            Some(other) if own > 0.0 => format!("{}x", short(other / own)),
            _ => String::new(),
        };
        let _infallible = writeln!(
            text,
            "| {name} | {} | {} | {} |",
            ratio(find(Peer::Nginx).and_then(cpu)),
            ratio(least(cpu)),
            ratio(find(Peer::Devpi).and_then(cpu)),
        );
    };
    for (number, Case { name, is_page, .. }) in CASES.iter().enumerate() {
        let kind = if *is_page { "page" } else { "file" };
        line(&format!("{kind}: {name}"), &|it| {
            load_of(it, number).map(|load| load.cpu)
        });
    }
    line("file: wheel of 100 MB", &|it| {
        it.one.as_ref().ok().map(|transfer| transfer.cpu)
    });
    line(
        &format!("file: wheel of 100 MB, {AT_ONCE} at once"),
        &|it| it.several.as_ref().ok().map(|transfer| transfer.cpu),
    );
}

fn rest(text: &mut String, all: &[Measured]) {
    header(text, all);
    row(
        text,
        "start to first answer, s",
        all,
        |it| Some(it.seconds),
        short,
    );
    row(
        text,
        "resident, idle, MB",
        all,
        |it| Some(it.idle.now),
        short,
    );
    row(
        text,
        "resident, most, MB",
        all,
        |it| Some(it.memory.peak),
        short,
    );
    let fetched =
        |fetched: Fetched| format!("{:.2} s · **{:.0} ms**", fetched.seconds, fetched.cpu);
    row(
        text,
        "`pip download` of 30 packages",
        all,
        |it| it.pip.as_ref().ok().copied(),
        fetched,
    );
    row(
        text,
        "`uv pip install` of 30 packages",
        all,
        |it| it.uv.as_ref().ok().copied(),
        fetched,
    );
}

/// What mirrors do with a wheel that they do not have yet.
fn mirrors(text: &mut String, all: &[Mirrored]) {
    if all.is_empty() {
        return;
    }
    let _infallible = writeln!(
        text,
        "\nThe wheel of 100 MB, asked for by {AT_ONCE} clients at the same time of a mirror that does not have it yet; the index behind (nginx)\ngives {} MB/s over each connection. With its own settings, proxpi sends clients there that would wait for longer than\n0.9 s.\n",
        RATE / 1_000_000
    );
    text.push_str("| | fetches from behind | clients sent there | last client's first byte, s | all done, s |\n|---|---:|---:|---:|---:|\n");
    for it in all {
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {:.2} | {:.2} |",
            it.peer.name(),
            it.fetches,
            it.redirected,
            it.first,
            it.last
        );
    }
}

/// Why cells are empty.
fn reasons(text: &mut String, all: &[Measured]) {
    let mut said = String::new();
    for measured in all {
        let mut note = |name: &str, error: String| {
            let _infallible = writeln!(said, "- {}, {name}: {error}", measured.peer.name());
        };
        for (case, load) in CASES.iter().zip(&measured.cases) {
            if let Err(error) = load {
                note(case.name, reason(error));
            }
        }
        let others: [(&str, Option<String>); 4] = [
            ("wheel of 100 MB", measured.one.as_ref().err().map(reason)),
            (
                "wheel of 100 MB at once",
                measured.several.as_ref().err().map(reason),
            ),
            ("pip", measured.pip.as_ref().err().map(reason)),
            ("uv", measured.uv.as_ref().err().map(reason)),
        ];
        for (name, error) in others {
            if let Some(error) = error {
                note(name, error);
            }
        }
    }
    if !said.is_empty() {
        text.push_str("\nEmpty cells:\n\n");
        text.push_str(&said);
    }
}

fn reason(error: &wheelfarm_tests::anyhow::Error) -> String {
    let text = format!("{error:#}");
    text.lines().next().unwrap_or_default().to_owned()
}

/// The machine, in a sentence: its processor, its cores, and what else it did.
pub(super) fn machine() -> Result<String> {
    let processor = fs_err::read_to_string("/proc/cpuinfo")?;
    let model = processor
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism()?;
    let load = fs_err::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    Ok(format!(
        "{cores} cores of {model}; load average at the start {load}."
    ))
}
