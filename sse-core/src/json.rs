//! JSON as the data of events.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use memchr::memchr2;

use crate::encode::END;
use crate::encoded_event::EncodedEvent;
use crate::event::Event;
use crate::into_event::{BoxError, EventChunk, IntoEvent};
use crate::sink::Plain;

/// A value that is sent as JSON, as the data of an event.
///
/// It is serialised directly into the chunk of the response. [`Event::json`] makes an event with JSON data and a type
/// or an ID.
///
/// ```
/// use ssekit_core::{IntoEvent, JsonData};
///
/// assert_eq!(JsonData([1, 2]).into_event()?.as_bytes(), b"data: [1,2]\n\n");
/// # Ok::<(), ssekit_core::BoxError>(())
/// ```
///
/// `stream.map(JsonData)` makes a stream of events from a stream of serialisable values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_structs, reason = "programs build it")]
pub struct JsonData<T>(pub T);

impl<T: serde::Serialize> IntoEvent for JsonData<T> {
    #[inline]
    fn into_event(self) -> Result<EncodedEvent, BoxError> {
        Ok(EncodedEvent::json(&Event::EMPTY, &self.0)?)
    }

    #[inline]
    fn encode_into(self, chunk: &mut EventChunk<'_>) -> Result<(), BoxError> {
        Ok(chunk.encode_json(&Event::EMPTY, &self.0)?)
    }
}

impl Event<'static> {
    /// Makes an event whose data is `value` as JSON.
    ///
    /// [`JsonData`] serialises a value of a stream without this intermediate text.
    ///
    /// # Errors
    ///
    /// [`JsonEncodeError`] when `value` cannot be serialised: its `Serialize` fails, or a map
    /// has keys that are not strings.
    ///
    /// ```
    /// use ssekit_core::{Event, event_type};
    ///
    /// let event = Event::json(&[1, 2])?.with_event_type(event_type!("point"));
    /// assert_eq!(event.to_string(), "event: point\ndata: [1,2]\n\n");
    /// # Ok::<(), ssekit_core::JsonEncodeError>(())
    /// ```
    pub fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<Self, JsonEncodeError> {
        serde_json::to_string(value).map(Self::data).map_err(JsonEncodeError)
    }
}

impl EventChunk<'_> {
    /// Serialises a value straight into the chunk, as the data of an event with the other fields of `head`.
    ///
    /// # Errors
    ///
    /// [`JsonEncodeError`] when `value` cannot be serialised. The chunk is then unchanged.
    pub fn encode_json(
        &mut self,
        head: &Event<'_>,
        value: &(impl serde::Serialize + ?Sized),
    ) -> Result<(), JsonEncodeError> {
        match encode(head, value, self.buffer().room())? {
            #[cfg(feature = "std")]
            Serialised::InRoom(len) => self.buffer().advance(len),
            Serialised::Apart(event) => self.buffer().push(event),
        }
        Ok(())
    }
}

impl EncodedEvent {
    /// Encodes an event whose data is `value` as JSON.
    ///
    /// `head` has the other fields. Its data is ignored. The value is serialised into the memory of the event.
    /// Without the feature `std`, this takes one more allocation.
    ///
    /// Line breaks in the JSON are split as in other data. They can only come from a `RawValue`.
    ///
    /// # Errors
    ///
    /// [`JsonEncodeError`] when `value` cannot be serialised: its `Serialize` fails, or a map has keys that are not
    /// strings.
    ///
    /// ```
    /// use ssekit_core::{EncodedEvent, Event, event_type};
    ///
    /// let head = Event::new().with_event_type(event_type!("point"));
    /// let event = EncodedEvent::json(&head, &[1, 2])?;
    /// assert_eq!(event.as_bytes(), b"event: point\ndata: [1,2]\n\n");
    /// # Ok::<(), ssekit_core::JsonEncodeError>(())
    /// ```
    pub fn json(head: &Event<'_>, value: &(impl serde::Serialize + ?Sized)) -> Result<Self, JsonEncodeError> {
        // Most events are shorter, so the vector does not grow.
        let mut bytes = Vec::with_capacity(512);
        let Ok(()) = head.write_start(&mut Plain(|text: &str| bytes.extend_from_slice(text.as_bytes())));
        let start = bytes.len();
        append(&mut bytes, value).map_err(JsonEncodeError)?;
        Ok(Self::from_json(head, bytes, start))
    }

    /// Completes an event. `bytes` has everything but its end, and `bytes[start..]` is the data.
    fn from_json(head: &Event<'_>, mut bytes: Vec<u8>, start: usize) -> Self {
        let (_, json) = bytes.split_at(start);
        if has_line_breaks(head, json) {
            return Self::from_lines(head, json);
        }
        bytes.extend_from_slice(END.as_bytes());
        if bytes.len() <= 512 {
            // The copy is exact. Without it, `Bytes` would allocate as well, to remember the unused capacity.
            return Self::from_wire(Bytes::copy_from_slice(&bytes));
        }
        Self::from_wire(Bytes::from(bytes))
    }

    /// Encodes an event whose data or comment has line breaks. JSON rarely has.
    #[cold]
    #[inline(never)]
    fn from_lines(head: &Event<'_>, json: &[u8]) -> Self {
        let data = String::from_utf8_lossy(json);
        Self::from(&Event { data: Some((&*data).into()), ..head.clone() })
    }
}

/// Whether the data or the comment can have line breaks.
fn has_line_breaks(head: &Event<'_>, json: &[u8]) -> bool {
    head.comment.is_some() || memchr2(b'\r', b'\n', json).is_some()
}

#[cfg(feature = "std")]
fn append(bytes: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::new(bytes))
}

/// Appends the value as JSON. Without std, serde_json writes only into its own vector.
#[cfg(not(feature = "std"))]
fn append(bytes: &mut Vec<u8>, value: &(impl serde::Serialize + ?Sized)) -> serde_json::Result<()> {
    bytes.extend_from_slice(&serde_json::to_vec(value)?);
    Ok(())
}

/// An event that was serialised once.
pub(crate) enum Serialised {
    /// The event is the first bytes of the room.
    #[cfg(feature = "std")]
    InRoom(usize),
    /// The event did not fit into the room, or has line breaks.
    Apart(EncodedEvent),
}

/// Encodes an event into the start of `room` if it fits. It serialises the value exactly once.
#[cfg(feature = "std")]
pub(crate) fn encode(
    head: &Event<'_>,
    value: &(impl serde::Serialize + ?Sized),
    room: &mut [u8],
) -> Result<Serialised, JsonEncodeError> {
    let mut out = SpillingWriter { room, used: 0, spilled: Vec::new() };
    let Ok(()) = head.write_start(&mut Plain(|text: &str| out.put(text.as_bytes())));
    let start = out.len();
    value.serialize(&mut serde_json::Serializer::new(&mut out)).map_err(JsonEncodeError)?;
    let end = out.used;
    let is_in_room = out.spilled.is_empty() && !has_line_breaks(head, out.room.get(start..end).unwrap_or_default());
    if is_in_room {
        out.put(END.as_bytes());
        if out.spilled.is_empty() {
            return Ok(Serialised::InRoom(out.used));
        }
        out.spilled.truncate(end);
    }
    let SpillingWriter { room, spilled, .. } = out;
    let bytes = if spilled.is_empty() { room.get(..end).unwrap_or_default().to_vec() } else { spilled };
    Ok(Serialised::Apart(EncodedEvent::from_json(head, bytes, start)))
}

/// Encodes an event. Without std, serde_json writes only into its own vector.
#[cfg(not(feature = "std"))]
pub(crate) fn encode(
    head: &Event<'_>,
    value: &(impl serde::Serialize + ?Sized),
    _: &mut [u8],
) -> Result<Serialised, JsonEncodeError> {
    EncodedEvent::json(head, value).map(Serialised::Apart)
}

/// A writer into a slice. When the slice is full, it moves all bytes to a vector.
///
/// ```text
/// spilled.is_empty():   room: [ bytes | unused ]      0 <= used <= room.len()
///                                     used
/// otherwise:            spilled: [ bytes ]
/// ```
#[cfg(feature = "std")]
struct SpillingWriter<'a> {
    room: &'a mut [u8],
    used: usize,
    spilled: Vec<u8>,
}

#[cfg(feature = "std")]
impl SpillingWriter<'_> {
    fn len(&self) -> usize {
        if self.spilled.is_empty() { self.used } else { self.spilled.len() }
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let room = self.room.get_mut(self.used..).and_then(|rest| rest.get_mut(..bytes.len()));
        match room {
            Some(room) if self.spilled.is_empty() => {
                room.copy_from_slice(bytes);
                self.used += bytes.len();
            }
            _ => self.spill(bytes),
        }
    }

    #[cold]
    fn spill(&mut self, bytes: &[u8]) {
        if self.spilled.is_empty() {
            self.spilled.extend_from_slice(self.room.get(..self.used).unwrap_or_default());
        }
        self.spilled.extend_from_slice(bytes);
    }
}

#[cfg(feature = "std")]
impl std::io::Write for SpillingWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A value cannot be serialised as JSON.
#[derive(Debug)]
pub struct JsonEncodeError(serde_json::Error);

impl fmt::Display for JsonEncodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot serialise the data of an event as JSON: {}", self.0)
    }
}

impl core::error::Error for JsonEncodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        // The message contains the error itself.
        self.0.source()
    }
}
