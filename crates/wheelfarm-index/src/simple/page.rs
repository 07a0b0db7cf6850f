//! A page as it is sent: bytes, coding, and the headers that go with them.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use libdeflater::{CompressionLvl, Compressor};
use rustix::fs::{MemfdFlags, memfd_create};
use wheelfarm_types::Digest;

use crate::files::conditions;
use crate::server::{FileBody, Outbox};
use crate::simple::negotiation::{Coding, Form};

/// Each at the level where more work gains little on pages, which are mostly digests.
const ZSTD_LEVEL: i32 = 6;
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;
const GZIP_LEVEL: i32 = 6;
/// Bytes from which on a page is kept as a file as well.
const LARGE: usize = 16 << 10;
/// What a file counts beside its bytes, so that there are never many of them open.
const FILE: usize = 64 << 10;
/// What a page costs in memory beside its bytes: headers and places in tables.
const OVERHEAD: usize = 1500;

/// A page in one coding. Made once, sent often.
#[derive(Debug)]
pub(crate) struct Page {
    body: Bytes,
    /// The same bytes for the kernel to send, if there are many.
    file: Option<Arc<File>>,
    etag: String,
    /// All headers but `Content-Type`: HTML has two of those.
    headers: HeaderMap,
}

impl Page {
    /// The page with these bytes as they are; `private` if only some may read it.
    pub(crate) fn new(body: impl Into<Bytes>, private: bool) -> Self {
        Self::coded(body.into(), Coding::Identity, private)
    }

    fn coded(body: Bytes, coding: Coding, private: bool) -> Self {
        // 128 bits: enough that no two pages share one by accident.
        let digest = Digest::of(&body).to_string();
        let etag = format!("\"{}\"", digest.get(..32).unwrap_or(&digest));
        let mut headers = HeaderMap::with_capacity(8);
        if let Ok(etag) = HeaderValue::try_from(&etag) {
            headers.insert(header::ETAG, etag);
        }
        // Always ask again: a wheel that was published is seen at once, and what did not change costs a 304.
        headers.insert(
            header::CACHE_CONTROL,
            HeaderValue::from_static(if private {
                "private, no-cache"
            } else {
                "no-cache"
            }),
        );
        headers.insert(
            header::VARY,
            HeaderValue::from_static("Accept, Accept-Encoding"),
        );
        headers.insert(header::CONTENT_LENGTH, body.len().into());
        if let Some(name) = coding.name() {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        Self {
            file: in_memory(&body),
            body,
            etag,
            headers,
        }
    }

    /// The same page in another coding; none if that makes it no smaller.
    pub(crate) fn recoded(&self, coding: Coding, private: bool) -> Option<Self> {
        let coded = match coding {
            Coding::Identity => None,
            Coding::Zstd => zstd::bulk::compress(&self.body, ZSTD_LEVEL).ok(),
            Coding::Brotli => brotli_compressed(&self.body),
            Coding::Gzip => gzip_compressed(&self.body),
        };
        let smaller = coded.filter(|coded| coded.len() < self.body.len())?;
        Some(Self::coded(smaller.into(), coding, private))
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn weight(&self) -> usize {
        let file = self.file.as_ref().map_or(0, |_| self.body.len() + FILE);
        self.body.len() + file + OVERHEAD
    }

    /// How many bytes the page itself has.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// The answer to a request for the page with these headers: 304 if the client has it. Sent by way of `outbox`, if
    /// the connection has one.
    pub(crate) fn answer(
        &self,
        form: Form,
        asked: &HeaderMap,
        outbox: Option<&Arc<Outbox>>,
    ) -> Response {
        let mut response = Response::new(Body::empty());
        let mut headers = self.headers.clone();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(form.content_type()),
        );
        if conditions::is_known(asked, &self.etag) {
            headers.remove(header::CONTENT_LENGTH);
            headers.remove(header::CONTENT_TYPE);
            headers.remove(header::CONTENT_ENCODING);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            *response.body_mut() = match (&self.file, outbox) {
                (Some(file), Some(outbox)) => {
                    let whole = 0..self.body.len() as u64;
                    Body::new(FileBody::new(outbox.clone(), file.clone(), whole))
                }
                _ => Body::from(self.body.clone()),
            };
        }
        *response.headers_mut() = headers;
        response
    }
}

/// A file that is nowhere but in memory, if it is worth it: of what is sent as bytes the kernel makes a copy for every
/// client, while a file it sends as it is. None as well if there can be no more files.
fn in_memory(body: &Bytes) -> Option<Arc<File>> {
    if body.len() < LARGE {
        return None;
    }
    let mut file = File::from(memfd_create("page", MemfdFlags::CLOEXEC).ok()?);
    file.write_all(body).ok()?;
    Some(Arc::new(file))
}

fn gzip_compressed(body: &[u8]) -> Option<Vec<u8>> {
    let level = CompressionLvl::new(GZIP_LEVEL).ok()?;
    let mut compressor = Compressor::new(level);
    let mut out = vec![0; compressor.gzip_compress_bound(body.len())];
    let length = compressor.gzip_compress(body, &mut out).ok()?;
    out.truncate(length);
    out.shrink_to_fit();
    Some(out)
}

fn brotli_compressed(mut body: &[u8]) -> Option<Vec<u8>> {
    let params = brotli::enc::BrotliEncoderParams {
        quality: BROTLI_QUALITY.cast_signed(),
        lgwin: BROTLI_WINDOW.cast_signed(),
        size_hint: body.len(),
        ..Default::default()
    };
    let mut out = Vec::new();
    brotli::BrotliCompress(&mut body, &mut out, &params).ok()?;
    out.shrink_to_fit();
    Some(out)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn every_coding_says_the_same() {
        let text = "a page that says the same again and again. ".repeat(100);
        let page = Page::new(text.clone(), false);
        let mut tags = vec![page.etag.clone()];
        for coding in [Coding::Zstd, Coding::Brotli, Coding::Gzip] {
            let coded = page.recoded(coding, false).unwrap();
            assert!(coded.len() < page.len());
            let decoded = match coding {
                Coding::Zstd => zstd::bulk::decompress(&coded.body, 1 << 20).unwrap(),
                Coding::Gzip => {
                    let mut out = vec![0; text.len()];
                    let mut decompressor = libdeflater::Decompressor::new();
                    decompressor.gzip_decompress(&coded.body, &mut out).unwrap();
                    out
                }
                _ => {
                    let mut out = Vec::new();
                    let mut reader = brotli::Decompressor::new(&*coded.body, 4096);
                    reader.read_to_end(&mut out).unwrap();
                    out
                }
            };
            assert_eq!(decoded, text.as_bytes());
            assert_eq!(
                coded.headers[header::CONTENT_ENCODING],
                coding.name().unwrap()
            );
            tags.push(coded.etag);
        }
        tags.sort_unstable();
        tags.dedup();
        assert_eq!(tags.len(), 4);
    }

    #[test]
    fn what_grows_is_sent_as_it_is() {
        let page = Page::new("ab", false);
        for coding in [Coding::Zstd, Coding::Brotli, Coding::Gzip, Coding::Identity] {
            assert!(page.recoded(coding, false).is_none(), "{coding:?}");
        }
    }

    #[test]
    fn a_client_that_has_the_page_is_told_so() {
        let page = Page::new("page", true);
        let tag = page.etag.clone();
        for (sent, known) in [
            (tag.clone(), true),
            (format!("W/{tag}"), true),
            (format!("\"other\", {tag}"), true),
            ("*".to_owned(), true),
            ("\"other\"".to_owned(), false),
            (tag.trim_matches('"').to_owned(), false),
            (String::new(), false),
        ] {
            let mut asked = HeaderMap::new();
            asked.insert(header::IF_NONE_MATCH, sent.parse().unwrap());
            let response = page.answer(Form::Json, &asked, None);
            let status = if known { 304 } else { 200 };
            assert_eq!(response.status(), status, "{sent}");
            let headers = response.headers();
            assert_eq!(headers[header::CACHE_CONTROL], "private, no-cache");
            assert_eq!(headers[header::ETAG], tag.as_str());
            assert_eq!(headers.contains_key(header::CONTENT_TYPE), !known);
            assert!(!headers.contains_key(header::LAST_MODIFIED));
        }
    }
}
