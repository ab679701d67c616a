//! The limits of a decoder, and its error.

use core::fmt;

/// Limits for the text of one event, in bytes after decoding.
///
/// An event over a limit is dropped. The decoder returns one [`DecodeError`] for it, as soon as the event is certain
/// to be too long, and continues with the next event. Comments, unknown fields and the digits of `retry` are not
/// stored, so they have no limit.
///
/// A decoder with [`FixedBuffer`](crate::FixedBuffer) or [`SliceBuffer`](crate::SliceBuffer) takes the smaller of its
/// buffer and the limit. This also holds for an event that lies whole in a chunk and needs no buffer: results do not
/// depend on where chunks are cut.
///
/// ```
/// use ssekit_core::{DecodeError, Decoder, Limits};
///
/// let mut decoder = Decoder::with_limits(Limits { data: 4, ..Limits::default() });
/// let mut chunk = &b"data: 12345\n\ndata: ok\n\n"[..];
/// assert_eq!(decoder.next_event(&mut chunk), Err(DecodeError::DataTooLong { limit: 4 }));
/// assert_eq!(decoder.next_event(&mut chunk)?.map(|event| event.data), Some("ok"));
/// # Ok::<(), DecodeError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "programs build it from `NONE` or the default")]
pub struct Limits {
    /// Maximum length of the data, with an LF between its lines. The default is 16 MiB.
    pub data: usize,
    /// Maximum length of the event type. The default is 8 KiB.
    pub event_type: usize,
    /// Maximum length of an ID. The default is 8 KiB.
    pub last_event_id: usize,
}

impl Limits {
    /// No limits except the sizes of the buffers.
    ///
    /// Use it for trusted streams only: with growable buffers, a peer that never ends a line can fill the memory.
    pub const NONE: Self = Self { data: usize::MAX, event_type: usize::MAX, last_event_id: usize::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self { data: 16 << 20, event_type: 8 << 10, last_event_id: 8 << 10 }
    }
}

/// An event was dropped: it was over a limit, or memory ran out.
///
/// The decoder can continue: the next call of [`next_event`](crate::BufferedDecoder::next_event) returns the next
/// event. The ID of the dropped event does not become the last event ID, so a reconnection requests the event again.
/// Its `retry` field takes effect, because the standard applies `retry` at the end of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeError {
    /// The data is longer than [`Limits::data`].
    DataTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The event type is longer than [`Limits::event_type`].
    EventTypeTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The ID is longer than [`Limits::last_event_id`].
    LastEventIdTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The event is within the limits, but memory for it could not be allocated.
    OutOfMemory,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, limit, field) = match self {
            Self::DataTooLong { limit } => ("data", limit, "data"),
            Self::EventTypeTooLong { limit } => ("event type", limit, "event_type"),
            Self::LastEventIdTooLong { limit } => ("event ID", limit, "last_event_id"),
            Self::OutOfMemory => return f.write_str("out of memory for an event that is within `Limits`"),
        };
        write!(f, "{what} is longer than the limit `Limits::{field}` of {limit} bytes")
    }
}

impl core::error::Error for DecodeError {}
