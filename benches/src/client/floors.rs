//! Floors: bodies that are read and not decoded.

use std::io;
use std::net::SocketAddr;

use ssekit_client::reqwest;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::feed::Feed;
use super::{Client, Gives};
use crate::serve::client::{Chunks, Response};
use crate::{Kind, Totals};

const BUFFER: usize = 64 * 1024;

/// Defines a floor for a version of reqwest. Both versions have the same names.
macro_rules! floor {
    ($type:ident, $name:literal, $reqwest:ident) => {
        pub(super) struct $type($reqwest::Client);

        impl Client for $type {
            const NAME: &'static str = $name;
            const KIND: Kind = Kind::Floor;
            const GIVES: Gives = Gives::Bytes;
            type Stream = $reqwest::Response;

            fn new() -> io::Result<Self> {
                $reqwest::Client::builder().no_proxy().build().map(Self).map_err(io::Error::other)
            }

            async fn open(&self, address: SocketAddr, feed: Feed) -> io::Result<Self::Stream> {
                self.0.get(feed.url(address)).send().await.map_err(io::Error::other)
            }

            async fn next(response: &mut Self::Stream, totals: &mut Totals) -> io::Result<bool> {
                let chunk = response.chunk().await.map_err(io::Error::other)?;
                totals.data_bytes += chunk.as_ref().map_or(0, |chunk| chunk.len());
                Ok(chunk.is_some())
            }
        }
    };
}

floor!(Reqwest, "reqwest-0.13-body", reqwest);
floor!(OldReqwest, "reqwest-0.12-body", reqwest_0_12);

/// A connection that is read into a buffer. It parses only the chunks of HTTP.
pub(super) struct Tcp;

pub(super) struct Reading {
    stream: TcpStream,
    chunks: Chunks,
    buffer: Vec<u8>,
    /// The number of bytes in the buffer that were read together with the head.
    len: usize,
}

impl Client for Tcp {
    const NAME: &'static str = "tcp";
    const KIND: Kind = Kind::Floor;
    const GIVES: Gives = Gives::Bytes;
    type Stream = Reading;

    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn open(&self, address: SocketAddr, feed: Feed) -> io::Result<Reading> {
        // This blocks until the head is received. Nothing else runs yet.
        let (stream, chunks, mut buffer) = Response::get(address, &feed.path())?.into_parts();
        stream.set_nonblocking(true)?;
        let len = buffer.len();
        buffer.resize(BUFFER, 0);
        Ok(Reading { stream: TcpStream::from_std(stream)?, chunks, buffer, len })
    }

    async fn next(reading: &mut Reading, totals: &mut Totals) -> io::Result<bool> {
        let Reading { stream, chunks, buffer, len } = reading;
        let n = match std::mem::take(len) {
            0 => stream.read(buffer).await?,
            n => n,
        };
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        chunks.split(&buffer[..n], |data| totals.data_bytes += data.len())?;
        Ok(*chunks != Chunks::End)
    }
}
