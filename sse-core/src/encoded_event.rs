//! Events that were encoded once, into shared bytes.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::encode::EventWriter;
use crate::event::Event;
use crate::sink::Plain;

/// An [`Event`] that was encoded once, into shared bytes. Cloning it counts a reference.
///
/// Streams and broadcasts carry it. It always is one whole event, so encoded events can be concatenated. (One from a
/// relay may have comments before it.) Its memory has the exact size when it was made from an [`Event`].
///
/// ```
/// use ssekit_core::{EncodedEvent, Event};
///
/// let event = EncodedEvent::from(Event::data("hi"));
/// assert_eq!(event.as_bytes(), b"data: hi\n\n");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct EncodedEvent(Bytes);

impl EncodedEvent {
    /// Encodes an event whose data the function `write` writes in pieces.
    ///
    /// `head` holds the other fields. Its data, if it has any, is the first piece.
    ///
    /// # Errors
    ///
    /// Those of `write`. The sink has no errors of its own.
    ///
    /// ```
    /// use ssekit_core::{Event, EncodedEvent};
    ///
    /// let frame = EncodedEvent::write(&Event::new(), |data| write!(data, "{} of {}", 1, 2))?;
    /// assert_eq!(frame.as_bytes(), b"data: 1 of 2\n\n");
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    pub fn write(head: &Event<'_>, write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> Result<Self, fmt::Error> {
        // The closure gets a `dyn`, which it cannot replace by another writer, so the result is one whole event.
        let mut bytes = bytes::BytesMut::new();
        let mut writer = EventWriter::new(&mut bytes, head)?;
        write(&mut writer)?;
        writer.finish()?;
        Ok(Self(bytes.freeze()))
    }

    /// Wraps bytes that are one whole event, perhaps with comments before it, and end with a blank line.
    #[cfg(any(feature = "stream", feature = "json"))]
    pub(crate) fn from_wire(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Wraps the bytes of one or more whole events. For ssekit's own packages only.
    #[doc(hidden)]
    pub fn __from_whole_events(bytes: Bytes) -> Self {
        debug_assert!(bytes.ends_with(b"\n") || bytes.ends_with(b"\r"), "these bytes are not whole events");
        Self(bytes)
    }

    /// Returns the event's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the event's bytes, still shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<&Event<'_>> for EncodedEvent {
    /// Encodes the event into one allocation of the exact size.
    fn from(event: &Event<'_>) -> Self {
        if event.is_plain() {
            let mut bytes = Vec::with_capacity(event.plain_len());
            let Ok(()) = event.write(&mut Plain(|text: &str| bytes.extend_from_slice(text.as_bytes())));
            return Self(Bytes::from(bytes));
        }
        let needed = event.encoded_len();
        #[allow(clippy::slow_vector_initialization, reason = "glibc's calloc is the slower one for a few bytes")]
        let mut bytes = Vec::with_capacity(needed);
        bytes.resize(needed, 0);
        // Never fails: the vector has the length of the event.
        let len = event.encode_to_slice(&mut bytes);
        debug_assert_eq!(len, Ok(needed));
        Self(Bytes::from(bytes))
    }
}

impl From<Event<'_>> for EncodedEvent {
    /// Encodes the event into one allocation of the exact size.
    #[inline]
    fn from(event: Event<'_>) -> Self {
        Self::from(&event)
    }
}

impl From<EncodedEvent> for Bytes {
    fn from(frame: EncodedEvent) -> Self {
        frame.0
    }
}

impl AsRef<[u8]> for EncodedEvent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for EncodedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EncodedEvent").field(&self.0).finish()
    }
}
