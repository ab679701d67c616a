//! A stream of chunks into a stream of events that can be sent on as they came.

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
use crate::limits::Limits;
use crate::received_event::{ReceivedEvent, SharedStr};
use crate::stream::StreamError;

const BOM: &[u8] = b"\xEF\xBB\xBF";

pin_project! {
    /// An [`EventStream`](crate::EventStream) for a relay, which looks at events and sends most of them on as they are:
    /// its events keep the bytes that they were decoded from.
    ///
    /// These are shared with the chunk. Where an event straddles chunks, they are joined by a copy, of at most as much as
    /// the [`Limits`] allow an event in all.
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
        // How many of its bytes are behind us.
        used: usize,
        raw: Raw,
        last_event_id: SharedStr,
        is_terminated: bool,
    }
}

impl<S> RelayStream<S> {
    /// The events in `inner`, within the default [`Limits`].
    pub fn new(inner: S) -> Self {
        Self::with_limits(inner, Limits::default())
    }

    /// The events in `inner`, within limits of the caller's.
    pub fn with_limits(inner: S, limits: Limits) -> Self {
        Self {
            inner,
            decoder: Decoder::with_limits(limits),
            chunk: Bytes::new(),
            used: 0,
            raw: Raw::new(limits),
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
                    let event = ReceivedEvent::share_after(event, this.chunk, this.last_event_id);
                    let frame = this.raw.take(this.chunk, start..*this.used);
                    return Poll::Ready(Some(Ok(RelayEvent { event, frame })));
                }
                Ok(None) => this.raw.hold(this.chunk.get(start..).unwrap_or_default()),
                Err(error) => {
                    this.raw.lose();
                    return Poll::Ready(Some(Err(StreamError::Decode(error))));
                }
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

/// The bytes of the event that is being read, from behind the one before it.
#[derive(Debug)]
struct Raw {
    /// Those that were in earlier chunks.
    held: BytesMut,
    max: usize,
    is_at_start: bool,
    /// Some are not known.
    is_lost: bool,
}

impl Raw {
    fn new(limits: Limits) -> Self {
        // An event at its limits; what comments it has on top are as many bytes again at the most.
        let max = limits.data.saturating_add(limits.event_type).saturating_add(limits.last_event_id).saturating_mul(2);
        Self { held: BytesMut::new(), max, is_at_start: true, is_lost: false }
    }

    /// The chunk ends amid the event.
    fn hold(&mut self, piece: &[u8]) {
        if self.is_lost || piece.len() > self.max.saturating_sub(self.held.len()) {
            self.lose();
        } else {
            self.held.extend_from_slice(piece);
        }
    }

    /// An event was dropped, of which there may be more to come, or it cannot be held.
    fn lose(&mut self) {
        self.held = BytesMut::new();
        self.is_lost = true;
    }

    /// The event ends in `chunk`.
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
        // It is one at the start of a stream only, which the frame need not be at.
        if is_at_start && bytes.starts_with(BOM) {
            bytes = bytes.slice(BOM.len()..);
        }
        // And this is none, and part of an unknown field, but would be one if the frame came first.
        (!bytes.starts_with(BOM)).then(|| EncodedEvent::from_wire(bytes))
    }
}

/// An event to be looked at, and to be sent on as it came: as a [`EncodedEvent`], by `into()`.
///
/// That frame has all bytes since the event before, with comments, unknown fields and line ends as they were (but not
/// the stream's byte order mark). Encoded anew is only an event behind one that was over a limit, one with more comments
/// than could be held, and one behind what would be a byte order mark if it came first.
#[derive(Clone, Debug)]
pub struct RelayEvent {
    event: ReceivedEvent,
    frame: Option<EncodedEvent>,
}

impl RelayEvent {
    /// Returns the event.
    pub fn event(&self) -> &ReceivedEvent {
        &self.event
    }

    /// Returns the event without its original bytes, to be changed.
    pub fn into_received(self) -> ReceivedEvent {
        self.event
    }
}

impl From<RelayEvent> for EncodedEvent {
    fn from(RelayEvent { event, frame }: RelayEvent) -> Self {
        frame.unwrap_or_else(|| match Event::try_from(&event) {
            Ok(event) => Self::from(event),
            // Never: it was decoded, and so can be encoded.
            Err(_) => Self::from(Event::data(&event.data)),
        })
    }
}
