//! The last event ID of a request.

use std::borrow::Cow;
use std::fmt;
use std::str;

use percent_encoding::percent_decode_str;
use ssekit_core::{EventId, InvalidValue};

/// The last event ID that a client sends when it reconnects.
///
/// The client chooses this text freely. Use it as a position in a stream, never as a permission.
///
/// [`SseRequest::last_event_id`](crate::SseRequest::last_event_id) reads it from a request. Tests make one by `try_from`:
///
/// ```
/// use ssekit_server::LastEventId;
///
/// let id = LastEventId::try_from("41")?;
/// assert_eq!(id.as_str(), "41");
/// assert!(LastEventId::try_from("4\n1").is_err());
/// # Ok::<(), ssekit_server::LastEventIdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LastEventId(String);

impl LastEventId {
    /// The most bytes that a last event ID may have: 256.
    ///
    /// Send shorter IDs. The request of a client with a longer one is rejected as malformed.
    pub const MAX_LEN: usize = 256;

    /// The ID with which a finished stream ends: see [`AfterEnd::Stop`](crate::AfterEnd::Stop).
    ///
    /// A request with this ID must be answered by 204 (No Content), so that the client does not reconnect again.
    pub const FINISHED: &str = "ssekit:done";

    /// Looks for an ID in the header field and then in the query. An empty one counts as none.
    pub(crate) fn from_fields(header: Option<&[u8]>, query: Option<&str>) -> Result<Option<Self>, LastEventIdError> {
        if let Some(value) = header.filter(|value| !value.is_empty()) {
            return Self::check(value).map(Some);
        }
        for name in ["last_event_id", "lastEventId"] {
            let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
            if let Some((_, value)) = pairs.find(|(key, value)| *key == name && !value.is_empty()) {
                let spaced = value.replace('+', " ");
                let bytes: Cow<'_, [u8]> = percent_decode_str(&spaced).into();
                return Self::check(&bytes).map(Some);
            }
        }
        Ok(None)
    }

    fn check(bytes: &[u8]) -> Result<Self, LastEventIdError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(LastEventIdError::TooLong { len: bytes.len() });
        }
        let text =
            str::from_utf8(bytes).map_err(|error| LastEventIdError::NotUtf8 { position: error.valid_up_to() })?;
        EventId::new(text).map(|id| Self(id.as_str().to_owned())).map_err(LastEventIdError::Invalid)
    }

    /// Returns whether the stream is finished: see [`FINISHED`](Self::FINISHED).
    pub fn is_finished(&self) -> bool {
        self.0 == Self::FINISHED
    }

    /// Returns the text of the ID.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for LastEventId {
    type Error = LastEventIdError;

    fn try_from(text: &str) -> Result<Self, LastEventIdError> {
        Self::check(text.as_bytes())
    }
}

impl From<LastEventId> for String {
    fn from(id: LastEventId) -> Self {
        id.0
    }
}

impl AsRef<str> for LastEventId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LastEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The error for a text that is not a valid last event ID.
///
/// A client sends such a text if it makes up its own IDs, or if the server sent an ID of more than
/// [`LastEventId::MAX_LEN`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LastEventIdError {
    /// The text has more than [`LastEventId::MAX_LEN`] bytes.
    TooLong {
        /// The number of bytes.
        len: usize,
    },
    /// The text contains a CR, an LF or a NUL.
    Invalid(InvalidValue),
    /// The bytes are not UTF-8.
    NotUtf8 {
        /// The index of the first invalid byte.
        position: usize,
    },
}

impl fmt::Display for LastEventIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed last event id: ")?;
        match self {
            Self::TooLong { len } => write!(f, "it has {len} bytes, the limit is {}", LastEventId::MAX_LEN),
            Self::Invalid(error) => error.fmt(f),
            Self::NotUtf8 { position } => write!(f, "invalid utf-8 at byte {position}"),
        }
    }
}

// The text holds the inner error already, so there is no `source`.
impl std::error::Error for LastEventIdError {}
