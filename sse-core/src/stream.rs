//! A stream of chunks into a stream of events.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll, ready};
use core::time::Duration;

use bytes::Bytes;
use futures_core::{FusedStream, Stream};
use pin_project_lite::pin_project;

use crate::decoder::Decoder;
#[cfg(feature = "std")]
use crate::into_event::BoxError;
use crate::limits::{DecodeError, Limits};
use crate::received_event::{ReceivedEvent, SharedStr};

pin_project! {
    /// The events in a stream of chunks: any `Stream<Item = Result<impl Into<Bytes>, E>>`, which is what HTTP clients
    /// have as a response's body.
    ///
    /// The events own their strings, and share longer ones with the chunk, where a [`MessageEvent`] borrows from it. That
    /// is why a chunk is taken
    /// by `Into<Bytes>` (`Bytes`, `Vec<u8>`, `String`, ...), which costs nothing, and not by `AsRef<[u8]>`, of which
    /// every event would need a copy.
    ///
    /// An error is never the end by itself: after [`StreamError::Decode`] the next event follows; after
    /// [`StreamError::Transport`] it is for the inner stream to say what follows. An event left unfinished at the end
    /// is discarded.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ssekit_core::EventStream;
    ///
    /// # futures_util::FutureExt::now_or_never(async {
    /// let chunks = stream::iter([Ok::<_, std::io::Error>("id: 7\ndata: hel"), Ok("lo\n\n")]);
    /// let mut events = EventStream::new(chunks);
    /// while let Some(event) = events.next().await {
    ///     assert_eq!(event?.data, "hello");
    /// }
    /// assert_eq!(events.last_event_id(), "7");
    /// # Ok::<(), ssekit_core::StreamError<std::io::Error>>(())
    /// # }).unwrap().unwrap();
    /// ```
    #[derive(Debug)]
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct EventStream<S> {
        #[pin]
        inner: S,
        decoder: Decoder,
        chunk: Bytes,
        // How many of its bytes are behind us.
        used: usize,
        // The last long one, for the events that follow with the same.
        last_event_id: SharedStr,
        is_terminated: bool,
    }
}

impl<S> EventStream<S> {
    /// The events in `inner`, within the default [`Limits`].
    pub fn new(inner: S) -> Self {
        Self::with_decoder(inner, Decoder::new())
    }

    /// The events in `inner`, within limits of the caller's.
    pub fn with_limits(inner: S, limits: Limits) -> Self {
        Self::with_decoder(inner, Decoder::with_limits(limits))
    }

    /// The events in `inner`, by a decoder that may have a last event ID from an earlier stream.
    ///
    /// It should be new, or have been told to [`reconnect`](crate::BufferedDecoder::reconnect).
    pub fn with_decoder(inner: S, decoder: Decoder) -> Self {
        Self { inner, decoder, chunk: Bytes::new(), used: 0, last_event_id: SharedStr::default(), is_terminated: false }
    }

    /// The last event ID as of the last event, or empty: what a reconnection sends as `Last-Event-ID`.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// The reconnection time that the stream has asked for by `retry`, if it has.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.decoder.reconnection_time()
    }

    /// The decoder, for the next connection: told to [`reconnect`](crate::BufferedDecoder::reconnect), it keeps the last
    /// event ID and the reconnection time.
    pub fn into_decoder(self) -> Decoder {
        self.decoder
    }
}

impl<S, B, E> Stream for EventStream<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
{
    type Item = Result<ReceivedEvent, StreamError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if *this.is_terminated {
            return Poll::Ready(None);
        }
        loop {
            let mut rest = this.chunk.get(*this.used..).unwrap_or_default();
            let result = this.decoder.next_event(&mut rest);
            *this.used = this.chunk.len() - rest.len();
            match result {
                // Made in place: it is large.
                Ok(Some(event)) => {
                    return Poll::Ready(Some(Ok(ReceivedEvent::share_after(event, this.chunk, this.last_event_id))));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(StreamError::Decode(error)))),
            }
            // It is used up, and must not be kept alive while the next one is waited for.
            *this.chunk = Bytes::new();
            *this.used = 0;
            match ready!(this.inner.as_mut().poll_next(cx)) {
                Some(Ok(chunk)) => *this.chunk = chunk.into(),
                Some(Err(error)) => return Poll::Ready(Some(Err(StreamError::Transport(error)))),
                None => {
                    *this.is_terminated = true;
                    return Poll::Ready(None);
                }
            }
        }
    }
}

impl<S, B, E> FusedStream for EventStream<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
{
    fn is_terminated(&self) -> bool {
        self.is_terminated
    }
}

/// What can go wrong in an [`EventStream`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError<E> {
    /// An event was over a limit and has been dropped. The next one follows.
    Decode(DecodeError),
    /// The inner stream's own error.
    Transport(E),
}

impl<E> StreamError<E> {
    /// Returns the inner stream's error, or `None` if an event was over a limit.
    ///
    /// ```
    /// use ssekit_core::StreamError;
    ///
    /// assert_eq!(StreamError::Transport("reset").into_transport(), Some("reset"));
    /// ```
    pub fn into_transport(self) -> Option<E> {
        match self {
            Self::Transport(error) => Some(error),
            Self::Decode(_) => None,
        }
    }

    /// Whether the next event of the stream follows: an event was over a limit and was dropped.
    pub fn is_decode(&self) -> bool {
        matches!(self, Self::Decode(_))
    }
}

/// Returns the inner stream's error if it is an `io::Error`, and otherwise wraps the error in one.
///
/// ```
/// use std::io;
/// use ssekit_core::StreamError;
///
/// let error = StreamError::Transport(io::Error::from(io::ErrorKind::ConnectionReset));
/// assert_eq!(io::Error::from(error).kind(), io::ErrorKind::ConnectionReset);
/// ```
#[cfg(feature = "std")]
impl<E: Into<BoxError>> From<StreamError<E>> for std::io::Error {
    fn from(error: StreamError<E>) -> Self {
        match error {
            StreamError::Decode(error) => Self::new(std::io::ErrorKind::InvalidData, error),
            StreamError::Transport(error) => match error.into().downcast::<Self>() {
                Ok(error) => *error,
                Err(error) => Self::other(error),
            },
        }
    }
}

impl<E: fmt::Display> fmt::Display for StreamError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode(error) => error.fmt(f),
            Self::Transport(error) => error.fmt(f),
        }
    }
}

impl<E: core::error::Error> core::error::Error for StreamError<E> {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Decode(error) => error.source(),
            Self::Transport(error) => error.source(),
        }
    }
}
