use std::borrow::Cow;
use std::fmt;
use std::str;

use percent_encoding::percent_decode_str;
use ssekit_core::{EventId, InvalidValue};

/// The last event ID that a client which reconnects has seen.
///
/// It comes from outside: a position in a stream, never a right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LastEventId(String);

impl LastEventId {
    /// The most bytes that it may have. Keep the IDs that you send within it: a client that comes back with a longer one
    /// is told that it is malformed.
    pub const MAX_LEN: usize = 256;

    /// The ID that a stream with [`AfterEnd::Stop`](crate::AfterEnd::Stop) ends with. A client that comes with it is to be
    /// answered by 204 (No Content), which ends its reconnecting.
    pub const FINISHED: &str = "ssekit:done";

    /// Looks for it in a request: in the header field `Last-Event-ID`, as the standard has it, then in the query, as
    /// `last_event_id` or `lastEventId`, for clients that cannot set a header. An empty one is none.
    ///
    /// # Errors
    ///
    /// [`LastEventIdError`] when there is one and it cannot be an ID.
    ///
    /// ```
    /// use ssekit_server::LastEventId;
    ///
    /// let id = LastEventId::from_request(Some(b"41"), None)?;
    /// assert_eq!(id.as_ref().map(LastEventId::as_str), Some("41"));
    ///
    /// let id = LastEventId::from_request(None, Some("topic=a&lastEventId=4%2C2"))?;
    /// assert_eq!(id.as_ref().map(LastEventId::as_str), Some("4,2"));
    ///
    /// assert!(LastEventId::from_request(None, Some("last_event_id=4%0A2")).is_err());
    /// # Ok::<(), ssekit_server::LastEventIdError>(())
    /// ```
    pub fn from_request(header: Option<&[u8]>, query: Option<&str>) -> Result<Option<Self>, LastEventIdError> {
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

    /// Whether the client has all there is: see [`FINISHED`](Self::FINISHED).
    pub fn is_finished(&self) -> bool {
        self.0 == Self::FINISHED
    }

    /// The ID.
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

/// What a request has as last event ID cannot be one. A client sends such if it makes its IDs up, or was given one of
/// more than [`LastEventId::MAX_LEN`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LastEventIdError {
    /// It has more than [`LastEventId::MAX_LEN`] bytes.
    TooLong {
        /// How many it has.
        len: usize,
    },
    /// It has a CR, an LF or a NUL in it.
    Invalid(InvalidValue),
    /// It is not UTF-8.
    NotUtf8 {
        /// The first byte that is not, counted from 0.
        position: usize,
    },
}

impl fmt::Display for LastEventIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("last event id is malformed: ")?;
        match self {
            Self::TooLong { len } => write!(f, "it has {len} bytes, of {} at the most", LastEventId::MAX_LEN),
            Self::Invalid(error) => error.fmt(f),
            Self::NotUtf8 { position } => write!(f, "it is not utf-8 at byte {position}"),
        }
    }
}

// What it is about is in the text already, so there is no `source`.
impl std::error::Error for LastEventIdError {}
