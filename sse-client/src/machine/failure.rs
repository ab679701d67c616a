//! The failures of an attempt.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use ssekit_core::DecodeError;

/// A failure of an attempt, or of a single event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// No response: the server cannot be reached, or the connection broke before the head of the response.
    NoResponse,
    /// No head of a response within the response timeout.
    ResponseTimeout {
        /// The response timeout.
        limit: Duration,
    },
    /// The connection broke while the body was read, or the body ended in the middle of an event, which is dropped.
    Interrupted,
    /// No byte within the idle timeout.
    IdleTimeout {
        /// The idle timeout.
        limit: Duration,
    },
    /// The body ended between two events, but without a 204 the client expects more events.
    StreamEnd,
    /// The server answered with a status other than 200, 204 and the redirects.
    Status {
        /// The status code.
        status: u16,
        /// The start of the body, at most 8 KiB.
        body: Vec<u8>,
    },
    /// The server answered 200 with something other than an event stream.
    ContentType {
        /// The `Content-Type` of the response, cut to 256 bytes; `None` if it is missing.
        content_type: Option<String>,
        /// The start of the body, at most 8 KiB.
        body: Vec<u8>,
    },
    /// The server answered with an event stream in an encoding that the transport does not decode.
    ContentEncoding {
        /// The `Content-Encoding` of the response, cut to 256 bytes.
        content_encoding: String,
    },
    /// The server redirected to an address that the client does not follow.
    Redirect(RedirectError),
    /// The last event ID cannot be sent, because HTTP does not allow control characters in header fields.
    LastEventId {
        /// The control character.
        byte: u8,
        /// The position of the control character, in bytes from the start of the ID.
        position: usize,
    },
    /// The application's callback for header fields returned an error.
    Headers,
    /// The request cannot be sent. Another attempt could not be sent either.
    Request,
    /// An event was over a limit, and is dropped.
    Decode(DecodeError),
    /// A comment was longer than the limit for the data of an event, and is dropped.
    CommentTooLong {
        /// The limit in bytes.
        limit: usize,
    },
}

impl Failure {
    /// Whether the standard makes a client reconnect after this: a network error or the end of the stream.
    ///
    /// A failed callback for [header fields](Self::Headers) counts as a network error. The default
    /// [`RetryPolicy`](crate::RetryPolicy) retries these failures and no others.
    pub fn is_network_error(&self) -> bool {
        matches!(
            self,
            Self::NoResponse
                | Self::ResponseTimeout { .. }
                | Self::Interrupted
                | Self::IdleTimeout { .. }
                | Self::StreamEnd
                | Self::Headers
        )
    }

    /// Whether another attempt may well succeed: a network error, or a status of a server in trouble.
    ///
    /// These are 408 (Request Timeout), 425 (Too Early), 429 (Too Many Requests), 500 (Internal Server Error), 502 (Bad
    /// Gateway), 503 (Service Unavailable) and 504 (Gateway Timeout).
    pub fn is_transient(&self) -> bool {
        self.is_network_error() || matches!(self.status(), Some(408 | 425 | 429 | 500 | 502 | 503 | 504))
    }

    /// Returns the status of a [`Failure::Status`].
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// Returns the start of the body of a response that is not an event stream, at most 8 KiB.
    pub fn body(&self) -> Option<&[u8]> {
        match self {
            Self::Status { body, .. } | Self::ContentType { body, .. } => Some(body),
            _ => None,
        }
    }

    /// Whether another attempt cannot succeed, whatever the retry policy says.
    pub(super) fn is_permanent(&self) -> bool {
        matches!(self, Self::Redirect(_) | Self::LastEventId { .. } | Self::Request | Self::ContentEncoding { .. })
    }

    /// Whether the client failed before it sent a request.
    pub(super) fn is_before_request(&self) -> bool {
        matches!(self, Self::Headers | Self::LastEventId { .. } | Self::Request)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResponse => f.write_str("no response from the server"),
            Self::ResponseTimeout { limit } => write!(f, "no response from the server within {limit:?}"),
            Self::Interrupted => f.write_str("stream was cut off"),
            Self::IdleTimeout { limit } => write!(f, "nothing received for {limit:?}"),
            Self::StreamEnd => f.write_str("stream ended"),
            Self::Status { status, body } => write!(f, "server answered with status {status}{}", BodyExcerpt(body)),
            Self::ContentType { content_type: None, body } => {
                write!(f, "response has no content type, expected text/event-stream{}", BodyExcerpt(body))
            }
            Self::ContentType { content_type: Some(content_type), body } => {
                let body = BodyExcerpt(body);
                write!(f, "response has content type {content_type:?}, expected text/event-stream{body}")
            }
            Self::ContentEncoding { content_encoding } => {
                write!(f, "response has content encoding {content_encoding:?}, which the client cannot decode")
            }
            Self::Redirect(error) => error.fmt(f),
            Self::LastEventId { byte, position } => {
                write!(f, "last event id cannot be sent: it has a control character ({byte:#04x}) at byte {position}")
            }
            Self::Headers => f.write_str("callback for header fields failed"),
            Self::Request => f.write_str("request cannot be sent"),
            Self::Decode(error) => write!(f, "event was dropped: {error}"),
            Self::CommentTooLong { limit } => write!(f, "comment was dropped: it is longer than {limit} bytes"),
        }
    }
}

impl core::error::Error for Failure {}

/// Shows the start of a body on one line, after a colon. Shows nothing for an empty body.
struct BodyExcerpt<'a>(&'a [u8]);

impl fmt::Display for BodyExcerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_CHARS: usize = 200;
        let text = String::from_utf8_lossy(self.0);
        let line = text.trim();
        match line.char_indices().nth(MAX_CHARS) {
            None if line.is_empty() => Ok(()),
            None => write!(f, ": {line:?}"),
            Some((end, _)) => write!(f, ": {:?}...", line.get(..end).unwrap_or_default()),
        }
    }
}

/// The reason why a redirect is not followed.
///
/// Locations are cut to 256 bytes. They have neither credentials nor a query, which may be secret.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectError {
    /// The response has no `Location`.
    NoLocation,
    /// The `Location` is not a URL, or its scheme is neither `http` nor `https`.
    InvalidLocation {
        /// The location that the server sent.
        location: String,
    },
    /// The redirect leads from `https` to `http`.
    Insecure {
        /// The location that the server sent.
        location: String,
    },
    /// The attempt was redirected more often than the limit allows.
    TooMany {
        /// The highest number of redirects that one attempt follows.
        limit: u32,
    },
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLocation => f.write_str("redirect without a location"),
            Self::InvalidLocation { location } => write!(f, "redirect to {location:?}, which is not an http url"),
            Self::Insecure { location } => write!(f, "redirect from https to {location:?} is not followed"),
            Self::TooMany { limit } => write!(f, "more than {limit} redirects in one attempt"),
        }
    }
}

impl core::error::Error for RedirectError {}

/// Returns at most 256 bytes of a server's text, for an error.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MAX_BYTES: usize = 256;
    String::from_utf8_lossy(bytes.get(..MAX_BYTES).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    #[test]
    fn body_is_shown_on_one_line_and_cut() {
        let shown = |body: &[u8]| Failure::Status { status: 500, body: body.to_vec() }.to_string();
        assert_eq!(shown(b""), "server answered with status 500");
        assert_eq!(shown(b" \n"), "server answered with status 500");
        assert_eq!(shown(b"a\n\xffb\n"), "server answered with status 500: \"a\\n\u{fffd}b\"");
        let long = shown(&vec![b'x'; 1000]);
        assert_eq!(long.matches('x').count(), 200);
        assert!(long.ends_with("x\"..."), "{long}");
    }

    #[test]
    fn refused_redirect_shows_its_location() {
        let location = "ftp://a\n".to_string();
        for (error, shown) in [
            (RedirectError::NoLocation, "redirect without a location"),
            (
                RedirectError::InvalidLocation { location: location.clone() },
                "redirect to \"ftp://a\\n\", which is not an http url",
            ),
            (RedirectError::Insecure { location }, "redirect from https to \"ftp://a\\n\" is not followed"),
            (RedirectError::TooMany { limit: 20 }, "more than 20 redirects in one attempt"),
        ] {
            assert_eq!(Failure::Redirect(error).to_string(), shown);
        }
    }

    #[test]
    fn transient_failures_are_network_errors_and_seven_statuses() {
        let is_transient = |status| Failure::Status { status, body: vec![] }.is_transient();
        let transient: Vec<u16> = (100..=599).filter(|status| is_transient(*status)).collect();
        assert_eq!(transient, [408, 425, 429, 500, 502, 503, 504]);
        assert!(Failure::StreamEnd.is_transient() && Failure::Headers.is_transient());
        assert!(!Failure::Redirect(RedirectError::NoLocation).is_transient());
    }
}
