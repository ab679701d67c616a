//! A request for an event stream.

use std::fmt;

use http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Uri};

use crate::accept::wants_event_stream;
use crate::last_event_id::{LastEventId, LastEventIdError};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What a request says about the event stream that it asks for.
///
/// - [`last_event_id`](Self::last_event_id): where a client that reconnects stopped.
/// - [`wants_event_stream`](Self::wants_event_stream): whether the `Accept` header names `text/event-stream`.
/// - [`is_get`](Self::is_get): whether the method is GET.
///
/// The adapters have an extractor with this name, which dereferences to this type. `Hub::respond` answers such a request.
///
/// ```
/// use ssekit_server::SseRequest;
///
/// let request = http::Request::get("/events")
///     .header("accept", "text/event-stream")
///     .header("last-event-id", "41")
///     .body(())?;
/// let request = SseRequest::from_http(&request)?;
/// assert_eq!(request.last_event_id().map(|id| id.as_str()), Some("41"));
/// assert!(request.wants_event_stream() && request.is_reconnection());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SseRequest {
    last_event_id: Option<LastEventId>,
    wants_event_stream: bool,
    is_get: bool,
}

impl SseRequest {
    /// Reads a request of the crate http.
    ///
    /// # Errors
    ///
    /// Fails like [`from_fields`](Self::from_fields).
    pub fn from_http<B>(request: &Request<B>) -> Result<Self, SseRequestRejection> {
        Self::from_head(request.method(), request.uri(), request.headers())
    }

    /// Reads the parts of the head of a request.
    ///
    /// # Errors
    ///
    /// Fails like [`from_fields`](Self::from_fields).
    pub fn from_head(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, SseRequestRejection> {
        let last_event_id = headers.get(LAST_EVENT_ID).map(HeaderValue::as_bytes);
        let accept = headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
        Self::from_fields(method.as_str(), last_event_id, accept, uri.query())
    }

    /// Reads the fields of a request, for a framework with types of its own.
    ///
    /// The last event ID is the header field `Last-Event-ID`, as the standard has it. Without that field, it is the query
    /// parameter `last_event_id` or `lastEventId`, for clients that cannot set a header. An empty ID counts as no ID.
    ///
    /// # Errors
    ///
    /// - [`SseRequestRejection::Malformed`] if the last event ID is invalid.
    /// - [`SseRequestRejection::Finished`] if the last event ID says that the stream is finished.
    ///
    /// ```
    /// use ssekit_server::{SseRequest, SseRequestRejection};
    ///
    /// let request = SseRequest::from_fields("GET", None, [], Some("topic=a&lastEventId=4%2C2"))?;
    /// assert_eq!(request.last_event_id().map(|id| id.as_str()), Some("4,2"));
    ///
    /// let finished = SseRequest::from_fields("GET", Some(b"ssekit:done"), [], None);
    /// assert_eq!(finished, Err(SseRequestRejection::Finished));
    /// # Ok::<(), SseRequestRejection>(())
    /// ```
    pub fn from_fields<'a>(
        method: &str,
        last_event_id: Option<&[u8]>,
        accept: impl IntoIterator<Item = &'a [u8]>,
        query: Option<&str>,
    ) -> Result<Self, SseRequestRejection> {
        let last_event_id = LastEventId::from_fields(last_event_id, query).map_err(SseRequestRejection::Malformed)?;
        if last_event_id.as_ref().is_some_and(LastEventId::is_finished) {
            return Err(SseRequestRejection::Finished);
        }
        Ok(Self { last_event_id, wants_event_stream: wants_event_stream(accept), is_get: method == "GET" })
    }

    /// Returns the last event ID that the client sent.
    pub fn last_event_id(&self) -> Option<&LastEventId> {
        self.last_event_id.as_ref()
    }

    /// Returns whether the `Accept` header names `text/event-stream`, with a weight above 0.
    ///
    /// Every EventSource sends such a header. The wildcard `*/*` does not count, because clients send it that ask for
    /// nothing in particular.
    pub fn wants_event_stream(&self) -> bool {
        self.wants_event_stream
    }

    /// Returns whether the client reconnects, which is whether it sent a last event ID.
    pub fn is_reconnection(&self) -> bool {
        self.last_event_id.is_some()
    }

    /// Returns whether the method is GET. An EventSource sends no other method.
    pub fn is_get(&self) -> bool {
        self.is_get
    }

    /// Returns whether the client may be an EventSource, which gives up for good at any status but 200.
    #[cfg(feature = "hub")]
    pub(crate) fn may_be_event_source(&self) -> bool {
        self.is_get && self.wants_event_stream
    }
}

/// The reason why a request for an event stream is answered without its handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SseRequestRejection {
    /// The last event ID is invalid. The answer is 400 (Bad Request) with the reason as text.
    Malformed(LastEventIdError),
    /// The last event ID says that the stream is finished: see [`AfterEnd::Stop`](crate::AfterEnd::Stop).
    ///
    /// The answer is 204 (No Content), after which an EventSource does not reconnect.
    Finished,
}

impl SseRequestRejection {
    /// Returns the status of the answer: 400 or 204.
    pub fn status(&self) -> u16 {
        match self {
            Self::Malformed(_) => 400,
            Self::Finished => 204,
        }
    }

    /// Turns the rejection into its answer, for any framework with the types of the crates http and http-body.
    ///
    /// The body is the reason as text. It is empty for the status 204.
    ///
    /// ```
    /// use ssekit_server::SseRequest;
    ///
    /// let request = http::Request::get("/events").header("last-event-id", "ssekit:done").body(())?;
    /// let answer = SseRequest::from_http(&request).unwrap_err().into_http();
    /// assert_eq!(answer.status(), 204);
    /// assert_eq!(answer.body(), "");
    /// # Ok::<(), http::Error>(())
    /// ```
    pub fn into_http(self) -> Response<String> {
        let (status, text) = match self {
            Self::Malformed(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::Finished => (StatusCode::NO_CONTENT, String::new()),
        };
        let mut response = Response::new(text);
        *response.status_mut() = status;
        if status == StatusCode::BAD_REQUEST {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        }
        response
    }
}

impl fmt::Display for SseRequestRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Finished => f.write_str("the stream is finished"),
        }
    }
}

// The text holds the inner error already, so there is no `source`.
impl std::error::Error for SseRequestRejection {}
