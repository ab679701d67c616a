//! How a node starts and ends.

use std::fmt::Write as _;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use serde_json::Value;
use ssekit_testkit::redis::RedisSetup;
use tokio::task::block_in_place;

use crate::support::live::{Example, Live};
use crate::support::process::{Process, command};
use crate::support::{Directory, SOON, example, request, until};
use crate::{get, until_ready};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_says_why_it_does_not_start_but_not_the_password() {
    let server = RedisSetup::new().password("right secret").start();
    let addr = server.addr();
    let is_down = format!("redis://:wrong-secret@{addr}/");
    for (url, says) in [
        (format!("redis://:wrong-secret@{addr}/"), format!("cannot use Redis at {addr}: redis: ")),
        (format!("redis://{addr}/"), format!("cannot use Redis at {addr}: redis: \"NOAUTH\"")),
        ("http://:wrong-secret@localhost/".to_owned(), "cannot use the URL of --redis: ".to_owned()),
        ("redis://:wrong-secret@local host/".to_owned(), "cannot use the URL of --redis: ".to_owned()),
    ] {
        assert_fails(&url, &says).await;
    }
    let url = server.url();
    let node = Live::start_with(Example::Live, None, &["--redis", &url]).await;
    assert_eq!(get(node.addr, "/ready").await.unwrap(), (200, "ready".to_owned()));
    block_in_place(|| server.kill());
    assert_fails(&is_down, &format!("cannot use Redis at {addr}: redis: Connection refused")).await;
    let text = until_ready(node.addr, 503).await;
    assert!(!text.contains("secret"), "{text}");
}

async fn assert_fails(url: &str, says: &str) {
    for example in [Example::Live, Example::LiveActix] {
        let name = example.name();
        let mut command = command(&example::program(name));
        let mut process = Process::start(name, command.args(["--addr", "127.0.0.1:0", "--redis", url])).unwrap();
        assert_eq!(process.ended(SOON).await.code(), Some(1));
        // What it said may be read later than its end is seen.
        let text = until("it says why", SOON, async || process.said(&format!("{name}: "))).await;
        assert!(text.starts_with(says) && !text.contains("secret"), "{text}");
    }
}

/// It needs no Redis for that.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_ends_lives_but_is_not_ready() {
    for example in [Example::Live, Example::LiveActix] {
        let directory = Directory::new(&format!("{}-drain", example.name()));
        let tail = directory.path().join("tail");
        let node = Live::start_with(example, None, &["--tail", tail.to_str().unwrap()]).await;
        assert_eq!(until_ready(node.addr, 200).await, "ready");
        // A client that does not read holds the end up, since more waits for it than the system keeps.
        let get_events = Request::get("/events").header("host", "x").body(Full::<Bytes>::default()).unwrap();
        let stuck = request(node.addr, get_events).await.unwrap();
        let lines = (0..60).fold(String::new(), |mut text, n| {
            writeln!(text, "{n} {}", "x".repeat(60_000)).unwrap();
            text
        });
        std::fs::write(&tail, lines).unwrap();
        until("all lines are published", SOON, async || {
            let stats: Value = serde_json::from_str(&get(node.addr, "/hub_stats").await.ok()?.1).ok()?;
            (stats["bytes"].as_u64()? > 3_000_000).then_some(())
        })
        .await;
        node.ask_to_end();
        assert_eq!(until_ready(node.addr, 503).await, "the server shuts down, or Redis is away");
        drop(stuck);
        node.ended().await;
    }
}
