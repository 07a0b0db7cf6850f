//! Uploads as they are on the wire, good ones and others, and what a server then lists.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::asking::{Answer, ask, connect, read};
use crate::sha256;
use crate::shelf::SmallWheel;

/// What separates the fields of a form; nothing that is uploaded here has it.
const BOUNDARY: &str = "7b0f9c55e1";
/// Bytes that are sent at once.
const PIECE: usize = 32 << 10;

/// A form with a file.
#[derive(Debug, Clone)]
pub struct Upload {
    fields: Vec<(String, String)>,
    filename: String,
    content: Vec<u8>,
    content_type: String,
}

impl Upload {
    /// A file with the fields that a server asks for.
    pub fn new(name: &str, version: &str, filename: &str, content: Vec<u8>) -> Self {
        let digest = sha256(&content);
        let fields = [
            (":action", "file_upload"),
            ("protocol_version", "1"),
            ("name", name),
            ("version", version),
            ("sha256_digest", &digest),
        ];
        Self {
            fields: fields
                .map(|(name, value)| (name.into(), value.into()))
                .into(),
            filename: filename.to_owned(),
            content,
            content_type: format!("multipart/form-data; boundary={BOUNDARY}"),
        }
    }

    /// A small wheel, as it should be.
    pub fn of(wheel: &SmallWheel) -> Result<Self> {
        let (name, version) = (wheel.name(), wheel.version());
        Ok(Self::new(name, version, &wheel.filename(), wheel.bytes()?))
    }

    /// Leaves a field out.
    #[must_use]
    pub fn without(mut self, field: &str) -> Self {
        self.fields.retain(|(name, _)| name != field);
        self
    }

    /// Gives a field another value.
    #[must_use]
    pub fn with(self, field: &str, value: &str) -> Self {
        let mut other = self.without(field);
        other.fields.push((field.to_owned(), value.to_owned()));
        other
    }

    /// Says that it is no form.
    #[must_use]
    pub fn as_type(mut self, content_type: &str) -> Self {
        content_type.clone_into(&mut self.content_type);
        self
    }

    /// The name of its file.
    pub fn filename(&self) -> &str {
        &self.filename
    }

    /// Bytes of its file.
    pub fn size(&self) -> u64 {
        self.content.len() as u64
    }

    /// Sends it to `http://<host and port>` and reads the answer.
    pub fn send(&self, address: &str, path: &str, token: &str) -> Result<Answer> {
        self.send_counting(address, path, token, |_| ())
    }

    /// The same; after each piece, `sent` is told how many bytes it had.
    pub fn send_counting(
        &self,
        address: &str,
        path: &str,
        token: &str,
        sent: impl Fn(u64),
    ) -> Result<Answer> {
        let body = self.body()?;
        let mut stream = connect(address)?;
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.content_type,
            body.len()
        )?;
        for piece in body.chunks(PIECE) {
            // A server may answer before it has read everything.
            if stream.write_all(piece).is_err() {
                break;
            }
            sent(piece.len() as u64);
        }
        read(&mut BufReader::new(stream), false)
    }

    fn body(&self) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=");
        for (name, value) in &self.fields {
            write!(body, "{head}\"{name}\"\r\n\r\n{value}\r\n")?;
        }
        let filename = &self.filename;
        write!(body, "{head}\"content\"; filename=\"{filename}\"\r\n\r\n")?;
        body.extend(&self.content);
        write!(body, "\r\n--{BOUNDARY}--\r\n")?;
        Ok(body)
    }
}

/// The files that a server lists of a project in `main`, each with its address. None if there is no such project.
pub fn listed(address: &str, project: &str) -> Result<BTreeMap<String, String>> {
    let accept = [("Accept", "application/vnd.pypi.simple.v1+json")];
    let page = ask(address, "GET", &format!("/simple/{project}/"), &accept)?;
    if page.status == 404 {
        return Ok(BTreeMap::new());
    }
    ensure!(page.status == 200, "the page answers {}", page.status);
    let page: Value = serde_json::from_slice(&page.body)?;
    let files = page["files"].as_array().context("a page has files")?;
    let file = |file: &Value| {
        let text = |key: &str| file[key].as_str().map(str::to_owned);
        let path = text("url")?.trim_start_matches("../").to_owned();
        Some((text("filename")?, format!("/{path}")))
    };
    let files: Option<_> = files.iter().map(file).collect();
    files.context("a file has a name and an address")
}

/// Takes all files that a server lists of a project, with their metadata; an error unless each has the digest that is
/// in its address. Their names.
pub fn whole(address: &str, project: &str) -> Result<Vec<String>> {
    let files = listed(address, project)?;
    for (name, path) in &files {
        let answer = ask(address, "GET", path, &[])?;
        ensure!(answer.status == 200, "{path} answers {}", answer.status);
        let digest = path.split('/').nth(2).unwrap_or_default();
        ensure!(sha256(&answer.body) == digest, "{name} is damaged");
        let answer = ask(address, "GET", &format!("{path}.metadata"), &[])?;
        ensure!(answer.status == 200, "{path} has no metadata");
    }
    Ok(files.into_keys().collect())
}
