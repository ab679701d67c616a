//! Server-sent events for [axum]: a stream of events as a response, and `Last-Event-ID` as an extractor.
//!
//! All that is not axum's own is in [`ssekit_server`].
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, routing::get};
//! use futures_util::{Stream, StreamExt, stream};
//! use ssekit_axum::{LastEventId, Sse};
//! use ssekit_core::{Event, EventId, Frame, InvalidValue};
//!
//! async fn count(LastEventId(last): LastEventId) -> Sse<impl Stream<Item = Result<Frame, InvalidValue>>> {
//!     // It is the client's word: any number at all.
//!     let seen: u64 = last.and_then(|id| id.as_str().parse().ok()).unwrap_or(0);
//!     let events = stream::iter(seen.saturating_add(1)..u64::MAX).map(|n| {
//!         let id = n.to_string();
//!         Ok(Frame::from(Event::data("tick").with_id(EventId::new(&id)?)))
//!     });
//!     Sse::new(events).with_reconnection_time(Duration::from_secs(2))
//! }
//!
//! let app: Router = Router::new().route("/count", get(count));
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

use std::fmt;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::header::{HeaderName, HeaderValue};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_core::Stream;
use ssekit_server::HEADERS;

pub use ssekit_server::{EventBody, IntoFrame, KeepAlive, LastEventIdError};

/// A response that is an event stream, from any [`Stream`] of [`Frame`](ssekit_core::Frame)s,
/// [`Event`](ssekit_core::Event)s or `Result`s of them.
///
/// Each event is on the wire as soon as the stream has it; what is ready together goes out together. An idle
/// connection is kept alive by a comment every 15 seconds. When the client goes, the stream is dropped.
///
/// The header fields of [`HEADERS`] are set; a handler that sets one of them itself, as in
/// `([(header::CACHE_CONTROL, "no-store")], Sse::new(events))`, has its own way.
#[must_use = "a response does nothing unless it is returned"]
pub struct Sse<S: Stream>(EventBody<S>)
where
    S::Item: IntoFrame;

impl<S: Stream> Sse<S>
where
    S::Item: IntoFrame,
{
    /// A response with the events of `stream`.
    pub fn new(stream: S) -> Self {
        Self(EventBody::new(stream))
    }

    /// The same response with this keep-alive; see [`EventBody::with_keep_alive`].
    pub fn with_keep_alive(self, keep_alive: KeepAlive) -> Self {
        Self(self.0.with_keep_alive(keep_alive))
    }

    /// The same response with no keep-alive; see [`EventBody::without_keep_alive`].
    pub fn without_keep_alive(self) -> Self {
        Self(self.0.without_keep_alive())
    }

    /// The same response, with how long a client waits before it reconnects; see
    /// [`EventBody::with_reconnection_time`].
    #[doc(alias = "retry")]
    pub fn with_reconnection_time(self, time: Duration) -> Self {
        Self(self.0.with_reconnection_time(time))
    }

    /// The same response in chunks of at most so many bytes; see [`EventBody::with_max_chunk`].
    pub fn with_max_chunk(self, bytes: usize) -> Self {
        Self(self.0.with_max_chunk(bytes))
    }
}

impl<S: Stream> From<EventBody<S>> for Sse<S>
where
    S::Item: IntoFrame,
{
    fn from(body: EventBody<S>) -> Self {
        Self(body)
    }
}

impl<S: Stream> fmt::Debug for Sse<S>
where
    S::Item: IntoFrame,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sse").field(&self.0).finish()
    }
}

impl<S> IntoResponse for Sse<S>
where
    S: Stream<Item: IntoFrame<Error: Into<axum::BoxError>>> + Send + 'static,
    <S::Item as IntoFrame>::Error: Send,
{
    fn into_response(self) -> Response {
        let fields = HEADERS.map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut response = Response::new(Body::new(self.0));
        *response.headers_mut() = HeaderMap::from_iter(fields);
        response
    }
}

/// Where a client that reconnects has stopped, if it says so: an extractor.
///
/// What it holds is the framework-free [`ssekit_server::LastEventId`]. It looks for the header field `Last-Event-ID`,
/// then for the query parameters `last_event_id` and `lastEventId`. One that is malformed (see [`LastEventIdError`]) is
/// answered by 400, unless the handler takes a `Result<LastEventId, LastEventIdRejection>` and decides itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastEventId(pub Option<ssekit_server::LastEventId>);

impl<T: Sync> FromRequestParts<T> for LastEventId {
    type Rejection = LastEventIdRejection;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, LastEventIdRejection> {
        let header = parts.headers.get("last-event-id").map(HeaderValue::as_bytes);
        let id = ssekit_server::LastEventId::from_request(header, parts.uri.query());
        id.map(Self).map_err(LastEventIdRejection)
    }
}

/// The request's last event ID is malformed: 400, with the reason as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastEventIdRejection(pub LastEventIdError);

impl fmt::Display for LastEventIdRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for LastEventIdRejection {}

impl IntoResponse for LastEventIdRejection {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.to_string()).into_response()
    }
}
