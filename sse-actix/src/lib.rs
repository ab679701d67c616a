//! Server-sent events for [actix-web](actix_web): a stream of events as a response, and `Last-Event-ID` as an extractor.
//!
//! All that is not actix-web's own is in [`ssekit_server`].
//!
//! # Example
//!
//! ```
//! use actix_web::{App, HttpServer, Responder, web};
//! use futures_util::{StreamExt, stream};
//! use ssekit_actix::{LastEventId, Sse, StreamGroup, configure};
//! use ssekit_core::{Event, EventId, EncodedEvent, InvalidValue};
//!
//! async fn count(LastEventId(last): LastEventId) -> impl Responder {
//!     // It is the client's word: any number at all.
//!     let seen: u64 = last.and_then(|id| id.as_str().parse().ok()).unwrap_or(0);
//!     let events = stream::iter(seen.saturating_add(1)..u64::MAX).map(|n| {
//!         let id = n.to_string();
//!         Ok::<_, InvalidValue>(EncodedEvent::from(Event::data("tick").with_id(EventId::new(&id)?)))
//!     });
//!     Sse::new(events)
//! }
//!
//! let app = || App::new().route("/count", web::get().to(count));
//! let server = configure(HttpServer::new(app), &StreamGroup::new());
//! # let _ = server;
//! ```
//!
//! # The server
//!
//! actix-web takes a client that closes its connection for one that may still read, unless told otherwise, and so
//! notices only at a write that it has gone: with our keep-alive, an interval later. [`configure`] tells it otherwise.
//! Nothing that a handler can see tells how its server was configured.
//!
//! Its graceful stop waits for open streams until its own timeout, 30 seconds. [`serve`] drains them first.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod server;
#[cfg(feature = "test")]
pub mod test;

use std::convert::Infallible;
use std::error::Error;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{self, BodySize, BoxBody, MessageBody};
use actix_web::dev::Payload;
#[cfg(feature = "hub")]
use actix_web::http::header::RETRY_AFTER;
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
    AfterEnd, CloseReason, DrainOptions, DrainPolicy, DrainReport, EventBody, IntoEvent, KeepAlive, LastEventIdError,
    Outcome, SendError, Sender, SocketOptions, StreamGroup, StreamHandle, TcpKeepAlive, TrySendError,
};

ssekit_server::__response_type! {
    /// A response that is an event stream, from any [`Stream`] of [`EncodedEvent`](ssekit_core::EncodedEvent)s,
    /// [`Event`](ssekit_core::Event)s or `Result`s of them, from a channel, or from a callback.
    ///
    /// Each event is on the wire as soon as it is there; what is ready together goes out together. An idle connection is
    /// kept alive by a comment every 15 seconds. When the client goes, the stream is dropped; see [`configure`].
    ///
    /// The header fields of [`headers`](ssekit_server::headers) are set; a handler that sets one of them itself, as in
    /// `Sse::new(events).customize().insert_header((header::CACHE_CONTROL, "no-store"))`, has its own way. The
    /// response's extensions have the [`StreamHandle`], for middleware that wants to know of the end.
    Sse
}

impl<S> Sse<S>
where
    S: Stream<Item: IntoEvent<Error: Into<Box<dyn Error>>>> + 'static,
{
    /// The response, for a handler that returns an [`HttpResponse`]. On HTTP/2, a client that closes its connection is
    /// then noticed at the next write.
    pub fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::Ok();
        // actix-web has the types of another version of the crate http.
        for (name, value) in &ssekit_server::headers() {
            response.insert_header((name.as_str(), value.as_bytes()));
        }
        response.extensions_mut().insert(self.handle());
        response.body(Body { inner: self.0 })
    }
}

impl<S> Responder for Sse<S>
where
    S: Stream<Item: IntoEvent<Error: Into<Box<dyn Error>>>> + 'static,
{
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        // HTTP/2 of actix-web notices a closed connection at a write only, and has no graceful end.
        if let Some(connection) =
            request.conn_data::<ConnectionGuard>().filter(|_| request.version() == Version::HTTP_2)
        {
            connection.carry(self.handle());
            connection.release();
        }
        let response = self.into_response();
        // actix-web sends no body for this, but polls it to its end, and answers no other request meanwhile.
        if request.method() == Method::HEAD {
            response.set_body(body::None::new()).map_into_boxed_body()
        } else {
            response
        }
    }
}

pin_project! {
    /// actix-web's body.
    struct Body<S: Stream>
    where
        S::Item: IntoEvent,
    {
        #[pin]
        inner: EventBody<S>,
    }
}

impl<S> MessageBody for Body<S>
where
    S: Stream<Item: IntoEvent<Error: Into<Box<dyn Error>>>>,
{
    type Error = <S::Item as IntoEvent>::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        self.project().inner.poll_next(cx)
    }
}

ssekit_server::__extractor_types!();

impl FromRequest for LastEventId {
    type Error = LastEventIdRejection;
    type Future = Ready<Result<Self, LastEventIdRejection>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let header = request.headers().get("last-event-id").map(HeaderValue::as_bytes);
        ready(Self::from_fields(header, request.uri().query()))
    }
}

impl ResponseError for LastEventIdRejection {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Done => StatusCode::NO_CONTENT,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        match self {
            Self::Malformed(error) => response.body(error.to_string()),
            Self::Done => response.finish(),
        }
    }
}

impl FromRequest for WantsEventStream {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let accept = request.headers().get_all(ACCEPT).map(HeaderValue::as_bytes);
        ready(Ok(Self(ssekit_server::wants_event_stream(accept))))
    }
}

#[cfg(feature = "hub")]
ssekit_server::__hub_types!(Sse);

#[cfg(feature = "hub")]
impl ResponseError for SseRejection {
    fn status_code(&self) -> StatusCode {
        let status = if self.is_soft() { 200 } else { self.rejection.status() };
        StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    fn error_response(&self) -> HttpResponse {
        if self.is_soft() {
            return Sse::from(self.rejection.into_body()).into_response();
        }
        let mut response = HttpResponse::build(self.status_code());
        if let Some(seconds) = self.retry_after() {
            response.insert_header((RETRY_AFTER, seconds));
        }
        response.body(self.to_string())
    }
}
