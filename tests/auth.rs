//! The example `auth`: the users who may have a stream, and the end of their rights.

#![cfg(unix)]
#![forbid(unsafe_code)]

#[path = "support/mod.rs"]
#[allow(dead_code)]
mod support;

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, BodyStream, Full};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use ssekit::{EventStream, ReceivedEvent};
use support::process::{Process, command};
use support::webdriver::Browser;
use support::{Directory, SOON, example, request, until};
use tokio::time::timeout;

const ALICE: (&str, &str) = ("authorization", "Bearer wonderland");
const BOB: (&str, &str) = ("authorization", "Bearer builder");
const ADMIN: (&str, &str) = ("authorization", "Bearer secret");

struct Auth {
    _process: Process,
    addr: SocketAddr,
}

impl Auth {
    async fn start() -> Self {
        let mut command = command(&example::program("auth"));
        let mut process = Process::start("auth", command.args(["--addr", "127.0.0.1:0"])).unwrap();
        let addr = process.says("ssekit auth is listening on http://", SOON).await.unwrap();
        Self { addr: addr.strip_suffix('/').unwrap().parse().unwrap(), _process: process }
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        self.ask("GET", path, headers, "").await
    }

    async fn post(&self, path: &str, header: (&str, &str), body: &'static str) -> StatusCode {
        self.ask("POST", path, &[header], body).await.status()
    }

    async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &'static str) -> Response<Incoming> {
        let mut builder = Request::builder().method(method).uri(path).header("host", self.addr.to_string());
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let asked = request(self.addr, builder.body(Full::new(Bytes::from(body))).unwrap());
        timeout(SOON, asked).await.unwrap().unwrap()
    }

    /// Opens a stream, and reads its greeting.
    async fn stream(&self, path: &str, header: (&str, &str), user: &str) -> Events {
        let response = self.get(path, &[header]).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let chunks = BodyStream::new(response.into_body()).try_filter_map(async |frame| Ok(frame.into_data().ok()));
        let mut events = Events(EventStream::new(chunks.boxed()));
        let hello = events.next().await.unwrap();
        assert_eq!((&*hello.event_type, &*hello.data), ("hello", user));
        events
    }
}

struct Events(EventStream<futures_util::stream::BoxStream<'static, Result<Bytes, hyper::Error>>>);

impl Events {
    async fn next(&mut self) -> Option<ReceivedEvent> {
        timeout(SOON, self.0.next()).await.unwrap().map(Result::unwrap)
    }

    /// Returns the ID with which an EventSource would reconnect after the end.
    async fn last_event_id_at_end(mut self) -> String {
        assert_eq!(self.next().await, None);
        self.0.last_event_id().to_owned()
    }
}

#[tokio::test]
async fn nobody_gets_a_stream_without_a_token() {
    let auth = Auth::start().await;
    let none = "Bearer realm=\"ssekit\"";
    let wrong = "Bearer realm=\"ssekit\", error=\"invalid_token\"";
    for (path, header, challenge) in [
        ("/events", ("x", "y"), none),
        ("/events", ("authorization", "Basic d29uZGVybGFuZA=="), none),
        ("/events", ("authorization", "Bearer "), none),
        ("/events", ("cookie", "other=wonderland"), none),
        // The ID marks a finished stream, but only a known user receives the answer for it.
        ("/events", ("last-event-id", "ssekit:done"), none),
        ("/events", ("authorization", "Bearer wonderlan"), wrong),
        ("/events", ("authorization", "Bearer wonderland2"), wrong),
        ("/events", ("cookie", "token=nonsense"), wrong),
        ("/events?access_token=Wonderland", ("x", "y"), wrong),
        ("/events?access_token=wonderland", ("authorization", "Bearer nonsense"), wrong),
    ] {
        let response = auth.get(path, &[header]).await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{path} {header:?}");
        assert_eq!(response.headers()["www-authenticate"], challenge, "{path} {header:?}");
        assert_ne!(response.headers()["content-type"], "text/event-stream");
        response.into_body().collect().await.unwrap();
    }
    for path in ["/messages/alice", "/admin/kick/alice"] {
        assert_eq!(auth.post(path, ("x", "y"), "").await, StatusCode::UNAUTHORIZED);
    }
}

#[tokio::test]
async fn each_user_sees_own_events_by_each_way_to_say_who_they_are() {
    let auth = Auth::start().await;
    let login = auth.ask("POST", "/login", &[], "builder").await;
    let cookie = login.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; HttpOnly; SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().unwrap();
    assert_eq!(auth.ask("POST", "/login", &[], "nonsense").await.status(), StatusCode::UNAUTHORIZED);

    let mut alice = auth.stream("/events", ALICE, "alice").await;
    let mut bob = auth.stream("/events", ("cookie", &format!("a=b; {cookie}")), "bob").await;
    let mut admin = auth.stream("/events?a=b&access_token=secret", ("x", "y"), "admin").await;
    for (to, by, text) in [
        ("alice", BOB, "for alice\nonly"),
        ("bob", ALICE, "for bob"),
        ("admin", BOB, "for the admin"),
        ("alice", ALICE, "once more"),
    ] {
        assert_eq!(auth.post(&format!("/messages/{to}"), by, text).await, StatusCode::NO_CONTENT);
    }
    // Any other event would arrive before these.
    assert_eq!(alice.next().await.unwrap().data, "{\"from\":\"bob\",\"text\":\"for alice\\nonly\"}");
    assert_eq!(alice.next().await.unwrap().data, "{\"from\":\"alice\",\"text\":\"once more\"}");
    assert_eq!(bob.next().await.unwrap().data, "{\"from\":\"alice\",\"text\":\"for bob\"}");
    assert_eq!(admin.next().await.unwrap().data, "{\"from\":\"bob\",\"text\":\"for the admin\"}");
    assert_eq!(auth.post("/messages/carol", ALICE, "").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_newer_stream_takes_the_place_of_the_older_for_good() {
    let auth = Auth::start().await;
    let older = auth.stream("/events", ALICE, "alice").await;
    let mut bob = auth.stream("/events", BOB, "bob").await;
    let mut newer = auth.stream("/events", ALICE, "alice").await;

    let id = older.last_event_id_at_end().await;
    let reconnection = auth.get("/events", &[ALICE, ("last-event-id", &id)]).await;
    assert_eq!(reconnection.status(), StatusCode::NO_CONTENT);
    // The reconnection did not affect other streams.
    for name in ["alice", "bob"] {
        assert_eq!(auth.post(&format!("/messages/{name}"), BOB, "hi").await, StatusCode::NO_CONTENT);
    }
    for events in [&mut newer, &mut bob] {
        assert_eq!(events.next().await.unwrap().data, "{\"from\":\"bob\",\"text\":\"hi\"}");
    }
}

/// Tests the example with a real EventSource.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_stream_was_taken_over_stays_away() {
    let directory = Directory::new("auth");
    let auth = Auth::start().await;
    let browser = Browser::open(directory.path()).await;
    browser.go(&format!("http://{}/", auth.addr)).await;
    let state = async |what: &str| {
        until(what, SOON, async || {
            let (text, ready): (String, u8) = browser.run("return [$('state').textContent, source.readyState]").await;
            (text == what).then_some(ready)
        })
        .await
    };
    // The page has sent one request, and received 401.
    assert_eq!(state("not logged in, or logged in elsewhere").await, 2);
    let (): () = browser.run("$('login').elements.token.value = 'wonderland'; $('login').requestSubmit()").await;
    assert_eq!(state("you are alice").await, 1);

    let mut newer = auth.stream("/events", ALICE, "alice").await;
    assert_eq!(state("not logged in, or logged in elsewhere").await, 2);
    assert_eq!(auth.post("/messages/alice", BOB, "hi").await, StatusCode::NO_CONTENT);
    assert_eq!(newer.next().await.unwrap().data, "{\"from\":\"bob\",\"text\":\"hi\"}");
}

#[tokio::test]
async fn an_admin_ends_a_stream_for_good() {
    let auth = Auth::start().await;
    let alice = auth.stream("/events", ALICE, "alice").await;
    assert_eq!(auth.post("/admin/kick/alice", BOB, "").await, StatusCode::FORBIDDEN);
    assert_eq!(auth.post("/admin/kick/bob", ADMIN, "").await, StatusCode::NOT_FOUND);
    assert_eq!(auth.post("/admin/kick/alice", ADMIN, "").await, StatusCode::NO_CONTENT);

    let id = alice.last_event_id_at_end().await;
    let reconnection = auth.get("/events", &[ALICE, ("last-event-id", &id)]).await;
    assert_eq!(reconnection.status(), StatusCode::NO_CONTENT);
    assert_eq!(auth.post("/messages/alice", BOB, "hi").await, StatusCode::NOT_FOUND);
    // Only the stream has ended. The user may open another one.
    auth.stream("/events", ALICE, "alice").await;
}
