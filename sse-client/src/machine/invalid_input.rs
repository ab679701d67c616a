//! The errors of values that a machine does not accept.

use alloc::string::String;
use core::fmt;

use ssekit_core::{DecodeError, InvalidValue};

use super::failure::Failure;
use super::target::shown_url;

/// The URL cannot be the address of an event source: it is invalid, or its scheme is neither `http` nor `https`.
///
/// The text shows the URL without credentials, query and fragment, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidUrl {
    url: String,
    /// The reason why the URL cannot be parsed; `None` when its scheme is at fault.
    error: Option<url::ParseError>,
}

impl InvalidUrl {
    pub(super) fn new(url: &str, error: Option<url::ParseError>) -> Self {
        Self { url: shown_url(url.as_bytes()), error }
    }
}

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid url {:?}: ", self.url)?;
        match self.error {
            Some(error) => write!(f, "{error}"),
            None => f.write_str("the scheme must be http or https"),
        }
    }
}

// The parser's error is part of the text, so there is no `source`.
impl core::error::Error for InvalidUrl {}

/// The reason why a text cannot be the last event ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidLastEventId {
    /// The ID contains a CR, an LF or a NUL, which no event ID can contain.
    Value(InvalidValue),
    /// The ID is longer than [`Limits::last_event_id`](ssekit_core::Limits::last_event_id).
    Limit(DecodeError),
    /// The ID contains another control character, which HTTP does not allow in header fields.
    Unsendable {
        /// The control character.
        byte: u8,
        /// The position of the control character, in bytes from the start of the ID.
        position: usize,
    },
}

impl fmt::Display for InvalidLastEventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
            Self::Unsendable { byte, position } => Failure::LastEventId { byte: *byte, position: *position }.fmt(f),
        }
    }
}

impl core::error::Error for InvalidLastEventId {}
