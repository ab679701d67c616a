//! The head of a response that carries an event stream.

use futures_core::Stream;
use http::Response;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use ssekit_core::IntoEvent;

use crate::body::EventBody;

/// Asks nginx not to buffer the response.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Returns the header fields of a response that carries an event stream.
///
/// | field | value | reason |
/// |---|---|---|
/// | `content-type` | `text/event-stream` | required by the standard |
/// | `cache-control` | `no-cache, no-transform` | proxies do not compress, which would delay events |
/// | `x-accel-buffering` | `no` | nginx passes each event on at once |
///
/// The server sets `Connection` and `Transfer-Encoding` where the HTTP version has them.
/// [`into_http`](EventBody::into_http) and the adapters set all of these fields.
///
/// ```
/// let headers = ssekit_server::headers();
/// assert_eq!(headers["content-type"], "text/event-stream");
/// ```
pub fn headers() -> HeaderMap {
    HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache, no-transform")),
        (X_ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ])
}

impl<S: Stream> EventBody<S>
where
    S::Item: IntoEvent,
{
    /// Turns the body into a response with status 200, for any framework with the types of the crates http and http-body.
    ///
    /// The response has the [header fields](headers) of an event stream. Its extensions hold the
    /// [`StreamHandle`](crate::StreamHandle), for middleware and for [`serve`](crate#crate-features).
    ///
    /// ```
    /// use futures_util::stream;
    /// use ssekit_core::Event;
    /// use ssekit_server::EventBody;
    ///
    /// let response = EventBody::new(stream::iter([Event::data("hello")])).into_http();
    /// assert_eq!(response.status(), 200);
    /// assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
    /// ```
    pub fn into_http(self) -> Response<Self> {
        let handle = self.handle();
        let mut response = Response::new(self);
        *response.headers_mut() = headers();
        response.extensions_mut().insert(handle);
        response
    }
}
