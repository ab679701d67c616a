//! Event streams into events.

#[cfg(feature = "alloc")]
use alloc::string::String;
use core::time::Duration;

use crate::buffer::{Buffer, BufferFull, FixedBuffer, SliceBuffer};
use crate::event::EventId;
use crate::lexer::{Lexeme, Lexer, Line, Piece};
use crate::limits::{DecodeError, Limits};
use crate::message_event::MessageEvent;
use crate::text::Text;
use crate::unchecked::Lines;
use crate::utf8::PartialChar;

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
/// ID is copied, to be kept. What straddles chunks or has several lines is joined in the decoder, each byte copied once
/// and none searched again, so the time is linear in the input however it is cut. Memory is bounded by the [`Limits`]
/// whatever comes; growable buffers may take twice as much, and keep it until [`Decoder::shrink_to_fit`].
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
    limits: Limits,
    data: D,
    event_type: M,
    /// As dispatched.
    last_event_id: M,
    /// Of the event being read: the standard's "last event ID buffer", when `block.id` says that it is in use.
    next_id: M,
    /// The value of an `id` line that came in pieces: no ID before its line has ended without a NUL.
    id_line: M,
    block: Block,
    field: Field,
    /// In milliseconds.
    reconnection_time: Option<u64>,
}

/// What the buffers hold, as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Block(u8);

const DATA: u8 = 1;
const EVENT_TYPE: u8 = 2;
const ID: u8 = 4;
/// It went over a limit: nothing of it counts but `retry`.
const DROPPED: u8 = 8;
/// It has been handed out, or ended without data; what the buffers hold is of the past.
const OVER: u8 = 16;

impl Block {
    #[inline(always)]
    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// The field whose line is being read, where it comes in pieces.
#[derive(Clone, Debug, Default)]
struct Field {
    partial_char: PartialChar,
    /// An `id` has a NUL in it.
    has_nul: bool,
    retry: Digits,
}

enum Taken {
    Block,
    AllBut(usize),
    Failed(DecodeError),
}

enum Step {
    More,
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

/// What the event that is being read has in the chunk. The rest is in the buffers.
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
        if self.block.has(OVER) {
            self.start_block();
        }
        self.data.shrink_to_fit();
        for buffer in [&mut self.event_type, &mut self.last_event_id, &mut self.next_id, &mut self.id_line] {
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
        Self {
            lexer: Lexer::new(),
            limits,
            data,
            event_type,
            last_event_id,
            next_id,
            id_line,
            block: Block::default(),
            field: Field::default(),
            reconnection_time: None,
        }
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
    pub fn next_event<'a, 'c: 'a>(&'a mut self, chunk: &mut &'c [u8]) -> Result<Option<MessageEvent<'a>>, DecodeError> {
        let mut lines = Lines::new(chunk);
        if self.block.0 == OVER {
            self.start_block();
        }
        if self.block.0 != 0 || !self.lexer.is_at_line_start() {
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
                Taken::Block => {}
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
            if let Err(error) = self.commit(found.id) {
                self.start_block();
                return Err(error);
            }
            let data = match found.data {
                Some(text) => text,
                None if self.block.has(DATA) => self.data.as_str(),
                // "If the data buffer is an empty string, set the data buffer and the event type buffer to the empty
                // string and return." A block with a `data` field has at least an LF in it at that point.
                None => {
                    self.block = Block::default();
                    found = InChunk::default();
                    continue;
                }
            };
            let mut event_type = found.event_type;
            if self.block.0 != 0 {
                if self.block.has(EVENT_TYPE) {
                    event_type = self.event_type.as_str();
                }
                self.block = Block(OVER);
            }
            if event_type.is_empty() {
                event_type = "message";
            }
            let last_event_id = match found.id {
                Some(text) => text,
                None => self.last_event_id.as_str(),
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
                return Taken::Block;
            }
            match Line::of(line) {
                (Line::Data, text) if found.data.is_none() && !self.block.has(DATA) => {
                    if text.len() > self.limits.data {
                        return Taken::AllBut(left);
                    }
                    found.data = Some(text);
                }
                (Line::Data, text) => {
                    let (result, tail) = self.add_lines(found.data.take(), text, *lines);
                    *lines = tail;
                    if let Err(error) = result {
                        return Taken::Failed(error);
                    }
                }
                (Line::Id, text) if text.len() <= self.limits.last_event_id => found.id = Some(text),
                (Line::Event, text) if text.len() <= self.limits.event_type => {
                    self.block.0 &= !EVENT_TYPE;
                    found.event_type = text;
                }
                (Line::Comment | Line::Unknown, _) => {}
                _ => return Taken::AllBut(left),
            }
        }
    }

    /// Takes the next line, whatever it is, or what there is of it, with what has been found before it.
    #[cold]
    #[inline(never)]
    fn take_piece<'c>(
        &mut self,
        data: Option<&str>,
        event_type: &str,
        id: Option<&str>,
        chunk: &'c [u8],
    ) -> (Step, &'c [u8]) {
        let (result, tail) = match self.keep(data, event_type, id) {
            Ok(()) => match self.lexer.take_data_start(chunk) {
                Some(text) => (self.add_line(None, text), &[][..]),
                None => match self.lexer.next_piece(chunk) {
                    (Some(Lexeme::Dispatch), tail) => return (Step::Blank, tail),
                    (Some(Lexeme::Piece(piece)), tail) => (self.take(piece), tail),
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
        if self.block.has(DATA) && self.field.partial_char.is_empty() {
            let (rest, text) = self.lexer.take_more_data(chunk);
            let limit = self.limits.data;
            if let Err(error) = push(&mut self.data, text, limit, DecodeError::DataTooLong { limit }) {
                return (self.drop_event(error), rest);
            }
            if rest.is_empty() {
                return (Step::EndOfChunk, rest);
            }
            chunk = rest;
        }
        self.lexer.settle(&mut chunk);
        while !chunk.is_empty() && (!self.lexer.is_at_line_start() || self.block.has(DROPPED)) {
            let (lexeme, tail) = self.lexer.next_piece(chunk);
            chunk = tail;
            match lexeme {
                Some(Lexeme::Piece(piece)) if piece.line == Line::Retry => self.retry(piece),
                Some(Lexeme::Dispatch) if self.block.has(DROPPED) => self.start_block(),
                // The stream starts with a blank line.
                Some(Lexeme::Dispatch) => {}
                Some(Lexeme::Piece(piece)) if !self.block.has(DROPPED) => {
                    if let Err(error) = self.take(piece) {
                        return (self.drop_event(error), chunk);
                    }
                }
                _ => {}
            }
        }
        (if chunk.is_empty() { Step::EndOfChunk } else { Step::More }, chunk)
    }

    #[inline]
    fn take(&mut self, piece: Piece<'_>) -> Result<(), DecodeError> {
        match piece.line {
            Line::Data => self.data(piece),
            Line::Event => self.event_type(piece),
            Line::Id => self.id(piece),
            Line::Retry => {
                self.retry(piece);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    #[cold]
    fn drop_event(&mut self, error: DecodeError) -> Step {
        self.block = Block(DROPPED);
        Step::Failed(error)
    }

    /// Takes a line of data behind another that has been found in the chunk, and those that follow it.
    #[inline(never)]
    fn add_lines<'c>(
        &mut self,
        before: Option<&str>,
        first: &str,
        lines: Lines<'c>,
    ) -> (Result<(), DecodeError>, Lines<'c>) {
        let mut taken = lines;
        let mut result = self.add_line(before, first);
        while result.is_ok() {
            let mut next = taken;
            let Some(text) = next.next().and_then(|line| line.strip_prefix("data: ")) else { break };
            result = push_line(&mut self.data, text, self.limits.data);
            taken = next;
        }
        (result, taken)
    }

    /// Takes a line of data, or the start of one, behind another that has been found in the chunk.
    #[inline]
    fn add_line(&mut self, before: Option<&str>, text: &str) -> Result<(), DecodeError> {
        let limit = self.limits.data;
        if let Some(before) = before {
            self.data.replace(before).map_err(out_of_memory)?;
            self.block.0 |= DATA;
        }
        if self.block.has(DATA) {
            return push_line(&mut self.data, text, limit);
        }
        self.block.0 |= DATA;
        push(&mut self.data, text, limit, DecodeError::DataTooLong { limit })
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
        self.field = Field::default();
        self.start_block();
    }

    /// Sets the last event ID, for a decoder that goes on where another program stopped.
    ///
    /// # Errors
    ///
    /// [`DecodeError::LastEventIdTooLong`] when it is over the limit, [`DecodeError::OutOfMemory`] when there is none for
    /// it; the last event ID is then what it was.
    pub fn set_last_event_id(&mut self, id: EventId<'_>) -> Result<(), DecodeError> {
        let limit = self.limits.last_event_id;
        if id.as_str().len() > limit {
            return Err(DecodeError::LastEventIdTooLong { limit });
        }
        self.last_event_id.replace(id.as_str()).map_err(out_of_memory)
    }

    /// The buffers, for another decoder. What they hold is of no meaning.
    pub fn into_buffers(self) -> Buffers<D, M> {
        let last_event_id = [self.last_event_id, self.next_id, self.id_line];
        Buffers { data: self.data, event_type: self.event_type, last_event_id }
    }

    /// The last event ID as of the last event dispatched, or empty: what a reconnection sends as `Last-Event-ID`.
    pub fn last_event_id(&self) -> &str {
        self.last_event_id.as_str()
    }

    /// The reconnection time that the stream has asked for by `retry`, if it has.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.reconnection_time.map(Duration::from_millis)
    }

    /// The limits in force: those asked for, or the buffers' where they are smaller.
    pub fn limits(&self) -> Limits {
        self.limits
    }

    /// A piece of a `data` line: "Append the field value to the data buffer, then append a single U+000A LINE FEED
    /// (LF) character to the data buffer." The last LF, which a dispatch would take off again, is left out.
    #[inline(never)]
    fn data(&mut self, piece: Piece<'_>) -> Result<(), DecodeError> {
        let limit = self.limits.data;
        let too_long = DecodeError::DataTooLong { limit };
        let Piece { text, is_first, is_last, .. } = piece;
        if is_first {
            self.add_line(None, "")?;
        }
        let buffer = &mut self.data;
        self.field.partial_char.decode(text, is_last, |text| push(buffer, text, limit, too_long))
    }

    /// A piece of an `event` line: "Set the event type buffer to field value."
    #[inline(never)]
    fn event_type(&mut self, piece: Piece<'_>) -> Result<(), DecodeError> {
        let limit = self.limits.event_type;
        let too_long = DecodeError::EventTypeTooLong { limit };
        let Piece { text, is_first, is_last, .. } = piece;
        if is_first {
            self.event_type.clear();
            self.block.0 |= EVENT_TYPE;
        }
        let buffer = &mut self.event_type;
        self.field.partial_char.decode(text, is_last, |text| push(buffer, text, limit, too_long))
    }

    /// A piece of an `id` line: "If the field value does not contain U+0000 NULL, then set the last event ID buffer
    /// to the field value. Otherwise, ignore the field." What stands before the NUL meets the limit all the same, since
    /// nobody can know that a NUL will come.
    #[inline(never)]
    fn id(&mut self, piece: Piece<'_>) -> Result<(), DecodeError> {
        let limit = self.limits.last_event_id;
        let too_long = DecodeError::LastEventIdTooLong { limit };
        let Piece { mut text, is_first, is_last, .. } = piece;
        if is_first {
            self.field.has_nul = false;
            self.id_line.clear();
        }
        let mut ends = is_last;
        if self.field.has_nul {
            text = Text::Other(&[]);
        } else if let Some(before) = text.before_nul() {
            self.field.has_nul = true;
            text = before;
            ends = true;
        }
        let buffer = &mut self.id_line;
        self.field.partial_char.decode(text, ends, |text| push(buffer, text, limit, too_long))?;
        if is_last && !self.field.has_nul {
            core::mem::swap(&mut self.id_line, &mut self.next_id);
            self.block.0 |= ID;
        }
        Ok(())
    }

    /// A piece of a `retry` line: "If the field value consists of only ASCII digits, then interpret the field value
    /// as an integer in base ten, and set the event stream's reconnection time to that integer."
    fn retry(&mut self, piece: Piece<'_>) {
        if piece.is_first {
            self.field.retry = Digits::Empty;
        }
        for &byte in piece.text.bytes() {
            self.field.retry = self.field.retry.then(byte);
        }
        if let (true, Digits::Number(milliseconds)) = (piece.is_last, self.field.retry) {
            self.reconnection_time = Some(milliseconds);
        }
    }

    /// "Set the last event ID string of the event source to the value of the last event ID buffer."
    #[inline]
    fn commit(&mut self, in_chunk: Option<&str>) -> Result<(), DecodeError> {
        if let Some(text) = in_chunk {
            return self.last_event_id.replace(text).map_err(out_of_memory);
        }
        if self.block.has(ID) {
            core::mem::swap(&mut self.last_event_id, &mut self.next_id);
        }
        Ok(())
    }

    /// Takes into the buffers what an unfinished event has in the chunk.
    #[inline]
    fn keep(&mut self, data: Option<&str>, event_type: &str, id: Option<&str>) -> Result<(), DecodeError> {
        if let Some(text) = data {
            self.data.replace(text).map_err(out_of_memory)?;
            self.block.0 |= DATA;
        }
        if !event_type.is_empty() {
            self.event_type.replace(event_type).map_err(out_of_memory)?;
            self.block.0 |= EVENT_TYPE;
        }
        if let Some(text) = id {
            self.next_id.replace(text).map_err(out_of_memory)?;
            self.block.0 |= ID;
        }
        Ok(())
    }

    #[inline]
    fn start_block(&mut self) {
        self.block = Block::default();
        self.field.partial_char.clear();
        self.data.clear();
    }
}

/// Appends another line within the limit.
#[inline]
fn push_line(buffer: &mut impl Buffer, text: &str, limit: usize) -> Result<(), DecodeError> {
    if text.len() >= limit.saturating_sub(buffer.len()) {
        return Err(DecodeError::DataTooLong { limit });
    }
    buffer.push_str("\n").and_then(|()| buffer.push_str(text)).map_err(out_of_memory)
}

/// Appends within the limit.
#[inline]
fn push(buffer: &mut impl Buffer, text: &str, limit: usize, too_long: DecodeError) -> Result<(), DecodeError> {
    if text.len() > limit.saturating_sub(buffer.len()) {
        return Err(too_long);
    }
    buffer.push_str(text).map_err(out_of_memory)
}

fn out_of_memory(_: BufferFull) -> DecodeError {
    DecodeError::OutOfMemory
}

/// The value of a `retry` line so far.
#[derive(Clone, Copy, Debug, Default)]
enum Digits {
    #[default]
    Empty,
    Number(u64),
    /// Something else was among them.
    Invalid,
}

impl Digits {
    fn then(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Empty, b'0'..=b'9') => Self::Number(u64::from(byte - b'0')),
            (Self::Number(n), b'0'..=b'9') => Self::Number(n.saturating_mul(10).saturating_add(u64::from(byte - b'0'))),
            _ => Self::Invalid,
        }
    }
}
