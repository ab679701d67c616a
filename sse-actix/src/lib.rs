//! Server-sent events for [actix-web](actix_web).
//!
//! # Overview
//!
//! - [`Sse`] is a response that sends a stream, a [channel](Sse::channel) or an [async function](Sse::from_fn).
//! - [`SseRequest`] is an extractor: the last event ID of the client, and whether it wants an event stream.
//! - `HubResponse` is what a hub responds to an [`SseRequest`] (feature `hub`).
//! - [`configure`] sets a server up for event streams. [`serve`] drains its streams when it stops.
//! - [`StreamGroup`] counts streams and drains them.
//!
//! # Example: a stream that resumes
//!
//! ```
//! use actix_web::{App, HttpServer, Responder, web};
//! use futures_util::{StreamExt, stream};
//! use ssekit_actix::{Sse, SseRequest, StreamGroup, configure};
//! use ssekit_core::Event;
//!
//! async fn count(request: SseRequest) -> impl Responder {
//!     // The client chooses this text freely.
//!     let seen: u64 = request.last_event_id().and_then(|id| id.as_str().parse().ok()).unwrap_or(0);
//!     Sse::new(stream::iter(seen.saturating_add(1)..u64::MAX).map(|n| Event::data("tick").with_id(n)))
//! }
//!
//! let app = || App::new().route("/count", web::get().to(count));
//! let server = configure(HttpServer::new(app), &StreamGroup::new());
//! # let _ = server;
//! ```
//!
//! # The server
//!
//! By default, actix-web treats a client that closes its connection as one that may still read. It then notices the
//! closed connection only at a write, such as a keep-alive. [`configure`] changes this. A handler cannot see how its
//! server was configured.
//!
//! The graceful stop of actix-web waits for open streams until its own timeout of 30 seconds. [`serve`] drains them first.
//!
//! # Crate features
//!
//! - **hub**: responses of a hub.
//! - **test**: a client for tests of handlers.

#![forbid(unsafe_code)]
#![cfg_attr(docsrs, feature(doc_cfg))]
#![warn(clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

mod server;
#[cfg(feature = "test")]
pub mod test;

use std::error::Error;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{self, BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
use actix_web::http::header::{ACCEPT, HeaderValue};
use actix_web::http::{Method, StatusCode, Version};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Responder, ResponseError};
use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use ssekit_server::ConnectionGuard;

pub use server::{configure, serve};
#[cfg(feature = "hub")]
#[doc(inline)]
pub use ssekit_server::hub;
pub use ssekit_server::{
    AfterEnd, BodyError, BoxError, CloseReason, DrainOptions, DrainPolicy, DrainReport, EventBody, IntoEvent,
    KeepAlive, LastEventIdError, SendError, Sender, SocketOptions, StreamGroup, StreamHandle, TcpKeepAlive,
    TrySendError,
};

ssekit_server::__response_type! {
    /// A response that sends a stream of events: from a [`Stream`] of anything that implements [`IntoEvent`], from a
    /// [channel](Self::channel), or from an [async function](Self::from_fn).
    ///
    /// - All events that are ready go out at once.
    /// - An idle stream sends an empty comment every 15 seconds by default.
    /// - The stream is dropped when the client goes; see [`configure`].
    /// - The response has the [header fields](ssekit_server::headers) of an event stream. A handler can replace them, for
    ///   example by `Sse::new(events).customize().insert_header((header::CACHE_CONTROL, "no-store"))`.
    /// - The extensions of the response hold the [`StreamHandle`], for middleware.
    Sse
}

impl<S> Sse<S>
where
    S: Stream<Item: IntoEvent> + 'static,
{
    /// Creates the response, for a handler that returns an [`HttpResponse`].
    ///
    /// On HTTP/2, the server then notices at its next write that the client has closed the connection.
    pub fn into_response(self) -> HttpResponse {
        convert(self.0.into_http())
    }
}

impl<S> Responder for Sse<S>
where
    S: Stream<Item: IntoEvent> + 'static,
{
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        respond(self.0.into_http(), request)
    }
}

/// Answers a request with a response of the crate http.
fn respond<B>(response: http::Response<B>, request: &HttpRequest) -> HttpResponse
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error>>> + 'static,
{
    // The HTTP/2 of actix-web notices a closed connection only at a write, and cannot end gracefully.
    let connection = request.conn_data::<ConnectionGuard>().filter(|_| request.version() == Version::HTTP_2);
    if let (Some(connection), Some(handle)) = (connection, response.extensions().get::<StreamHandle>()) {
        connection.carry(handle.clone());
        connection.release();
    }
    let response = convert(response);
    // To a HEAD request, actix-web polls a body to its end without sending it, and answers no other request meanwhile.
    if request.method() == Method::HEAD { response.set_body(body::None::new()).map_into_boxed_body() } else { response }
}

/// Converts a response of the crate http. actix-web has the types of an older version of that crate.
fn convert<B>(response: http::Response<B>) -> HttpResponse
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error>>> + 'static,
{
    let (head, inner) = response.into_parts();
    let mut response = HttpResponse::build(StatusCode::from_u16(head.status.as_u16()).unwrap_or_default());
    for (name, value) in &head.headers {
        response.insert_header((name.as_str(), value.as_bytes()));
    }
    if let Some(handle) = head.extensions.get::<StreamHandle>() {
        response.extensions_mut().insert(handle.clone());
    }
    response.body(Body { inner })
}

pin_project! {
    /// A body of the crate http-body as a body of actix-web.
    struct Body<B> {
        #[pin]
        inner: B,
    }
}

impl<B> MessageBody for Body<B>
where
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn Error>>>,
{
    type Error = B::Error;

    fn size(&self) -> BodySize {
        self.inner.size_hint().exact().map_or(BodySize::Stream, BodySize::Sized)
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        // An event stream has no trailers.
        let frame = self.project().inner.poll_frame(cx);
        frame.map(|frame| Some(frame?.map(|frame| frame.into_data().unwrap_or_default())))
    }
}

ssekit_server::__request_types!();

impl FromRequest for SseRequest {
    type Error = SseRequestRejection;
    type Future = Ready<Result<Self, SseRequestRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let last_event_id = request.headers().get("last-event-id").map(HeaderValue::as_bytes);
        let accept = request.headers().get_all(ACCEPT).map(HeaderValue::as_bytes);
        let (method, query) = (request.method().as_str(), request.uri().query());
        let request = ssekit_server::SseRequest::from_fields(method, last_event_id, accept, query);
        ready(request.map(Self).map_err(SseRequestRejection))
    }
}

impl ResponseError for SseRequestRejection {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::BAD_REQUEST)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self.0 {
            ssekit_server::SseRequestRejection::Finished => response.finish(),
            rejection => response.body(rejection.to_string()),
        }
    }
}

#[cfg(feature = "hub")]
ssekit_server::__hub_types!(Sse);

#[cfg(feature = "hub")]
impl HubResponse {
    /// Creates the response, for a handler that returns an [`HttpResponse`].
    ///
    /// On HTTP/2, the server then notices at its next write that the client has closed the connection.
    pub fn into_response(self) -> HttpResponse {
        convert(self.0.into_http())
    }
}

#[cfg(feature = "hub")]
impl Responder for HubResponse {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        respond(self.0.into_http(), request)
    }
}
