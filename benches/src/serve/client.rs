//! A client over HTTP/1.1 that does as little as it can: it takes chunks apart and looks for blank lines.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use memchr::{memchr_iter, memmem};

use crate::process::wrong;

const BUFFER: usize = 64 * 1024;
const MAX_HEAD: usize = 8 * 1024;
/// Longer than any stream is silent.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A response, the body of which is yet to be read.
pub struct Response {
    stream: TcpStream,
    chunks: Chunks,
    // What has been read with the head.
    rest: Vec<u8>,
}

impl Response {
    /// Asks for what is at a path, and waits for the head of what is answered.
    ///
    /// # Errors
    ///
    /// Those of the connection, and any answer but 200 in chunks.
    pub fn get(address: SocketAddr, path: &str) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        // In one piece, as clients do: of one that comes in pieces a server makes more of its read buffer.
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes())?;
        let mut head = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            let n = stream.read(&mut buffer)?;
            head.extend_from_slice(&buffer[..n]);
            if let Some(end) = memmem::find(&head, b"\r\n\r\n") {
                let rest = head.split_off(end + 4);
                let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
                if head.starts_with("http/1.1 200 ") && head.contains("\r\ntransfer-encoding: chunked\r\n") {
                    return Ok(Self { stream, chunks: Chunks::Size(0), rest });
                }
                return Err(wrong(format!("the answer is {head:?}")));
            }
            if n == 0 || head.len() > MAX_HEAD {
                return Err(wrong("the answer has no head".into()));
            }
        }
    }

    /// The connection, where in the body it is, and what of that has been read with the head.
    pub(crate) fn into_parts(self) -> (TcpStream, Chunks, Vec<u8>) {
        (self.stream, self.chunks, self.rest)
    }

    /// Reads the body to its end, or until `sink` says false. It is given what each read has brought, slice by slice.
    ///
    /// # Errors
    ///
    /// Those of the connection; that it ends before the body.
    pub fn read(mut self, mut sink: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        let mut goes_on = true;
        let rest = std::mem::take(&mut self.rest);
        self.chunks.split(&rest, |data| goes_on &= sink(data))?;
        while goes_on && self.chunks != Chunks::End {
            let n = self.stream.read(&mut buffer)?;
            if n == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.chunks.split(&buffer[..n], |data| goes_on &= sink(data))?;
        }
        Ok(())
    }
}

/// Where in the chunked body one is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Chunks {
    /// In a chunk's size, of which so much is known.
    Size(usize),
    /// Behind the CR of a size.
    SizeEnd(usize),
    /// So many bytes of data are to come, and with them the CR and LF.
    Data(usize),
    /// Behind the last chunk.
    End,
}

impl Chunks {
    /// Takes what was read apart, of which `sink` is given the body.
    pub(crate) fn split<'a>(&mut self, mut bytes: &'a [u8], mut sink: impl FnMut(&'a [u8])) -> io::Result<()> {
        while let [first, behind @ ..] = bytes {
            *self = match (*self, first) {
                (Self::Size(size), b'\r') => Self::SizeEnd(size),
                (Self::Size(size), digit) => {
                    let digit = char::from(*digit).to_digit(16).filter(|_| size < usize::MAX >> 8);
                    Self::Size(size << 4 | digit.ok_or_else(|| wrong("a chunk has no size".into()))? as usize)
                }
                (Self::SizeEnd(0), b'\n') => Self::End,
                (Self::SizeEnd(size), b'\n') => Self::Data(size + 2),
                (Self::SizeEnd(_), _) => return Err(wrong("a chunk's size has no end".into())),
                (Self::Data(left), _) => {
                    let n = left.min(bytes.len());
                    // Without the CR and LF.
                    sink(&bytes[..n.min(left.saturating_sub(2))]);
                    bytes = &bytes[n..];
                    *self = if n == left { Self::Size(0) } else { Self::Data(left - n) };
                    continue;
                }
                (Self::End, _) => Self::End,
            };
            bytes = behind;
        }
        Ok(())
    }
}

/// What a body holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub bytes: u64,
    /// Blank lines, one of which ends each event and each comment.
    pub blank_lines: u64,
    is_behind_lf: bool,
}

impl Counts {
    /// Goes on counting.
    pub fn add(&mut self, data: &[u8]) {
        let mut last_lf = self.is_behind_lf.then_some(usize::MAX);
        for lf in memchr_iter(b'\n', data) {
            if last_lf == Some(lf.wrapping_sub(1)) {
                self.blank_lines += 1;
            }
            last_lf = Some(lf);
        }
        self.bytes += data.len() as u64;
        if let [.., last] = data {
            self.is_behind_lf = *last == b'\n';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_counted_however_they_are_cut() {
        let body = b"data: a\n\n: \n\ndata: b\ndata: c\n\n";
        for cut in 0..=body.len() {
            let mut counts = Counts::default();
            let (first, second) = body.split_at(cut);
            counts.add(first);
            counts.add(second);
            assert_eq!((counts.bytes, counts.blank_lines), (body.len() as u64, 3), "cut at {cut}");
        }
    }

    #[test]
    fn chunks_are_taken_apart_however_they_are_cut() {
        let body = b"3\r\nabc\r\n0012\r\n0123456789abcdefg\n\r\n0\r\n\r\n";
        for cut in 0..=body.len() {
            let mut chunks = Chunks::Size(0);
            let mut data = Vec::new();
            let (first, second) = body.split_at(cut);
            for part in [first, second] {
                chunks.split(part, |slice| data.extend_from_slice(slice)).unwrap();
            }
            assert_eq!((chunks, &*data), (Chunks::End, &b"abc0123456789abcdefg\n"[..]), "cut at {cut}");
        }
        assert!(Chunks::Size(0).split(b"x\r\n", |_| {}).is_err());
        assert!(Chunks::Size(0).split(b"1\rx", |_| {}).is_err());
    }
}
