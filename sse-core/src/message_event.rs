//! What a decoder gives and what is sent on.

#[cfg(feature = "json")]
use alloc::string::{String, ToString};
#[cfg(feature = "json")]
use core::fmt;

/// An event as a decoder dispatches it: the standard's `MessageEvent`.
///
/// The strings are borrowed: from the chunk, as a rule, where the event lies whole in it, else from the decoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_structs, reason = "programs build it, and the standard has these three fields")]
pub struct MessageEvent<'a> {
    /// The event type: `message` unless the event has an `event` field that is not empty.
    pub event_type: &'a str,
    /// The data: the event's `data` lines, joined by LF.
    pub data: &'a str,
    /// The last event ID at the time: this event's, or the last one before it that had any; empty when there was none.
    pub last_event_id: &'a str,
}

#[cfg(feature = "json")]
impl<'a> MessageEvent<'a> {
    /// The data, as JSON. What `T` borrows, it borrows as the event does.
    ///
    /// # Errors
    ///
    /// [`JsonDecodeError`] when it is no JSON, or none of a `T`: it says of which event.
    ///
    /// ```
    /// use ssekit_core::MessageEvent;
    ///
    /// let event = MessageEvent { event_type: "point", data: "[1,2]", last_event_id: "7" };
    /// assert_eq!(event.json::<(i32, i32)>()?, (1, 2));
    ///
    /// let error = event.json::<[i32; 3]>().unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "data of the event \"point\" at id \"7\": invalid length 2, expected an array of length 3 at line 1 column 5"
    /// );
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

/// The data of an event is not what it was taken for.
#[cfg(feature = "json")]
#[derive(Debug)]
pub struct JsonDecodeError {
    event_type: String,
    last_event_id: String,
    error: serde_json::Error,
}

#[cfg(feature = "json")]
impl JsonDecodeError {
    /// The event's type.
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// The last event ID as of that event, or empty.
    pub fn last_event_id(&self) -> &str {
        &self.last_event_id
    }
}

#[cfg(feature = "json")]
impl fmt::Display for JsonDecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event_type, last_event_id, error } = self;
        match &**last_event_id {
            "" => write!(f, "data of the event {event_type:?}: {error}"),
            id => write!(f, "data of the event {event_type:?} at id {id:?}: {error}"),
        }
    }
}

#[cfg(feature = "json")]
impl core::error::Error for JsonDecodeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        // The error itself is in the text already.
        self.error.source()
    }
}
