//! A stream of events that keep the bytes in which they were received.

use core::mem;
use core::ops::Range;
use core::pin::Pin;
use core::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::decoder::Decoder;
use crate::encoded_event::EncodedEvent;
use crate::event::Event;
use crate::into_event::{BoxError, IntoEvent};
use crate::limits::Limits;
use crate::received_event::{ReceivedEvent, SharedStr};
use crate::stream::StreamError;

const BOM: &[u8] = b"\xEF\xBB\xBF";

pin_project! {
    /// A stream of events that can be sent on unchanged.
    ///
    /// It is an [`EventStream`](crate::EventStream) for a relay: a program that inspects events and sends most of
    /// them on. Each [`RelayEvent`] keeps the bytes from which it was decoded.
    ///
    /// The bytes share their chunk. For an event across several chunks, they are copied. At most twice the sum of the
    /// [`Limits`] is copied for an event.
    ///
    /// ```
    /// use futures_util::{StreamExt, stream};
    /// use ssekit_core::{Event, EncodedEvent, InvalidValue, RelayStream};
    ///
    /// # futures_util::FutureExt::now_or_never(async {
    /// let chunks = stream::iter([Ok::<_, std::io::Error>("data:as it\r\ndata:is\r\n\r\ndata: secret\n\n: hi\nid:7\nda"), Ok("ta:x\n\n")]);
    /// let mut events = RelayStream::new(chunks);
    /// let mut sent = Vec::new();
    /// while let Some(event) = events.next().await {
    ///     let event = event?;
    ///     sent.push(match &*event.event().data {
    ///         "secret" => EncodedEvent::from(Event::data("***")),
    ///         _ => EncodedEvent::from(event),
    ///     });
    /// }
    /// let sent: Vec<&[u8]> = sent.iter().map(EncodedEvent::as_bytes).collect();
    /// assert_eq!(sent, [&b"data:as it\r\ndata:is\r\n\r\n"[..], b"data: ***\n\n", b": hi\nid:7\ndata:x\n\n"]);
    /// # Ok::<(), ssekit_core::StreamError<std::io::Error>>(())
    /// # }).unwrap().unwrap();
    /// ```
    #[derive(Debug)]
    #[must_use = "a stream does nothing unless it is polled"]
    pub struct RelayStream<S> {
        #[pin]
        inner: S,
        decoder: Decoder,
        chunk: Bytes,
        // The number of bytes of the chunk that were decoded: `used <= chunk.len()`.
        used: usize,
        raw: RawBytes,
        last_event_id: SharedStr,
        is_terminated: bool,
    }
}

impl<S> RelayStream<S> {
    /// Makes a stream of the events in `inner`, with the default [`Limits`].
    pub fn new(inner: S) -> Self {
        Self::with_limits(inner, Limits::default())
    }

    /// Makes a stream of the events in `inner`, with other limits.
    pub fn with_limits(inner: S, limits: Limits) -> Self {
        Self {
            inner,
            decoder: Decoder::with_limits(limits),
            chunk: Bytes::new(),
            used: 0,
            raw: RawBytes::new(limits),
            last_event_id: SharedStr::default(),
            is_terminated: false,
        }
    }
}

impl<S, B, E> Stream for RelayStream<S>
where
    S: Stream<Item = Result<B, E>>,
    B: Into<Bytes>,
{
    type Item = Result<RelayEvent, StreamError<E>>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if *this.is_terminated {
            return Poll::Ready(None);
        }
        loop {
            let start = *this.used;
            let mut rest = this.chunk.get(start..).unwrap_or_default();
            let result = this.decoder.next_event(&mut rest);
            *this.used = this.chunk.len() - rest.len();
            match result {
                Ok(Some(event)) => {
                    let event = ReceivedEvent::share_with_cached_id(event, this.chunk, this.last_event_id);
                    let encoded = this.raw.take(this.chunk, start..*this.used);
                    return Poll::Ready(Some(Ok(RelayEvent { event, encoded })));
                }
                Ok(None) => this.raw.hold(this.chunk.get(start..).unwrap_or_default()),
                Err(error) => {
                    this.raw.lose();
                    return Poll::Ready(Some(Err(StreamError::Decode(error))));
                }
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

/// The raw bytes of the unfinished event.
///
/// ```text
/// chunks:  [ event 1 | start of ev ] [ ent 2 | event 3 ]
///                     -------------    -----
///                     held             `rest` in `take`
/// ```
///
/// Invariants: `held.len() <= max`, and `held.is_empty()` if `is_lost`.
#[derive(Debug)]
struct RawBytes {
    /// The bytes in earlier chunks.
    held: BytesMut,
    max: usize,
    is_at_start: bool,
    /// Some bytes were not kept, so the event must be encoded again.
    is_lost: bool,
}

impl RawBytes {
    fn new(limits: Limits) -> Self {
        // An event at all limits, and as many bytes again for comments.
        let max = limits.data.saturating_add(limits.event_type).saturating_add(limits.last_event_id).saturating_mul(2);
        Self { held: BytesMut::new(), max, is_at_start: true, is_lost: false }
    }

    /// Keeps `piece`: the chunk ends inside the event.
    fn hold(&mut self, piece: &[u8]) {
        if self.is_lost || piece.len() > self.max.saturating_sub(self.held.len()) {
            self.lose();
        } else {
            self.held.extend_from_slice(piece);
        }
    }

    /// Forgets the bytes: the event was dropped, or has too many bytes.
    fn lose(&mut self) {
        self.held = BytesMut::new();
        self.is_lost = true;
    }

    /// Returns all bytes of an event that ends in `chunk`.
    fn take(&mut self, chunk: &Bytes, rest: Range<usize>) -> Option<EncodedEvent> {
        let is_at_start = mem::take(&mut self.is_at_start);
        if mem::take(&mut self.is_lost) {
            return None;
        }
        let mut bytes = if self.held.is_empty() {
            chunk.slice(rest)
        } else {
            let mut joined = mem::take(&mut self.held);
            joined.extend_from_slice(chunk.get(rest).unwrap_or_default());
            joined.freeze()
        };
        // A byte order mark is valid only at the start of a stream. The encoded event can be sent anywhere.
        if is_at_start && bytes.starts_with(BOM) {
            bytes = bytes.slice(BOM.len()..);
        }
        // Elsewhere these bytes belong to an unknown field. At the start of a stream they would become a byte order
        // mark.
        (!bytes.starts_with(BOM)).then(|| EncodedEvent::from_wire(bytes))
    }
}

/// An event that can be sent on in the bytes in which it was received.
///
/// `EncodedEvent::from(event)` has all bytes after the event before: comments, unknown fields and line ends are
/// unchanged. The byte order mark of the stream is removed.
///
/// The event is encoded again in three cases:
///
/// - the event before it was over a limit;
/// - its bytes, with comments, are more than twice the sum of the limits;
/// - its first bytes look like a byte order mark.
#[derive(Clone, Debug)]
pub struct RelayEvent {
    event: ReceivedEvent,
    encoded: Option<EncodedEvent>,
}

impl RelayEvent {
    /// Returns the event.
    pub fn event(&self) -> &ReceivedEvent {
        &self.event
    }

    /// Returns the event without its raw bytes, to change it.
    pub fn into_received(self) -> ReceivedEvent {
        self.event
    }
}

impl From<RelayEvent> for EncodedEvent {
    fn from(RelayEvent { event, encoded }: RelayEvent) -> Self {
        encoded.unwrap_or_else(|| match Event::try_from(&event) {
            Ok(event) => Self::from(event),
            // This cannot happen: a decoded event can be encoded.
            Err(_) => Self::from(Event::data(&event.data)),
        })
    }
}

/// Sends the bytes that the event was received as.
impl IntoEvent for RelayEvent {
    fn into_event(self) -> Result<EncodedEvent, BoxError> {
        Ok(EncodedEvent::from(self))
    }
}
