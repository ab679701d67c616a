//! Events that own their strings by sharing the chunk they came in.

use alloc::string::String;
use core::borrow::Borrow;
use core::fmt;
use core::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;

use crate::event::{Event, InvalidValue};
use crate::message_event::MessageEvent;

/// Text in shared bytes: a clone counts a reference.
///
/// It is a `str` by `Deref`, and turns into its `Bytes` at no cost. Text that lies in a chunk keeps the whole chunk
/// alive; for a few bytes to be held for long, take a [`String`].
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SharedStr(ByteString);

impl SharedStr {
    /// Text that needs no memory.
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `text`, which is valid UTF-8, as a part of `chunk` where it lies in it, else as a copy.
    #[inline]
    pub(crate) fn share(text: &str, chunk: &Bytes) -> Self {
        let start = text.as_ptr().addr().wrapping_sub(chunk.as_ptr().addr());
        let shared = match start.checked_add(text.len()) {
            Some(end) if end <= chunk.len() => ByteString::try_from(chunk.slice(start..end)),
            _ => return Self::from(text),
        };
        shared.map_or_else(|_| Self::from(text), Self)
    }

    /// As [`share`](Self::share), but `message`, which most events' type is, costs nothing.
    #[inline]
    pub(crate) fn share_event_type(text: &str, chunk: &Bytes) -> Self {
        if text == "message" { Self::from_static("message") } else { Self::share(text, chunk) }
    }
}

impl Deref for SharedStr {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for SharedStr {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for SharedStr {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for SharedStr {
    /// Copies `text`.
    fn from(text: &str) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<String> for SharedStr {
    fn from(text: String) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<SharedStr> for String {
    /// Copies the text.
    fn from(text: SharedStr) -> Self {
        Self::from(text.as_str())
    }
}

impl From<SharedStr> for Bytes {
    fn from(text: SharedStr) -> Self {
        text.0.into_bytes()
    }
}

impl PartialEq<str> for SharedStr {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for SharedStr {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for SharedStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for SharedStr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A [`MessageEvent`] that owns its strings, and shares them with the chunk that they came in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OwnedEvent {
    /// The event type: `message` unless the event has an `event` field that is not empty.
    pub event_type: SharedStr,
    /// The data: the event's `data` lines, joined by LF.
    pub data: SharedStr,
    /// The last event ID at the time; empty when there was none.
    pub last_event_id: SharedStr,
}

impl OwnedEvent {
    /// Owns `event`, which was decoded from `chunk`: what of it lies in the chunk is shared, the rest copied.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use ssekit_core::{Decoder, OwnedEvent};
    ///
    /// let chunk = Bytes::from("data: hello\n\n");
    /// let mut decoder = Decoder::new();
    /// let mut rest = &chunk[..];
    /// let mut events = Vec::new();
    /// while let Some(event) = decoder.next_event(&mut rest)? {
    ///     events.push(OwnedEvent::share(event, &chunk));
    /// }
    /// assert_eq!(events[0].data, "hello");
    /// assert_eq!(events[0].data.as_ptr(), chunk[6..].as_ptr());
    /// # Ok::<(), ssekit_core::DecodeError>(())
    /// ```
    pub fn share(event: MessageEvent<'_>, chunk: &Bytes) -> Self {
        Self {
            event_type: SharedStr::share_event_type(event.event_type, chunk),
            data: SharedStr::share(event.data, chunk),
            last_event_id: SharedStr::share(event.last_event_id, chunk),
        }
    }

    /// The event, borrowed.
    pub fn as_event(&self) -> MessageEvent<'_> {
        MessageEvent { event_type: &self.event_type, data: &self.data, last_event_id: &self.last_event_id }
    }
}

/// What was decoded, and perhaps changed, to be sent on; as for a [`MessageEvent`].
impl<'a> TryFrom<&'a OwnedEvent> for Event<'a> {
    type Error = InvalidValue;

    /// # Errors
    ///
    /// [`InvalidValue`] when the type or the ID was changed to one that cannot stand on the wire.
    fn try_from(event: &'a OwnedEvent) -> Result<Self, InvalidValue> {
        Self::try_from(event.as_event())
    }
}

impl From<MessageEvent<'_>> for OwnedEvent {
    /// Copies the strings.
    fn from(event: MessageEvent<'_>) -> Self {
        Self::share(event, &Bytes::new())
    }
}
