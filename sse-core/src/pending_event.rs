//! The part of an unfinished event that is not in the current chunk.

use crate::buffer::{Buffer, BufferFull};
use crate::lexer::{FieldName, Piece};
use crate::limits::{DecodeError, Limits};
use crate::line_bytes::LineBytes;
use crate::scan::Lines;
use crate::utf8::PartialChar;

/// The state that a decoder keeps from one line to the next, except for text in the chunk.
///
/// An ID moves through three buffers. They are swapped, not copied:
///
/// ```text
/// "id: 7" in pieces            end of the line, no NUL             blank line
/// ------------------> id_line -------------------------> next_id ------------> last_event_id
///    "id: 7" whole, in a cut-off event ---------------------^                       ^
///    "id: 7" whole, in an event that lies in the chunk -----------------------------+
/// ```
///
/// The data is in one buffer: lines joined by LF, without the LF at the end.
///
/// ```text
/// data:  [ first line \n second line \n unfinished li ]    + up to 3 bytes in value.partial_char
/// ```
///
/// Invariants, where `id` is each of the three ID buffers:
///
/// - `data.len() <= limits.data`
/// - `event_type.len() <= limits.event_type`
/// - `id.len() <= limits.last_event_id`
#[derive(Clone, Debug)]
pub(crate) struct PendingEvent<D, M> {
    pub(crate) limits: Limits,
    pub(crate) data: D,
    pub(crate) event_type: M,
    /// The ID of the last event that ended with a blank line.
    pub(crate) last_event_id: M,
    /// The ID of the unfinished event, if `held` has `ID`: the standard's "last event ID buffer".
    pub(crate) next_id: M,
    /// The value of an `id` line that comes in pieces. It becomes an ID when the line ends without a NUL.
    pub(crate) id_line: M,
    /// The last `retry`, in milliseconds.
    pub(crate) reconnection_time: Option<u64>,
    pub(crate) held: Held,
    /// The state of a value that comes in pieces.
    value: ValueState,
}

/// The parts of the unfinished event that the buffers hold, as flags.
///
/// `DROPPED` and `LENT` stand alone. The others combine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held(u8);

impl Held {
    pub(crate) const NOTHING: Self = Self(0);
    pub(crate) const DATA: Self = Self(1);
    pub(crate) const EVENT_TYPE: Self = Self(2);
    pub(crate) const ID: Self = Self(4);
    /// The event went over a limit. Everything except `retry` is ignored up to the next blank line.
    pub(crate) const DROPPED: Self = Self(8);
    /// The event was returned and borrows from the buffers. They are cleared before the next event.
    pub(crate) const LENT: Self = Self(16);

    #[inline(always)]
    pub(crate) fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    #[inline(always)]
    pub(crate) fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    #[inline(always)]
    pub(crate) fn remove(&mut self, other: Self) {
        self.0 &= !other.0;
    }
}

#[derive(Clone, Debug, Default)]
struct ValueState {
    partial_char: PartialChar,
    /// The `id` contains a NUL.
    has_nul: bool,
    retry: Digits,
}

impl<D: Buffer, M: Buffer> PendingEvent<D, M> {
    pub(crate) fn new(limits: Limits, data: D, event_type: M, [last_event_id, next_id, id_line]: [M; 3]) -> Self {
        let (held, value) = (Held::NOTHING, ValueState::default());
        Self { limits, data, event_type, last_event_id, next_id, id_line, reconnection_time: None, held, value }
    }

    /// Starts a new event. Forgets the old event and its unfinished line.
    #[inline]
    pub(crate) fn start(&mut self) {
        self.held = Held::NOTHING;
        self.value.partial_char.clear();
        self.data.clear();
    }

    /// Whether no event is unfinished.
    // An empty type does not count: whether it is held depends on where the chunks were cut.
    pub(crate) fn is_empty(&self) -> bool {
        let has_type = self.held.has(Held::EVENT_TYPE) && !self.event_type.as_str().is_empty();
        let counts = [Held::DATA, Held::ID, Held::DROPPED].into_iter().any(|flag| self.held.has(flag));
        self.held.has(Held::LENT) || !(counts || has_type)
    }

    /// Drops the event: the rest of it is ignored, except `retry`.
    #[cold]
    pub(crate) fn drop_event(&mut self) {
        self.held = Held::DROPPED;
    }

    /// Takes a piece of any line.
    #[inline]
    pub(crate) fn take(&mut self, piece: Piece<'_>) -> Result<(), DecodeError> {
        match piece.field {
            FieldName::Data => self.data(piece),
            FieldName::Event => self.event_type(piece),
            FieldName::Id => self.id(piece),
            FieldName::Retry => {
                self.retry(piece);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Appends plain text to a `data` line that began in an earlier chunk.
    #[inline]
    pub(crate) fn add_text(&mut self, text: &str) -> Result<(), DecodeError> {
        let limit = self.limits.data;
        push(&mut self.data, text, limit, DecodeError::DataTooLong { limit })
    }

    /// Whether the data ends with a whole character.
    #[inline]
    pub(crate) fn is_at_char(&self) -> bool {
        self.value.partial_char.is_empty()
    }

    /// Takes a line of data after the line `before` in the same chunk, and the lines of data after it.
    #[inline(never)]
    pub(crate) fn add_lines<'c>(
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

    /// Takes a line of data, or the start of one, after the line `before` in the same chunk.
    #[inline]
    pub(crate) fn add_line(&mut self, before: Option<&str>, text: &str) -> Result<(), DecodeError> {
        let limit = self.limits.data;
        if let Some(before) = before {
            self.data.replace(before).map_err(out_of_memory)?;
            self.held.insert(Held::DATA);
        }
        if self.held.has(Held::DATA) {
            return push_line(&mut self.data, text, limit);
        }
        self.held.insert(Held::DATA);
        push(&mut self.data, text, limit, DecodeError::DataTooLong { limit })
    }

    /// Takes a piece of a `data` line.
    ///
    /// "Append the field value to the data buffer, then append a single U+000A LINE FEED (LF) character to the data
    /// buffer." The LF is added before the next line instead, because the standard removes the last one again.
    #[inline(never)]
    fn data(&mut self, piece: Piece<'_>) -> Result<(), DecodeError> {
        let limit = self.limits.data;
        let too_long = DecodeError::DataTooLong { limit };
        let Piece { text, is_first, is_last, .. } = piece;
        if is_first {
            self.add_line(None, "")?;
        }
        let buffer = &mut self.data;
        self.value.partial_char.decode(text, is_last, |text| push(buffer, text, limit, too_long))
    }

    /// Takes a piece of an `event` line: "Set the event type buffer to field value."
    #[inline(never)]
    fn event_type(&mut self, piece: Piece<'_>) -> Result<(), DecodeError> {
        let limit = self.limits.event_type;
        let too_long = DecodeError::EventTypeTooLong { limit };
        let Piece { text, is_first, is_last, .. } = piece;
        if is_first {
            self.event_type.clear();
            self.held.insert(Held::EVENT_TYPE);
        }
        let buffer = &mut self.event_type;
        self.value.partial_char.decode(text, is_last, |text| push(buffer, text, limit, too_long))
    }

    /// Takes a piece of an `id` line.
    ///
    /// "If the field value does not contain U+0000 NULL, then set the last event ID buffer to the field value.
    /// Otherwise, ignore the field." The text before a NUL must be within the limit, because the NUL can still be to
    /// come.
    #[inline(never)]
    fn id(&mut self, piece: Piece<'_>) -> Result<(), DecodeError> {
        let limit = self.limits.last_event_id;
        let too_long = DecodeError::LastEventIdTooLong { limit };
        let Piece { mut text, is_first, is_last, .. } = piece;
        if is_first {
            self.value.has_nul = false;
            self.id_line.clear();
        }
        let mut ends = is_last;
        if self.value.has_nul {
            text = LineBytes::Other(&[]);
        } else if let Some(before) = text.before_nul() {
            self.value.has_nul = true;
            text = before;
            ends = true;
        }
        let buffer = &mut self.id_line;
        self.value.partial_char.decode(text, ends, |text| push(buffer, text, limit, too_long))?;
        if is_last && !self.value.has_nul {
            core::mem::swap(&mut self.id_line, &mut self.next_id);
            self.held.insert(Held::ID);
        }
        Ok(())
    }

    /// Takes a piece of a `retry` line.
    ///
    /// "If the field value consists of only ASCII digits, then interpret the field value as an integer in base ten,
    /// and set the event stream's reconnection time to that integer."
    #[cold]
    #[inline(never)]
    pub(crate) fn retry(&mut self, piece: Piece<'_>) {
        if piece.is_first {
            self.value.retry = Digits::Empty;
        }
        for &byte in piece.text.bytes() {
            self.value.retry = self.value.retry.then(byte);
        }
        if let (true, Digits::Number(milliseconds)) = (piece.is_last, self.value.retry) {
            self.reconnection_time = Some(milliseconds);
        }
    }

    /// Makes the event's ID the last event ID, at a blank line.
    ///
    /// "Set the last event ID string of the event source to the value of the last event ID buffer."
    #[inline]
    pub(crate) fn commit(&mut self, in_chunk: Option<&str>) -> Result<(), DecodeError> {
        if let Some(text) = in_chunk {
            return self.last_event_id.replace(text).map_err(out_of_memory);
        }
        if self.held.has(Held::ID) {
            core::mem::swap(&mut self.last_event_id, &mut self.next_id);
        }
        Ok(())
    }

    /// Copies into the buffers what an unfinished event has in the chunk.
    #[inline]
    pub(crate) fn keep(&mut self, data: Option<&str>, event_type: &str, id: Option<&str>) -> Result<(), DecodeError> {
        if let Some(text) = data {
            self.data.replace(text).map_err(out_of_memory)?;
            self.held.insert(Held::DATA);
        }
        if !event_type.is_empty() {
            self.event_type.replace(event_type).map_err(out_of_memory)?;
            self.held.insert(Held::EVENT_TYPE);
        }
        if let Some(text) = id {
            self.next_id.replace(text).map_err(out_of_memory)?;
            self.held.insert(Held::ID);
        }
        Ok(())
    }
}

/// Appends an LF and a line, within the limit.
#[inline]
fn push_line(buffer: &mut impl Buffer, text: &str, limit: usize) -> Result<(), DecodeError> {
    if text.len() >= limit.saturating_sub(buffer.len()) {
        return Err(DecodeError::DataTooLong { limit });
    }
    buffer.push_str("\n").and_then(|()| buffer.push_str(text)).map_err(out_of_memory)
}

/// Appends text, within the limit.
#[inline]
fn push(buffer: &mut impl Buffer, text: &str, limit: usize, too_long: DecodeError) -> Result<(), DecodeError> {
    if text.len() > limit.saturating_sub(buffer.len()) {
        return Err(too_long);
    }
    buffer.push_str(text).map_err(out_of_memory)
}

pub(crate) fn out_of_memory(_: BufferFull) -> DecodeError {
    DecodeError::OutOfMemory
}

/// The value of a `retry` line up to here.
#[derive(Clone, Copy, Debug, Default)]
enum Digits {
    #[default]
    Empty,
    Number(u64),
    /// There was a byte that is not a digit.
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
