//! A package index (PEP 503) on 127.0.0.1 that serves what a test made.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use anyhow::Result;

use crate::http::{answer, receive};
use crate::sdist::Sdist;
use crate::sha256;

/// A running index; stops when dropped.
#[derive(Debug)]
pub struct Index {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    files: Mutex<BTreeMap<String, Served>>,
    stopped: AtomicBool,
}

#[derive(Debug, Clone)]
struct Served {
    project: String,
    bytes: Vec<u8>,
    /// What is served from the second download on.
    later: Option<Vec<u8>>,
    /// The hash that the index gives: not always the right one.
    sha256: String,
}

impl Index {
    /// Starts an empty index.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let served = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if served.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let served = Arc::clone(&served);
                // A client that went away is no concern of ours.
                std::thread::spawn(move || served.serve(&stream).ok());
            }
        });
        Ok(Self {
            address,
            shared,
            thread: Some(thread),
        })
    }

    /// Serves `sdist`.
    pub fn with(self, sdist: &Sdist) -> Result<Self> {
        Ok(self.with_file(&sdist.project(), &sdist.filename(), sdist.bytes()?))
    }

    /// Serves any file.
    #[must_use]
    pub fn with_file(self, project: &str, filename: &str, bytes: Vec<u8>) -> Self {
        let sha256 = sha256(&bytes);
        self.with_claim(project, filename, bytes, sha256)
    }

    /// Serves a file and gives `sha256` as its hash.
    #[must_use]
    pub fn with_claim(self, project: &str, filename: &str, bytes: Vec<u8>, sha256: String) -> Self {
        let served = Served {
            project: project.to_owned(),
            bytes,
            later: None,
            sha256,
        };
        self.shared.files().insert(filename.to_owned(), served);
        self
    }

    /// Changes a file after its first download; the hash that the index gives stays.
    #[must_use]
    pub fn with_change(self, filename: &str, later: Vec<u8>) -> Self {
        if let Some(served) = self.shared.files().get_mut(filename) {
            served.later = Some(later);
        }
        self
    }

    /// Its port on this machine.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its address, for `UV_DEFAULT_INDEX` or `UV_INDEX`.
    pub fn url(&self) -> String {
        format!("http://{}/simple/", self.address)
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which looks whether it is to stop.
        drop(TcpStream::connect(self.address));
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Served {
    fn download(&mut self) -> Vec<u8> {
        match self.later.take() {
            Some(later) => std::mem::replace(&mut self.bytes, later),
            None => self.bytes.clone(),
        }
    }
}

impl Shared {
    fn files(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Served>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self, stream: &TcpStream) -> Result<()> {
        let request = receive(stream)?;
        let path = request.path.split(['?', '#']).next().unwrap_or_default();
        let mut parts = path.trim_matches('/').split('/');
        let found = match (parts.next(), parts.next()) {
            (Some("simple"), Some(project)) => self
                .page(project)
                .map(|page| ("text/html", page.into_bytes())),
            (Some("files"), Some(name)) => {
                let bytes = self.files().get_mut(name).map(Served::download);
                bytes.map(|bytes| ("application/octet-stream", bytes))
            }
            _ => None,
        };
        match found {
            Some((kind, body)) => answer(stream, &request, "200 OK", kind, &body)?,
            None => answer(
                stream,
                &request,
                "404 Not Found",
                "text/plain",
                b"not here\n",
            )?,
        }
        Ok(())
    }

    fn page(&self, project: &str) -> Option<String> {
        let mut page = String::from("<!DOCTYPE html><html><body>\n");
        let empty = page.len();
        for (name, served) in self
            .files()
            .iter()
            .filter(|(_, served)| served.project == project)
        {
            // Writing to a string cannot fail.
            let _infallible = writeln!(
                page,
                "<a href=\"/files/{name}#sha256={}\">{name}</a><br>",
                served.sha256
            );
        }
        (page.len() > empty).then(|| page + "</body></html>\n")
    }
}
