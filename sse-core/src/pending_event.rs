//! The event that is being read, as far as it is not in the chunk at hand.

use crate::buffer::{Buffer, BufferFull};
use crate::lexer::{FieldName, Piece};
use crate::limits::{DecodeError, Limits};
use crate::line_bytes::LineBytes;
use crate::scan::Lines;
use crate::utf8::PartialChar;

/// What a decoder remembers between one line and the next, where the chunk does not.
#[derive(Clone, Debug)]
pub(crate) struct PendingEvent<D, M> {
    pub(crate) limits: Limits,
    pub(crate) data: D,
    pub(crate) event_type: M,
    /// As dispatched.
    pub(crate) last_event_id: M,
    /// Of the event being read: the standard's "last event ID buffer", where `ID` is set.
    pub(crate) next_id: M,
    /// The value of an `id` line that came in pieces: no ID before its line has ended without a NUL.
    pub(crate) id_line: M,
    /// In milliseconds.
    pub(crate) reconnection_time: Option<u64>,
    pub(crate) held: Held,
    /// Of the line that is being read, where it comes in pieces.
    field: Field,
}

/// What the buffers hold of the event that is being read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held(u8);

impl Held {
    pub(crate) const NOTHING: Self = Self(0);
    pub(crate) const DATA: Self = Self(1);
    pub(crate) const EVENT_TYPE: Self = Self(2);
    pub(crate) const ID: Self = Self(4);
    /// Alone: an event that went over a limit, of which nothing counts but `retry`.
    pub(crate) const DROPPED: Self = Self(8);
    /// Alone: an event that has been handed out.
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
struct Field {
    partial_char: PartialChar,
    /// An `id` has a NUL in it.
    has_nul: bool,
    retry: Digits,
}

impl<D: Buffer, M: Buffer> PendingEvent<D, M> {
    pub(crate) fn new(limits: Limits, data: D, event_type: M, [last_event_id, next_id, id_line]: [M; 3]) -> Self {
        let (held, field) = (Held::NOTHING, Field::default());
        Self { limits, data, event_type, last_event_id, next_id, id_line, reconnection_time: None, held, field }
    }

    /// Nothing is left of the event, nor of its line.
    #[inline]
    pub(crate) fn start(&mut self) {
        self.held = Held::NOTHING;
        self.field.partial_char.clear();
        self.data.clear();
    }

    /// Whether there is nothing of an event that is not dispatched.
    // An empty type counts for nothing: it may have been held, or not, as the chunks were cut.
    pub(crate) fn is_empty(&self) -> bool {
        let has_type = self.held.has(Held::EVENT_TYPE) && !self.event_type.as_str().is_empty();
        let counts = [Held::DATA, Held::ID, Held::DROPPED].into_iter().any(|flag| self.held.has(flag));
        self.held.has(Held::LENT) || !(counts || has_type)
    }

    /// Nothing of the event counts from here on.
    #[cold]
    pub(crate) fn drop_event(&mut self) {
        self.held = Held::DROPPED;
    }

    /// Takes a piece of a line, of whatever it is.
    #[inline]
    pub(crate) fn take(&mut self, piece: Piece<'_>) -> Result<(), DecodeError> {
        match piece.line {
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

    /// Takes what is plain of a `data` line that goes on from an earlier chunk.
    #[inline]
    pub(crate) fn add_text(&mut self, text: &str) -> Result<(), DecodeError> {
        let limit = self.limits.data;
        push(&mut self.data, text, limit, DecodeError::DataTooLong { limit })
    }

    /// Whether the data ends with a whole character.
    #[inline]
    pub(crate) fn is_at_char(&self) -> bool {
        self.field.partial_char.is_empty()
    }

    /// Takes a line of data behind another that has been found in the chunk, and those that follow it.
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

    /// Takes a line of data, or the start of one, behind another that has been found in the chunk.
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
            self.held.insert(Held::EVENT_TYPE);
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
            text = LineBytes::Other(&[]);
        } else if let Some(before) = text.before_nul() {
            self.field.has_nul = true;
            text = before;
            ends = true;
        }
        let buffer = &mut self.id_line;
        self.field.partial_char.decode(text, ends, |text| push(buffer, text, limit, too_long))?;
        if is_last && !self.field.has_nul {
            core::mem::swap(&mut self.id_line, &mut self.next_id);
            self.held.insert(Held::ID);
        }
        Ok(())
    }

    /// A piece of a `retry` line: "If the field value consists of only ASCII digits, then interpret the field value
    /// as an integer in base ten, and set the event stream's reconnection time to that integer."
    #[cold]
    #[inline(never)]
    pub(crate) fn retry(&mut self, piece: Piece<'_>) {
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
    pub(crate) fn commit(&mut self, in_chunk: Option<&str>) -> Result<(), DecodeError> {
        if let Some(text) = in_chunk {
            return self.last_event_id.replace(text).map_err(out_of_memory);
        }
        if self.held.has(Held::ID) {
            core::mem::swap(&mut self.last_event_id, &mut self.next_id);
        }
        Ok(())
    }

    /// Takes into the buffers what an unfinished event has in the chunk.
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

pub(crate) fn out_of_memory(_: BufferFull) -> DecodeError {
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
