//! The socket of a connection: bytes as they are, files by the kernel.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::net::{SendAncillaryBuffer, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::server::outbox::{Outbox, is_placeholder};
use crate::server::pulse::Pulse;

/// A socket that knows what stands for files, and tells the connection's pulse what moves.
pub(super) struct Socket {
    stream: TcpStream,
    outbox: Arc<Outbox>,
    pulse: Arc<Pulse>,
}

impl Socket {
    pub(super) fn new(stream: TcpStream, outbox: Arc<Outbox>, pulse: Arc<Pulse>) -> Self {
        Self {
            stream,
            outbox,
            pulse,
        }
    }

    fn poll_send(
        &self,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.stream.poll_write_ready(context))?;
            let sent = self.stream.try_io(Interest::WRITABLE, || self.send(slices));
            match sent {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// Sends what the socket takes: bytes up to the first file, and of that.
    fn send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let files = slices.iter().position(|slice| is_placeholder(slice));
        let bytes = slices
            .get(..files.unwrap_or(slices.len()))
            .unwrap_or_default();
        let mut sent = 0;
        if !bytes.is_empty() {
            // The head of an answer and the file behind it leave in the same packet.
            let more = if files.is_some() {
                SendFlags::MORE
            } else {
                SendFlags::empty()
            };
            let mut nothing = SendAncillaryBuffer::default();
            let flags = more | SendFlags::NOSIGNAL;
            sent = rustix::net::sendmsg(&self.stream, bytes, &mut nothing, flags)?;
            if sent < bytes.iter().map(|slice| slice.len()).sum() {
                return Ok(sent);
            }
        }
        let Some(file) = files.and_then(|index| slices.get(index)) else {
            return Ok(sent);
        };
        match self.send_file(file.len()) {
            Ok(more) => Ok(sent + more),
            // It comes up again with the next write.
            Err(_) if sent > 0 => Ok(sent),
            Err(error) => Err(error),
        }
    }

    fn send_file(&self, length: usize) -> io::Result<usize> {
        let Some(segment) = self.outbox.next(length) else {
            return Err(io::Error::other("what is sent is not what was to be sent"));
        };
        let mut start = segment.range.start;
        let sent = rustix::fs::sendfile(&self.stream, &*segment.file, Some(&mut start), length)?;
        if sent == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "a file became shorter while it was sent",
            ));
        }
        self.outbox.advance(sent as u64);
        Ok(sent)
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let length = buffer.filled().len() - before;
        if length > 0 {
            self.pulse.received(length as u64);
        }
        read
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = self.poll_send(context, slices);
        match &sent {
            Poll::Pending => self.pulse.sent(None),
            Poll::Ready(Ok(length)) => self.pulse.sent(Some(*length as u64)),
            Poll::Ready(Err(_)) => {}
        }
        sent
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
