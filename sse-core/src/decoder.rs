//! The decoder: from chunks of an event stream to events.
//!
//! Two paths lead through it. Both give the same result for the same line.
//!
//! ```text
//! whole, plain line:  take_lines -> InChunk      (slices of the chunk) --+
//!                         |                                              +-> blank line -> MessageEvent
//! any other line:     take_piece -> PendingEvent (buffers) --------------+
//! next chunk:         resume ------^
//! ```

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

/// A decoder with growable buffers, limited by its [`Limits`].
///
/// It allocates until its buffers are as large as the stream's events need, and nothing afterwards.
///
/// ```
/// use ssekit_core::Decoder;
///
/// let mut decoder = Decoder::new();
/// let mut chunk = &b"data: hello\n\n"[..];
/// assert_eq!(decoder.next_event(&mut chunk)?.map(|event| event.data), Some("hello"));
/// # Ok::<(), ssekit_core::DecodeError>(())
/// ```
#[cfg(feature = "alloc")]
pub type Decoder = BufferedDecoder<String, String>;

/// A decoder with buffers of a fixed size inside the value.
///
/// It needs no allocator. `DATA` is the size for the data, `META` for the event type and for each of three IDs. So it
/// takes about `DATA + 4 * META` bytes. An event over a limit is an error, after which decoding continues: see
/// [`next_event`](BufferedDecoder::next_event).
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

/// A decoder that uses the caller's memory.
///
/// It needs no allocator. See [`SliceDecoder::from_slices`].
pub type SliceDecoder<'b> = BufferedDecoder<SliceBuffer<'b>, SliceBuffer<'b>>;

/// The buffers of a [`BufferedDecoder`].
///
/// The decoder clears them first.
#[derive(Clone, Debug, Default)]
#[expect(clippy::exhaustive_structs, reason = "programs build it")]
pub struct DecoderBuffers<D, M> {
    /// The buffer for the data.
    pub data: D,
    /// The buffer for the event type.
    pub event_type: M,
    /// Three buffers for IDs: of the last event, of the unfinished event, and of the unfinished line.
    ///
    /// The smallest of the three is the limit. The buffers change places while decoding.
    pub last_event_id: [M; 3],
}

/// Decodes an event stream from chunks into events that borrow their text.
///
/// Use one of its aliases: [`Decoder`], [`FixedDecoder`] or [`SliceDecoder`]. `D` stores data, `M` event types and
/// IDs.
///
/// # Behaviour
///
/// The decoder follows the WHATWG HTML standard, section 9.2.6, "Interpreting an event stream". In detail:
///
/// - The result does not depend on where chunks are cut, even inside a character, a CRLF or the byte order mark.
/// - A CR ends its line at once. An LF directly after it belongs to it, also in the next chunk.
/// - Bytes that are not UTF-8 become U+FFFD, as in the standard's "UTF-8 decode". They are not an error.
/// - An `id` with a NUL is ignored.
/// - The last event ID changes at the blank line that ends its event, even if the event has no data and is not
///   returned.
/// - A `retry` takes effect at the end of its line. If it is not all digits, it is ignored. A number over 2^64 - 1
///   counts as 2^64 - 1.
/// - An event that is unfinished at the end of the stream is discarded.
/// - A new connection keeps the last event ID, as in browsers: see [`reconnect`](Self::reconnect).
///
/// # Cost
///
/// An event with one `data` line that lies whole in its chunk is returned as slices of the chunk. Only its ID is
/// copied. The decoder copies the text of other events into its buffers, each byte once: events across chunks, events
/// with several `data` lines, and events with text that is not UTF-8.
///
/// The time is linear in the input, at any cuts. Memory is bounded by the [`Limits`]. Growable buffers can take twice
/// as much, and keep it until [`Decoder::shrink_to_fit`].
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
    pending: PendingEvent<D, M>,
}

/// The result of taking the lines that lie whole in the chunk.
enum Taken {
    /// A blank line was taken, and all lines before it.
    BlankLine,
    /// The lines up to a difficult one were taken. This many bytes of the chunk are left.
    AllBut(usize),
    Failed(DecodeError),
}

/// The place in the stream after a difficult line or piece.
enum Step {
    /// At the start of a line.
    More,
    /// After a blank line.
    BlankLine,
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

/// The part of the unfinished event that lies in the chunk. The other part is in the [`PendingEvent`].
#[derive(Clone, Copy, Default)]
struct InChunk<'c> {
    data: Option<&'c str>,
    /// Empty without a type.
    event_type: &'c str,
    id: Option<&'c str>,
}

impl<D: Buffer + Default, M: Buffer + Default> BufferedDecoder<D, M> {
    /// Makes a decoder at the start of a stream, with the default [`Limits`].
    pub fn new() -> Self {
        Self::with_limits(Limits::default())
    }

    /// Makes a decoder at the start of a stream, with other limits.
    pub fn with_limits(limits: Limits) -> Self {
        let ids = [M::default(), M::default(), M::default()];
        let buffers = DecoderBuffers { data: D::default(), event_type: M::default(), last_event_id: ids };
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
    /// Frees unused memory of the buffers.
    ///
    /// Call it after a large event, or before a long wait. The text of an unfinished event and the last event ID
    /// stay.
    ///
    /// ```
    /// use ssekit_core::Decoder;
    ///
    /// let mut decoder = Decoder::new();
    /// let large = ["data: ", &"x".repeat(1 << 20), "\ndata: y\n\n"].concat();
    /// assert!(decoder.next_event(&mut large.as_bytes())?.is_some());
    /// decoder.shrink_to_fit();
    /// assert_eq!(decoder.into_buffers().data.capacity(), 0);
    /// # Ok::<(), ssekit_core::DecodeError>(())
    /// ```
    pub fn shrink_to_fit(&mut self) {
        if self.pending.held.has(Held::LENT) {
            self.pending.start();
        }
        self.pending.data.shrink_to_fit();
        let PendingEvent { event_type, last_event_id, next_id, id_line, .. } = &mut self.pending;
        for buffer in [event_type, last_event_id, next_id, id_line] {
            buffer.shrink_to_fit();
        }
    }
}

impl<'b> SliceDecoder<'b> {
    /// Makes a decoder over two slices, with the default [`Limits`].
    ///
    /// `data` stores the data. `meta` is split into four equal parts: one for the event type and three for IDs.
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
        let buffers = DecoderBuffers { data: SliceBuffer::new(data), event_type, last_event_id: ids };
        Self::with_buffers(buffers, Limits::default())
    }
}

impl<D: Buffer, M: Buffer> BufferedDecoder<D, M> {
    /// Makes a decoder at the start of a stream, with these buffers and limits.
    ///
    /// It clears the buffers. A limit that is larger than its buffer is lowered to the size of the buffer.
    pub fn with_buffers(buffers: DecoderBuffers<D, M>, limits: Limits) -> Self {
        let DecoderBuffers { mut data, mut event_type, last_event_id: [mut last_event_id, mut next_id, mut id_line] } =
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
        Self { lexer: Lexer::new(), pending: PendingEvent::new(limits, data, event_type, ids) }
    }

    /// Returns the next event and moves `chunk` past it.
    ///
    /// Returns `Ok(None)` when the chunk is used up. Then call it with the next chunk, of any size.
    ///
    /// The event borrows from the chunk and from the decoder. A function that loops over events can use each event in
    /// the loop or pass it to a closure. The borrow checker does not let it return an event from the loop.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when an event is over a limit. It is returned once for each such event, as soon as the event
    /// is certain to be too long. The next call continues with the next event. This loop continues after errors:
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
        if self.pending.held == Held::LENT {
            self.pending.start();
        }
        if self.pending.held != Held::NOTHING || !self.lexer.is_at_line_start() {
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
                Taken::BlankLine => {}
                Taken::AllBut(left) => {
                    let InChunk { data, event_type, id } = core::mem::take(&mut found);
                    let (step, tail) = self.take_piece(data, event_type, id, &chunk[chunk.len() - left..]);
                    lines = Lines::new(tail);
                    match step {
                        Step::More => continue,
                        Step::BlankLine => {}
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
            if let Err(error) = self.pending.commit(found.id) {
                self.pending.start();
                return Err(error);
            }
            let data = match found.data {
                Some(text) => text,
                None if self.pending.held.has(Held::DATA) => self.pending.data.as_str(),
                // "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty
                // string and return." After a `data` line, the standard's buffer is not empty: it ends with an LF.
                None => {
                    self.pending.held = Held::NOTHING;
                    found = InChunk::default();
                    continue;
                }
            };
            let mut event_type = found.event_type;
            if self.pending.held != Held::NOTHING {
                if self.pending.held.has(Held::EVENT_TYPE) {
                    event_type = self.pending.event_type.as_str();
                }
                self.pending.held = Held::LENT;
            }
            if event_type.is_empty() {
                event_type = "message";
            }
            let last_event_id = match found.id {
                Some(text) => text,
                None => self.pending.last_event_id.as_str(),
            };
            return Ok(Some(MessageEvent { event_type, data, last_event_id }));
        }
    }

    /// Takes the lines that lie whole in the chunk, up to and including a blank line.
    #[inline(always)]
    fn take_lines<'c>(&mut self, lines: &mut Lines<'c>, found: &mut InChunk<'c>) -> Taken {
        loop {
            let left = lines.rest().len();
            let Some(line) = lines.next() else { return Taken::AllBut(left) };
            if line.is_empty() {
                return Taken::BlankLine;
            }
            match FieldName::of(line) {
                (FieldName::Data, text) if found.data.is_none() && !self.pending.held.has(Held::DATA) => {
                    if text.len() > self.pending.limits.data {
                        return Taken::AllBut(left);
                    }
                    found.data = Some(text);
                }
                (FieldName::Data, text) => {
                    let (result, tail) = self.pending.add_lines(found.data.take(), text, *lines);
                    *lines = tail;
                    if let Err(error) = result {
                        return Taken::Failed(error);
                    }
                }
                (FieldName::Id, text) if text.len() <= self.pending.limits.last_event_id => found.id = Some(text),
                (FieldName::Event, text) if text.len() <= self.pending.limits.event_type => {
                    self.pending.held.remove(Held::EVENT_TYPE);
                    found.event_type = text;
                }
                (field @ FieldName::Retry, text) => self.pending.retry(Piece::whole(field, text)),
                (FieldName::Comment | FieldName::Unknown, _) => {}
                _ => return Taken::AllBut(left),
            }
        }
    }

    /// Takes the next line, of any form, or its part in the chunk. Stores what was found before it.
    // The parts of `InChunk` are separate parameters: a struct would be passed through memory.
    #[cold]
    #[inline(never)]
    fn take_piece<'c>(
        &mut self,
        data: Option<&str>,
        event_type: &str,
        id: Option<&str>,
        chunk: &'c [u8],
    ) -> (Step, &'c [u8]) {
        let (result, tail) = match self.pending.keep(data, event_type, id) {
            Ok(()) => match self.lexer.take_data_start(chunk) {
                Some(text) => (self.pending.add_line(None, text), &[][..]),
                None => match self.lexer.next_piece(chunk) {
                    (Some(Lexeme::BlankLine), tail) => return (Step::BlankLine, tail),
                    (Some(Lexeme::Piece(piece)), tail) => (self.pending.take(piece), tail),
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

    /// Continues with an event or a line from earlier chunks.
    #[inline(never)]
    fn resume<'c>(&mut self, mut chunk: &'c [u8]) -> (Step, &'c [u8]) {
        if self.pending.held.has(Held::DATA) && self.pending.is_at_char() {
            let (text, rest) = self.lexer.take_more_data(chunk);
            if let Err(error) = self.pending.add_text(text) {
                return (self.drop_event(error), rest);
            }
            if rest.is_empty() {
                return (Step::EndOfChunk, rest);
            }
            chunk = rest;
        }
        self.lexer.settle(&mut chunk);
        while !chunk.is_empty() && (!self.lexer.is_at_line_start() || self.pending.held.has(Held::DROPPED)) {
            let (lexeme, tail) = self.lexer.next_piece(chunk);
            chunk = tail;
            match lexeme {
                Some(Lexeme::Piece(piece)) if piece.field == FieldName::Retry => self.pending.retry(piece),
                Some(Lexeme::BlankLine) if self.pending.held.has(Held::DROPPED) => self.pending.start(),
                // The stream starts with a blank line, after a byte order mark.
                Some(Lexeme::BlankLine) => {}
                Some(Lexeme::Piece(piece)) if !self.pending.held.has(Held::DROPPED) => {
                    if let Err(error) = self.pending.take(piece) {
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
        self.pending.drop_event();
        Step::Failed(error)
    }

    /// Prepares the decoder for a new connection: drops an unfinished event.
    ///
    /// The last event ID and the reconnection time stay.
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
        self.pending.start();
    }

    /// Sets the last event ID, to continue where another program stopped.
    ///
    /// # Errors
    ///
    /// [`DecodeError::LastEventIdTooLong`] when the ID is over the limit, and [`DecodeError::OutOfMemory`] when
    /// memory for it cannot be allocated. The last event ID then stays as it was.
    ///
    /// ```
    /// use ssekit_core::{Decoder, event_id};
    ///
    /// let mut decoder = Decoder::new();
    /// decoder.set_last_event_id(event_id!("41"))?;
    /// assert_eq!(decoder.last_event_id(), "41");
    /// # Ok::<(), ssekit_core::DecodeError>(())
    /// ```
    pub fn set_last_event_id<'i>(&mut self, id: impl IntoEventId<'i>) -> Result<(), DecodeError> {
        let id = id.into_event_id();
        let limit = self.pending.limits.last_event_id;
        if id.as_str().len() > limit {
            return Err(DecodeError::LastEventIdTooLong { limit });
        }
        self.pending.last_event_id.replace(id.as_str()).map_err(out_of_memory)
    }

    /// Returns the buffers for use in another decoder. Their contents have no meaning.
    pub fn into_buffers(self) -> DecoderBuffers<D, M> {
        let PendingEvent { data, event_type, last_event_id, next_id, id_line, .. } = self.pending;
        DecoderBuffers { data, event_type, last_event_id: [last_event_id, next_id, id_line] }
    }

    /// Returns the last event ID, or an empty string.
    ///
    /// It is the ID that a reconnection sends in the header `Last-Event-ID`. It changes at the blank line after an
    /// `id`.
    pub fn last_event_id(&self) -> &str {
        self.pending.last_event_id.as_str()
    }

    /// Returns the last reconnection time that the stream has set by `retry`.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.pending.reconnection_time.map(Duration::from_millis)
    }

    /// Whether the stream, if it ended here, would be cut off inside an event or a line.
    ///
    /// An event is unfinished if it has data, an ID or a type that is not empty, and no blank line yet.
    ///
    /// ```
    /// use ssekit_core::Decoder;
    ///
    /// let mut decoder = Decoder::new();
    /// let mut is_cut_off = |mut chunk: &[u8]| {
    ///     while decoder.next_event(&mut chunk)?.is_some() {}
    ///     Ok::<_, ssekit_core::DecodeError>(decoder.has_unfinished_event())
    /// };
    /// assert!(!is_cut_off(b"data: x\n\n: comment\n")?);
    /// assert!(is_cut_off(b"data: unfinished\n")?);
    /// assert!(!is_cut_off(b"\n")?);
    /// # Ok::<(), ssekit_core::DecodeError>(())
    /// ```
    pub fn has_unfinished_event(&self) -> bool {
        !self.lexer.is_at_line_boundary() || !self.pending.is_empty()
    }

    /// Returns the limits in force. A limit is never larger than its buffer.
    pub fn limits(&self) -> Limits {
        self.pending.limits
    }
}
