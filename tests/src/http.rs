//! As much HTTP as a client of the engine and a small server need: one request, one connection.

use std::io::{BufRead, BufReader, Read, Write};

use anyhow::{Context, Result, bail};

/// A request as the server sees it.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
}

/// Sends a request over `stream` and reads the answer to its end: status and body.
pub(crate) fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    content_type: &str,
    body: &[u8],
) -> Result<(u16, Vec<u8>)> {
    let headers = format!("Content-Type: {content_type}\r\n");
    exchange_with(&mut stream, method, path, &headers, body)
}

/// The same with any headers, each with its line's end.
pub(crate) fn exchange_with(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    headers: &str,
    body: &[u8],
) -> Result<(u16, Vec<u8>)> {
    // 1.0: the answer comes in one piece and ends with the connection.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: engine\r\n{headers}Content-Length: {}\r\n\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    stream.flush()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let status = line
        .split_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok());
    let status =
        status.with_context(|| format!("the answer to {method} {path} is no HTTP: {line:?}"))?;
    skip_headers(&mut reader)?;
    let mut body = Vec::new();
    reader.read_to_end(&mut body)?;
    Ok((status, body))
}

/// Reads a request, body excluded.
pub(crate) fn receive(stream: impl Read) -> Result<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    skip_headers(&mut reader)?;
    let mut words = line.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        bail!("no HTTP request: {line:?}");
    };
    Ok(Request {
        method: method.to_owned(),
        path: path.to_owned(),
    })
}

/// Writes an answer; the body is left out when the request is for the head.
pub(crate) fn answer(
    mut stream: impl Write,
    request: &Request,
    status: &str,
    content_type: &str,
    body: &[u8],
) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    )?;
    if request.method != "HEAD" {
        stream.write_all(body)?;
    }
    stream.flush()
}

/// `text` for use in a query.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write;
    text.bytes().fold(String::new(), |mut encoded, byte| {
        // Writing to a string cannot fail.
        let _infallible = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                write!(encoded, "{}", byte as char)
            }
            _ => write!(encoded, "%{byte:02X}"),
        };
        encoded
    })
}

fn skip_headers(reader: &mut impl BufRead) -> Result<()> {
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
            return Ok(());
        }
    }
}
