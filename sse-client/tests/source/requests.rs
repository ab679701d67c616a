//! The requests of an event source.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, header};
use ssekit_client::{EventSource, EventSourceBuilder, Failure, InvalidRequest, client_builder};

use crate::server::{Act, STREAM, Server, status, write};
use crate::{all_of, eager, get, next, next_error};

#[tokio::test]
async fn request_has_the_headers_of_the_standard_and_no_empty_id() {
    let script = vec![
        vec![write(STREAM), write("data: a\n\n")],
        vec![write(STREAM), write("id: \u{fc}\u{1f980} 1\ndata: b\n\n")],
        vec![write(STREAM), write("data: c\n\n")],
        vec![write(STREAM), write("id\ndata: d\n\n")],
    ];
    let server = Server::start(script).await;
    all_of(&mut get(&server).build().unwrap(), &server).await;
    let requests = server.requests();
    for request in &requests {
        assert_eq!(request.line, "GET /events");
        assert_eq!(request.header("accept"), [b"text/event-stream"]);
        assert_eq!(request.header("cache-control"), [b"no-cache"]);
        assert_eq!(request.header("user-agent"), [concat!("ssekit-client/", env!("CARGO_PKG_VERSION")).as_bytes()]);
    }
    let ids: Vec<_> = requests.iter().map(|request| request.header("last-event-id")).collect();
    let sent = "\u{fc}\u{1f980} 1".as_bytes();
    assert_eq!(ids, [vec![], vec![], vec![sent], vec![sent], vec![]]);
}

#[tokio::test]
async fn given_last_event_id_is_sent_like_a_received_one() {
    let script = vec![vec![write(STREAM), write("data: a\n\n")]];
    let server = Server::start(script).await;
    let mut source = get(&server).with_last_event_id("41").build().unwrap();
    assert_eq!(source.last_event_id(), "41");
    let seen = all_of(&mut source, &server).await;
    assert!(seen.starts_with("open\nmessage|a|41\n"), "{seen}");
    assert_eq!(server.requests()[0].header("last-event-id"), [b"41"]);
    assert_eq!(server.requests()[1].header("last-event-id"), [b"41"]);
}

#[tokio::test]
async fn each_attempt_sends_the_method_and_the_body() {
    for (method, name) in [(Method::POST, "POST"), (Method::from_bytes(b"REPORT").unwrap(), "REPORT")] {
        let server = Server::start(vec![vec![write(STREAM), write("data: a\n\n")]]).await;
        let builder = EventSource::request(method, server.url("/ask")).with_retry_policy(eager());
        let mut source = builder.with_json(&["question"]).build().unwrap();
        all_of(&mut source, &server).await;
        let requests = server.requests();
        assert_eq!(requests.len(), 2);
        for request in requests {
            assert_eq!(request.line, format!("{name} /ask"));
            assert_eq!(request.header("content-type"), [b"application/json"]);
            assert_eq!(request.body, b"[\"question\"]");
        }
    }
}

#[cfg(feature = "json")]
#[tokio::test]
async fn json_body_has_its_content_type_unless_another_is_set() {
    type Build = fn(EventSourceBuilder) -> EventSourceBuilder;
    let table: [(Build, &str); 4] = [
        (|builder| builder.with_json(&[1]), "application/json [1]"),
        (|builder| builder.with_json(&[1]).with_header("content-type", "a/b+json"), "a/b+json [1]"),
        (|builder| builder.with_header("content-type", "a/b+json").with_json(&[1]), "a/b+json [1]"),
        (|builder| builder.with_json(&[1]).with_body("1"), " 1"),
    ];
    for (build, expected) in table {
        let server = Server::start(vec![]).await;
        all_of(&mut build(EventSource::post(server.url("/"))).build().unwrap(), &server).await;
        let request = &server.requests()[0];
        let types: Vec<_> = request.header("content-type").into_iter().map(String::from_utf8_lossy).collect();
        assert_eq!(format!("{} {}", types.join(" and "), String::from_utf8_lossy(&request.body)), expected);
    }
}

/// A response to POST is continued by GET.
#[tokio::test]
async fn given_response_replaces_that_of_the_first_attempt() {
    let script = vec![vec![write(STREAM), write("id: 1\ndata: a\n\nda")], vec![write(STREAM), write("data: b\n\n")]];
    let server = Server::start(script).await;
    let client = client_builder().build().unwrap();
    let response = client.post(server.url("/events")).body("{}").send().await.unwrap();
    let mut source = get(&server).with_client(client.clone()).with_response(response).build().unwrap();
    let expected = "open\nmessage|a|1\nretry: stream was cut off\nopen\nmessage|b|1\nretry: stream ended\n";
    assert_eq!(all_of(&mut source, &server).await, format!("{expected}end: NoContent\n"));
    let requests = server.requests();
    let lines: Vec<_> =
        requests.iter().map(|request| (&*request.line, request.header("last-event-id").concat())).collect();
    let resumed = ("GET /events", b"1".to_vec());
    assert_eq!(lines, [("POST /events", vec![]), resumed.clone(), resumed]);

    // A given response must be an event stream, like any other.
    let script = vec![vec![status("200 OK", "content-type: application/json\r\n", "{}")]];
    let server = Server::start(script).await;
    let response = client.post(server.url("/events")).send().await.unwrap();
    let mut source = get(&server).with_response(response).build().unwrap();
    let error = next_error(&mut source).await;
    assert_eq!((error.is_final(), error.body(), server.requests().len()), (true, Some(&b"{}"[..]), 1));
}

#[tokio::test]
async fn own_headers_replace_the_defaults() {
    let server = Server::start(vec![vec![write(STREAM), write("id: 2\ndata: a\n\n")]]).await;
    let builder = get(&server)
        .with_header("accept", "application/json, text/event-stream")
        .with_header("X-Two", "a")
        .with_header("x-two", "b");
    all_of(&mut builder.build().unwrap(), &server).await;
    let requests = server.requests();
    assert_eq!(requests[0].header("accept"), [b"application/json, text/event-stream"]);
    assert_eq!(requests[0].header("x-two"), [b"a", b"b"]);
}

#[tokio::test]
async fn reserved_header_fields_are_errors_that_name_the_cure() {
    for (name, said) in [
        ("Last-Event-ID", "reserved header field last-event-id: set it by with_last_event_id"),
        ("content-length", "reserved header field content-length: it is computed from the body"),
        ("transfer-encoding", "reserved header field transfer-encoding: the transport chooses it"),
    ] {
        let error = EventSource::get("http://localhost/").with_header(name, "7").build().unwrap_err();
        assert_eq!(error.to_string(), said);
        let source = EventSource::get("http://localhost/").with_headers_from(move |_| {
            let headers = Ok([(name.parse().unwrap(), "7".parse().unwrap())].into_iter().collect());
            async move { headers }
        });
        let error = next_error(&mut source.build().unwrap()).await;
        assert!(error.is_final(), "the next attempt would fail too");
        assert_eq!(error.to_string(), format!("request cannot be sent: {said}"));
    }
}

#[tokio::test]
async fn credentials_of_the_url_are_sent_to_its_origin_only() {
    let other = Server::start(vec![]).await;
    let away = status("307 Temporary Redirect", &format!("location: {}\r\n", other.url("/")), "");
    // A redirect within the origin, by a whole URL without credentials.
    let mut server = Server::start(vec![]).await;
    let here = status("307 Temporary Redirect", &format!("location: {}\r\n", server.url("/b")), "");
    server.plan(vec![vec![here], vec![write(STREAM), write("data: a\n\n")], vec![away]]);
    let url = format!("http://us%20er:pass@{}/a?x", server.addr);
    let mut source = EventSource::get(&url).with_retry_policy(eager()).build().unwrap();
    let mut seen = String::new();
    while let Some(item) = source.next().await {
        seen += &format!("{item:?} {source:?}");
    }
    let requests = server.requests();
    assert_eq!(requests.iter().map(|request| &*request.line).collect::<Vec<_>>(), ["GET /a?x", "GET /b", "GET /a?x"]);
    for request in &requests {
        assert_eq!(request.header("authorization"), [b"Basic dXMgZXI6cGFzcw=="]);
    }
    assert_eq!(other.requests()[0].header("authorization").len(), 0);
    assert!(!seen.contains("pass"), "{seen}");
    // A header field of the application replaces the credentials.
    let server = Server::start(vec![]).await;
    let url = format!("http://user:pass@{}/", server.addr);
    let mut source = EventSource::get(&url).with_header("authorization", "own").build().unwrap();
    assert!(source.next().await.is_none());
    assert_eq!(server.requests()[0].header("authorization"), [b"own"]);
}

#[test]
fn debug_of_builder_and_source_shows_no_secrets() {
    let builder = EventSource::post("http://user:secret@localhost/?key=secret")
        .with_header("authorization", "secret")
        .with_body("secret");
    assert!(!format!("{builder:?}").contains("secret"), "{builder:?}");
    let source = builder.build().unwrap();
    assert!(!format!("{source:?}").contains("secret"), "{source:?}");
}

#[tokio::test]
async fn debug_of_openings_and_errors_shows_no_secrets() {
    let headers = "set-cookie: id=secret\r\nlocation: /?secret\r\nlink: </secret>\r\nx-request-id: 7\r\n";
    let stream = format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n{headers}connection: close\r\n\r\n");
    let server = Server::start(vec![vec![write(stream)], vec![status("404 Not Found", headers, "why")]]).await;
    let mut source = get(&server).build().unwrap();
    let open = format!("{:?}", next(&mut source).await);
    assert!(!open.contains("secret") && open.contains(r#""x-request-id": "7""#), "{open}");
    next_error(&mut source).await;
    let error = next_error(&mut source).await;
    let shown = format!("{error:?}");
    assert!(!shown.contains("secret") && shown.contains(r#""x-request-id": "7""#), "{shown}");
    assert!(shown.contains(r#"failure: server answered with status 404: "why", next_step: End"#), "{shown}");
    // The values themselves are available.
    assert_eq!(error.headers().unwrap()["set-cookie"], "id=secret");
}

#[tokio::test]
async fn more_than_a_thousand_headers_are_an_error() {
    let many = |n| (0..n).map(|n| (format!("x-{n}"), "a"));
    let with =
        |n| many(n).fold(EventSource::get("http://localhost/"), |get, (name, value)| get.with_header(name, value));
    assert!(with(1000).build().is_ok());
    let error = with(1001).build().unwrap_err();
    assert!(matches!(error, InvalidRequest::TooManyHeaders));
    assert_eq!(error.to_string(), "too many header fields: at most 1000 are allowed");
    let mut source = with(500)
        .with_headers_from(move |_| async move {
            let own = many(501).map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            Ok(own.collect())
        })
        .build()
        .unwrap();
    let error = next_error(&mut source).await;
    assert!(error.is_final());
    assert_eq!(error.to_string(), "request cannot be sent: too many header fields: at most 1000 are allowed");
}

#[tokio::test]
async fn restart_forgets_the_last_refusal() {
    let unauthorized = status("401 Unauthorized", "", "");
    let server = Server::start(vec![vec![unauthorized], vec![Act::Hold]]).await;
    let statuses = Arc::new(Mutex::new(Vec::new()));
    let told = statuses.clone();
    let retry = eager().with_retry_if(|failure| failure.status() == Some(401));
    let builder = get(&server).with_retry_policy(retry).with_headers_from(move |attempt| {
        told.lock().unwrap().push(attempt.last_status);
        async { Ok(HeaderMap::new()) }
    });
    let mut source = builder.build().unwrap();
    next_error(&mut source).await;
    while statuses.lock().unwrap().len() < 2 {
        assert!(source.next().now_or_never().is_none());
        tokio::task::yield_now().await;
    }
    source.restart();
    all_of(&mut source, &server).await;
    assert_eq!(*statuses.lock().unwrap(), [None, Some(401), None]);
}

/// Until the server answers again, the last token counts as refused.
#[tokio::test]
async fn last_status_stays_until_the_server_answers_again() {
    let unauthorized = status("401 Unauthorized", "", "");
    let script = vec![vec![unauthorized], vec![], vec![write(STREAM), write("data: a\n\n")], vec![Act::Reset]];
    let server = Server::start(script).await;
    let statuses = Arc::new(Mutex::new(Vec::new()));
    let told = statuses.clone();
    let retry = eager().with_retry_if(|failure| failure.is_network_error() || failure.status() == Some(401));
    let builder = get(&server).with_retry_policy(retry).with_headers_from(move |attempt| {
        told.lock().unwrap().push(attempt.last_status);
        let result = if attempt.number == 2 { Err("no token".into()) } else { Ok(HeaderMap::new()) };
        async { result }
    });
    let mut source = builder.build().unwrap();
    let mut attempts = Vec::new();
    while let Some(item) = source.next().await {
        if let Err(error) = item {
            attempts.push((error.attempt(), error.into_failure().is_network_error()));
        }
    }
    // Refused, no token, no response, a stream, no response, 204.
    assert_eq!(*statuses.lock().unwrap(), [None, Some(401), Some(401), Some(401), None, None]);
    assert_eq!(attempts, [(1, false), (2, true), (3, true), (4, true), (5, true)]);
}

/// For a token that expires.
#[tokio::test]
async fn headers_callback_runs_before_each_attempt() {
    let unauthorized = status("401 Unauthorized", "", "");
    let script = vec![vec![write(STREAM), write("data: a\n\n")], vec![unauthorized], vec![write(STREAM)]];
    let server = Server::start(script).await;
    let retry = eager().with_retry_if(|failure| failure.is_network_error() || failure.status() == Some(401));
    let builder = get(&server).with_retry_policy(retry).with_header("authorization", "old").with_headers_from(
        |attempt| async move {
            let token = format!("token {} after {:?} for {}", attempt.number, attempt.last_status, attempt.url.len());
            Ok(HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::try_from(token)?)]))
        },
    );
    all_of(&mut builder.build().unwrap(), &server).await;
    let tokens: Vec<_> = server
        .requests()
        .iter()
        .map(|request| String::from_utf8(request.header("authorization").concat()).unwrap())
        .collect();
    let url = server.url("/events").len();
    let token = |number, status| format!("token {number} after {status} for {url}");
    assert_eq!(tokens, [token(1, "None"), token(2, "None"), token(3, "Some(401)"), token(4, "None")]);
}

#[tokio::test]
async fn failed_headers_callback_is_retried() {
    let server = Server::start(vec![]).await;
    let left = Mutex::new(2);
    let builder = get(&server).with_headers_from(move |_| {
        let mut left = left.lock().unwrap();
        *left -= 1;
        let result = if *left >= 0 { Err("no token".into()) } else { Ok(HeaderMap::new()) };
        async move { result }
    });
    let mut source = builder.build().unwrap();
    let error = next_error(&mut source).await;
    assert_eq!(error.failure(), &Failure::Headers);
    assert!(error.to_string().starts_with("callback for header fields failed: no token; next attempt in "), "{error}");
    let seen = all_of(&mut source, &server).await;
    assert_eq!(seen, "retry: callback for header fields failed\nend: NoContent\n");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn id_with_a_control_character_is_a_final_error_with_its_position() {
    let server = Server::start(vec![vec![write(STREAM), write("id: a\u{1}\ndata: a\n\n")]]).await;
    assert_eq!(
        all_of(&mut get(&server).build().unwrap(), &server).await,
        "open\nmessage|a|a\u{1}\nretry: stream ended\n\
         failed: last event id cannot be sent: it has a control character (0x01) at byte 1\nend: Failed\n"
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn invalid_settings_are_errors_of_build() {
    let error = |builder: EventSourceBuilder| builder.build().unwrap_err().to_string();
    let get = || EventSource::get("http://localhost/");
    assert_eq!(error(EventSource::get("localhost")), "invalid url \"localhost\": relative URL without a base");
    assert_eq!(
        error(EventSource::get("file:///etc/passwd")),
        "invalid url \"file:///etc/passwd\": the scheme must be http or https"
    );
    assert_eq!(error(get().with_header("a b", "x")), "invalid header name \"a b\": ' ' is not allowed");
    assert_eq!(error(get().with_header("", "x")), "invalid header name: it is empty");
    assert_eq!(
        error(get().with_header("a", "secret\n")),
        "invalid value of header field a: control characters are not allowed"
    );
    assert_eq!(
        error(get().with_last_event_id("a\nb")),
        "invalid event ID: a line feed (0x0a) at byte 1 is not allowed"
    );
    assert_eq!(
        error(get().with_last_event_id("\u{7f}")),
        "last event id cannot be sent: it has a control character (0x7f) at byte 0"
    );
    let long = "x".repeat(8 * 1024 + 1);
    assert_eq!(
        error(get().with_last_event_id(long)),
        "event ID is longer than the limit `Limits::last_event_id` of 8192 bytes"
    );
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert_eq!(error(get().with_json(&map)), "body cannot be serialized as json: key must be a string");
    // The first error is returned.
    let two = get().with_header("a", "\n").with_header("\n", "");
    assert!(matches!(two.build(), Err(InvalidRequest::HeaderValue { name }) if name == "a"));
}
