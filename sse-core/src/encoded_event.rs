//! Events encoded once, into shared bytes.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;

#[cfg(feature = "json")]
use crate::encode::END;
use crate::encode::EventWriter;
use crate::event::Event;
use crate::sink::Plain;

/// An [`Event`] encoded once, into bytes that are shared: a clone counts a reference.
///
/// It is what streams and broadcasts carry. It always is one whole event (one from a relay perhaps with comments before
/// it), so frames can be put one behind the other. From an [`Event`] its memory is of the exact size; from JSON or from
/// pieces it may have some to spare.
///
/// ```
/// use ssekit_core::{Event, EncodedEvent};
///
/// let frame = EncodedEvent::from(Event::data("hi"));
/// assert_eq!(frame.as_bytes(), b"data: hi\n\n");
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
#[must_use]
pub struct EncodedEvent(Bytes);

impl EncodedEvent {
    /// An event whose data is `value` as JSON, serialised straight into the frame (without the feature `std`, by way of
    /// a vector of serde_json's).
    ///
    /// `head` gives all but the data; data that it has is replaced. Line breaks, which JSON can only have between its
    /// tokens (from a `RawValue`, say), are split like those of any data.
    ///
    /// # Errors
    ///
    /// [`JsonEncodeError`] when `value` cannot be serialised: its own `Serialize` fails, or a map's keys are no strings.
    ///
    /// ```
    /// use ssekit_core::{Event, EncodedEvent, event_type};
    ///
    /// let head = Event::new().with_event_type(event_type!("point"));
    /// let frame = EncodedEvent::json(head, &[1, 2])?;
    /// assert_eq!(frame.as_bytes(), b"event: point\ndata: [1,2]\n\n");
    /// # Ok::<(), ssekit_core::JsonEncodeError>(())
    /// ```
    #[cfg(feature = "json")]
    pub fn json(head: Event<'_>, value: &(impl serde::Serialize + ?Sized)) -> Result<Self, JsonEncodeError> {
        // Enough for most, so that it need not grow.
        let mut bytes = Vec::with_capacity(512);
        let Ok(()) = head.write_start(&mut Plain(|text: &str| bytes.extend_from_slice(text.as_bytes())));
        let start = bytes.len();
        append_json(&mut bytes, value).map_err(JsonEncodeError)?;
        let (_, json) = bytes.split_at(start);
        if memchr::memchr2(b'\r', b'\n', json).is_some() {
            return Ok(Self::from(head.with_data(&alloc::string::String::from_utf8_lossy(json))));
        }
        bytes.extend_from_slice(END.as_bytes());
        if bytes.len() <= 512 {
            // To keep memory that is to spare costs an allocation as well.
            return Ok(Self(Bytes::copy_from_slice(&bytes)));
        }
        Ok(Self(Bytes::from(bytes)))
    }

    /// An event whose data `write` writes, piece by piece.
    ///
    /// `head` gives the rest, and its data, if it has any, is the first piece.
    ///
    /// # Errors
    ///
    /// Those of `write`. The sink has none.
    ///
    /// ```
    /// use ssekit_core::{Event, EncodedEvent};
    ///
    /// let frame = EncodedEvent::write(Event::new(), |data| write!(data, "{} of {}", 1, 2))?;
    /// assert_eq!(frame.as_bytes(), b"data: 1 of 2\n\n");
    /// # Ok::<(), std::fmt::Error>(())
    /// ```
    pub fn write(head: Event<'_>, write: impl FnOnce(&mut dyn fmt::Write) -> fmt::Result) -> Result<Self, fmt::Error> {
        // The closure gets a `dyn`, which it cannot swap for another writer: the frame stays one whole event.
        let mut bytes = bytes::BytesMut::new();
        let mut writer = EventWriter::new(&mut bytes, head)?;
        write(&mut writer)?;
        writer.finish()?;
        Ok(Self(bytes.freeze()))
    }

    /// What a decoder has taken for an event, and perhaps blocks of comments before it: it ends with a blank line.
    #[cfg(feature = "stream")]
    pub(crate) fn from_wire(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// One or more whole events, one behind the other, as a hub hands them out. For ssekit's own packages: whoever else
    /// makes a frame of bytes has to answer for what stands in them.
    #[doc(hidden)]
    pub fn __from_whole_events(bytes: Bytes) -> Self {
        debug_assert!(bytes.ends_with(b"\n") || bytes.ends_with(b"\r"), "no whole events");
        Self(bytes)
    }

    /// The event as it stands on the wire.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The event as it stands on the wire, still shared.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<Event<'_>> for EncodedEvent {
    /// Encodes the event, into one allocation of the exact size.
    fn from(event: Event<'_>) -> Self {
        if event.is_plain() {
            let mut bytes = Vec::with_capacity(event.plain_len());
            let Ok(()) = event.write(&mut Plain(|text: &str| bytes.extend_from_slice(text.as_bytes())));
            return Self(Bytes::from(bytes));
        }
        let needed = event.encoded_len();
        #[allow(clippy::slow_vector_initialization, reason = "glibc's calloc is the slower one for a few bytes")]
        let mut bytes = Vec::with_capacity(needed);
        bytes.resize(needed, 0);
        // Never fails: it is as long as is needed.
        let len = event.encode_to_slice(&mut bytes);
        debug_assert_eq!(len, Ok(needed));
        Self(Bytes::from(bytes))
    }
}

impl From<&Event<'_>> for EncodedEvent {
    fn from(event: &Event<'_>) -> Self {
        Self::from(*event)
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

#[cfg(all(feature = "json", feature = "std"))]
fn append_json(bytes: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::new(bytes))
}

/// Without std, serde_json writes to a vector of its own only.
#[cfg(all(feature = "json", not(feature = "std")))]
fn append_json(bytes: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) -> serde_json::Result<()> {
    bytes.extend_from_slice(&serde_json::to_vec(value)?);
    Ok(())
}

/// A value could not be serialised as JSON.
#[cfg(feature = "json")]
#[derive(Debug)]
pub struct JsonEncodeError(serde_json::Error);

#[cfg(feature = "json")]
impl fmt::Display for JsonEncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "data cannot be serialised as json: {}", self.0)
    }
}

#[cfg(feature = "json")]
impl core::error::Error for JsonEncodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        // The error itself is in the text already.
        self.0.source()
    }
}
