//! Event streams into events.

#[cfg(feature = "alloc")]
use alloc::string::String;
use core::time::Duration;

use crate::buffer::{Buffer, FixedBuffer, SliceBuffer};
use crate::lexer::{FieldName, Lexeme, Lexer, Piece};
use crate::limits::{DecodeError, Limits};
use crate::message_event::MessageEvent;
use crate::pending_event::{Held, PendingEvent, out_of_memory};
use crate::scan::Lines;
use crate::values::IntoEventId;

/// A decoder whose buffers grow as needed within its [`Limits`].
///
/// Once they are as large as the stream's events need, decoding allocates nothing.
#[cfg(feature = "alloc")]
pub type Decoder = BufferedDecoder<String, String>;

/// A decoder with buffers of a fixed size inside it, for `DATA` bytes of data and `META` bytes each of event type and
/// ID. Needs no allocator.
///
/// ```
/// use ssekit_core::FixedDecoder;
///
/// let mut decoder = FixedDecoder::<4096, 256>::new();
/// let mut chunk = &b"data: one\ndata: two\n\n"[..];
/// assert_eq!(decoder.next_event(&mut chunk)?.map(|event| event.data), Some("one\ntwo"));
/// # Ok::<(), ssekit_core::DecodeError>(())
/// ```
pub type FixedDecoder<const DATA: usize, const META: usize> = BufferedDecoder<FixedBuffer<DATA>, FixedBuffer<META>>;

/// A decoder over memory of the caller's. Needs no allocator.
pub type SliceDecoder<'b> = BufferedDecoder<SliceBuffer<'b>, SliceBuffer<'b>>;

/// The buffers of a [`BufferedDecoder`].
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "programs build it")]
pub struct Buffers<D, M> {
    /// For the data.
    pub data: D,
    /// For the event type.
    pub event_type: M,
    /// For the last event ID: the one that was dispatched, that of the event being read, and the one whose line is
    /// being read. The smallest of the three counts.
    pub last_event_id: [M; 3],
}

/// Decodes an event stream that comes in chunks, into events that borrow from the chunk and from the decoder.
///
/// [`Decoder`], [`FixedDecoder`] and [`SliceDecoder`] are its usual forms; `D` holds data, `M` event types and IDs.
///
/// It does what the WHATWG HTML standard says in section 9.2.6, "Interpreting an event stream", and what that leaves
/// open or hard to see is this:
///
/// - The result does not depend on where the chunks were cut, be it inside a character, a CRLF or the byte order mark.
/// - A CR ends its line at once; an LF after it, even in the next chunk, belongs to it.
/// - What is not UTF-8 becomes U+FFFD, as the standard's "UTF-8 decode" does it. It is no error.
/// - An `id` with a NUL in it is ignored. The last event ID changes when its event is dispatched, also by an event with
///   no data, which is not handed out.
/// - A `retry` counts from the end of its line; one that is not all digits is ignored, and one over 2^64 - 1 is taken
///   for that.
/// - An event that the stream's end leaves unfinished is discarded.
/// - A new connection keeps the last event ID, as browsers do: see [`reconnect`](Self::reconnect).
///
/// An event that lies whole in the chunk and has one `data` line is handed out as slices of the chunk, of which only an
/// ID is copied, to be kept. What straddles chunks, has several lines or stands before an odd line (an ID with a NUL, text
/// that is not UTF-8) is copied to the decoder, each byte once. The time is linear in the input however it is
/// cut. Memory is bounded by the [`Limits`] whatever comes; growable buffers may take twice as much, and keep it until
/// [`Decoder::shrink_to_fit`].
///
/// # Examples
///
/// ```
/// use ssekit_core::Decoder;
///
/// let mut chunks = [&b"event: greeting\ndata: hel"[..], b"lo\nid: 7\n\n"].into_iter();
///
/// let mut decoder = Decoder::new();
/// let mut seen = String::new();
/// while let Some(mut chunk) = chunks.next() {
///     while let Some(event) = decoder.next_event(&mut chunk)? {
///         seen = format!("{} {} {}", event.event_type, event.data, event.last_event_id);
///     }
/// }
/// assert_eq!(seen, "greeting hello 7");
/// assert_eq!(decoder.last_event_id(), "7");
/// # Ok::<(), ssekit_core::DecodeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct BufferedDecoder<D, M> {
    lexer: Lexer,
    block: PendingEvent<D, M>,
}

/// What became of lines that lie whole in the chunk.
enum Taken {
    /// All up to a blank one were taken.
    PendingEvent,
    /// So many bytes are left, and start with a line that wants a closer look.
    AllBut(usize),
    Failed(DecodeError),
}

/// Where a closer look has led to.
enum Step {
    /// To the start of a line.
    More,
    /// Behind a blank line.
    Blank,
    EndOfChunk,
    Failed(DecodeError),
}

impl<T> From<Step> for Result<Option<T>, DecodeError> {
    #[inline]
    fn from(step: Step) -> Self {
        match step {
            Step::Failed(error) => Err(error),
            _ => Ok(None),
        }
    }
}

/// What the event that is being read has in the chunk. The rest is in the [`PendingEvent`].
#[derive(Clone, Copy, Default)]
struct InChunk<'c> {
    data: Option<&'c str>,
    /// Or empty.
    event_type: &'c str,
    id: Option<&'c str>,
}

impl<D: Buffer + Default, M: Buffer + Default> BufferedDecoder<D, M> {
    /// A decoder at the start of a stream, with the default [`Limits`].
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// A decoder at the start of a stream, with limits of the caller's.
    pub fn with_limits(limits: Limits) -> Self {
        let ids = [M::default(), M::default(), M::default()];
        let buffers = Buffers { data: D::default(), event_type: M::default(), last_event_id: ids };
        Self::with_buffers(buffers, limits)
    }
}

impl<D: Buffer + Default, M: Buffer + Default> Default for BufferedDecoder<D, M> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(feature = "alloc")]
impl Decoder {
    /// Gives back the memory that is of no use at the moment: after a large event, or before a long wait.
    pub fn shrink_to_fit(&mut self) {
        if self.block.held.has(Held::LENT) {
            self.block.start();
        }
        self.block.data.shrink_to_fit();
        let PendingEvent { event_type, last_event_id, next_id, id_line, .. } = &mut self.block;
        for buffer in [event_type, last_event_id, next_id, id_line] {
            buffer.shrink_to_fit();
        }
    }
}

impl<'b> SliceDecoder<'b> {
    /// A decoder at the start of a stream, with the default [`Limits`] and its memory from the caller: `data` for the
    /// data, `meta` in four equal parts for the event type and the three of the last event ID.
    ///
    /// ```
    /// use ssekit_core::SliceDecoder;
    ///
    /// let (mut data, mut meta) = ([0; 1024], [0; 4 * 64]);
    /// let mut decoder = SliceDecoder::from_slices(&mut data, &mut meta);
    /// let mut chunk = &b"id: 1\ndata: x\n\n"[..];
    /// assert!(decoder.next_event(&mut chunk)?.is_some());
    /// # Ok::<(), ssekit_core::DecodeError>(())
    /// ```
    pub fn from_slices(data: &'b mut [u8], meta: &'b mut [u8]) -> Self {
        let quarter = meta.len() / 4;
        let (a, rest) = meta.split_at_mut(quarter);
        let (b, rest) = rest.split_at_mut(quarter);
        let (c, d) = rest.split_at_mut(quarter);
        let [event_type, ids @ ..] = [a, b, c, d].map(SliceBuffer::new);
        let buffers = Buffers { data: SliceBuffer::new(data), event_type, last_event_id: ids };
        Self::with_buffers(buffers, Limits::default())
    }
}

impl<D: Buffer, M: Buffer> BufferedDecoder<D, M> {
    /// A decoder at the start of a stream, over buffers and with limits of the caller's.
    pub fn with_buffers(buffers: Buffers<D, M>, limits: Limits) -> Self {
        let Buffers { mut data, mut event_type, last_event_id: [mut last_event_id, mut next_id, mut id_line] } =
            buffers;
        data.clear();
        for buffer in [&mut event_type, &mut last_event_id, &mut next_id, &mut id_line] {
            buffer.clear();
        }
        let id_buffers = last_event_id.max_len().min(next_id.max_len()).min(id_line.max_len());
        let limits = Limits {
            data: limits.data.min(data.max_len()),
            event_type: limits.event_type.min(event_type.max_len()),
            last_event_id: limits.last_event_id.min(id_buffers),
        };
        let ids = [last_event_id, next_id, id_line];
        Self { lexer: Lexer::new(), block: PendingEvent::new(limits, data, event_type, ids) }
    }

    /// The next event in `chunk`, which is moved past it; `Ok(None)` when the chunk is used up and another is needed.
    ///
    /// Call it until it gives `None`, then give it the next chunk: of any size, cut anywhere.
    ///
    /// The event borrows from the chunk and from the decoder. So a function that loops over it can use events as they
    /// come, and hand them to a closure, but the borrow checker does not let it return one from within the loop.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when an event is over a limit: as soon as that is certain, and once for each such event. It is
    /// never fatal; the next call goes on behind that event. A loop that shall outlast one is:
    ///
    /// ```
    /// # use ssekit_core::{Decoder, Limits};
    /// # let mut decoder = Decoder::with_limits(Limits { data: 4, ..Limits::default() });
    /// # let (mut seen, mut dropped) = (0, 0);
    /// let mut chunk = &b"data: a\n\ndata: too long\n\ndata: b\n\n"[..];
    /// while let Some(result) = decoder.next_event(&mut chunk).transpose() {
    ///     match result {
    ///         Ok(event) => seen += event.data.len(),
    ///         Err(_) => dropped += 1,
    ///     }
    /// }
    /// assert_eq!((seen, dropped), (2, 1));
    /// ```
    #[inline]
    #[expect(clippy::too_many_lines, reason = "one loop: a call between its parts costs instructions for each line")]
    pub fn next_event<'a, 'c: 'a>(&'a mut self, chunk: &mut &'c [u8]) -> Result<Option<MessageEvent<'a>>, DecodeError> {
        let mut lines = Lines::new(chunk);
        if self.block.held == Held::LENT {
            self.block.start();
        }
        if self.block.held != Held::NOTHING || !self.lexer.is_at_line_start() {
            let (step, tail) = self.resume(chunk);
            lines = Lines::new(tail);
            if let Step::EndOfChunk | Step::Failed(_) = step {
                *chunk = tail;
                return step.into();
            }
        }
        let mut found = InChunk::default();
        loop {
            // Nearly every line lies whole in the chunk.
            match self.take_lines(&mut lines, &mut found) {
                Taken::PendingEvent => {}
                Taken::AllBut(left) => {
                    let InChunk { data, event_type, id } = core::mem::take(&mut found);
                    let (step, tail) = self.take_piece(data, event_type, id, &chunk[chunk.len() - left..]);
                    lines = Lines::new(tail);
                    match step {
                        Step::More => continue,
                        Step::Blank => {}
                        Step::EndOfChunk | Step::Failed(_) => {
                            *chunk = tail;
                            return step.into();
                        }
                    }
                }
                Taken::Failed(error) => {
                    *chunk = lines.rest();
                    return self.drop_event(error).into();
                }
            }
            *chunk = lines.rest();
            if let Err(error) = self.block.commit(found.id) {
                self.block.start();
                return Err(error);
            }
            let data = match found.data {
                Some(text) => text,
                None if self.block.held.has(Held::DATA) => self.block.data.as_str(),
                // "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty
                // string and return." A block with a `data` field has at least an LF in it at that point.
                None => {
                    self.block.held = Held::NOTHING;
                    found = InChunk::default();
                    continue;
                }
            };
            let mut event_type = found.event_type;
            if self.block.held != Held::NOTHING {
                if self.block.held.has(Held::EVENT_TYPE) {
                    event_type = self.block.event_type.as_str();
                }
                self.block.held = Held::LENT;
            }
            if event_type.is_empty() {
                event_type = "message";
            }
            let last_event_id = match found.id {
                Some(text) => text,
                None => self.block.last_event_id.as_str(),
            };
            return Ok(Some(MessageEvent { event_type, data, last_event_id }));
        }
    }

    /// Takes the lines that lie whole in the chunk, up to and with a blank one.
    #[inline(always)]
    fn take_lines<'c>(&mut self, lines: &mut Lines<'c>, found: &mut InChunk<'c>) -> Taken {
        loop {
            let left = lines.rest().len();
            let Some(line) = lines.next() else { return Taken::AllBut(left) };
            if line.is_empty() {
                return Taken::PendingEvent;
            }
            match FieldName::of(line) {
                (FieldName::Data, text) if found.data.is_none() && !self.block.held.has(Held::DATA) => {
                    if text.len() > self.block.limits.data {
                        return Taken::AllBut(left);
                    }
                    found.data = Some(text);
                }
                (FieldName::Data, text) => {
                    let (result, tail) = self.block.add_lines(found.data.take(), text, *lines);
                    *lines = tail;
                    if let Err(error) = result {
                        return Taken::Failed(error);
                    }
                }
                (FieldName::Id, text) if text.len() <= self.block.limits.last_event_id => found.id = Some(text),
                (FieldName::Event, text) if text.len() <= self.block.limits.event_type => {
                    self.block.held.remove(Held::EVENT_TYPE);
                    found.event_type = text;
                }
                (line @ FieldName::Retry, text) => self.block.retry(Piece::whole(line, text)),
                (FieldName::Comment | FieldName::Unknown, _) => {}
                _ => return Taken::AllBut(left),
            }
        }
    }

    /// Takes the next line, whatever it is, or what there is of it, and keeps what has been found before it.
    // The parts of `InChunk` go one by one, since a struct would go by way of memory.
    #[cold]
    #[inline(never)]
    fn take_piece<'c>(
        &mut self,
        data: Option<&str>,
        event_type: &str,
        id: Option<&str>,
        chunk: &'c [u8],
    ) -> (Step, &'c [u8]) {
        let (result, tail) = match self.block.keep(data, event_type, id) {
            Ok(()) => match self.lexer.take_data_start(chunk) {
                Some(text) => (self.block.add_line(None, text), &[][..]),
                None => match self.lexer.next_piece(chunk) {
                    (Some(Lexeme::Dispatch), tail) => return (Step::Blank, tail),
                    (Some(Lexeme::Piece(piece)), tail) => (self.block.take(piece), tail),
                    (None, tail) => (Ok(()), tail),
                },
            },
            Err(error) => (Err(error), chunk),
        };
        let step = match result {
            Ok(()) if tail.is_empty() => Step::EndOfChunk,
            Ok(()) => Step::More,
            Err(error) => self.drop_event(error),
        };
        (step, tail)
    }

    /// Goes on with what the last chunk has left behind.
    #[inline(never)]
    fn resume<'c>(&mut self, mut chunk: &'c [u8]) -> (Step, &'c [u8]) {
        if self.block.held.has(Held::DATA) && self.block.is_at_char() {
            let (text, rest) = self.lexer.take_more_data(chunk);
            if let Err(error) = self.block.add_text(text) {
                return (self.drop_event(error), rest);
            }
            if rest.is_empty() {
                return (Step::EndOfChunk, rest);
            }
            chunk = rest;
        }
        self.lexer.settle(&mut chunk);
        while !chunk.is_empty() && (!self.lexer.is_at_line_start() || self.block.held.has(Held::DROPPED)) {
            let (lexeme, tail) = self.lexer.next_piece(chunk);
            chunk = tail;
            match lexeme {
                Some(Lexeme::Piece(piece)) if piece.line == FieldName::Retry => self.block.retry(piece),
                Some(Lexeme::Dispatch) if self.block.held.has(Held::DROPPED) => self.block.start(),
                // The stream starts with a blank line.
                Some(Lexeme::Dispatch) => {}
                Some(Lexeme::Piece(piece)) if !self.block.held.has(Held::DROPPED) => {
                    if let Err(error) = self.block.take(piece) {
                        return (self.drop_event(error), chunk);
                    }
                }
                _ => {}
            }
        }
        (if chunk.is_empty() { Step::EndOfChunk } else { Step::More }, chunk)
    }

    #[cold]
    fn drop_event(&mut self, error: DecodeError) -> Step {
        self.block.drop_event();
        Step::Failed(error)
    }

    /// Starts over with a new stream: drops what is unfinished of the old one, keeps the last event ID and the
    /// reconnection time.
    ///
    /// ```
    /// use ssekit_core::Decoder;
    ///
    /// let mut decoder = Decoder::new();
    /// let mut chunk = &b"id: 1\ndata: x\n\ndata: unfini"[..];
    /// while decoder.next_event(&mut chunk)?.is_some() {}
    /// decoder.reconnect();
    /// let mut chunk = &b"data: y\n\n"[..];
    /// let event = decoder.next_event(&mut chunk)?;
    /// assert_eq!(event.map(|event| (event.data, event.last_event_id)), Some(("y", "1")));
    /// # Ok::<(), ssekit_core::DecodeError>(())
    /// ```
    pub fn reconnect(&mut self) {
        self.lexer = Lexer::new();
        self.block.start();
    }

    /// Sets the last event ID, for a decoder that goes on where another program stopped.
    ///
    /// # Errors
    ///
    /// [`DecodeError::LastEventIdTooLong`] when it is over the limit, [`DecodeError::OutOfMemory`] when there is none for
    /// it; the last event ID is then what it was.
    pub fn set_last_event_id<'i>(&mut self, id: impl IntoEventId<'i>) -> Result<(), DecodeError> {
        let id = id.into_event_id();
        let limit = self.block.limits.last_event_id;
        if id.as_str().len() > limit {
            return Err(DecodeError::LastEventIdTooLong { limit });
        }
        self.block.last_event_id.replace(id.as_str()).map_err(out_of_memory)
    }

    /// The buffers, for another decoder. What they hold is of no meaning.
    pub fn into_buffers(self) -> Buffers<D, M> {
        let PendingEvent { data, event_type, last_event_id, next_id, id_line, .. } = self.block;
        Buffers { data, event_type, last_event_id: [last_event_id, next_id, id_line] }
    }

    /// The last event ID as of the last event dispatched, or empty: what a reconnection sends as `Last-Event-ID`.
    pub fn last_event_id(&self) -> &str {
        self.block.last_event_id.as_str()
    }

    /// The reconnection time that the stream has asked for by `retry`, if it has.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.block.reconnection_time.map(Duration::from_millis)
    }

    /// Whether the stream would be whole if it ended here: no line has begun that is not ended, and of no event that is not
    /// dispatched there is any data, ID, or type but an empty one.
    ///
    /// ```
    /// use ssekit_core::Decoder;
    ///
    /// let mut decoder = Decoder::new();
    /// let mut is_whole = |mut chunk: &[u8]| {
    ///     while decoder.next_event(&mut chunk)?.is_some() {}
    ///     Ok::<_, ssekit_core::DecodeError>(decoder.is_between_events())
    /// };
    /// assert!(is_whole(b"data: x\n\n: comment\n")?);
    /// assert!(!is_whole(b"data: unfinished\n")?);
    /// assert!(is_whole(b"\n")?);
    /// # Ok::<(), ssekit_core::DecodeError>(())
    /// ```
    pub fn is_between_events(&self) -> bool {
        self.lexer.is_between_lines() && self.block.is_empty()
    }

    /// The limits in force: those asked for, or the buffers' where they are smaller.
    pub fn limits(&self) -> Limits {
        self.block.limits
    }
}
