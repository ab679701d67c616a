//! What can go wrong, and what then.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use ssekit_core::DecodeError;

/// What has gone wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// There was no response: the server cannot be reached, or the connection broke before it has answered.
    NoResponse,
    /// There was no response in time.
    ConnectTimeout {
        /// How long it was waited for.
        limit: Duration,
    },
    /// The stream broke off amid its body, or has come to its end amid an event, which is dropped.
    Broken,
    /// Not a byte came for too long.
    IdleTimeout {
        /// How long they were waited for.
        limit: Duration,
    },
    /// The stream has come to its end, and the server has not said that there is nothing more.
    StreamEnd,
    /// The server has answered with a status that is not 200, nor one that is followed, nor 204.
    Status {
        /// The status.
        status: u16,
        /// The start of the body, of at most 8 KiB.
        body: Vec<u8>,
    },
    /// The server has answered 200, and with something else than an event stream.
    ContentType {
        /// The response's `Content-Type`, if it has one, of which there are at most 256 bytes.
        content_type: Option<String>,
        /// The start of the body, of at most 8 KiB.
        body: Vec<u8>,
    },
    /// The server has answered 200 with an event stream that is compressed in a way that the transport does not undo.
    ContentEncoding {
        /// The response's `Content-Encoding`, of which there are at most 256 bytes.
        content_encoding: String,
    },
    /// The server redirects to where it is not followed.
    Redirect(RedirectError),
    /// The last event ID cannot be sent: HTTP has no control characters in header fields.
    LastEventId {
        /// The byte that cannot stand there.
        byte: u8,
        /// Where in the ID it is, counted from 0.
        position: usize,
    },
    /// The application could not give the headers of this attempt.
    Headers,
    /// The request cannot be made at all.
    Request,
    /// An event was over a limit, and has been dropped.
    Decode(DecodeError),
    /// A comment was longer than events' data may be, and has been dropped.
    CommentTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
}

impl Failure {
    /// Whether the standard has a client reconnect: a network error, or the end of the stream. Headers that the
    /// application [could not give](Self::Headers) are taken for the first.
    ///
    /// This is what is tried again by default.
    pub fn is_network_error(&self) -> bool {
        matches!(
            self,
            Self::NoResponse
                | Self::ConnectTimeout { .. }
                | Self::Broken
                | Self::IdleTimeout { .. }
                | Self::StreamEnd
                | Self::Headers
        )
    }

    /// Whether it may well be over soon: a network error, or one of the statuses 408 (Request Timeout), 425 (Too Early),
    /// 429 (Too Many Requests), 500 (Internal Server Error), 502 (Bad Gateway), 503 (Service Unavailable) and 504 (Gateway
    /// Timeout).
    pub fn is_transient(&self) -> bool {
        self.is_network_error() || matches!(self.status(), Some(408 | 425 | 429 | 500 | 502 | 503 | 504))
    }

    /// The status that the server has answered with, if it is that.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }

    /// The start of the body, if the response was none that is wanted. At most 8 KiB.
    pub fn body(&self) -> Option<&[u8]> {
        match self {
            Self::Status { body, .. } | Self::ContentType { body, .. } => Some(body),
            _ => None,
        }
    }

    /// To try again would be futile, whatever anybody wishes.
    pub(super) fn is_futile(&self) -> bool {
        matches!(self, Self::Redirect(_) | Self::LastEventId { .. } | Self::Request | Self::ContentEncoding { .. })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoResponse => f.write_str("no response from the server"),
            Self::ConnectTimeout { limit } => write!(f, "no response from the server within {limit:?}"),
            Self::Broken => f.write_str("stream has broken off"),
            Self::IdleTimeout { limit } => write!(f, "nothing has come for {limit:?}"),
            Self::StreamEnd => f.write_str("stream has ended"),
            Self::Status { status, body } => {
                write!(f, "server has answered with status {status}")?;
                Excerpt(body).fmt(f)
            }
            Self::ContentType { content_type: None, body } => {
                f.write_str("response has no content type, and so is no event stream")?;
                Excerpt(body).fmt(f)
            }
            Self::ContentType { content_type: Some(content_type), body } => {
                write!(f, "response is {content_type:?}, and no event stream")?;
                Excerpt(body).fmt(f)
            }
            Self::ContentEncoding { content_encoding } => {
                write!(f, "event stream is compressed by {content_encoding:?}, which is not understood")
            }
            Self::Redirect(error) => error.fmt(f),
            Self::LastEventId { byte, position } => {
                write!(f, "last event id cannot be sent: it has a control character ({byte:#04x}) at byte {position}")
            }
            Self::Headers => f.write_str("headers of the request cannot be had"),
            Self::Request => f.write_str("request cannot be made"),
            Self::Decode(error) => write!(f, "event was dropped: {error}"),
            Self::CommentTooLong { limit } => write!(f, "comment was dropped: it is longer than {limit} bytes"),
        }
    }
}

impl core::error::Error for Failure {}

/// The start of a body, on one line.
struct Excerpt<'a>(&'a [u8]);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 200;
        let text = String::from_utf8_lossy(self.0);
        let line = text.trim();
        match line.char_indices().nth(MOST) {
            None if line.is_empty() => Ok(()),
            None => write!(f, ": {line:?}"),
            Some((end, _)) => write!(f, ": {:?}...", line.get(..end).unwrap_or_default()),
        }
    }
}

/// Why a redirect is not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedirectError {
    /// The response has no `Location`.
    NoLocation,
    /// Its `Location` is no URL, or none of `http` or `https`.
    InvalidLocation {
        /// What it is, of which there are at most 256 bytes, and neither credentials nor a query, which may hold a secret.
        location: String,
    },
    /// It leads from `https` to `http`.
    Insecure {
        /// Where to, in the same way.
        location: String,
    },
    /// There were too many, one behind the other.
    TooMany {
        /// How many are followed.
        limit: u32,
    },
}

impl fmt::Display for RedirectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoLocation => f.write_str("server redirects, and does not say where to"),
            Self::InvalidLocation { location } => write!(f, "server redirects to {location:?}, which is no http url"),
            Self::Insecure { location } => {
                write!(f, "server redirects from https to {location:?}, which is not followed")
            }
            Self::TooMany { limit } => write!(f, "server redirects more than {limit} times"),
        }
    }
}

impl core::error::Error for RedirectError {}

/// What a server says, for an error: not all of it, if it is long.
pub(super) fn excerpt(bytes: &[u8]) -> String {
    const MOST: usize = 256;
    String::from_utf8_lossy(bytes.get(..MOST).unwrap_or(bytes)).into_owned()
}

/// What follows from a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The stream goes on behind what was dropped.
    GoOn,
    /// Another attempt.
    Retry {
        /// After so long.
        after: Duration,
    },
    /// Nothing: this was the last attempt.
    End,
}

/// Why there are no more events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The server has answered 204 (No Content), which asks clients to stop reconnecting.
    NoContent,
    /// A one-shot stream has said that it is done.
    Done,
    /// A one-shot stream was closed behind a whole event, or before the first.
    StreamEnd,
    /// By a failure, which was told.
    Failed,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoContent => "server has nothing more (204)",
            Self::Done => "stream is done",
            Self::StreamEnd => "stream was closed",
            Self::Failed => "stream has failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;
    use alloc::vec;

    use super::*;

    #[test]
    fn a_body_is_shown_on_one_line_and_in_part() {
        let shown = |body: &[u8]| Failure::Status { status: 500, body: body.to_vec() }.to_string();
        assert_eq!(shown(b""), "server has answered with status 500");
        assert_eq!(shown(b" \n"), "server has answered with status 500");
        assert_eq!(shown(b"a\n\xffb\n"), "server has answered with status 500: \"a\\n\u{fffd}b\"");
        let long = shown(&vec![b'x'; 1000]);
        assert_eq!(long.matches('x').count(), 200);
        assert!(long.ends_with("x\"..."), "{long}");
    }

    #[test]
    fn what_is_not_followed_is_named() {
        let location = "ftp://a\n".to_string();
        for (error, shown) in [
            (RedirectError::NoLocation, "server redirects, and does not say where to"),
            (
                RedirectError::InvalidLocation { location: location.clone() },
                "server redirects to \"ftp://a\\n\", which is no http url",
            ),
            (
                RedirectError::Insecure { location },
                "server redirects from https to \"ftp://a\\n\", which is not followed",
            ),
            (RedirectError::TooMany { limit: 20 }, "server redirects more than 20 times"),
        ] {
            assert_eq!(Failure::Redirect(error).to_string(), shown);
        }
    }

    #[test]
    fn ends_are_told_apart() {
        let shown = [End::NoContent, End::Done, End::StreamEnd, End::Failed].map(|end| end.to_string());
        assert_eq!(
            shown,
            ["server has nothing more (204)", "stream is done", "stream was closed", "stream has failed"]
        );
    }

    #[test]
    fn statuses_are_transient_or_not() {
        let is_transient = |status| Failure::Status { status, body: vec![] }.is_transient();
        let transient: Vec<u16> = (100..=599).filter(|status| is_transient(*status)).collect();
        assert_eq!(transient, [408, 425, 429, 500, 502, 503, 504]);
        assert!(Failure::StreamEnd.is_transient() && Failure::Headers.is_transient());
        assert!(!Failure::Redirect(RedirectError::NoLocation).is_transient());
    }
}
