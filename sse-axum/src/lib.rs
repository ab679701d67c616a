//! Server-sent events for [axum]: a stream of events as a response, `Last-Event-ID` as an extractor, and a server.
//!
//! All that is not axum's own is in [`ssekit_server`].
//!
//! # The server
//!
//! `serve` (feature `serve`, on by default) stands in for `axum::serve`, which waits for open streams for ever when it is to
//! shut down. With `axum::serve`, drain the [`StreamGroup`] in its shutdown signal, and give it `into_make_service()`: by
//! itself it copies the routes into each connection.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, routing::get};
//! use futures_util::{Stream, StreamExt, stream};
//! use ssekit_axum::{LastEventId, Sse};
//! use ssekit_core::{Event, EventId, EncodedEvent, InvalidValue};
//!
//! async fn count(LastEventId(last): LastEventId) -> Sse<impl Stream<Item = Result<EncodedEvent, InvalidValue>>> {
//!     // It is the client's word: any number at all.
//!     let seen: u64 = last.and_then(|id| id.as_str().parse().ok()).unwrap_or(0);
//!     let events = stream::iter(seen.saturating_add(1)..u64::MAX).map(|n| {
//!         let id = n.to_string();
//!         Ok(EncodedEvent::from(Event::data("tick").with_id(EventId::new(&id)?)))
//!     });
//!     Sse::new(events).with_reconnection_time(Duration::from_secs(2))
//! }
//!
//! let app: Router = Router::new().route("/count", get(count));
//! ```

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

#[cfg(feature = "serve")]
mod serve;

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
#[cfg(feature = "hub")]
use axum::http::header::RETRY_AFTER;
use axum::http::header::{ACCEPT, HeaderValue};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_core::Stream;

#[cfg(feature = "serve")]
pub use serve::{AppService, serve};
#[cfg(feature = "hub")]
#[doc(inline)]
pub use ssekit_server::hub;
pub use ssekit_server::{
    AfterEnd, CloseReason, DrainOptions, DrainPolicy, DrainReport, EventBody, IntoEvent, KeepAlive, LastEventIdError,
    Outcome, SendError, Sender, StreamGroup, StreamHandle, TrySendError,
};
#[cfg(feature = "serve")]
pub use ssekit_server::{Serve, Shutdown, SocketOptions, TcpKeepAlive};

ssekit_server::__response_type! {
    /// A response that is an event stream, from any [`Stream`] of [`EncodedEvent`](ssekit_core::EncodedEvent)s,
    /// [`Event`](ssekit_core::Event)s or `Result`s of them, from a channel, or from a callback.
    ///
    /// Each event is on the wire as soon as it is there; what is ready together goes out together. An idle connection is
    /// kept alive by a comment every 15 seconds. When the client goes, the stream is dropped.
    ///
    /// The header fields of [`headers`](ssekit_server::headers) are set; a handler that sets one of them itself, as in
    /// `([(header::CACHE_CONTROL, "no-store")], Sse::new(events))`, has its own way. The response's extensions have the
    /// [`StreamHandle`], for middleware that wants to know of the end.
    Sse
}

impl<S> IntoResponse for Sse<S>
where
    S: Stream<Item: IntoEvent<Error: Into<axum::BoxError>>> + Send + 'static,
    <S::Item as IntoEvent>::Error: Send,
{
    fn into_response(self) -> Response {
        self.0.into_http().map(Body::new)
    }
}

ssekit_server::__extractor_types!();

impl<T: Sync> FromRequestParts<T> for LastEventId {
    type Rejection = LastEventIdRejection;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, LastEventIdRejection> {
        let header = parts.headers.get("last-event-id").map(HeaderValue::as_bytes);
        Self::from_fields(header, parts.uri.query())
    }
}

impl IntoResponse for LastEventIdRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Malformed(error) => (StatusCode::BAD_REQUEST, error.to_string()).into_response(),
            Self::Done => StatusCode::NO_CONTENT.into_response(),
        }
    }
}

impl<T: Sync> FromRequestParts<T> for WantsEventStream {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, Infallible> {
        let accept = parts.headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
        Ok(Self(ssekit_server::wants_event_stream(accept)))
    }
}

#[cfg(feature = "hub")]
ssekit_server::__hub_types!(Sse);

#[cfg(feature = "hub")]
impl IntoResponse for SseRejection {
    fn into_response(self) -> Response {
        if self.is_soft() {
            return Sse::from(self.rejection.into_body()).into_response();
        }
        let status = StatusCode::from_u16(self.rejection.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
        let mut response = (status, self.to_string()).into_response();
        if let Some(seconds) = self.retry_after() {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}
