//! The response and the extractor, tested through actix-web's test service without a network.

use std::sync::{Arc, Mutex};

use actix_web::http::{StatusCode, header};
use actix_web::{App, HttpResponse, Responder, test, web};
use futures_util::{StreamExt, stream};
use ssekit_actix::test::{TestClient, test_client};
use ssekit_actix::{CloseReason, Sse, SseRequest, SseRequestRejection, StreamGroup};
use ssekit_core::{EncodedEvent, Event};

async fn get(handler: actix_web::Route, uri: &str, headers: &[(&str, &str)]) -> TestClient {
    let app = test::init_service(App::new().route("/", handler)).await;
    let mut request = test::TestRequest::with_uri(uri);
    for field in headers {
        request = request.insert_header(*field);
    }
    test_client(test::call_service(&app, request.to_request()).await.into_parts().1)
}

fn hello() -> Sse<impl futures_util::Stream<Item = Event<'static>>> {
    Sse::new(stream::iter([Event::data("hello")]))
}

#[actix_web::test]
async fn response_of_a_stream_has_three_header_fields() {
    let mut client = get(web::get().to(async || hello()), "/", &[]).await;
    assert_eq!(client.status(), 200);
    assert_eq!(client.header("content-type"), Some("text/event-stream"));
    assert_eq!(client.header("cache-control"), Some("no-cache, no-transform"));
    assert_eq!(client.header("x-accel-buffering"), Some("no"));
    assert_eq!(client.next_chunk().await.unwrap().unwrap(), ": \n\ndata: hello\n\n");
    assert_eq!(client.next_event().await.unwrap().unwrap().data, "hello");
    assert!(client.next_chunk().await.is_none());
}

#[actix_web::test]
async fn handler_overrides_headers_and_status() {
    let own = async || {
        let sse = hello().customize().with_status(StatusCode::ACCEPTED);
        sse.insert_header((header::CACHE_CONTROL, "no-store"))
    };
    let client = get(web::get().to(own), "/", &[]).await;
    assert_eq!((client.status(), client.header("cache-control")), (202, Some("no-store")));
    let made = async || hello().into_response();
    assert_eq!(get(web::get().to(made), "/", &[]).await.events(1).await.unwrap()[0].data, "hello");
}

#[actix_web::test]
async fn handler_that_takes_a_result_answers_a_malformed_id_itself() {
    async fn decide(request: Result<SseRequest, SseRequestRejection>) -> HttpResponse {
        match request {
            Ok(request) => HttpResponse::Ok().body(format!("{:?}", request.last_event_id())),
            Err(rejection) => HttpResponse::ImATeapot().body(rejection.to_string()),
        }
    }
    let cases = [
        ("/", 200, "None"),
        ("/?lastEventId=7", 200, "Some(LastEventId(\"7\"))"),
        (
            "/?lastEventId=%00",
            418,
            "malformed last event id: invalid event ID: a null character (0x00) at byte 0 is not allowed",
        ),
        ("/?lastEventId=ssekit:done", 418, "the stream is finished"),
    ];
    for (uri, status, text) in cases {
        let mut client = get(web::get().to(async |request| decide(request).await), uri, &[]).await;
        assert_eq!(client.status(), status, "{uri}");
        assert_eq!(client.next_chunk().await.unwrap().unwrap(), text);
    }
    // Without a `Result`, the extractor answers.
    let taken = async |_: SseRequest| hello();
    assert_eq!(get(web::get().to(taken), "/?lastEventId=%00", &[]).await.status(), 400);
    assert_eq!(get(web::get().to(taken), "/", &[("last-event-id", "ssekit:done")]).await.status(), 204);
}

#[actix_web::test]
async fn handler_chooses_its_answer_by_the_accept_header() {
    let either = async |request: SseRequest| match request.wants_event_stream() {
        true => hello().into_response(),
        false => HttpResponse::Ok().json("hello"),
    };
    let client = get(web::get().to(either), "/", &[("accept", "application/json, text/event-stream")]).await;
    assert_eq!(client.header("content-type"), Some("text/event-stream"));
    let client = get(web::get().to(either), "/", &[("accept", "*/*")]).await;
    assert_eq!(client.header("content-type"), Some("application/json"));
}

#[actix_web::test]
async fn on_close_reports_why_each_stream_ended() {
    let (streams, closed) = (StreamGroup::new(), Arc::new(Mutex::new(Vec::new())));
    let (all, reasons) = (streams.clone(), closed.clone());
    let idle = move || {
        let (all, reasons) = (all.clone(), reasons.clone());
        async move {
            let sse = Sse::new(stream::pending::<EncodedEvent>().boxed_local()).with_group(&all);
            sse.on_close(move |reason| reasons.lock().unwrap().push(reason))
        }
    };
    let mut client = get(web::get().to(idle.clone()), "/", &[]).await;
    client.next_chunk().await.unwrap().unwrap();
    assert_eq!(streams.len(), 1);
    client.disconnect();
    let mut client = get(web::get().to(idle), "/", &[]).await;
    client.next_chunk().await.unwrap().unwrap();
    streams.handles()[0].end();
    assert!(client.next_chunk().await.is_none());
    assert_eq!(*closed.lock().unwrap(), [CloseReason::ClientGone, CloseReason::Disconnected]);
    assert!(streams.is_empty());
}
