//! What is asked for.

use std::sync::{Arc, Mutex};

use futures_util::FutureExt;
use http::{HeaderMap, HeaderValue, Method, header};
use ssekit_client::machine::Failure;
use ssekit_client::{EventSource, EventSourceBuilder, InvalidRequest, client_builder};

use crate::server::{Act, STREAM, Server, status, write};
use crate::{all_of, eager, get, next, next_error};

#[tokio::test]
async fn headers_are_those_of_the_standard_and_an_empty_id_is_never_sent() {
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
async fn an_id_that_is_given_is_as_if_it_had_been_received() {
    let script = vec![vec![write(STREAM), write("data: a\n\n")]];
    let server = Server::start(script).await;
    let mut source = get(&server).with_last_event_id("41").build().unwrap();
    assert_eq!(source.last_event_id(), "41");
    let given = all_of(&mut source, &server).await;
    assert!(given.starts_with("open\nmessage|a|41\n"), "{given}");
    assert_eq!(server.requests()[0].header("last-event-id"), [b"41"]);
    assert_eq!(server.requests()[1].header("last-event-id"), [b"41"]);
}

#[tokio::test]
async fn any_method_goes_with_its_body_at_each_attempt() {
    for (method, name) in [(Method::POST, "POST"), (Method::from_bytes(b"REPORT").unwrap(), "REPORT")] {
        let server = Server::start(vec![vec![write(STREAM), write("data: a\n\n")]]).await;
        let builder = EventSource::request(method, server.url("/ask")).with_retry(eager());
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
async fn a_type_of_json_is_what_it_is_unless_there_is_another() {
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

/// What was begun by POST is gone on with by GET.
#[tokio::test]
async fn a_response_that_there_is_already_is_the_first_attempts() {
    let script = vec![vec![write(STREAM), write("id: 1\ndata: a\n\nda")], vec![write(STREAM), write("data: b\n\n")]];
    let server = Server::start(script).await;
    let client = client_builder().build().unwrap();
    let response = client.post(server.url("/events")).body("{}").send().await.unwrap();
    let mut source = get(&server).with_client(client.clone()).with_response(response).build().unwrap();
    let expected = "open\nmessage|a|1\nretry: stream has broken off\nopen\nmessage|b|1\nretry: stream has ended\n";
    assert_eq!(all_of(&mut source, &server).await, format!("{expected}end: NoContent\n"));
    let requests = server.requests();
    let lines: Vec<_> =
        requests.iter().map(|request| (&*request.line, request.header("last-event-id").concat())).collect();
    let resumed = ("GET /events", b"1".to_vec());
    assert_eq!(lines, [("POST /events", vec![]), resumed.clone(), resumed]);

    // It has to be what any other one has to be.
    let script = vec![vec![status("200 OK", "content-type: application/json\r\n", "{}")]];
    let server = Server::start(script).await;
    let response = client.post(server.url("/events")).send().await.unwrap();
    let mut source = get(&server).with_response(response).build().unwrap();
    let error = next_error(&mut source).await;
    assert_eq!((error.is_final(), error.body(), server.requests().len()), (true, Some(&b"{}"[..]), 1));
}

#[tokio::test]
async fn own_headers_win() {
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
async fn what_is_the_machines_or_the_transports_cannot_be_set() {
    for name in ["Last-Event-ID", "content-length", "transfer-encoding"] {
        let error = EventSource::get("http://localhost/").with_header(name, "7").build().unwrap_err();
        let shown = name.to_ascii_lowercase();
        assert_eq!(error.to_string(), format!("header field {shown} is not the program's to set"));
        let source = EventSource::get("http://localhost/").with_headers_from(move |_| {
            let headers = Ok([(name.parse().unwrap(), "7".parse().unwrap())].into_iter().collect());
            async move { headers }
        });
        let error = next_error(&mut source.build().unwrap()).await;
        assert!(error.is_final(), "another attempt would have it too");
        assert_eq!(
            error.to_string(),
            format!("request cannot be made: header field {shown} is not the program's to set")
        );
    }
}

#[tokio::test]
async fn credentials_in_the_url_are_a_header_field_for_its_origin() {
    let other = Server::start(vec![]).await;
    let away = status("307 Temporary Redirect", &format!("location: {}\r\n", other.url("/")), "");
    // To where it is already, by a whole URL, which has none.
    let mut server = Server::start(vec![]).await;
    let here = status("307 Temporary Redirect", &format!("location: {}\r\n", server.url("/b")), "");
    server.plan(vec![vec![here], vec![write(STREAM), write("data: a\n\n")], vec![away]]);
    let url = format!("http://us%20er:pass@{}/a?x", server.addr);
    let mut source = EventSource::get(&url).with_retry(eager()).build().unwrap();
    let mut given = String::new();
    while let Some(item) = source.next().await {
        given += &format!("{item:?} {source:?}");
    }
    let requests = server.requests();
    assert_eq!(requests.iter().map(|request| &*request.line).collect::<Vec<_>>(), ["GET /a?x", "GET /b", "GET /a?x"]);
    for request in &requests {
        assert_eq!(request.header("authorization"), [b"Basic dXMgZXI6cGFzcw=="]);
    }
    assert_eq!(other.requests()[0].header("authorization").len(), 0);
    assert!(!given.contains("pass"), "{given}");
    // A header field of the program's own goes first.
    let server = Server::start(vec![]).await;
    let url = format!("http://user:pass@{}/", server.addr);
    let mut source = EventSource::get(&url).with_header("authorization", "own").build().unwrap();
    assert!(source.next().await.is_none());
    assert_eq!(server.requests()[0].header("authorization"), [b"own"]);
}

#[test]
fn secrets_are_not_shown() {
    let builder = EventSource::post("http://user:secret@localhost/?key=secret")
        .with_header("authorization", "secret")
        .with_body("secret");
    assert!(!format!("{builder:?}").contains("secret"), "{builder:?}");
    let source = builder.build().unwrap();
    assert!(!format!("{source:?}").contains("secret"), "{source:?}");
}

#[tokio::test]
async fn nor_are_those_of_the_server() {
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
    assert!(shown.contains(r#"failure: server has answered with status 404: "why", then: End"#), "{shown}");
    // Whoever asks for them has them.
    assert_eq!(error.headers().unwrap()["set-cookie"], "id=secret");
}

#[tokio::test]
async fn there_are_not_too_many_headers() {
    let many = |n| (0..n).map(|n| (format!("x-{n}"), "a"));
    let with =
        |n| many(n).fold(EventSource::get("http://localhost/"), |get, (name, value)| get.with_header(name, value));
    assert!(with(1000).build().is_ok());
    let error = with(1001).build().unwrap_err();
    assert!(matches!(error, InvalidRequest::TooManyHeaders));
    assert_eq!(error.to_string(), "there are more than 1000 header fields");
    let mut source = with(500)
        .with_headers_from(move |_| async move {
            let own = many(501).map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
            Ok(own.collect())
        })
        .build()
        .unwrap();
    let error = next_error(&mut source).await;
    assert!(error.is_final());
    assert_eq!(error.to_string(), "request cannot be made: there are more than 1000 header fields");
}

#[tokio::test]
async fn an_attempt_that_is_cut_short_was_not_refused() {
    let unauthorized = status("401 Unauthorized", "", "");
    let server = Server::start(vec![vec![unauthorized], vec![Act::Hold]]).await;
    let statuses = Arc::new(Mutex::new(Vec::new()));
    let told = statuses.clone();
    let retry = eager().with_retry_if(|failure| failure.status() == Some(401));
    let builder = get(&server).with_retry(retry).with_headers_from(move |attempt| {
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

/// The token is as stale as before when nobody has answered meanwhile.
#[tokio::test]
async fn a_refusal_is_known_until_the_server_answers_again() {
    let unauthorized = status("401 Unauthorized", "", "");
    let script = vec![vec![unauthorized], vec![], vec![write(STREAM), write("data: a\n\n")], vec![Act::Reset]];
    let server = Server::start(script).await;
    let statuses = Arc::new(Mutex::new(Vec::new()));
    let told = statuses.clone();
    let retry = eager().with_retry_if(|failure| failure.is_network_error() || failure.status() == Some(401));
    let builder = get(&server).with_retry(retry).with_headers_from(move |attempt| {
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

/// A token that does not last.
#[tokio::test]
async fn headers_are_asked_for_before_each_attempt() {
    let unauthorized = status("401 Unauthorized", "", "");
    let script = vec![vec![write(STREAM), write("data: a\n\n")], vec![unauthorized], vec![write(STREAM)]];
    let server = Server::start(script).await;
    let retry = eager().with_retry_if(|failure| failure.is_network_error() || failure.status() == Some(401));
    let builder =
        get(&server).with_retry(retry).with_header("authorization", "old").with_headers_from(|attempt| async move {
            let token = format!("token {} after {:?} for {}", attempt.number, attempt.last_status, attempt.url.len());
            Ok(HeaderMap::from_iter([(header::AUTHORIZATION, HeaderValue::try_from(token)?)]))
        });
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
async fn headers_that_cannot_be_had_are_asked_for_again() {
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
    assert!(
        error.to_string().starts_with("headers of the request cannot be had: no token; next attempt in "),
        "{error}"
    );
    let given = all_of(&mut source, &server).await;
    assert_eq!(given, "retry: headers of the request cannot be had\nend: NoContent\n");
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn an_id_that_http_cannot_carry_is_an_error_that_says_where() {
    let server = Server::start(vec![vec![write(STREAM), write("id: a\u{1}\ndata: a\n\n")]]).await;
    assert_eq!(
        all_of(&mut get(&server).build().unwrap(), &server).await,
        "open\nmessage|a|a\u{1}\nretry: stream has ended\n\
         failed: last event id cannot be sent: it has a control character (0x01) at byte 1\nend: Failed\n"
    );
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn what_is_no_request_is_said_at_once() {
    let error = |builder: EventSourceBuilder| builder.build().unwrap_err().to_string();
    let get = || EventSource::get("http://localhost/");
    assert_eq!(error(EventSource::get("localhost")), "url cannot be parsed: relative URL without a base");
    assert_eq!(error(EventSource::get("file:///etc/passwd")), "url is none of http or https");
    assert_eq!(error(get().with_header("a b", "x")), "name of a header field is invalid");
    assert_eq!(error(get().with_header("a", "secret\n")), "value of the header field a is invalid");
    assert_eq!(error(get().with_last_event_id("a\nb")), "id has a line feed (0x0a) at byte 1");
    assert_eq!(
        error(get().with_last_event_id("\u{7f}")),
        "last event id cannot be sent: it has a control character (0x7f) at byte 0"
    );
    let long = "x".repeat(8 * 1024 + 1);
    assert_eq!(error(get().with_last_event_id(long)), "last event id is longer than 8192 bytes");
    let map = std::collections::BTreeMap::from([((1, 2), 3)]);
    assert_eq!(error(get().with_json(&map)), "body cannot be serialised as json: key must be a string");
    // The first is told.
    let two = get().with_header("a", "\n").with_header("\n", "");
    assert!(matches!(two.build(), Err(InvalidRequest::HeaderValue { name }) if name == "a"));
}
