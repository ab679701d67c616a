//! Events as a decoder returns them.

#[cfg(feature = "json")]
use alloc::string::{String, ToString};
#[cfg(feature = "json")]
use core::fmt;

/// An event that a decoder has dispatched: the standard's `MessageEvent`.
///
/// It borrows its text from the chunk, if the event lies whole in it, or from the decoder.
/// `ReceivedEvent` is the owned form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "programs build it, and the standard has these three fields")]
pub struct MessageEvent<'a> {
    /// The event type. It is `message` if the event has no `event` field, or an empty one.
    pub event_type: &'a str,
    /// The data: the event's `data` lines, joined by LF.
    pub data: &'a str,
    /// The last event ID, or an empty string.
    ///
    /// It is the ID of this event, or else of the last event before it that has one.
    pub last_event_id: &'a str,
}

#[cfg(feature = "json")]
impl<'a> MessageEvent<'a> {
    /// Deserialises the data as JSON. `T` can borrow from the data.
    ///
    /// # Errors
    ///
    /// [`JsonDecodeError`] when the data is not JSON, or not a `T`. The error names the event.
    ///
    /// ```
    /// use ssekit_core::MessageEvent;
    ///
    /// let event = MessageEvent { event_type: "point", data: "[1,2]", last_event_id: "7" };
    /// assert_eq!(event.json::<(i32, i32)>()?, (1, 2));
    ///
    /// let error = event.json::<[i32; 3]>().unwrap_err().to_string();
    /// assert!(error.starts_with("cannot read the data of event \"point\" with ID \"7\" as JSON: invalid length 2"));
    /// # Ok::<(), ssekit_core::JsonDecodeError>(())
    /// ```
    pub fn json<T: serde::Deserialize<'a>>(&self) -> Result<T, JsonDecodeError> {
        serde_json::from_str(self.data).map_err(|error| JsonDecodeError {
            event_type: self.event_type.to_string(),
            last_event_id: self.last_event_id.to_string(),
            error,
        })
    }
}

/// The data of an event cannot be read as JSON of the requested type.
#[cfg(feature = "json")]
#[derive(Debug)]
pub struct JsonDecodeError {
    event_type: String,
    last_event_id: String,
    error: serde_json::Error,
}

#[cfg(feature = "json")]
impl JsonDecodeError {
    /// Returns the type of the event.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// Returns the event's last event ID, or an empty string.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }
}

#[cfg(feature = "json")]
impl fmt::Display for JsonDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_type, last_event_id, error } = self;
        match &**last_event_id {
            "" => write!(f, "cannot read the data of event {event_type:?} as JSON: {error}"),
            id => write!(f, "cannot read the data of event {event_type:?} with ID {id:?} as JSON: {error}"),
        }
    }
}

#[cfg(feature = "json")]
impl core::error::Error for JsonDecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        // The message contains the error itself.
        self.error.source()
    }
}
