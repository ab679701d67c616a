//! The heads of requests and responses, as far as the machine knows them.

use core::fmt;
use core::time::Duration;

/// The parts of a response's head that the machine looks at.
///
/// ```
/// use ssekit_client::machine::ResponseHead;
///
/// let head = ResponseHead::new(200).with_content_type(b"text/event-stream");
/// assert_eq!((head.status, head.location), (200, None));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseHead<'a> {
    /// The status code.
    pub status: u16,
    /// `Content-Type`. If there are several, all of them, joined by commas.
    pub content_type: Option<&'a [u8]>,
    /// `Location`, which says where a redirect leads.
    pub location: Option<&'a [u8]>,
    /// `Content-Encoding`, unless the transport decodes it. If there are several, all of them, joined by commas.
    pub content_encoding: Option<&'a [u8]>,
    /// `Retry-After`, as a time from now: see [`parse_retry_after`](crate::parse_retry_after).
    pub retry_after: Option<Duration>,
}

impl<'a> ResponseHead<'a> {
    /// Creates a head with this status and no header fields.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Sets `Content-Type`.
    #[must_use]
    pub fn with_content_type(mut self, value: &'a [u8]) -> Self {
        self.content_type = Some(value);
        self
    }

    /// Sets `Location`.
    #[must_use]
    pub fn with_location(mut self, value: &'a [u8]) -> Self {
        self.location = Some(value);
        self
    }

    /// Sets `Content-Encoding`, which the transport has not decoded.
    #[must_use]
    pub fn with_content_encoding(mut self, value: &'a [u8]) -> Self {
        self.content_encoding = Some(value);
        self
    }

    /// Sets the time that `Retry-After` asks to wait.
    #[must_use]
    pub fn with_retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }
}

/// The request that the machine wants the driver to send.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct RequestHead<'a> {
    /// The URL, without credentials.
    pub url: &'a str,
    /// The request method.
    pub method: &'a str,
    /// Whether to send the body, if the application has one. Redirects can change this.
    pub has_body: bool,
    /// Whether a redirect left the origin of the first URL, even if a later one returned to it.
    ///
    /// If it did, do not send header fields that are meant for the first origin only, such as credentials.
    pub is_cross_origin: bool,
    /// The number of the attempt, counted from 1. A redirect belongs to the attempt that it redirects.
    pub attempt: u64,
    pub(super) last_event_id: &'a str,
}

impl<'a> RequestHead<'a> {
    /// Returns the header fields that the request needs, with names in lower case.
    ///
    /// These are `accept`, `cache-control` and, unless it is empty, `last-event-id`. An application may replace the first
    /// two. The ID is in UTF-8. It has no white space around it, since HTTP does not transmit that.
    ///
    /// Source: WHATWG HTML, section 9.2.2, "The EventSource interface", and 9.2.3, "Processing model".
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> + use<'a> {
        let last_event_id = self.last_event_id.trim_matches([' ', '\t']).as_bytes();
        let last_event_id = Some(last_event_id).filter(|id| !id.is_empty());
        [("accept", &b"text/event-stream"[..]), ("cache-control", b"no-cache")]
            .into_iter()
            .chain(last_event_id.map(|id| ("last-event-id", id)))
    }
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("url", &without_query(self.url))
            .field("method", &self.method)
            .field("has_body", &self.has_body)
            .field("is_cross_origin", &self.is_cross_origin)
            .field("attempt", &self.attempt)
            .field("last_event_id", &self.last_event_id)
            .finish()
    }
}

/// Returns the URL without its query and fragment, for logs: a query may contain a secret.
pub(crate) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// Whether the value is `text/event-stream`, with or without parameters. The last one of several counts.
///
/// Source: the Fetch standard, section 3.4, "extract a MIME type".
pub(super) fn is_event_stream(content_type: &[u8]) -> bool {
    let mut essences = content_type.rsplit(|byte| *byte == b',').map(|value| {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii()
    });
    // Skips parts that are not types, such as the rest of a quoted parameter with a comma.
    let last = essences.find(|essence| essence.contains(&b'/') && !essence.contains(&b'"') && *essence != b"*/*");
    last.is_some_and(|essence| essence.eq_ignore_ascii_case(b"text/event-stream"))
}

/// Whether the value means that the body is not encoded.
///
/// `identity` is "reserved as a synonym for 'no encoding'" (RFC 9110, section 12.5.3).
pub(super) fn is_identity(content_encoding: &[u8]) -> bool {
    let mut encodings = content_encoding.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    encodings.all(|encoding| encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity"))
}

/// Returns the first byte that a header field cannot contain, and its position.
///
/// Source: RFC 9110, section 5.5, which allows "visible" characters, bytes above 0x7f, spaces and tabs.
pub(super) fn find_unsendable_byte(id: &str) -> Option<(u8, usize)> {
    let position = id.bytes().position(|byte| byte != b'\t' && byte.is_ascii_control())?;
    Some((*id.as_bytes().get(position)?, position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_content_type_decides() {
        for (content_type, expected) in [
            ("text/event-stream", true),
            (" Text/Event-Stream ; charset=utf-8", true),
            ("text/event-stream;x=\"a,b/c\"", true),
            ("text/event-stream, text/event-stream", true),
            ("text/html, text/event-stream", true),
            ("text/event-stream, */*", true),
            ("text/event-stream,", true),
            ("text/event-stream, text/html", false),
            ("text/event-streams", false),
            ("text/html; x=text/event-stream", false),
            ("event-stream", false),
            ("", false),
        ] {
            assert_eq!(is_event_stream(content_type.as_bytes()), expected, "{content_type:?}");
        }
    }

    #[test]
    fn identity_counts_as_not_encoded() {
        for (content_encoding, expected) in
            [("", true), ("Identity", true), ("identity, identity", true), ("identity, gzip", false), ("br", false)]
        {
            assert_eq!(is_identity(content_encoding.as_bytes()), expected, "{content_encoding:?}");
        }
    }

    #[test]
    fn white_space_around_an_id_is_not_sent() {
        for (id, expected) in [("a", Some("a")), (" a b\t", Some("a b")), (" \t", None), ("", None)] {
            let request = RequestHead {
                url: "http://localhost/",
                method: "GET",
                has_body: false,
                is_cross_origin: false,
                attempt: 1,
                last_event_id: id,
            };
            let sent = request.headers().find(|(name, _)| *name == "last-event-id").map(|(_, value)| value);
            assert_eq!(sent, expected.map(str::as_bytes), "{id:?}");
        }
    }
}
