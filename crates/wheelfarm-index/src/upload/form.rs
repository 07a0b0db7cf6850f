//! The form of an upload: fields in any order, one of which is the file.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::BodyDataStream;
use bytes::Bytes;
use futures::Stream;
use http::StatusCode;
use multer::{Field, Multipart};
use tokio::time::timeout;
use wheelfarm_store::Store;

use super::filename::shown;
use super::spool::{Spooled, Spooling};
use super::storage;
use crate::Problem;
use crate::settings::Limits;

/// Most fields of a form, the file included. The largest real ones have some hundred classifiers and requirements.
const FIELDS: usize = 2_000;
/// Bytes of a field; of the description, which is a README; of all fields but the file.
const FIELD: usize = 1 << 20;
const DESCRIPTION: usize = 5 << 20;
const ALL_FIELDS: usize = 10 << 20;
/// Bytes that are taken in without coming to anything: a boundary, or headers of a field.
const OVERHEAD: usize = 64 << 10;
/// How long nothing may come.
const SILENCE: Duration = Duration::from_secs(60);

/// What was sent.
#[derive(Debug)]
pub(crate) struct Form {
    /// All fields but the file, each with its values in order.
    pub(crate) fields: BTreeMap<String, Vec<String>>,
    /// The name that the file was sent under.
    pub(crate) filename: String,
    /// The file.
    pub(crate) file: Spooled,
}

impl Form {
    /// The only value of a field; none if it is absent or empty; an error if there are several.
    pub(crate) fn one(&self, name: &str) -> Result<Option<&str>, Problem> {
        let values = self.fields.get(name).map(Vec::as_slice).unwrap_or_default();
        match values {
            [] => Ok(None),
            [one] => Ok(Some(one.trim()).filter(|text| !text.is_empty())),
            _ => Err(Problem::bad_request(format!(
                "the form of `{}` has the field `{name}` {} times",
                shown(&self.filename),
                values.len()
            ))),
        }
    }

    /// Like [`Form::one`]; an error if there is none.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Problem> {
        self.one(name)?.ok_or_else(|| {
            Problem::bad_request(format!(
                "the form of `{}` has no field `{name}`",
                shown(&self.filename)
            ))
        })
    }
}

/// Reads a form: its fields to memory, its file to a spool of `store`.
pub(crate) async fn read(
    body: &mut BodyDataStream,
    boundary: String,
    store: &Store,
    limits: &Limits,
) -> Result<Form, Problem> {
    let taken = Arc::new(AtomicUsize::new(0));
    let body = Steady {
        body,
        taken: Arc::clone(&taken),
        pause: false,
    };
    let mut form = Multipart::new(body, boundary);
    let mut fields: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut file = None;
    let (mut count, mut bytes) = (0, 0);
    loop {
        taken.store(0, Ordering::Relaxed);
        let Some(mut field) = in_time(form.next_field()).await? else {
            break;
        };
        count += 1;
        if count > FIELDS {
            return Err(too_large(format!("the form has more than {FIELDS} fields")));
        }
        let name = field.name().unwrap_or_default().to_owned();
        if name.is_empty() || name.len() > 100 {
            return Err(Problem::bad_request("a field of the form has no name"));
        }
        if name == "content" {
            if file.is_some() {
                return Err(Problem::bad_request("the form has two fields `content`"));
            }
            let filename = field.file_name().unwrap_or_default().to_owned();
            let spooled = receive(&mut field, &taken, store, limits).await?;
            file = Some((filename, spooled));
            continue;
        }
        let text = text_of(&name, &mut field, &taken).await?;
        bytes += text.len();
        if bytes > ALL_FIELDS {
            return Err(too_large(format!(
                "the form's fields have more than {ALL_FIELDS} bytes"
            )));
        }
        fields.entry(name).or_default().push(text);
    }
    let (filename, file) = file
        .ok_or_else(|| Problem::bad_request("the form has no field `content`: no file was sent"))?;
    Ok(Form {
        fields,
        filename,
        file,
    })
}

/// Receives the file.
async fn receive(
    field: &mut Field<'_>,
    taken: &AtomicUsize,
    store: &Store,
    limits: &Limits,
) -> Result<Spooled, Problem> {
    let mut spooling = Spooling::new(store.spool()?);
    loop {
        taken.store(0, Ordering::Relaxed);
        let Some(piece) = in_time(field.chunk()).await? else {
            break;
        };
        if spooling.size() + piece.len() as u64 > limits.file {
            return Err(too_large(format!(
                "the file has more than the {} bytes that are taken here",
                limits.file
            )));
        }
        spooling.add(&piece).await.map_err(|e| storage(&e))?;
    }
    spooling.finish().await.map_err(|e| storage(&e))
}

/// Receives another field, which has to be text.
async fn text_of(
    name: &str,
    field: &mut Field<'_>,
    taken: &AtomicUsize,
) -> Result<String, Problem> {
    let most = if name == "description" {
        DESCRIPTION
    } else {
        FIELD
    };
    let mut bytes = Vec::new();
    loop {
        taken.store(0, Ordering::Relaxed);
        let Some(piece) = in_time(field.chunk()).await? else {
            break;
        };
        if bytes.len() + piece.len() > most {
            return Err(too_large(format!(
                "the field `{name}` has more than {most} bytes"
            )));
        }
        bytes.extend_from_slice(&piece);
    }
    String::from_utf8(bytes)
        .map_err(|_| Problem::bad_request(format!("the field `{name}` is not UTF-8")))
}

async fn in_time<T>(work: impl Future<Output = multer::Result<T>>) -> Result<T, Problem> {
    match timeout(SILENCE, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(broken(&error)),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            format!("nothing came for {} s", SILENCE.as_secs()),
        )),
    }
}

fn broken(error: &multer::Error) -> Problem {
    use std::error::Error as _;
    let cause = error.source().map(|cause| format!(" ({cause})"));
    Problem::bad_request(format!(
        "the form cannot be read: {error}{}",
        cause.unwrap_or_default()
    ))
}

fn too_large(title: String) -> Problem {
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, title)
}

/// The body as the form's reader should see it. That reader takes in what is there until it has to wait, and goes on
/// until it has found what it looks for: so it is made to wait after every piece, and stopped where it looks too far.
struct Steady<'a> {
    body: &'a mut BodyDataStream,
    /// Bytes since the last progress.
    taken: Arc<AtomicUsize>,
    pause: bool,
}

impl Stream for Steady<'_> {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.pause {
            self.pause = false;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let piece = std::task::ready!(Pin::new(&mut *self.body).poll_next(context));
        let Some(piece) = piece else {
            return Poll::Ready(None);
        };
        let piece = match piece {
            Ok(piece) => piece,
            Err(error) => return Poll::Ready(Some(Err(error.into()))),
        };
        self.pause = true;
        let before = self.taken.fetch_add(piece.len(), Ordering::Relaxed);
        // The piece itself may be of any size: it is in memory already.
        if before > OVERHEAD {
            return Poll::Ready(Some(Err("a boundary or header does not end".into())));
        }
        Poll::Ready(Some(Ok(piece)))
    }
}
