//! Events that own their strings by sharing the chunk they came in.

use alloc::string::String;
use core::borrow::Borrow;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::ops::Deref;

use bytes::Bytes;
use bytestring::ByteString;

use crate::event::Event;
#[cfg(feature = "json")]
use crate::message_event::JsonDecodeError;
use crate::message_event::MessageEvent;
use crate::scan::{ShortStr, share};
use crate::text::Text;
use crate::values::InvalidValue;

/// Text that is cheap to clone: in shared bytes, of which a clone counts a reference, or in itself, where it is short.
///
/// It is a `str` by `Deref`. Text of up to 23 bytes is kept in place; longer text turns into its `Bytes` at no cost, and
/// where it lies in a chunk, it keeps the whole chunk alive: to be held for long, take a [`String`].
#[derive(Clone)]
pub struct SharedStr(Repr);

#[derive(Clone)]
enum Repr {
    Short(ShortStr),
    Shared(ByteString),
}

impl SharedStr {
    /// So many bytes are kept in place.
    const SHORT: usize = ShortStr::MAX_LEN;

    /// Text that needs no memory, whatever its length.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Repr::Shared(ByteString::from_static(text)))
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Short(text) => text.as_str(),
            Repr::Shared(text) => text,
        }
    }

    /// `text` in place, if it is short, or as a part of `chunk`, if it lies in it, or as a copy.
    #[inline(always)]
    pub(crate) fn share(text: &str, chunk: &Bytes) -> Self {
        Self(match text {
            "" => Repr::Short(ShortStr::default()),
            "message" => Repr::Short(ShortStr::MESSAGE),
            _ => match ShortStr::new(text, chunk) {
                Some(text) => Repr::Short(text),
                None => Repr::Shared(share(text, chunk).unwrap_or_else(|| ByteString::from(text))),
            },
        })
    }
}

impl Default for SharedStr {
    fn default() -> Self {
        Self(Repr::Short(ShortStr::default()))
    }
}

impl Deref for SharedStr {
    type Target = str;

    #[inline]
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for SharedStr {
    fn as_ref(&self) -> &str {
        self
    }
}

impl Borrow<str> for SharedStr {
    fn borrow(&self) -> &str {
        self
    }
}

impl From<&str> for SharedStr {
    /// Copies `text`.
    fn from(text: &str) -> Self {
        Self::share(text, &Bytes::new())
    }
}

impl From<String> for SharedStr {
    fn from(text: String) -> Self {
        match ShortStr::new(&text, &[]) {
            Some(text) => Self(Repr::Short(text)),
            None => Self(Repr::Shared(ByteString::from(text))),
        }
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
        match text.0 {
            Repr::Short(text) => Self::copy_from_slice(text.as_str().as_bytes()),
            Repr::Shared(text) => text.into_bytes(),
        }
    }
}

/// Borrows the text.
impl<'a> From<&'a SharedStr> for Text<'a> {
    fn from(text: &'a SharedStr) -> Self {
        Self::borrowed(text)
    }
}

/// Copies the text.
impl From<SharedStr> for Text<'_> {
    fn from(text: SharedStr) -> Self {
        String::from(text).into()
    }
}

impl PartialEq for SharedStr {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for SharedStr {}

impl Hash for SharedStr {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for SharedStr {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SharedStr {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_str().cmp(other)
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
#[expect(clippy::exhaustive_structs, reason = "the owned form of `MessageEvent`")]
pub struct ReceivedEvent {
    /// The event type: `message` unless the event has an `event` field that is not empty.
    pub event_type: SharedStr,
    /// The data: the event's `data` lines, joined by LF.
    pub data: SharedStr,
    /// The last event ID at the time; empty when there was none.
    pub last_event_id: SharedStr,
}

impl ReceivedEvent {
    /// Owns `event`, which was decoded from `chunk`: what of it lies in the chunk is shared, the rest copied.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use ssekit_core::{Decoder, ReceivedEvent};
    ///
    /// let chunk = Bytes::from("data: more than two dozen bytes\n\n");
    /// let mut decoder = Decoder::new();
    /// let mut rest = &chunk[..];
    /// let mut events = Vec::new();
    /// while let Some(event) = decoder.next_event(&mut rest)? {
    ///     events.push(ReceivedEvent::share(event, &chunk));
    /// }
    /// assert_eq!(events[0].data, "more than two dozen bytes");
    /// assert_eq!(events[0].data.as_ptr(), chunk[6..].as_ptr());
    /// # Ok::<(), ssekit_core::DecodeError>(())
    /// ```
    pub fn share(event: MessageEvent<'_>, chunk: &Bytes) -> Self {
        Self {
            event_type: SharedStr::share(event.event_type, chunk),
            data: SharedStr::share(event.data, chunk),
            last_event_id: SharedStr::share(event.last_event_id, chunk),
        }
    }

    /// The same, where an ID that is too long to be kept in place is shared with the event before, whose ID `last` is, if it
    /// is the same. For who decodes one event after the other.
    #[inline(always)]
    pub fn share_after(event: MessageEvent<'_>, chunk: &Bytes, last: &mut SharedStr) -> Self {
        Self {
            event_type: SharedStr::share(event.event_type, chunk),
            data: SharedStr::share(event.data, chunk),
            last_event_id: match event.last_event_id {
                id if id.len() > SharedStr::SHORT => long_id(id, last),
                id => SharedStr::share(id, chunk),
            },
        }
    }

    /// The data, as JSON: see [`MessageEvent::json`]. What `T` borrows, it borrows from this event.
    ///
    /// # Errors
    ///
    /// [`JsonDecodeError`] when it is no JSON, or none of a `T`: it says of which event.
    ///
    /// ```
    /// use ssekit_core::{MessageEvent, ReceivedEvent};
    ///
    /// let event = ReceivedEvent::from(MessageEvent { event_type: "message", data: "\"Hi\"", last_event_id: "" });
    /// assert_eq!(event.json::<&str>()?, "Hi");
    /// # Ok::<(), ssekit_core::JsonDecodeError>(())
    /// ```
    #[cfg(feature = "json")]
    pub fn json<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, JsonDecodeError> {
        self.as_event().json()
    }

    /// The event, borrowed.
    pub fn as_event(&self) -> MessageEvent<'_> {
        MessageEvent { event_type: &self.event_type, data: &self.data, last_event_id: &self.last_event_id }
    }
}

/// A copy, since it may have to outlive its chunk by far; the last event's, if it is the same.
#[cold]
#[inline(never)]
fn long_id(id: &str, last_event_id: &mut SharedStr) -> SharedStr {
    if *last_event_id != id {
        *last_event_id = SharedStr::from(id);
    }
    last_event_id.clone()
}

/// What was decoded, and perhaps changed, to be sent on; as for a [`MessageEvent`].
impl<'a> TryFrom<&'a ReceivedEvent> for Event<'a> {
    type Error = InvalidValue;

    /// # Errors
    ///
    /// [`InvalidValue`] when the type or the ID was changed to one that cannot stand on the wire.
    fn try_from(event: &'a ReceivedEvent) -> Result<Self, InvalidValue> {
        Self::try_from(event.as_event())
    }
}

impl From<MessageEvent<'_>> for ReceivedEvent {
    /// Copies the strings.
    fn from(event: MessageEvent<'_>) -> Self {
        Self::share(event, &Bytes::new())
    }
}
