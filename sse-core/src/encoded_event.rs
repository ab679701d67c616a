//! Events as shared, encoded bytes.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

use crate::encode::EventWriter;
use crate::event::Event;
use crate::sink::Plain;

/// An [`Event`] that was encoded once, into shared bytes.
///
/// Use it to send one event to many receivers: a clone only counts a reference. It is always one whole event, so
/// encoded events can be concatenated. An event from a relay can have comments before it.
///
/// The conversion from an [`Event`] takes one allocation of the exact size.
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
    /// Encodes an event whose data is written in pieces.
    ///
    /// `head` has the other fields. Its data, if any, is the first piece. The buffer grows as needed.
    ///
    /// # Errors
    ///
    /// The errors of the function `write`. The buffer itself has no errors.
    ///
    /// ```
    /// use ssekit_core::{Event, EncodedEvent};
    ///
    /// let event = EncodedEvent::write(&Event::new(), |data| write!(data, "{} of {}", 1, 2))?;
    /// assert_eq!(event.as_bytes(), b"data: 1 of 2\n\n");
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    pub fn write(head: &Event<'_>, write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> Result<Self, fmt::Error> {
        // The closure gets a `dyn`, so it cannot replace the writer by another. So the result is one whole event.
        let mut bytes = bytes::BytesMut::new();
        let mut writer = EventWriter::new(&mut bytes, head)?;
        write(&mut writer)?;
        writer.finish()?;
        Ok(Self(bytes.freeze()))
    }

    /// Wraps the bytes of one whole event, with or without comments before it. They end with a blank line.
    #[cfg(any(feature = "stream", feature = "json"))]
    pub(crate) fn from_wire(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// Wraps the bytes of one or more whole events. Only for ssekit's own packages.
    #[doc(hidden)]
    pub fn __from_whole_events(bytes: Bytes) -> Self {
        debug_assert!(bytes.ends_with(b"\n") || bytes.ends_with(b"\r"), "these bytes are not whole events");
        Self(bytes)
    }

    /// Returns the bytes of the event.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes of the event, without copying them.
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
        // This cannot fail: the vector has the length of the event.
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
    fn from(event: EncodedEvent) -> Self {
        event.0
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
