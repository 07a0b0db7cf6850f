//! As much HTTP as looking at servers needs: one request, one connection, the answer whole or as it comes.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use wheelfarm_tests::anyhow::{Context, Result, bail, ensure};

/// No answer takes longer to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// An address `http://<host>:<port><path>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    authority: String,
    path: String,
}

/// The beginning of an answer; its body can be read.
pub(super) struct Head {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    body: BufReader<TcpStream>,
    /// Bytes that [`Head::next`] gave last.
    given: usize,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Url {
    pub(super) fn parse(text: &str) -> Result<Self> {
        let rest = text.strip_prefix("http://");
        let rest = rest.with_context(|| format!("`{text}` does not begin with http://"))?;
        let slash = rest.find('/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(slash);
        Ok(Self {
            authority: authority.to_owned(),
            path: if path.is_empty() { "/" } else { path }.to_owned(),
        })
    }

    /// What `link` on the page at this address leads to (RFC 3986, section 5.2), without a fragment.
    pub(super) fn join(&self, link: &str) -> Result<Self> {
        let link = link.split('#').next().unwrap_or_default();
        if link.starts_with("http://") {
            return Self::parse(link);
        }
        let mut segments: Vec<&str> = if link.starts_with('/') {
            Vec::new()
        } else {
            let directory = self.path.rsplit_once('/').map_or("", |(start, _)| start);
            directory.split('/').skip(1).collect()
        };
        for segment in link.trim_start_matches('/').split('/') {
            match segment {
                "." => {}
                ".." => {
                    segments.pop();
                }
                other => segments.push(other),
            }
        }
        Ok(Self {
            authority: self.authority.clone(),
            path: format!("/{}", segments.join("/")),
        })
    }

    /// The same with `suffix` at its end.
    pub(super) fn with_suffix(&self, suffix: &str) -> Self {
        Self {
            authority: self.authority.clone(),
            path: format!("{}{suffix}", self.path),
        }
    }

    /// The path.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Asks for it, and reads the head of the answer.
    pub(super) fn open(&self, headers: &[(&str, &str)]) -> Result<Head> {
        let mut stream = TcpStream::connect(&self.authority)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        let mut request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: pip/26.3\r\nConnection: close\r\n",
            self.path, self.authority
        );
        // proxpi has nothing to say to a client that says nothing of what it takes.
        let anything = [("Accept", "*/*")];
        let says = headers.iter().any(|(name, _)| *name == "Accept");
        let added = if says { &[][..] } else { &anything[..] };
        for (name, value) in headers.iter().chain(added) {
            request.extend([name, ": ", value, "\r\n"]);
        }
        request.push_str("\r\n");
        stream.write_all(request.as_bytes())?;
        let mut body = BufReader::with_capacity(1 << 18, stream);
        let status = line(&mut body)?;
        let status = status
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .with_context(|| format!("{self} answers no HTTP: {status:?}"))?;
        let mut headers = Vec::new();
        loop {
            let line = line(&mut body)?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        Ok(Head {
            status,
            headers,
            body,
            given: 0,
        })
    }

    /// Asks for it, and reads the whole answer.
    pub(super) fn get(&self, headers: &[(&str, &str)]) -> Result<Answer> {
        let head = self.open(headers)?;
        let mut reader = head.body;
        let mut body = Vec::new();
        let value = |name: &str| find(&head.headers, name);
        if value("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            read_chunks(&mut reader, &mut body)?;
        } else if let Some(length) = value("content-length") {
            reader.take(length.parse()?).read_to_end(&mut body)?;
            ensure!(body.len().to_string() == length, "{self} ends early");
        } else {
            reader.read_to_end(&mut body)?;
        }
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    /// Asks for it; any other answer than 200 is an error.
    pub(super) fn get_ok(&self, headers: &[(&str, &str)]) -> Result<Answer> {
        let answer = self.get(headers)?;
        if answer.status != 200 {
            bail!("{self} answers {}", answer.status);
        }
        Ok(answer)
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}{}", self.authority, self.path)
    }
}

impl Head {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The next bytes of the body, as they lie on the line; empty at its end.
    pub(super) fn next(&mut self) -> Result<&[u8]> {
        self.body.consume(self.given);
        let bytes = self.body.fill_buf()?;
        self.given = bytes.len();
        Ok(bytes)
    }
}

impl Answer {
    /// A header's value.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let found = headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| value.as_str())
}

fn line(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    reader.read_line(&mut line)?;
    Ok(line.trim_end().to_owned())
}

/// Reads a body in chunks (RFC 9112, section 7.1).
fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> Result<()> {
    loop {
        let size = line(reader)?;
        let size = u64::from_str_radix(size.split(';').next().unwrap_or_default(), 16)?;
        reader.by_ref().take(size).read_to_end(body)?;
        line(reader)?;
        if size == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_from_their_page() {
        let page = Url::parse("http://127.0.0.1:1/simple/x/").unwrap();
        for (link, path) in [
            ("../../files/a/x.whl#sha256=0", "/files/a/x.whl"),
            ("/files/x.whl", "/files/x.whl"),
            ("x.whl", "/simple/x/x.whl"),
            ("./x.whl", "/simple/x/x.whl"),
            ("http://127.0.0.1:1/y", "/y"),
        ] {
            assert_eq!(page.join(link).unwrap().path(), path);
        }
    }

    #[test]
    fn chunks_are_joined() {
        let mut body = Vec::new();
        read_chunks(&mut &b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\n"[..], &mut body).unwrap();
        assert_eq!(body, b"abcde");
    }
}
