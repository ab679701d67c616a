//! The example `gateway`, between a client and an upstream of the test's.

#![cfg(unix)]
#![forbid(unsafe_code)]

#[path = "support/mod.rs"]
#[allow(dead_code)]
mod support;

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use serde_json::{Value, json};
use support::process::{Process, command};
use support::{SOON, START, example, request, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const PREAMBLE: &str = ": \n\n";

struct Gateway {
    process: Process,
    addr: SocketAddr,
}

impl Gateway {
    async fn start(arguments: &[&str]) -> Self {
        let mut command = command(&example::program("gateway"));
        let mut process = Process::start("gateway", command.args(["--addr", "127.0.0.1:0"]).args(arguments)).unwrap();
        let says = process.says("ssekit gateway is listening on http://", SOON).await.unwrap();
        Self { addr: says.split_once('/').unwrap().0.parse().unwrap(), process }
    }

    async fn ask(&self, body: Value) -> Response<Incoming> {
        let post = Request::post("/v1/chat/completions").header("host", self.addr.to_string());
        let post = post.header("authorization", "Bearer key").header("content-type", "application/json");
        let asked = request(self.addr, post.body(Full::new(Bytes::from(body.to_string()))).unwrap());
        timeout(SOON, asked).await.unwrap().unwrap()
    }

    /// Waits until it says so.
    async fn says(&self, what: &str) {
        until(what, SOON, async || self.process.said(what)).await;
    }
}

/// A gateway, and the upstream's end of the connection over which it has passed a request on.
async fn asked() -> (Gateway, Answer, Upstream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let gateway = Gateway::start(&["--upstream", &url, "--rename", "small=large \"x\""]).await;
    let prompt = json!({ "model": "small", "stream": true });
    let text = prompt.to_string();
    let upstream = async {
        let (connection, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        let mut upstream = Upstream(connection);
        upstream.read_request(&text).await;
        upstream
            .write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        upstream
    };
    let (response, upstream) = tokio::join!(gateway.ask(prompt), upstream);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut answer = Answer(response.into_body());
    answer.expect(PREAMBLE).await;
    (gateway, answer, upstream)
}

struct Upstream(TcpStream);

impl Upstream {
    async fn read_request(&mut self, body: &str) {
        let mut text = Vec::new();
        while !text.ends_with(body.as_bytes()) {
            assert!(timeout(SOON, self.0.read_buf(&mut text)).await.unwrap().unwrap() > 0);
        }
        let text = String::from_utf8(text).unwrap().to_lowercase();
        assert!(text.starts_with("post /v1/chat/completions http/1.1\r\n"), "{text}");
        assert!(text.contains("\r\nauthorization: bearer key\r\n"), "{text}");
        assert!(text.contains("\r\ncontent-type: application/json\r\n"), "{text}");
    }

    async fn write(&mut self, text: impl AsRef<[u8]>) {
        self.0.write_all(text.as_ref()).await.unwrap();
    }

    /// As an HTTP chunk.
    async fn chunk(&mut self, text: impl AsRef<[u8]>) {
        self.write(format!("{:x}\r\n", text.as_ref().len())).await;
        self.write(text).await;
        self.write("\r\n").await;
    }
}

struct Answer(Incoming);

impl Answer {
    /// The next bytes, and no more.
    async fn expect(&mut self, text: &str) {
        let mut read = Vec::new();
        while read.len() < text.len() {
            let frame = timeout(SOON, self.0.frame()).await.unwrap_or_else(|_| panic!("not {text:?} in time"));
            read.extend_from_slice(&frame.expect("there is more").unwrap().into_data().unwrap());
        }
        assert_eq!(String::from_utf8_lossy(&read), text);
    }

    /// Its end, which is no break.
    async fn expect_end(&mut self) {
        assert!(timeout(SOON, self.0.frame()).await.unwrap().is_none());
    }

    async fn expect_error(&mut self, says: &str) {
        let frame = timeout(SOON, self.0.frame()).await.unwrap().unwrap().unwrap();
        let text = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
        let error: Value = serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap();
        assert!(error["error"]["message"].as_str().unwrap().starts_with(says), "{text}");
        self.expect_end().await;
    }
}

/// Each comes before the upstream has even written the next.
#[tokio::test]
async fn events_come_one_by_one_and_unchanged_ones_as_the_same_bytes() {
    let (gateway, mut answer, mut upstream) = asked().await;
    for same in [
        "data: {\"id\":1}\n\n",
        // As odd as can be.
        ":comment\r\ndata:{\"model\" : \"other\"}\r\n\r\n",
        ": keep-alive\n\nretry: 10\n\nevent: x\runknown: field\rdata\rdata: not json\r\r",
        "id: 7\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}},{\"delta\":{\"content\":\"\"}}]}\n\n",
        "data: {\"model\":null,\"choices\":[{\"delta\":{\"content\":\"\u{1f980}\"}},{}]}\n\n",
    ] {
        upstream.chunk(same).await;
        answer.expect(same).await;
    }
    for (from, to) in [
        (
            "data:{\"a\":  1,\"model\":\"small\",\"b\":1.0e2}\n\n",
            "id: 7\ndata: {\"a\":  1,\"model\":\"large \\\"x\\\"\",\"b\":1.0e2}\n\n",
        ),
        (
            "event: t\ndata: {\r\ndata:   \"model\": \"sm\\u0061ll\"\r\ndata: }\r\n\r\n",
            "event: t\nid: 7\ndata: {\ndata:   \"model\": \"large \\\"x\\\"\"\ndata: }\n\n",
        ),
    ] {
        upstream.chunk(from).await;
        answer.expect(to).await;
    }
    // One in pieces, several in one.
    let long = format!("data: {{\"text\":\"{}\"}}\n\n", "\u{6f22}".repeat(10_000));
    // Amid a character.
    let (start, end) = long.as_bytes().split_at(400);
    upstream.chunk(start).await;
    upstream.chunk(end).await;
    answer.expect(&long).await;
    let several = "data: 1\n\n:2\ndata: 2\n\ndata: 3\r\n\r\n";
    upstream.chunk(several).await;
    answer.expect(several).await;

    upstream.chunk("data: [DONE]\n\n").await;
    answer.expect("data: [DONE]\n\n").await;
    answer.expect_end().await;
    gateway.says("gateway: 2 tokens, 2 events changed, 9 as they were in ").await;
}

#[tokio::test]
async fn a_client_that_goes_cancels_the_request_upstream() {
    let (gateway, mut answer, mut upstream) = asked().await;
    upstream.chunk("data: 1\n\n").await;
    answer.expect("data: 1\n\n").await;
    drop(answer);
    // Closed, or reset.
    assert_eq!(timeout(SOON, upstream.0.read(&mut [0])).await.unwrap().unwrap_or_default(), 0);
    gateway.says("1 as they were, then the request was cancelled upstream: client_gone").await;
}

#[tokio::test]
async fn a_client_is_told_of_an_upstream_that_breaks_off() {
    for (end, says) in [
        ("", "the upstream has broken off: "),
        ("5\r\nda", "the upstream has broken off: "),
        // To its last event it has not come.
        ("0\r\n\r\n", "the upstream has broken off before its end"),
        ("no chunk\r\n", "the upstream has broken off: "),
    ] {
        let (gateway, mut answer, mut upstream) = asked().await;
        upstream.chunk("data: 1\n\ndata: unfinished").await;
        answer.expect("data: 1\n\n").await;
        upstream.write(end).await;
        drop(upstream);
        answer.expect_error(says).await;
        gateway.says(&format!("gateway: {says}")).await;
    }
}

#[tokio::test]
async fn an_answer_that_is_no_stream_is_passed_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = Gateway::start(&["--upstream", &format!("http://{}", listener.local_addr().unwrap())]).await;
    let upstream = async {
        let (connection, _) = timeout(SOON, listener.accept()).await.unwrap().unwrap();
        let mut upstream = Upstream(connection);
        upstream.read_request("{}").await;
        upstream.write("HTTP/1.1 429 Too Many\r\ncontent-type: application/x\r\ncontent-length: 4\r\n\r\nwait").await;
    };
    let (response, ()) = tokio::join!(gateway.ask(json!({})), upstream);
    assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(response.headers()["content-type"], "application/x");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "wait");

    drop(listener);
    let response = gateway.ask(json!({})).await;
    assert_eq!(response.status(), StatusCode::BAD_GATEWAY);
    gateway.says("cannot be asked: Connection refused").await;
}

#[tokio::test]
async fn the_stand_in_answers_and_breaks_off() {
    let gateway = Gateway::start(&[]).await;
    let text = async |model: &str| {
        let response = gateway.ask(json!({ "model": model, "stream": true })).await;
        let all = timeout(START, response.into_body().collect()).await.unwrap();
        String::from_utf8(all.unwrap().to_bytes().to_vec()).unwrap()
    };
    let answer = text("demo-1").await;
    assert!(answer.ends_with("\n\ndata: [DONE]\n\n"), "{answer}");
    assert_eq!(answer.matches("\"model\":\"gateway-1\"").count(), 2, "{answer}");
    gateway.says("gateway: 38 tokens, 2 events changed, 38 as they were").await;
    let answer = text("demo-broken").await;
    assert!(answer.lines().rfind(|line| !line.is_empty()).unwrap().contains("broken off"), "{answer}");
}
