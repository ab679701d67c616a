//! A stream of events from a stream of chunks.

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
    /// A stream of the events in a stream of chunks.
    ///
    /// The inner stream has the type `Stream<Item = Result<impl Into<Bytes>, E>>`. HTTP clients return the body of a
    /// response as such a stream.
    ///
    /// The events own their text. Text of up to 23 bytes is copied, and longer text shares its chunk. This needs
    /// `Into<Bytes>` (`Bytes`, `Vec<u8>`, `String`), which copies nothing. With `AsRef<[u8]>`, each event would be a
    /// copy.
    ///
    /// The stream continues after an error:
    ///
    /// - after [`StreamError::Decode`], with the next event;
    /// - after [`StreamError::Transport`], with the next chunk of the inner stream, if there is one.
    ///
    /// An event that is unfinished at the end of the inner stream is discarded.
    ///
    /// It is `Unpin` if the inner stream is. Pin an inner stream that is not with `Box::pin`, if
    /// [`into_decoder`](Self::into_decoder) is needed later.
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
        // The number of bytes of the chunk that were decoded: `used <= chunk.len()`.
        used: usize,
        // The last ID of more than 23 bytes. Events with the same ID share it.
        last_event_id: SharedStr,
        is_terminated: bool,
    }
}

impl<S> EventStream<S> {
    /// Makes a stream of the events in `inner`, with the default [`Limits`].
    pub fn new(inner: S) -> Self {
        Self::with_decoder(inner, Decoder::new())
    }

    /// Makes a stream of the events in `inner`, with other limits.
    pub fn with_limits(inner: S, limits: Limits) -> Self {
        Self::with_decoder(inner, Decoder::with_limits(limits))
    }

    /// Makes a stream of the events in `inner`, with a decoder from an earlier stream.
    ///
    /// The decoder has the last event ID and the reconnection time. Call
    /// [`reconnect`](crate::BufferedDecoder::reconnect) on it first.
    pub fn with_decoder(inner: S, decoder: Decoder) -> Self {
        Self { inner, decoder, chunk: Bytes::new(), used: 0, last_event_id: SharedStr::default(), is_terminated: false }
    }

    /// Returns the last event ID, or an empty string.
    ///
    /// It is the ID that a reconnection sends in the header `Last-Event-ID`.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// Returns the last reconnection time that the stream has set by `retry`.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.decoder.reconnection_time()
    }

    /// Returns the decoder, for the next connection.
    ///
    /// After [`reconnect`](crate::BufferedDecoder::reconnect) it has only the last event ID and the reconnection
    /// time. Without that call, an unfinished event would be joined with the next connection.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ssekit_core::EventStream;
    ///
    /// # futures_util::FutureExt::now_or_never(async {
    /// let mut events = EventStream::new(stream::iter([Ok::<_, std::io::Error>("id: 7\ndata: a\n\ndata: cut o")]));
    /// assert_eq!(events.next().await.unwrap()?.data, "a");
    /// assert!(events.next().await.is_none());
    ///
    /// let mut decoder = events.into_decoder();
    /// decoder.reconnect();
    /// let mut events = EventStream::with_decoder(stream::iter([Ok::<_, std::io::Error>("data: b\n\n")]), decoder);
    /// let event = events.next().await.unwrap()?;
    /// assert_eq!((&*event.data, &*event.last_event_id), ("b", "7"));
    /// # Ok::<(), ssekit_core::StreamError<std::io::Error>>(())
    /// # }).unwrap().unwrap();
    /// ```
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
                // The event is built in place, because it is large.
                Ok(Some(event)) => {
                    return Poll::Ready(Some(Ok(ReceivedEvent::share_with_cached_id(
                        event,
                        this.chunk,
                        this.last_event_id,
                    ))));
                }
                Ok(None) => {}
                Err(error) => return Poll::Ready(Some(Err(StreamError::Decode(error)))),
            }
            // The chunk is used up. It must not stay in memory while the stream waits for the next one.
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

/// An error of an [`EventStream`].
///
/// With the feature `std` it converts into an `io::Error` with `From`, if `E` is an error: an `E` that is an `io::Error`
/// is returned as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StreamError<E> {
    /// An event was dropped, because it was over a limit. The stream continues with the next event.
    Decode(DecodeError),
    /// The inner stream has failed with this error.
    Transport(E),
}

impl<E> StreamError<E> {
    /// Returns the error of the inner stream, or `None` for a dropped event.
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

    /// Whether an event was dropped. The stream then continues with the next event.
    pub fn is_decode(&self) -> bool {
        matches!(self, Self::Decode(_))
    }
}

/// Returns the inner stream's error if it is an `io::Error`. Wraps other errors in one.
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
