//! Load by `wrk`, and what it cost the server.

use std::path::PathBuf;

use serde::Deserialize;
use wheelfarm_tests::anyhow::{Context, Result, ensure};
use wheelfarm_tests::process::run;

use super::http::Url;
use super::process::{Server, client};

/// Connections that are kept busy at the same time.
pub(super) const CONNECTIONS: usize = 16;

/// What `wrk` says at its end, as JSON.
const REPORT: &str = r#"
done = function(summary, latency)
  io.write(string.format(
    '\nREPORT {"requests":%d,"microseconds":%d,"p50":%d,"p99":%d,"errors":%d}\n',
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    summary.errors.connect + summary.errors.read + summary.errors.write
      + summary.errors.status + summary.errors.timeout))
end
"#;

/// Behind a list of paths: each is asked for in its turn.
const IN_TURNS: &str = "}
request = function()
  turn = turn % #paths + 1
  return wrk.format(nil, paths[turn])
end
";

#[derive(Debug, Deserialize)]
struct Report {
    requests: u64,
    microseconds: f64,
    p50: f64,
    p99: f64,
    errors: u64,
}

/// What a load came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    /// Answers.
    pub(super) requests: u64,
    /// Answers in a second.
    pub(super) rate: f64,
    /// Milliseconds that half of the answers took at most, and 99 of 100.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// Microseconds of the server's processor time for an answer.
    pub(super) cpu: f64,
}

impl Load {
    /// Worse than any.
    pub(super) const NONE: Self = Self {
        requests: 0,
        rate: 0.0,
        p50: f64::INFINITY,
        p99: f64::INFINITY,
        cpu: f64::INFINITY,
    };
}

/// Asks for the addresses in turns for some seconds. All must be of one server.
pub(super) fn run_load(
    server: &Server,
    urls: &[Url],
    headers: &[(&str, &str)],
    seconds: u32,
) -> Result<Load> {
    let first = urls.first().context("there is something to ask for")?;
    let script = script(urls)?;
    let mut wrk = client("wrk");
    wrk.args(["--threads", "1", "--timeout", "60s", "--latency"])
        .args(["--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{seconds}s")])
        .arg("--script")
        .arg(script);
    for (name, value) in headers {
        wrk.args(["--header", &format!("{name}: {value}")]);
    }
    wrk.arg(first.to_string());
    let before = server.cpu()?;
    let output = run(&mut wrk)?;
    let cpu = server.cpu()? - before;
    let report = output
        .lines()
        .find_map(|line| line.strip_prefix("REPORT "))
        .with_context(|| format!("wrk printed no report: {output}"))?;
    let report: Report = serde_json::from_str(report)?;
    ensure!(report.requests > 0, "{first}: nothing was answered in time");
    ensure!(
        report.errors == 0,
        "{first}: {} of {} answers are errors",
        report.errors,
        report.requests
    );
    #[expect(clippy::cast_precision_loss, reason = "far fewer than 2^52")]
    let requests = report.requests as f64;
    let seconds = report.microseconds / 1e6;
    Ok(Load {
        requests: report.requests,
        rate: requests / seconds,
        p50: report.p50 / 1e3,
        p99: report.p99 / 1e3,
        cpu: cpu * 1e6 / requests,
    })
}

/// The script for `wrk`: what it asks for, if that is more than one thing, and its report.
fn script(urls: &[Url]) -> Result<PathBuf> {
    let mut text = REPORT.to_owned();
    if urls.len() > 1 {
        text.push_str("turn = 0\npaths = {");
        for url in urls {
            text.extend(["[[", url.path(), "]], "]);
        }
        text.push_str(IN_TURNS);
    }
    let path = super::directory()?.join("wrk.lua");
    fs_err::write(&path, text)?;
    Ok(path)
}
