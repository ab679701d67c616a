//! Events that own their text. Long text shares the chunk in which it came.

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

/// Text that is cheap to clone.
///
/// Up to 23 bytes are stored in place. Longer text is in shared bytes: a clone counts a reference, and the conversion
/// into `Bytes` copies nothing. It is a `str` by `Deref`.
///
/// Text that shares a chunk keeps the whole chunk in memory. To keep text for long, convert it to a [`String`].
///
/// ```
/// use ssekit_core::SharedStr;
///
/// let text = SharedStr::from("hi");
/// assert_eq!(text.clone(), "hi");
/// assert_eq!(text.len(), 2);
/// ```
#[derive(Clone)]
pub struct SharedStr(Repr);

#[derive(Clone)]
enum Repr {
    Short(ShortStr),
    Shared(ByteString),
}

impl SharedStr {
    /// The longest text that is stored in place, in bytes.
    const MAX_SHORT: usize = ShortStr::MAX_LEN;

    /// Makes a text from a literal. It allocates nothing.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Repr::Shared(ByteString::from_static(text)))
    }

    /// Returns the text.
    #[inline]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Repr::Short(text) => text.as_str(),
            Repr::Shared(text) => text,
        }
    }

    /// Stores short text in place. Longer text shares `chunk` if it lies in it, and is copied otherwise.
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

/// A [`MessageEvent`] that owns its text.
///
/// Text of more than 23 bytes shares the chunk from which it was decoded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "the owned form of `MessageEvent`")]
pub struct ReceivedEvent {
    /// The event type. It is `message` if the event has no `event` field, or an empty one.
    pub event_type: SharedStr,
    /// The data: the event's `data` lines, joined by LF.
    pub data: SharedStr,
    /// The last event ID, or an empty string.
    pub last_event_id: SharedStr,
}

impl ReceivedEvent {
    /// Makes an owned event from `event`, which was decoded from `chunk`.
    ///
    /// Text of up to 23 bytes is stored in place. Longer text shares `chunk` if it lies in it, and is copied
    /// otherwise.
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

    /// Does the same as [`share`](Self::share), but copies a long ID only when it changes.
    ///
    /// A stream often repeats its last event ID. `cached_id` keeps a copy of the last ID of more than 23 bytes, and
    /// events with this ID share it. Pass the same variable, at first empty, for all events of a stream.
    ///
    /// ```
    /// use bytes::Bytes;
    /// use ssekit_core::{Decoder, ReceivedEvent, SharedStr};
    ///
    /// let chunk = Bytes::from("id: an ID of more than two dozen bytes\ndata: 1\n\ndata: 2\n\n");
    /// let (mut decoder, mut cached_id, mut rest) = (Decoder::new(), SharedStr::default(), &chunk[..]);
    /// let mut ids = Vec::new();
    /// while let Some(event) = decoder.next_event(&mut rest)? {
    ///     ids.push(ReceivedEvent::share_with_cached_id(event, &chunk, &mut cached_id).last_event_id);
    /// }
    /// assert_eq!(ids[0].as_ptr(), ids[1].as_ptr());
    /// # Ok::<(), ssekit_core::DecodeError>(())
    /// ```
    #[inline(always)]
    pub fn share_with_cached_id(event: MessageEvent<'_>, chunk: &Bytes, cached_id: &mut SharedStr) -> Self {
        Self {
            event_type: SharedStr::share(event.event_type, chunk),
            data: SharedStr::share(event.data, chunk),
            last_event_id: match event.last_event_id {
                id if id.len() > SharedStr::MAX_SHORT => long_id(id, cached_id),
                id => SharedStr::share(id, chunk),
            },
        }
    }

    /// Deserialises the data as JSON. `T` can borrow from this event.
    ///
    /// # Errors
    ///
    /// [`JsonDecodeError`] when the data is not JSON, or not a `T`. The error names the event.
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
        self.as_message_event().json()
    }

    /// Returns a borrowed view of the event.
    pub fn as_message_event(&self) -> MessageEvent<'_> {
        MessageEvent { event_type: &self.event_type, data: &self.data, last_event_id: &self.last_event_id }
    }
}

/// Returns the cached ID, or a copy of `id`. An ID can outlive its chunk by far, so it does not share it.
#[cold]
#[inline(never)]
fn long_id(id: &str, cached_id: &mut SharedStr) -> SharedStr {
    if *cached_id != id {
        *cached_id = SharedStr::from(id);
    }
    cached_id.clone()
}

/// Makes an event to send from a received event, as for a [`MessageEvent`].
impl<'a> TryFrom<&'a ReceivedEvent> for Event<'a> {
    type Error = InvalidValue;

    /// # Errors
    ///
    /// [`InvalidValue`] when the type or the ID is invalid. Those of a decoded event are always valid.
    fn try_from(event: &'a ReceivedEvent) -> Result<Self, InvalidValue> {
        Self::try_from(event.as_message_event())
    }
}

impl From<MessageEvent<'_>> for ReceivedEvent {
    /// Copies the text.
    fn from(event: MessageEvent<'_>) -> Self {
        Self::share(event, &Bytes::new())
    }
}
