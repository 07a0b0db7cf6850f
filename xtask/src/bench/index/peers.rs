//! The servers that are measured: how each is started with the made-up wheels in it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use wheelfarm_tests::anyhow::{Context, Result};
use wheelfarm_tests::environment::target_directory;
use wheelfarm_tests::process::wait_for;

use super::corpus::Corpus;
use super::http::Url;
use super::nginx::{Delivery, Tree};
use super::process::{Server, free_port, server};
use super::python::{PROXPI, PYPISERVER, SIMPLEINDEX, program};
use super::{devpi, directory, publish};

/// What asks for a page in HTML.
pub(super) const HTML: &str = "text/html";
/// What asks for it in JSON.
pub(super) const JSON: &str = "application/vnd.pypi.simple.v1+json";

/// `wheelfarm serve` with no index behind it.
pub(super) const ALONE: [&str; 1] = ["--no-upstream"];

/// A server that runs, with the wheels in it.
pub(super) struct Started {
    pub(super) server: Server,
    /// Its simple index.
    pub(super) root: Url,
    /// Seconds until it answered.
    pub(super) seconds: f64,
    /// The index behind it, if it goes on asking that.
    pub(super) behind: Option<Server>,
}

/// A server that is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Peer {
    Nginx,
    Wheelfarm,
    Pypiserver,
    Devpi,
    Proxpi,
    Simpleindex,
}

impl Peer {
    pub(super) const ALL: [Self; 6] = [
        Self::Nginx,
        Self::Wheelfarm,
        Self::Pypiserver,
        Self::Devpi,
        Self::Proxpi,
        Self::Simpleindex,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Wheelfarm => "wheelfarm",
            Self::Pypiserver => "pypiserver",
            Self::Devpi => "devpi",
            Self::Proxpi => "proxpi",
            Self::Simpleindex => "simpleindex",
        }
    }

    /// Whether it is one of those in Python.
    pub(super) fn is_python(self) -> bool {
        !matches!(self, Self::Nginx | Self::Wheelfarm)
    }

    /// Starts it, and makes what it needs first.
    pub(super) fn start(self, corpus: &Corpus, tree: &Tree) -> Result<Started> {
        let place = directory()?.join(self.name());
        fs_err::create_dir_all(&place)?;
        let delivery = Delivery {
            files: "",
            log: None,
        };
        match self {
            Self::Nginx => tree.serve(&place, &delivery),
            Self::Wheelfarm => wheelfarm(&store(corpus)?, &ALONE),
            Self::Pypiserver => pypiserver(&place, corpus),
            Self::Devpi => devpi::start(&place, corpus),
            Self::Proxpi => {
                let upstream = tree.serve(&place.join("nginx"), &delivery)?;
                let mut started = proxpi(&place, &upstream.root, &[])?;
                warm(&started.root, corpus)?;
                // METADATA it does not keep.
                started.behind = Some(upstream.server);
                Ok(started)
            }
            Self::Simpleindex => simpleindex(&place, corpus),
        }
    }
}

/// The store with the made-up wheels, made if need be.
pub(super) fn store(corpus: &Corpus) -> Result<PathBuf> {
    let place = directory()?.join("store");
    // It goes with the wheels that are in it, and with the format of the log.
    if place.exists() {
        fs_err::remove_dir_all(&place)?;
    }
    publish::wheels(&place, &corpus.wheels, &corpus.filenames()?)?;
    Ok(place)
}

/// Starts `wheelfarm serve` of a store.
pub(super) fn wheelfarm(store: &Path, arguments: &[&str]) -> Result<Started> {
    let port = free_port()?;
    let address = format!("127.0.0.1:{port}");
    let log = store.with_extension("log");
    let mut command = server(target_directory()?.join("release/wheelfarm"));
    command
        .args(["serve", "--listen", &address, "--store"])
        .arg(store)
        .args(arguments)
        .current_dir(directory()?);
    let root = Url::parse(&format!("http://{address}/simple/"))?;
    let (server, seconds) = Server::start(&mut command, &log, &root)?;
    Ok(Started {
        server,
        root,
        seconds,
        behind: None,
    })
}

/// Under gunicorn, with one gevent worker: as its own image runs it.
fn pypiserver(place: &Path, corpus: &Corpus) -> Result<Started> {
    let port = free_port()?;
    let root = Url::parse(&format!("http://127.0.0.1:{port}/simple/"))?;
    let mut command = server(program(&PYPISERVER.make()?, "gunicorn"));
    command
        .args(["--worker-class", "gevent", "--workers", "1", "--preload"])
        .args(["--bind", &format!("127.0.0.1:{port}")])
        .arg(format!(
            "pypiserver:app(root={:?}, disable_fallback=True)",
            corpus.wheels.display().to_string()
        ));
    let (server, seconds) = Server::start(&mut command, &place.join("log"), &root)?;
    Ok(Started {
        server,
        root,
        seconds,
        behind: None,
    })
}

/// A proxy of the index at `upstream`, under gunicorn with threads, with its own settings but for `settings`.
pub(super) fn proxpi(place: &Path, upstream: &Url, settings: &[(&str, &str)]) -> Result<Started> {
    let port = free_port()?;
    let root = Url::parse(&format!("http://127.0.0.1:{port}/index/"))?;
    let cache = place.join("cache");
    if cache.exists() {
        fs_err::remove_dir_all(&cache)?;
    }
    fs_err::create_dir_all(&cache)?;
    let mut command = server(program(&PROXPI.make()?, "gunicorn"));
    command
        .args(["--preload", "--threads", "16", "--workers", "1"])
        .args(["--bind", &format!("127.0.0.1:{port}"), "proxpi.server:app"])
        .env("PROXPI_INDEX_URL", upstream.to_string())
        .env("PROXPI_CACHE_DIR", cache)
        .envs(settings.iter().copied());
    let (server, seconds) = Server::start(&mut command, &place.join("log"), &root)?;
    Ok(Started {
        server,
        root,
        seconds,
        behind: None,
    })
}

/// Has every file fetched that is measured, so that no file is measured that it does not have.
fn warm(root: &Url, corpus: &Corpus) -> Result<()> {
    for name in corpus.filenames()? {
        let project = name.split('-').next().unwrap_or_default().replace('_', "-");
        let file = root.join(&format!("{project}/{name}"))?;
        // What takes it too long is answered by a redirect while it goes on.
        wait_for(&format!("{file}"), Duration::from_secs(60), || {
            Ok((file.get(&[])?.status == 200).then_some(()))
        })?;
    }
    Ok(())
}

/// It wants a directory for each project.
fn simpleindex(place: &Path, corpus: &Corpus) -> Result<Started> {
    let port = free_port()?;
    let files = place.join("files");
    if files.exists() {
        fs_err::remove_dir_all(&files)?;
    }
    for name in corpus.filenames()? {
        let project = name.split('-').next().unwrap_or_default().replace('_', "-");
        fs_err::create_dir_all(files.join(&project))?;
        fs_err::hard_link(corpus.path(&name), files.join(&project).join(&name))?;
    }
    let config = place.join("config.toml");
    fs_err::write(
        &config,
        format!(
            "[routes.\"simple/{{project}}\"]\nsource = \"path\"\nto = \"files/{{project}}\"\n\n[server]\nhost = \"127.0.0.1\"\nport = {port}\naccess-log = false\n"
        ),
    )?;
    let root = Url::parse(&format!("http://127.0.0.1:{port}/simple/"))?;
    let page = root.join(&format!("{}/", super::corpus::APP))?;
    let mut command = server(program(&SIMPLEINDEX.make()?, "python"));
    command.args(["-m", "simpleindex"]).arg(&config);
    let (server, seconds) = Server::start(&mut command, &place.join("log"), &page)?;
    Ok(Started {
        server,
        root,
        seconds,
        behind: None,
    })
}

/// Texts and targets of the links of a page.
pub(super) fn links(page: &[u8]) -> Vec<(String, String)> {
    let page = String::from_utf8_lossy(page);
    page.split("<a ")
        .skip(1)
        .filter_map(|anchor| {
            let (_, rest) = anchor.split_once("href=\"")?;
            let (target, rest) = rest.split_once('"')?;
            let (_, rest) = rest.split_once('>')?;
            let (text, _) = rest.split_once("</a>")?;
            Some((text.trim().to_owned(), target.replace("&amp;", "&")))
        })
        .collect()
}

/// The address of a file, as the project's page has it.
pub(super) fn file(root: &Url, project: &str, filename: &str) -> Result<Url> {
    let page = root.join(&format!("{project}/"))?;
    let links = links(&page.get_ok(&[("Accept", HTML)])?.body);
    let link = links.iter().find(|(text, _)| text == filename);
    let (_, link) = link.with_context(|| format!("{page} does not lead to {filename}"))?;
    page.join(link)
}
