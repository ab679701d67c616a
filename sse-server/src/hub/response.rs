//! The answer of a hub to a request: an event stream or a refusal.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::rejection::{Rejection, RetryStream};
use super::resume::ResumeOutcome;
use super::subscription::Subscription;
use crate::body::EventBody;
use crate::body_error::BodyError;
use crate::request::SseRequest;
use crate::stream_handle::StreamHandle;

/// A request that a hub responds to.
///
/// [`SseRequest`] implements it, and so does the extractor of each adapter. [`Hub::respond`](super::Hub::respond) then
/// returns the response type of that framework. Programs do not implement this trait.
pub trait HubRequest: AsRef<SseRequest> {
    /// The response type of the framework.
    type Response: From<HubResponse>;
}

impl AsRef<SseRequest> for SseRequest {
    fn as_ref(&self) -> &SseRequest {
        self
    }
}

impl HubRequest for SseRequest {
    type Response = HubResponse;
}

/// The answer to a request for a hub's events: the stream, or a refusal.
///
/// | request | rejection | answer |
/// |---|---|---|
/// | any | none | 200 and the stream |
/// | GET with `Accept: text/event-stream` | [temporary](Rejection::is_temporary) | 200, a `retry` line and the end of the stream |
/// | any other | temporary | [`Rejection::status`] with `Retry-After` and the reason as text |
/// | any | permanent | [`Rejection::status`] with the reason as text |
///
/// The second row exists because an EventSource gives up for good at any status but 200.
///
/// The `with_` methods change the settings of the stream. They do nothing to a refusal.
///
/// ```
/// use ssekit_server::SseRequest;
/// use ssekit_server::hub::{Hub, HubOptions, Subscribe};
///
/// let request = http::Request::post("/events").body(())?;
/// let request = SseRequest::from_http(&request)?;
/// let response = Hub::default().respond(&request, Subscribe::topic("news")).into_http();
/// assert_eq!(response.status(), 200);
///
/// let full = Hub::new(HubOptions::new().with_max_clients(0));
/// let response = full.respond(&request, Subscribe::topic("news")).into_http();
/// assert_eq!(response.status(), 503);
/// assert!(response.headers().contains_key("retry-after"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use = "a response does nothing unless it is returned"]
pub struct HubResponse(Answer);

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "most answers are streams, and a box would cost each an allocation")]
enum Answer {
    Stream {
        body: EventBody<Subscription>,
        resume_outcome: ResumeOutcome,
    },
    /// A stream that only tells the client when to reconnect.
    Retry(Rejection),
    Status(Rejection),
}

impl HubResponse {
    /// Creates the answer to a request from the result of [`Hub::subscribe`](super::Hub::subscribe).
    ///
    /// [`Hub::respond`](super::Hub::respond) does both steps.
    pub fn new(request: &SseRequest, result: Result<Subscription, Rejection>) -> Self {
        Self(match result {
            Ok(subscription) => {
                Answer::Stream { resume_outcome: subscription.resume_outcome(), body: subscription.into_body() }
            }
            Err(rejection) if rejection.is_temporary() && request.may_be_event_source() => Answer::Retry(rejection),
            Err(rejection) => Answer::Status(rejection),
        })
    }

    /// Returns how the client resumed, or `None` for a refusal.
    pub fn resume_outcome(&self) -> Option<ResumeOutcome> {
        match self.0 {
            Answer::Stream { resume_outcome, .. } => Some(resume_outcome),
            Answer::Retry(_) | Answer::Status(_) => None,
        }
    }

    /// Returns why the subscriber was rejected, or `None` for a stream.
    pub fn rejection(&self) -> Option<&Rejection> {
        match &self.0 {
            Answer::Stream { .. } => None,
            Answer::Retry(rejection) | Answer::Status(rejection) => Some(rejection),
        }
    }

    /// Returns a handle of the stream, or `None` for a refusal.
    pub fn handle(&self) -> Option<StreamHandle> {
        match &self.0 {
            Answer::Stream { body, .. } => Some(body.handle()),
            Answer::Retry(_) | Answer::Status(_) => None,
        }
    }

    /// Changes the body of the stream. A refusal stays as it is.
    pub fn map_body(self, change: impl FnOnce(EventBody<Subscription>) -> EventBody<Subscription>) -> Self {
        Self(match self.0 {
            Answer::Stream { body, resume_outcome } => Answer::Stream { body: change(body), resume_outcome },
            refusal => refusal,
        })
    }

    crate::adapter::stream_settings! {}

    /// Turns the answer into a response, for any framework with the types of the crates http and http-body.
    pub fn into_http(self) -> Response<HubBody> {
        match self.0 {
            Answer::Stream { body, .. } => body.into_http().map(|body| HubBody { inner: Inner::Stream { body } }),
            Answer::Retry(rejection) => {
                rejection.into_body().into_http().map(|body| HubBody { inner: Inner::Retry { body } })
            }
            Answer::Status(rejection) => {
                let text = Some(Bytes::from(rejection.to_string()));
                let mut response = Response::new(HubBody { inner: Inner::Text { text } });
                *response.status_mut() =
                    StatusCode::from_u16(rejection.status()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
                let headers = response.headers_mut();
                headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
                if let Some(seconds) = retry_after(&rejection) {
                    headers.insert(RETRY_AFTER, seconds.into());
                }
                response
            }
        }
    }
}

/// Returns the whole seconds, rounded up, for `Retry-After`.
fn retry_after(rejection: &Rejection) -> Option<u64> {
    let retry = rejection.retry_after();
    rejection.is_temporary().then(|| retry.as_secs() + u64::from(retry.subsec_nanos() > 0))
}

pin_project! {
    /// The body of a [`HubResponse`].
    pub struct HubBody {
        #[pin]
        inner: Inner,
    }
}

pin_project! {
    #[project = InnerProjection]
    enum Inner {
        Stream { #[pin] body: EventBody<Subscription> },
        Retry { #[pin] body: EventBody<RetryStream> },
        Text { text: Option<Bytes> },
    }
}

impl Body for HubBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.project().inner.project() {
            InnerProjection::Stream { body } => body.poll_frame(cx),
            InnerProjection::Retry { body } => body.poll_frame(cx),
            InnerProjection::Text { text } => Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Text { text } => SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64)),
            Inner::Stream { .. } | Inner::Retry { .. } => SizeHint::new(),
        }
    }
}

/// The chunks of the body, for a framework that sends a stream instead of an [`http_body::Body`].
impl Stream for HubBody {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // Neither an event stream nor a text has trailers.
        self.poll_frame(cx).map_ok(|frame| frame.into_data().unwrap_or_default())
    }
}

impl fmt::Debug for HubBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubBody").finish_non_exhaustive()
    }
}
