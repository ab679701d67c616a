//! What is sent, and what comes back.

use core::fmt;
use core::time::Duration;

/// What the machine has to know of a response's head. What it is not told is [`Default`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// The status.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: Option<&'a [u8]>,
    /// `Location`.
    pub location: Option<&'a [u8]>,
    /// `Content-Encoding`, unless the transport undoes it.
    pub content_encoding: Option<&'a [u8]>,
    /// `Retry-After`, as the time from now: see [`retry_after`](crate::retry_after).
    pub retry_after: Option<Duration>,
}

/// A request as the machine wants it sent.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Where to.
    pub url: &'a str,
    /// By which method.
    pub method: &'a str,
    /// Whether with the body, if there is one.
    pub has_body: bool,
    /// A redirect has led off the origin that was asked for at first, be it back to it. What is meant for that one only,
    /// above all credentials, must not be sent.
    pub is_cross_origin: bool,
    /// Which attempt it is, counted from 1. Redirects make none.
    pub attempt: u64,
    pub(super) last_event_id: &'a str,
}

impl<'a> Request<'a> {
    /// The header fields that it has at least, with names in lower case. The last event ID is in UTF-8, and there only if
    /// it is not empty. Of the others, an application may have its own.
    ///
    /// Source: WHATWG HTML, section 9.2.2, "The EventSource interface", and 9.2.3, "Processing model".
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, &'a [u8])> + use<'a> {
        let last_event_id = Some(self.last_event_id.as_bytes()).filter(|id| !id.is_empty());
        [("accept", &b"text/event-stream"[..]), ("cache-control", b"no-cache")]
            .into_iter()
            .chain(last_event_id.map(|id| ("last-event-id", id)))
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("url", &without_query(self.url))
            .field("method", &self.method)
            .field("has_body", &self.has_body)
            .field("is_cross_origin", &self.is_cross_origin)
            .field("attempt", &self.attempt)
            .field("last_event_id", &self.last_event_id)
            .finish()
    }
}

/// For what goes to logs: the query may hold a secret.
pub(crate) fn without_query(url: &str) -> &str {
    url.split(['?', '#']).next().unwrap_or_default()
}

/// "Content-Type header specifying `text/event-stream`", with or without parameters.
pub(super) fn is_event_stream(content_type: &[u8]) -> bool {
    let essence = content_type.split(|byte| *byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// "Reserved as a synonym for 'no encoding'" (RFC 9110, section 12.5.3).
pub(super) fn is_identity(content_encoding: &[u8]) -> bool {
    let encoding = content_encoding.trim_ascii();
    encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity")
}

/// The first byte that cannot stand in a header field, and where it is.
///
/// Source: RFC 9110, section 5.5: "visible" characters, bytes above 0x7f, spaces and tabs.
pub(super) fn unsendable(id: &str) -> Option<(u8, usize)> {
    let position = id.bytes().position(|byte| byte != b'\t' && byte.is_ascii_control())?;
    Some((*id.as_bytes().get(position)?, position))
}
