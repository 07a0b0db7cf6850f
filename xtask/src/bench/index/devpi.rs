//! devpi-server with a private index of the made-up wheels. Loading it takes minutes, so that is done once.

use std::ffi::OsStr;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;

use wheelfarm_tests::anyhow::Result;
use wheelfarm_tests::process::run;

use super::corpus::Corpus;
use super::http::Url;
use super::peers::Started;
use super::process::{Server, free_port, server};
use super::python::{DEVPI, program};

/// Speaks devpi's own API: an index is made, wheels are uploaded or another index is mirrored.
const SCRIPT: &str = include_str!("devpi.py");
/// The simple index of what that makes.
const SIMPLE: &str = "root/bench/+simple/";
/// The password of its user `root`, on loopback.
const PASSWORD: &str = "bench";

/// Starts it.
pub(super) fn start(place: &Path, corpus: &Corpus) -> Result<Started> {
    let data = place.join("data");
    let loaded = place.join("loaded");
    // The wheels' names and sizes say whether they are still those that were loaded.
    let wanted = list(corpus)?;
    if !fs_err::read_to_string(&loaded).is_ok_and(|list| list == wanted) {
        initialise(&data)?;
        let (_server, base, _) = serve(place, &data, &["--offline-mode"], "+api")?;
        eprintln!("uploading wheels to devpi: this takes some minutes, once");
        speak(place, &base, "upload", corpus.wheels.as_os_str())?;
        fs_err::write(&loaded, wanted)?;
    }
    let (server, base, seconds) = serve(place, &data, &["--offline-mode"], SIMPLE)?;
    Ok(Started {
        server,
        root: base.join(SIMPLE)?,
        seconds,
        behind: None,
    })
}

/// Starts an empty one that mirrors the index at `upstream`.
pub(super) fn mirror(place: &Path, upstream: &Url) -> Result<Started> {
    let data = place.join("data");
    initialise(&data)?;
    let (server, base, seconds) = serve(place, &data, &[], "+api")?;
    speak(place, &base, "mirror", upstream.to_string().as_ref())?;
    Ok(Started {
        server,
        root: base.join(SIMPLE)?,
        seconds,
        behind: None,
    })
}

/// Makes an empty directory of a server.
fn initialise(data: &Path) -> Result<()> {
    if data.exists() {
        fs_err::remove_dir_all(data)?;
    }
    run(Command::new(program(&DEVPI.make()?, "devpi-init"))
        .arg("--serverdir")
        .arg(data)
        .args(["--no-root-pypi", "--root-passwd", PASSWORD]))?;
    Ok(())
}

/// Makes the index on a running server.
fn speak(place: &Path, base: &Url, what: &str, source: &OsStr) -> Result<()> {
    let script = place.join("devpi.py");
    fs_err::write(&script, SCRIPT)?;
    run(Command::new(program(&DEVPI.make()?, "python"))
        .arg(script)
        .args([&base.to_string(), PASSWORD, what])
        .arg(source))?;
    Ok(())
}

fn list(corpus: &Corpus) -> Result<String> {
    let mut text = String::new();
    for name in corpus.filenames()? {
        let size = fs_err::metadata(corpus.path(&name))?.len();
        // Writing to a string cannot fail.
        let _infallible = writeln!(text, "{name} {size}");
    }
    Ok(text)
}

fn serve(place: &Path, data: &Path, options: &[&str], page: &str) -> Result<(Server, Url, f64)> {
    let port = free_port()?;
    let base = Url::parse(&format!("http://127.0.0.1:{port}/"))?;
    let mut command = server(program(&DEVPI.make()?, "devpi-server"));
    command
        .args(["--host", "127.0.0.1", "--port", &port.to_string()])
        .args(["--enable-core-metadata", "--serverdir"])
        .arg(data)
        .args(options);
    let (server, seconds) = Server::start(&mut command, &place.join("log"), &base.join(page)?)?;
    Ok((server, base, seconds))
}
