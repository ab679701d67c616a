//! The response and the extractor, tested through axum's router without a network.

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::stream;
use http_body_util::BodyExt;
use ssekit_axum::{Sse, SseRequest, SseRequestRejection};
use ssekit_core::Event;
use tower::ServiceExt;

async fn call(app: Router, request: Request<Body>) -> (Response<()>, String) {
    let (parts, body) = app.oneshot(request).await.unwrap().into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(parts, ()), String::from_utf8(bytes.to_vec()).unwrap())
}

fn request(uri: &str) -> Request<Body> {
    Request::builder().uri(uri).body(Body::empty()).unwrap()
}

fn hello() -> impl IntoResponse {
    Sse::new(stream::iter([Event::data("hello")]))
}

#[tokio::test]
async fn response_of_a_stream_has_three_header_fields() {
    let app = Router::new().route("/", get(|| async { hello() }));
    let (response, body) = call(app, request("/")).await;
    assert_eq!(response.status(), StatusCode::OK);
    let headers = response.headers();
    assert_eq!(headers["content-type"], "text/event-stream");
    assert_eq!(headers["cache-control"], "no-cache, no-transform");
    assert_eq!(headers["x-accel-buffering"], "no");
    assert_eq!(headers.len(), 3, "{headers:?}");
    assert_eq!(body, ": \n\ndata: hello\n\n");
}

#[tokio::test]
async fn handler_overrides_headers_and_status() {
    let fields = [(header::CACHE_CONTROL, "no-store"), (header::CONTENT_TYPE, "text/event-stream; charset=utf-8")];
    let app = Router::new().route("/", get(move || async move { (StatusCode::ACCEPTED, fields, hello()) }));
    let (response, _) = call(app, request("/")).await;
    assert_eq!(response.status(), StatusCode::ACCEPTED);
    assert_eq!(response.headers()["cache-control"], "no-store");
    assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
    assert_eq!(response.headers().get_all("cache-control").iter().count(), 1);
    assert_eq!(response.headers()["x-accel-buffering"], "no");
}

#[tokio::test]
async fn extractor_reads_last_event_id_from_header_or_query() {
    let app = || {
        Router::new().route(
            "/",
            get(|request: SseRequest| async move {
                request.last_event_id().map_or("none".to_owned(), |id| id.to_string())
            }),
        )
    };
    let with_header =
        |value: &[u8]| Request::builder().uri("/?lastEventId=2").header("Last-Event-ID", value).body(Body::empty());
    assert_eq!(call(app(), request("/")).await.1, "none");
    assert_eq!(call(app(), request("/?lastEventId=2")).await.1, "2");
    assert_eq!(call(app(), with_header(b"1").unwrap()).await.1, "1");
    assert_eq!(call(app(), with_header("é".as_bytes()).unwrap()).await.1, "é");

    let (response, body) = call(app(), request("/?lastEventId=a%00")).await;
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    assert_eq!(body, "malformed last event id: invalid event ID: a null character (0x00) at byte 1 is not allowed");
}

#[tokio::test]
async fn handler_that_takes_a_result_answers_a_malformed_id_itself() {
    let handler = |request: Result<SseRequest, SseRequestRejection>| async move {
        if request.is_err() { "from the start" } else { "ok" }
    };
    let app = Router::new().route("/", get(handler));
    assert_eq!(call(app, request("/?lastEventId=a%0A")).await.1, "from the start");
}
