//! The errors of an [`EventSourceBuilder`](crate::EventSourceBuilder).

use alloc::string::String;
use core::fmt;
use std::error;

use http::HeaderName;

use crate::client_error::BoxError;
use crate::machine::{InvalidLastEventId, InvalidUrl};
use crate::request::{MAX_HEADERS, reserved};

/// The reason why no event source can be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The URL is invalid.
    Url(InvalidUrl),
    /// The name of a header field is invalid.
    HeaderName {
        /// The name, cut to 64 bytes.
        name: String,
    },
    /// The application cannot set this header field: see [`with_header`](crate::EventSourceBuilder::with_header).
    ReservedHeader {
        /// The name of the header field.
        name: HeaderName,
    },
    /// The value of a header field contains control characters.
    HeaderValue {
        /// The name. The value is not shown, because it may be secret.
        name: HeaderName,
    },
    /// There are more than 1,000 header fields.
    TooManyHeaders,
    /// The body cannot be serialized as JSON. The text is the error of the serializer.
    Json(String),
    /// The last event ID is invalid.
    LastEventId(InvalidLastEventId),
    /// The HTTP client cannot be built, for example because TLS has no certificates.
    Client(BoxError),
}

impl InvalidRequest {
    pub(crate) fn header_name(name: &[u8]) -> Self {
        const MAX_BYTES: usize = 64;
        let name = String::from_utf8_lossy(name.get(..MAX_BYTES).unwrap_or(name)).into_owned();
        Self::HeaderName { name }
    }
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(error) => error.fmt(f),
            Self::HeaderName { name } if name.is_empty() => f.write_str("invalid header name: it is empty"),
            Self::HeaderName { name } => {
                write!(f, "invalid header name {name:?}")?;
                match name.chars().find(|c| !is_token(*c)) {
                    Some(c) => write!(f, ": {c:?} is not allowed"),
                    None => f.write_str(": it is too long"),
                }
            }
            Self::ReservedHeader { name } => f.write_str(reserved(name).unwrap_or("reserved header field")),
            Self::HeaderValue { name } => {
                write!(f, "invalid value of header field {name}: control characters are not allowed")
            }
            Self::TooManyHeaders => write!(f, "too many header fields: at most {MAX_HEADERS} are allowed"),
            Self::Json(error) => write!(f, "body cannot be serialized as json: {error}"),
            Self::LastEventId(error) => error.fmt(f),
            Self::Client(error) => write!(f, "http client cannot be built: {error}"),
        }
    }
}

/// Whether the name of a header field may contain this character (RFC 9110, section 5.6.2).
fn is_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)
}

impl error::Error for InvalidRequest {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            // The text of the error itself is part of this error's text.
            Self::Client(error) => error.source(),
            _ => None,
        }
    }
}
