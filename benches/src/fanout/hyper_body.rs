//! What a careful user would write by hand, on hyper with no framework: a ring of shared frames, and a body that hands out
//! all that are ready as one chunk. It has no keep-alive.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io;
use std::net::TcpListener;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::RING;
use super::publisher::{self, Jobs, Topic};
use crate::serve::axum::{block_on, to_tokio};

pub(super) fn serve(listener: TcpListener, jobs: Jobs) -> io::Result<()> {
    block_on(async {
        let listener = to_tokio(listener)?;
        let ring = Ring::default();
        tokio::spawn(publisher::run(jobs, ring.clone()));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let ring = ring.clone();
            let service = service_fn(move |_: Request<Incoming>| {
                let response = Response::builder()
                    .header(CONTENT_TYPE, "text/event-stream")
                    .header(CACHE_CONTROL, "no-cache")
                    .body(ring.subscribe());
                async { response }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    })
}

#[derive(Clone, Default)]
struct Ring(Arc<Mutex<Frames>>);

#[derive(Default)]
struct Frames {
    frames: VecDeque<Bytes>,
    /// The position of the first of them: how many have been dropped.
    first: u64,
    wakers: Vec<Waker>,
    /// What was last joined, and from which position. Most subscribers are where the others are.
    joined: Option<(u64, Bytes)>,
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, Frames> {
        // Nothing panics while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn subscribe(&self) -> Subscriber {
        let position = self.lock().end();
        Subscriber { ring: self.clone(), position }
    }
}

impl Topic for Ring {
    fn publish(&mut self, text: &str) {
        let frame = format!("data: {text}\n\n").into();
        let wakers = {
            let mut frames = self.lock();
            if frames.frames.len() == RING {
                frames.frames.pop_front();
                frames.first += 1;
            }
            frames.frames.push_back(frame);
            frames.joined = None;
            std::mem::take(&mut frames.wakers)
        };
        wakers.into_iter().for_each(Waker::wake);
    }
}

impl Frames {
    fn end(&self) -> u64 {
        self.first + self.frames.len() as u64
    }

    /// All frames from this position on, or from the first that there is.
    fn join(&mut self, position: u64) -> Bytes {
        let skipped = position.saturating_sub(self.first) as usize;
        if self.frames.len() == skipped + 1 {
            return self.frames[skipped].clone();
        }
        match &self.joined {
            Some((from, joined)) if *from == position => joined.clone(),
            _ => {
                let frames = self.frames.range(skipped..);
                let mut joined = BytesMut::with_capacity(frames.clone().map(Bytes::len).sum());
                frames.for_each(|frame| joined.extend_from_slice(frame));
                let joined = joined.freeze();
                self.joined = Some((position, joined.clone()));
                joined
            }
        }
    }
}

/// A body. Who lags behind misses events, and goes on.
struct Subscriber {
    ring: Ring,
    position: u64,
}

impl Body for Subscriber {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut frames = self.ring.lock();
        let end = frames.end();
        if self.position == end {
            frames.wakers.push(context.waker().clone());
            return Poll::Pending;
        }
        let joined = frames.join(self.position);
        drop(frames);
        self.position = end;
        Poll::Ready(Some(Ok(Frame::data(joined))))
    }
}
