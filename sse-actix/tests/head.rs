//! HEAD requests.

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::{Method, header};
use actix_web::{App, test, web};
use futures_util::stream;
use ssekit_actix::{CloseReason, Sse, StreamHandle};
use ssekit_core::EncodedEvent;

/// To a HEAD request, actix-web sends no body, but polls the body to its end and answers no other request before.
#[actix_web::test]
async fn head_request_opens_no_stream() {
    let events = || async { Sse::new(stream::pending::<EncodedEvent>()) };
    let app = test::init_service(App::new().route("/", web::route().to(events))).await;
    let request = test::TestRequest::default().method(Method::HEAD).to_request();
    let response = test::call_service(&app, request).await;
    assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), "text/event-stream");
    let handle = response.response().extensions().get::<StreamHandle>().unwrap().clone();
    assert_eq!(response.into_body().size(), BodySize::None);
    assert_eq!(handle.close_reason(), Some(CloseReason::ClientGone));
}
