//! `cargo xtask bench sandbox`: what it costs to start a container, whoever starts it.
//!
//! Every way runs `true` in the same image. They take turns, so that other work on the machine hits them alike; the median
//! counts. The program is the one that tests use: a debug build, unless `WHEELFARM_BIN` names another.

mod ways;

use std::process::Command;
use std::time::{Duration, Instant};

use wheelfarm_tests::anyhow::{Context, Result, bail};
use wheelfarm_tests::ordinary::User;

use crate::bench::sandbox::ways::{Way, of_root, sandbox};
use crate::engines::Podmen;
use crate::packages;

/// How often each way is gone.
const TURNS: usize = 20;
/// What the others are compared with.
const FLOOR: &str = "`docker run`";
/// The argument with which this calls itself as an ordinary user.
const AS_USER: &str = "as-user";

pub(super) fn run(arguments: &[String]) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    match arguments {
        [] => runtime.block_on(all()),
        [word, directory, program] if word == AS_USER => {
            runtime.block_on(of_user(directory, program))
        }
        _ => bail!("`bench sandbox` takes no arguments"),
    }
}

/// What a way took, each time.
struct Measured {
    name: String,
    times: Vec<Duration>,
}

async fn all() -> Result<()> {
    packages::install()?;
    let podmen = Podmen::start()?;
    let mut measured = turns(of_root(&podmen).await?).await?;
    measured.push(ordinary_sandbox()?);
    print(&mut measured)
}

/// Goes each way once to warm up, and then all of them in turn.
async fn turns(mut ways: Vec<Way>) -> Result<Vec<Measured>> {
    let mut measured: Vec<_> = ways
        .iter()
        .map(|way| Measured {
            name: way.name.clone(),
            times: Vec::new(),
        })
        .collect();
    for turn in 0..=TURNS {
        for (way, measured) in ways.iter_mut().zip(&mut measured) {
            let start = Instant::now();
            way.go().await.with_context(|| way.name.clone())?;
            if turn > 0 {
                measured.times.push(start.elapsed());
            }
        }
    }
    Ok(measured)
}

/// This program again, as an ordinary user.
fn ordinary_sandbox() -> Result<Measured> {
    let user = User::ordinary()?;
    let shared = wheelfarm_tests::sandbox::Sandbox::ordinary()?;
    let place = tempfile::tempdir()?;
    let copy = |program: &std::path::Path, name: &str| -> Result<std::path::PathBuf> {
        let copy = place.path().join(name);
        fs_err::copy(program, &copy)?;
        Ok(copy)
    };
    let own = copy(&std::env::current_exe()?, "xtask")?;
    let program = copy(&wheelfarm_tests::environment::binary()?, "wheelfarm")?;
    user.give(place.path())?;
    let mut command: Command = user.command(own);
    command
        .args(["bench", "sandbox", AS_USER])
        .arg(shared.directory())
        .arg(program);
    let printed = wheelfarm_tests::process::run(&mut User::with_device(&command))?;
    let times = printed.split_whitespace().map(str::parse);
    let times: Result<Vec<u64>, _> = times.collect();
    Ok(Measured {
        name: "`Executor::run`, sandbox, ordinary user".to_owned(),
        times: times?.into_iter().map(Duration::from_micros).collect(),
    })
}

async fn of_user(directory: &str, program: &str) -> Result<()> {
    let way = sandbox(directory.into(), program.into()).await?;
    for measured in turns(vec![way]).await? {
        for time in measured.times {
            println!("{}", time.as_micros());
        }
    }
    Ok(())
}

fn print(measured: &mut [Measured]) -> Result<()> {
    for way in measured.iter_mut() {
        way.times.sort_unstable();
    }
    let median = |way: &Measured| way.times.get(way.times.len() / 2).copied();
    let floor = measured.iter().find(|way| way.name == FLOOR);
    let floor = floor.and_then(median).context("Docker was not measured")?;
    println!("| way to run `true` | median | fastest | of {FLOOR} |\n|---|---:|---:|---:|");
    for way in measured.iter() {
        let (Some(median), Some(fastest)) = (median(way), way.times.first()) else {
            bail!("{} was not measured", way.name);
        };
        println!(
            "| {} | {} ms | {} ms | {:.2} |",
            way.name,
            median.as_millis(),
            fastest.as_millis(),
            median.as_secs_f64() / floor.as_secs_f64()
        );
    }
    Ok(())
}
