//! What is sent, and what comes back.

use core::fmt;
use core::time::Duration;

/// What the machine has to know of a response's head. What it is not told is [`Default`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Response<'a> {
    /// The status.
    pub status: u16,
    /// `Content-Type`; if there are several, all of them, with commas between.
    pub content_type: Option<&'a [u8]>,
    /// `Location`.
    pub location: Option<&'a [u8]>,
    /// `Content-Encoding`, unless the transport undoes it; if there are several, in the same way.
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
    /// The header fields that it has at least, with names in lower case. The last event ID is in UTF-8, without the white
    /// space around it, which HTTP does not carry, and there only if it is not empty then. Of the others, an application may
    /// have its own.
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

/// "Content-Type header specifying `text/event-stream`", with or without parameters. Of several, the last one counts.
///
/// Source: the Fetch standard, section 3.4, "extract a MIME type".
pub(super) fn is_event_stream(content_type: &[u8]) -> bool {
    let mut essences = content_type.rsplit(|byte| *byte == b',').map(|value| {
        let essence = value.split(|byte| *byte == b';').next().unwrap_or_default();
        essence.trim_ascii()
    });
    // What is no type, such as the rest of a parameter, does not.
    let last = essences.find(|essence| essence.contains(&b'/') && !essence.contains(&b'"') && *essence != b"*/*");
    last.is_some_and(|essence| essence.eq_ignore_ascii_case(b"text/event-stream"))
}

/// "Reserved as a synonym for 'no encoding'" (RFC 9110, section 12.5.3).
pub(super) fn is_identity(content_encoding: &[u8]) -> bool {
    let mut encodings = content_encoding.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    encodings.all(|encoding| encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity"))
}

/// The first byte that cannot stand in a header field, and where it is.
///
/// Source: RFC 9110, section 5.5: "visible" characters, bytes above 0x7f, spaces and tabs.
pub(super) fn unsendable(id: &str) -> Option<(u8, usize)> {
    let position = id.bytes().position(|byte| byte != b'\t' && byte.is_ascii_control())?;
    Some((*id.as_bytes().get(position)?, position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_content_type_counts() {
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
    fn identity_is_no_encoding() {
        for (content_encoding, expected) in
            [("", true), ("Identity", true), ("identity, identity", true), ("identity, gzip", false), ("br", false)]
        {
            assert_eq!(is_identity(content_encoding.as_bytes()), expected, "{content_encoding:?}");
        }
    }

    #[test]
    fn white_space_around_an_id_is_not_sent() {
        for (id, expected) in [("a", Some("a")), (" a b\t", Some("a b")), (" \t", None), ("", None)] {
            let request = Request {
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
