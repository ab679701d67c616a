//! The example `contract_service`, which has the client do what a harness asks for. Here the test is the harness: the
//! server of its streams, and the receiver of its callbacks.

#![cfg(unix)]
#![forbid(unsafe_code)]

#[path = "support/mod.rs"]
#[allow(dead_code)]
mod support;

use std::collections::HashMap;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::Uri;
use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use support::process::{Process, command};
use support::{SOON, connect, example, request, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const HOUR: u64 = 60 * 60 * 1000;
const OPEN: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";

struct Answer {
    status: StatusCode,
    location: String,
    body: String,
}

struct Service {
    process: Process,
    addr: SocketAddr,
}

impl Service {
    async fn start() -> Self {
        let mut command = command(&example::program("contract_service"));
        let mut process = Process::start("contract_service", command.args(["--addr", "127.0.0.1:0"])).unwrap();
        let says = process.says("ssekit contract service is listening on http://", SOON).await.unwrap();
        Self { addr: says.split_once('/').unwrap().0.parse().unwrap(), process }
    }

    async fn ask(&self, method: &str, path: &str, body: impl ToString) -> Answer {
        let asked = Request::builder().method(method).uri(path).header("host", "x");
        let asked = request(self.addr, asked.body(Full::from(body.to_string())).unwrap());
        let response = timeout(SOON, asked).await.unwrap().unwrap();
        let (head, body) = response.into_parts();
        let body = timeout(SOON, body.collect()).await.unwrap().unwrap().to_bytes();
        let location = head.headers.get("location").map(|location| location.to_str().unwrap().to_owned());
        let body = String::from_utf8(body.to_vec()).unwrap();
        Answer { status: head.status, location: location.unwrap_or_default(), body }
    }

    /// Waits until it says so.
    async fn says(&self, what: &str) {
        until(what, SOON, async || self.process.said(what)).await;
    }
}

/// A service, and all that one stream of it has to do with.
struct Harness {
    service: Service,
    server: TcpListener,
    callback_url: String,
    callbacks: mpsc::UnboundedReceiver<(String, Value)>,
    received: u64,
}

impl Harness {
    async fn start() -> Self {
        let (sender, callbacks) = mpsc::unbounded_channel();
        let receive = async move |uri: Uri, body: String| {
            sender.send((uri.path().to_owned(), serde_json::from_str(&body).unwrap())).unwrap();
            StatusCode::ACCEPTED
        };
        let receiver = Router::new().fallback(receive).layer(DefaultBodyLimit::disable());
        let callback_url = format!("http://{}/callbacks/7", serve(receiver).await);
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { service: Service::start().await, server, callback_url, callbacks, received: 0 }
    }

    /// Creates the stream; gives where it is.
    async fn create(&self, more: Value) -> String {
        let url = format!("http://{}/stream?x", self.server.local_addr().unwrap());
        let mut parameters = json!({ "streamUrl": url, "callbackUrl": self.callback_url, "tag": "test" });
        parameters.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = self.service.ask("POST", "/", parameters).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
        answer.location
    }

    /// Accepts the next connection of the stream.
    async fn connection(&self) -> Connection {
        let (stream, _) = timeout(SOON, self.server.accept()).await.expect("a connection in time").unwrap();
        Connection::read(stream).await
    }

    /// Accepts a connection, and starts an event stream on it.
    async fn open(&self) -> Connection {
        let mut connection = self.connection().await;
        connection.write(OPEN).await;
        connection
    }

    /// Returns the next callback, and checks its number.
    async fn callback(&mut self) -> Value {
        let (path, callback) = timeout(SOON, self.callbacks.recv()).await.expect("a callback in time").unwrap();
        self.received += 1;
        assert_eq!(path, format!("/callbacks/7/{}", self.received));
        callback
    }

    async fn expect_event(&mut self, event_type: &str, data: &str, id: &str) {
        let event = json!({ "type": event_type, "data": data, "id": id });
        assert_eq!(self.callback().await, json!({ "kind": "event", "event": event }));
    }

    async fn expect_error(&mut self, says: &str) {
        let callback = self.callback().await;
        assert_eq!(callback["kind"], "error", "{callback}");
        assert!(callback["error"].as_str().unwrap().starts_with(says), "{callback}");
    }

    /// Checks that no callback and no connection is left.
    fn expect_nothing_more(&mut self) {
        assert!(self.callbacks.try_recv().is_err());
        assert!(self.server.accept().now_or_never().is_none());
    }
}

/// Serves the router until the test ends. Returns its address.
async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    addr
}

/// A request, and the way back.
struct Connection {
    stream: TcpStream,
    line: String,
    headers: HashMap<String, String>,
    body: String,
}

impl Connection {
    async fn read(mut stream: TcpStream) -> Self {
        let mut text = Vec::new();
        let is_whole = |text: &[u8]| text.windows(4).any(|window| window == b"\r\n\r\n");
        while !is_whole(&text) {
            assert!(timeout(SOON, stream.read_buf(&mut text)).await.unwrap().unwrap() > 0);
        }
        let text = String::from_utf8(text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let (line, headers) = head.split_once("\r\n").unwrap();
        let headers = headers.lines().map(|header| header.split_once(": ").unwrap());
        let headers: HashMap<_, _> = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        let length = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = body.as_bytes().to_vec();
        while body.len() < length {
            assert!(timeout(SOON, stream.read_buf(&mut body)).await.unwrap().unwrap() > 0);
        }
        Self { stream, line: line.to_owned(), headers, body: String::from_utf8(body).unwrap() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    async fn write(&mut self, text: &str) {
        timeout(SOON, self.stream.write_all(text.as_bytes())).await.unwrap().unwrap();
    }

    /// Answers with no body, and so ends it.
    async fn answer(mut self, head: &str) {
        self.write(&format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")).await;
    }

    /// The client has closed it, or reset it.
    async fn expect_end(mut self) {
        let read = timeout(SOON, self.stream.read(&mut [0])).await.expect("it ends in time");
        assert_eq!(read.unwrap_or_default(), 0);
    }
}

#[tokio::test]
async fn what_the_client_can_do_is_told() {
    let service = Service::start().await;
    let answer = service.ask("GET", "/", "").await;
    assert_eq!(answer.status, StatusCode::OK);
    let capabilities = serde_json::from_str::<Value>(&answer.body).unwrap()["capabilities"].take();
    let capabilities: Vec<String> = serde_json::from_value(capabilities).unwrap();
    for name in [
        "bom",
        "comments",
        "headers",
        "last-event-id",
        "payload-size-stress-testable",
        "post",
        "read-timeout",
        "report",
        "restart",
        "server-directed-shutdown-request",
    ] {
        assert!(capabilities.iter().any(|capability| capability == name), "{name}");
    }
}

#[tokio::test]
async fn all_that_comes_is_posted_back_in_order() {
    let mut harness = Harness::start().await;
    harness.create(json!({ "initialDelayMs": 0, "readTimeoutMs": null })).await;
    let mut connection = harness.open().await;
    assert_eq!(connection.line, "GET /stream?x HTTP/1.1");
    assert_eq!(connection.header("accept"), Some("text/event-stream"));
    assert_eq!(connection.header("cache-control"), Some("no-cache"));
    let large = "\u{6f22}".repeat(6 << 20);
    let stream = "\u{feff}: first\n:second\nevent: note\r\nid: 7\r\ndata: two\r\ndata: lines \u{1f980}\r\n\r\ndata\n\n";
    connection.write(stream).await;
    connection.write(&format!("data: {large}\n\ndata: unfinished\n")).await;
    assert_eq!(harness.callback().await, json!({ "kind": "comment", "comment": " first" }));
    assert_eq!(harness.callback().await, json!({ "kind": "comment", "comment": "second" }));
    harness.expect_event("note", "two\nlines \u{1f980}", "7").await;
    harness.expect_event("message", "", "7").await;
    // More than the default limit.
    assert!(large.len() > 16 << 20);
    let callback = harness.callback().await;
    assert!(callback["event"]["data"] == *large, "{} bytes", callback.to_string().len());

    drop(connection);
    harness.expect_error("stream was cut off; next attempt in 0.1 s").await;
    harness.open().await.write("\u{feff}data: again\n\n").await;
    harness.expect_event("message", "again", "7").await;
}

#[tokio::test]
async fn each_attempt_sends_the_given_request() {
    for method in ["POST", "REPORT"] {
        let mut harness = Harness::start().await;
        let body = r#"{"hello": "world"}"#;
        let headers = json!({ "content-type": "application/json; charset=utf-8", "x-name": "value" });
        let more = json!({ "method": method, "body": body, "headers": headers, "initialDelayMs": 0 });
        harness.create(more).await;
        for attempt in 1..=3 {
            let connection = harness.open().await;
            assert_eq!(connection.line, format!("{method} /stream?x HTTP/1.1"), "attempt {attempt}");
            assert_eq!(connection.header("content-type"), Some("application/json; charset=utf-8"));
            assert_eq!(connection.header("x-name"), Some("value"));
            assert_eq!(connection.body, body);
            drop(connection);
            harness.expect_error("stream ended").await;
        }
    }
}

#[tokio::test]
async fn last_event_id_is_sent_unless_it_is_empty() {
    let mut harness = Harness::start().await;
    harness.create(json!({ "lastEventId": "given", "initialDelayMs": 0 })).await;
    let mut id = "given";
    for (stream, next) in [
        ("data: x\n\n", "given"),
        ("id: received\ndata: x\n\nid: lost\ndata: unfinished\n", "received"),
        ("id\ndata: x\n\n", ""),
        ("data: x\n\n", ""),
    ] {
        let mut connection = harness.open().await;
        assert_eq!(connection.header("last-event-id"), Some(id).filter(|id| !id.is_empty()));
        connection.write(stream).await;
        harness.expect_event("message", "x", next).await;
        drop(connection);
        let is_whole = stream.ends_with("\n\n");
        harness.expect_error(if is_whole { "stream ended" } else { "stream was cut off" }).await;
        id = next;
    }
}

#[tokio::test]
async fn silence_is_an_error_that_is_retried() {
    let mut harness = Harness::start().await;
    harness.create(json!({ "readTimeoutMs": 300, "initialDelayMs": 0 })).await;
    let connection = harness.open().await;
    harness.expect_error("nothing received for 300ms").await;
    connection.expect_end().await;
    harness.connection().await;
}

#[tokio::test]
async fn restart_reconnects_at_once_without_an_error() {
    let mut harness = Harness::start().await;
    let stream = harness.create(json!({ "initialDelayMs": HOUR })).await;
    let restart = json!({ "command": "restart" });
    let mut connection = harness.open().await;
    connection.write("id: 1\ndata: one\n\ndata: unfinished\n").await;
    harness.expect_event("message", "one", "1").await;
    assert_eq!(harness.service.ask("POST", &stream, &restart).await.status, StatusCode::ACCEPTED);
    connection.expect_end().await;

    let mut connection = harness.open().await;
    assert_eq!(connection.header("last-event-id"), Some("1"));
    connection.write("data: two\n\n").await;
    harness.expect_event("message", "two", "1").await;

    // A restart also ends a wait.
    drop(connection);
    harness.expect_error("stream ended; next attempt in 3600.0 s").await;
    assert_eq!(harness.service.ask("POST", &stream, &restart).await.status, StatusCode::ACCEPTED);
    harness.open().await.write("data: three\n\n").await;
    harness.expect_event("message", "three", "1").await;
}

#[tokio::test]
async fn server_that_answers_204_is_not_asked_again() {
    let mut harness = Harness::start().await;
    let stream = harness.create(json!({ "initialDelayMs": 0 })).await;
    harness.connection().await.answer("204 No Content").await;
    harness.service.says("contract_service: test: server has no more events (204)").await;
    harness.expect_nothing_more();
    // The stream still exists, but has ended.
    let restart = json!({ "command": "restart" });
    assert_eq!(harness.service.ask("POST", &stream, restart).await.status, StatusCode::ACCEPTED);
    assert_eq!(harness.service.ask("DELETE", &stream, "").await.status, StatusCode::NO_CONTENT);
    harness.expect_nothing_more();
}

#[tokio::test]
async fn redirects_are_followed_without_an_error() {
    // The next attempt after a permanent redirect repeats the redirected request.
    for (status, first, second) in [
        ("301 Moved Permanently", "GET /target HTTP/1.1", "GET /target HTTP/1.1"),
        ("308 Permanent Redirect", "POST /target HTTP/1.1", "POST /target HTTP/1.1"),
        ("307 Temporary Redirect", "POST /target HTTP/1.1", "POST /stream?x HTTP/1.1"),
    ] {
        let mut harness = Harness::start().await;
        harness.create(json!({ "method": "POST", "body": "hello", "initialDelayMs": 0 })).await;
        let connection = harness.connection().await;
        assert_eq!(connection.line, "POST /stream?x HTTP/1.1");
        connection.answer(&format!("{status}\r\nlocation: /target")).await;
        let mut connection = harness.open().await;
        assert_eq!(connection.line, first, "{status}");
        assert_eq!(connection.body, if first.starts_with("POST") { "hello" } else { "" });
        connection.write("data: there\n\n").await;
        harness.expect_event("message", "there", "").await;
        drop(connection);
        harness.expect_error("stream ended").await;
        assert_eq!(harness.connection().await.line, second, "{status}");
    }
}

#[tokio::test]
async fn final_error_is_posted() {
    for (answer, says) in [
        ("301 Moved Permanently", "redirect without a location"),
        ("307 Temporary Redirect", "redirect without a location"),
        ("500 Internal Server Error", "server answered with status 500"),
        ("200 OK\r\ncontent-type: text/html", "response has content type \"text/html\", expected text/event-stream"),
    ] {
        let mut harness = Harness::start().await;
        harness.create(json!({ "initialDelayMs": 0 })).await;
        harness.connection().await.answer(answer).await;
        harness.expect_error(says).await;
        harness.service.says("contract_service: test: stream failed").await;
        harness.expect_nothing_more();
    }
}

#[tokio::test]
async fn stream_can_be_deleted_while_it_waits() {
    let harness = Harness::start().await;
    // A receiver that answers nothing.
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let callback_url = format!("http://{}", receiver.local_addr().unwrap());
    let stream = harness.create(json!({ "callbackUrl": callback_url })).await;
    let mut connection = harness.open().await;
    connection.write("data: x\n\n").await;
    let (callback, _) = timeout(SOON, receiver.accept()).await.unwrap().unwrap();
    let callback = Connection::read(callback).await;
    assert_eq!(callback.line, "POST /1 HTTP/1.1");

    assert_eq!(harness.service.ask("DELETE", &stream, "").await.status, StatusCode::NO_CONTENT);
    connection.expect_end().await;
    callback.expect_end().await;
    assert_eq!(harness.service.ask("DELETE", &stream, "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(harness.service.ask("POST", &stream, r#"{"command":"restart"}"#).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn stream_ends_when_a_callback_fails() {
    let harness = Harness::start().await;
    let receiver = TcpListener::bind("127.0.0.1:0").await.unwrap();
    harness.create(json!({ "callbackUrl": format!("http://{}", receiver.local_addr().unwrap()) })).await;
    let mut connection = harness.open().await;
    connection.write("data: x\n\n").await;
    let (callback, _) = timeout(SOON, receiver.accept()).await.unwrap().unwrap();
    Connection::read(callback).await.answer("404 Not Found").await;
    harness.service.says("contract_service: test: callbacks failed: HTTP status client error").await;
    connection.expect_end().await;
}

#[tokio::test]
async fn unknown_streams_and_commands_are_refused() {
    let harness = Harness::start().await;
    let stream = harness.create(json!({})).await;
    let ask = async |method: &str, path: &str, body: &str| harness.service.ask(method, path, body).await;
    let listen = r#"{"command":"listen","listen":{"type":"note"}}"#;
    assert_eq!(ask("POST", &stream, listen).await.status, StatusCode::ACCEPTED);
    for wrong in [r#"{"command":"dance"}"#, r#"{"command":null}"#, "{}", "[]", "restart", ""] {
        assert_eq!(ask("POST", &stream, wrong).await.status, StatusCode::BAD_REQUEST, "{wrong}");
    }
    let answer = ask("POST", &stream, r#"{"command":"dance"}"#).await;
    assert!(answer.body.starts_with("unknown variant `dance`, expected `restart` or `listen`"), "{}", answer.body);
    for unknown in ["/streams/2", "/streams/x", "/streams/", "/nowhere"] {
        assert_eq!(ask("POST", unknown, listen).await.status, StatusCode::NOT_FOUND, "{unknown}");
        assert_eq!(ask("DELETE", unknown, "").await.status, StatusCode::NOT_FOUND, "{unknown}");
    }
    // The stream still works.
    harness.connection().await;
}

#[tokio::test]
async fn wrong_parameters_are_refused_with_the_reason() {
    let service = Service::start().await;
    for (name, value, says) in [
        ("streamUrl", json!(null), "invalid type: null, expected a string"),
        ("streamUrl", json!("nowhere"), "invalid url \"nowhere\": relative URL without a base"),
        ("streamUrl", json!("ftp://127.0.0.1/"), "invalid url \"ftp://127.0.0.1/\": the scheme must be http or https"),
        ("callbackUrl", json!(7), "invalid type: integer `7`, expected a string"),
        ("callbackUrl", json!("nowhere"), "invalid callback url: relative URL without a base"),
        ("callbackUrl", json!("ftp://127.0.0.1/"), "invalid callback url: the scheme must be http or https"),
        ("initialDelayMs", json!(-1), "invalid value: integer `-1`, expected u64"),
        ("readTimeoutMs", json!(0), "invalid value: integer `0`, expected a nonzero u64"),
        ("lastEventId", json!("a\nb"), "invalid event ID: a line feed (0x0a) at byte 1 is not allowed"),
        ("headers", json!(["x"]), "invalid type: sequence, expected a map"),
        ("headers", json!({ "x y": "z" }), "invalid header name \"x y\": ' ' is not allowed"),
        ("headers", json!({ "x": "y\nz" }), "invalid value of header field x: control characters are not allowed"),
        ("method", json!("A B"), "invalid HTTP method"),
        ("method", json!(""), "invalid HTTP method"),
        ("body", json!({}), "invalid type: map, expected a string"),
    ] {
        let mut parameters = json!({ "streamUrl": "http://127.0.0.1:1/", "callbackUrl": "http://127.0.0.1:1/" });
        parameters[name] = value;
        let answer = service.ask("POST", "/", &parameters).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{parameters}");
        assert!(answer.body.starts_with(says), "{parameters}: {}", answer.body);
        assert_eq!(answer.location, "");
    }
    for (body, says) in [
        (r#"{"callbackUrl": "http://127.0.0.1:1/"}"#, "missing field `streamUrl`"),
        (r#"{"streamUrl": "http://127.0.0.1:1/"}"#, "missing field `callbackUrl`"),
        ("", "EOF while parsing"),
    ] {
        let answer = service.ask("POST", "/", body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
        assert!(answer.body.starts_with(says), "{}", answer.body);
    }
    let large = " ".repeat((1 << 20) + 1);
    assert_eq!(service.ask("POST", "/", large).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn number_of_streams_is_limited() {
    let harness = Harness::start().await;
    let mut service = connect(harness.service.addr).await.unwrap();
    let mut ask = async |method: &str, path: &str, body: &Value| {
        let asked = Request::builder().method(method).uri(path).header("host", "x");
        let asked = asked.body(Full::new(Bytes::from(body.to_string()))).unwrap();
        let response = timeout(SOON, service.send_request(asked)).await.unwrap().unwrap();
        let (head, body) = response.into_parts();
        body.collect().await.unwrap();
        head
    };
    // Each stream ends soon, and exists until it is deleted.
    let server = serve(Router::new().fallback(async || StatusCode::NO_CONTENT)).await;
    let parameters = json!({ "streamUrl": format!("http://{server}/"), "callbackUrl": harness.callback_url });
    let mut last = String::new();
    for n in 1..=1024 {
        let head = ask("POST", "/", &parameters).await;
        assert_eq!(head.status, StatusCode::CREATED, "stream {n}");
        last = head.headers["location"].to_str().unwrap().to_owned();
    }
    assert_eq!(ask("POST", "/", &parameters).await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask("DELETE", &last, &json!(null)).await.status, StatusCode::NO_CONTENT);
    assert_eq!(ask("POST", "/", &parameters).await.status, StatusCode::CREATED);
    assert_eq!(ask("POST", "/", &parameters).await.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn quit_ends_the_service_and_its_streams() {
    let mut harness = Harness::start().await;
    harness.create(json!({})).await;
    let connection = harness.open().await;
    assert_eq!(harness.service.ask("DELETE", "/", "").await.status, StatusCode::NO_CONTENT);
    assert!(harness.service.process.ended(SOON).await.success());
    connection.expect_end().await;
}
