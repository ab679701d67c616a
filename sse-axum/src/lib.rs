//! Server-sent events for [axum].
//!
//! # Overview
//!
//! - [`Sse`] is a response that sends a stream, a [channel](Sse::channel) or an [async function](Sse::from_fn).
//! - [`SseRequest`] is an extractor: the last event ID of the client, and whether it wants an event stream.
//! - `HubResponse` is what a hub responds to an [`SseRequest`] (feature `hub`).
//! - [`serve`](crate#the-server) shuts down while streams are open (feature `serve`).
//! - [`StreamGroup`] counts streams and drains them.
//!
//! # Example: a stream that resumes
//!
//! ```
//! use std::time::Duration;
//! use axum::{Router, routing::get};
//! use futures_util::{Stream, StreamExt, stream};
//! use ssekit_axum::{Sse, SseRequest};
//! use ssekit_core::Event;
//!
//! async fn count(request: SseRequest) -> Sse<impl Stream<Item = Event<'static>>> {
//!     // The client chooses this text freely.
//!     let seen: u64 = request.last_event_id().and_then(|id| id.as_str().parse().ok()).unwrap_or(0);
//!     let events = stream::iter(seen.saturating_add(1)..u64::MAX).map(|n| Event::data("tick").with_id(n));
//!     Sse::new(events).with_reconnection_time(Duration::from_secs(2))
//! }
//!
//! let app: Router = Router::new().route("/count", get(count));
//! ```
//!
//! # The server
//!
//! `axum::serve` waits for open streams forever when it shuts down. `serve` drains them first. With `axum::serve`, drain the
//! [`StreamGroup`] in the shutdown signal. Also pass it `app.into_make_service()`, because otherwise it copies the routes
//! into each connection.
//!
//! # Crate features
//!
//! - **hub**: responses of a hub.
//! - **serve** (default): the server. It needs the crates hyper and tower-service.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

#[cfg(feature = "serve")]
mod serve;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_core::Stream;

#[cfg(feature = "serve")]
pub use serve::{AppService, serve};
#[cfg(feature = "hub")]
#[doc(inline)]
pub use ssekit_server::hub;
pub use ssekit_server::{
    AfterEnd, BodyError, BoxError, CloseReason, DrainOptions, DrainPolicy, DrainReport, EventBody, IntoEvent,
    KeepAlive, LastEventIdError, SendError, Sender, StreamGroup, StreamHandle, TrySendError,
};
#[cfg(feature = "serve")]
pub use ssekit_server::{Serve, Shutdown, SocketOptions, TcpKeepAlive};

ssekit_server::__response_type! {
    /// A response that sends a stream of events: from a [`Stream`] of anything that implements [`IntoEvent`], from a
    /// [channel](Self::channel), or from an [async function](Self::from_fn).
    ///
    /// - All events that are ready go out at once.
    /// - An idle stream sends an empty comment every 15 seconds by default.
    /// - The stream is dropped when the client goes.
    /// - The response has the [header fields](ssekit_server::headers) of an event stream. A handler can replace them, for
    ///   example by `([(header::CACHE_CONTROL, "no-store")], Sse::new(events))`.
    /// - The extensions of the response hold the [`StreamHandle`], for middleware.
    Sse
}

impl<S> IntoResponse for Sse<S>
where
    S: Stream<Item: IntoEvent> + Send + 'static,
{
    fn into_response(self) -> Response {
        self.0.into_http().map(Body::new)
    }
}

ssekit_server::__request_types!();

impl<T: Sync> FromRequestParts<T> for SseRequest {
    type Rejection = SseRequestRejection;

    async fn from_request_parts(parts: &mut Parts, _: &T) -> Result<Self, SseRequestRejection> {
        let request = ssekit_server::SseRequest::from_head(&parts.method, &parts.uri, &parts.headers);
        request.map(Self).map_err(SseRequestRejection)
    }
}

impl IntoResponse for SseRequestRejection {
    fn into_response(self) -> Response {
        match self.0 {
            ssekit_server::SseRequestRejection::Finished => StatusCode::NO_CONTENT.into_response(),
            rejection => (StatusCode::BAD_REQUEST, rejection.to_string()).into_response(),
        }
    }
}

#[cfg(feature = "hub")]
ssekit_server::__hub_types!(Sse);

#[cfg(feature = "hub")]
impl IntoResponse for HubResponse {
    fn into_response(self) -> Response {
        self.0.into_http().map(Body::new)
    }
}
