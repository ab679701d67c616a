//! Detects the HTTP version of a connection by the first bytes that the client sends.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The first bytes of a client that starts with HTTP/2 (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpVersion {
    Http1,
    Http2,
}

/// Waits for the first bytes, and returns the version with a socket that still yields those bytes.
///
/// An HTTP/1 client is detected by peeking: bytes that are read here and replayed make hyper hold a larger buffer.
pub(crate) async fn detect(mut socket: TcpStream) -> io::Result<(HttpVersion, ReplayedSocket)> {
    let mut start = [0; PREFACE.len()];
    let mut len = socket.peek(&mut start).await?;
    let is_preface = |start: &[u8], len| start.get(..len) == PREFACE.get(..len);
    if len > 0 && !is_preface(&start, len) {
        return Ok((HttpVersion::Http1, ReplayedSocket { socket, start, read: 0, len: 0 }));
    }
    len = 0;
    while len < PREFACE.len() && is_preface(&start, len) {
        match socket.read(start.get_mut(len..).unwrap_or_default()).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => len += n,
        }
    }
    let version = if start == *PREFACE { HttpVersion::Http2 } else { HttpVersion::Http1 };
    Ok((version, ReplayedSocket { socket, start, read: 0, len: len as u8 }))
}

/// A socket whose first bytes are read again: `0 <= read <= len <= start.len()`, and `start[read..len]` is left.
pub(crate) struct ReplayedSocket {
    socket: TcpStream,
    start: [u8; PREFACE.len()],
    read: u8,
    len: u8,
}

impl AsyncRead for ReplayedSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let left = &this.start[usize::from(this.read)..usize::from(this.len)];
        if left.is_empty() {
            return Pin::new(&mut this.socket).poll_read(cx, buf);
        }
        let n = left.len().min(buf.remaining());
        buf.put_slice(&left[..n]);
        this.read += n as u8;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReplayedSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
