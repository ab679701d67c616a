//! What a machine is not made of.

use core::fmt;

use ssekit_core::{DecodeError, InvalidValue};

use super::failure::Failure;

/// A URL is none of an event source: it cannot be parsed, or is none of `http` or `https`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUrl(pub(super) Option<url::ParseError>);

impl fmt::Display for InvalidUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(error) => write!(f, "url cannot be parsed: {error}"),
            None => f.write_str("url is none of http or https"),
        }
    }
}

// What it is about is in the text already, so there is no `source`.
impl core::error::Error for InvalidUrl {}

/// Why a last event ID cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidId {
    /// It has a CR, an LF or a NUL in it.
    Value(InvalidValue),
    /// It is over the limit.
    Limit(DecodeError),
    /// It has another control character in it, which HTTP does not let stand in a header field.
    Unsendable {
        /// The byte.
        byte: u8,
        /// Where it is, counted from 0.
        position: usize,
    },
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(error) => error.fmt(f),
            Self::Limit(error) => error.fmt(f),
            Self::Unsendable { byte, position } => Failure::LastEventId { byte: *byte, position: *position }.fmt(f),
        }
    }
}

impl core::error::Error for InvalidId {}
