//! A client for tests of handlers; see [`ssekit_server::test`].

use actix_web::HttpResponse;
use actix_web::body::MessageBody;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

pub use ssekit_server::test::{TestClient, TestError};

/// Creates a client that reads this response, the second part of what `actix_web::test::call_service` returns.
///
/// ```
/// use actix_web::{App, test, web};
/// use futures_util::stream;
/// use ssekit_actix::Sse;
/// use ssekit_actix::test::test_client;
/// use ssekit_core::Event;
///
/// # actix_web::rt::System::new().block_on(async {
/// let events = || async { Sse::new(stream::iter([Event::data("one")])) };
/// let app = test::init_service(App::new().route("/", web::get().to(events))).await;
/// let request = test::TestRequest::with_uri("/").to_request();
/// let (_, response) = test::call_service(&app, request).await.into_parts();
/// let mut client = test_client(response);
/// assert_eq!(client.header("content-type"), Some("text/event-stream"));
/// assert_eq!(client.events(1).await.unwrap()[0].data, "one");
/// # });
/// ```
pub fn test_client<B: MessageBody + 'static>(response: HttpResponse<B>) -> TestClient {
    let status = StatusCode::from_u16(response.status().as_u16()).unwrap_or_default();
    let headers: HeaderMap = response
        .headers()
        .iter()
        .filter_map(|(name, value)| {
            let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(value.as_bytes()).ok()?))
        })
        .collect();
    let mut body = Box::pin(response.into_body());
    TestClient::from_parts(status, headers, move |cx| {
        body.as_mut().poll_next(cx).map(|chunk| chunk.map(|chunk| chunk.map_err(Into::into)))
    })
}
