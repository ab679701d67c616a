//! What a decoder holds at the most, and what it says when a stream asks for more.

use core::fmt;

/// How much of one event a decoder takes, in bytes of its decoded text.
///
/// An event over a limit is reported as a [`DecodeError`] as soon as it is certain, and dropped; decoding goes on with
/// the next event. Comments, unknown fields and the digits of `retry` are never kept, so they have no limit.
///
/// A decoder over [`FixedBuffer`](crate::FixedBuffer)s or [`SliceBuffer`](crate::SliceBuffer)s takes the smaller of its
/// buffer and the limit, also for an event that lies whole in a chunk and needs no buffer: a result never depends on
/// where the chunks were cut.
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
    /// For the data, its lines joined by LF. 16 MiB unless told otherwise.
    pub data: usize,
    /// For the event type. 8 KiB unless told otherwise.
    pub event_type: usize,
    /// For an ID. 8 KiB unless told otherwise.
    pub last_event_id: usize,
}

impl Limits {
    /// No limits but those of the buffers. For streams from a trusted source only: with growable buffers, a peer that
    /// never ends a line can fill the memory.
    pub const NONE: Self = Self { data: usize::MAX, event_type: usize::MAX, last_event_id: usize::MAX };
}

impl Default for Limits {
    fn default() -> Self {
        Self { data: 16 << 20, event_type: 8 << 10, last_event_id: 8 << 10 }
    }
}

/// An event has been dropped: it was over a limit, or there was no memory for it.
///
/// Never fatal: the next call of `next_event` goes on with the next event. The dropped event's ID was not taken over,
/// so that a reconnection asks for it again; a `retry` in it counts all the same, as the standard has it take effect at
/// its own line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DecodeError {
    /// The data is longer than the limit, in bytes.
    DataTooLong {
        /// The limit.
        limit: usize,
    },
    /// The event type is longer than the limit, in bytes.
    EventTypeTooLong {
        /// The limit.
        limit: usize,
    },
    /// The ID is longer than the limit, in bytes.
    LastEventIdTooLong {
        /// The limit.
        limit: usize,
    },
    /// The event is within the limits, and no memory could be had for it.
    OutOfMemory,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (what, limit) = match self {
            Self::DataTooLong { limit } => ("data", limit),
            Self::EventTypeTooLong { limit } => ("event type", limit),
            Self::LastEventIdTooLong { limit } => ("last event id", limit),
            Self::OutOfMemory => return f.write_str("out of memory for an event"),
        };
        write!(f, "{what} is longer than {limit} bytes")
    }
}

impl core::error::Error for DecodeError {}
