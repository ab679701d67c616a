//! The example `restart`: from one process to the next, with nobody refused.

#![cfg(unix)]
#![forbid(unsafe_code)]

#[path = "support/mod.rs"]
#[allow(dead_code)]
mod support;

use std::error::Error;
use std::iter::successors;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, os::unix::fs::PermissionsExt, os::unix::net::UnixDatagram};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, BodyStream, Full};
use hyper::Request;
use hyper::body::Incoming;
use serde_json::Value;
use ssekit::{Decoder, EventStream};
use support::process::{Process, command, signal};
use support::{Directory, Result, SOON, START, example, request, until};
use tokio::time::sleep;

const CLIENTS: usize = 200;
const VISITORS: usize = 100;
const RESTARTS: u64 = 5;

/// What the clients have seen. They go on until they are dropped.
#[derive(Default)]
struct Seen {
    /// The generation that each client was last served by.
    generations: Vec<AtomicU64>,
    /// How often a visitor was answered.
    visits: AtomicU64,
    failures: Mutex<Vec<String>>,
}

impl Seen {
    fn fail(&self, who: &str, error: Box<dyn Error + Send + Sync>) {
        let causes = successors(Some(&*error as &(dyn Error + 'static)), |&error| error.source());
        let text: Vec<_> = causes.map(ToString::to_string).collect();
        self.failures.lock().unwrap().push(format!("{who}: {}", text.join(": ")));
    }

    async fn until(&self, what: &str, is: impl Fn(&Self) -> bool) {
        until(what, START, async || {
            let failures = self.failures.lock().unwrap();
            assert!(failures.is_empty(), "{what}: {} failures: {:#?}", failures.len(), &failures[..1]);
            is(self).then_some(())
        })
        .await;
    }
}

/// Does what an EventSource does, but that it takes nothing for granted: a stream that ends must have said so.
async fn client(addr: SocketAddr, n: usize, seen: &Seen) -> Result<()> {
    let mut decoder = Decoder::new();
    let mut generation = 1;
    loop {
        let get = Request::get("/events").header("host", addr.to_string());
        let get = get.header("last-event-id", decoder.last_event_id()).body(Full::<Bytes>::default())?;
        decoder.reconnect();
        let mut events = EventStream::with_decoder(chunks(request(addr, get).await?), decoder);
        // A server that is about to go has no event for who comes late.
        if let Some(hello) = events.next().await {
            let hello: Value = serde_json::from_str(&hello?.data)?;
            if hello["generation"] != generation || hello["away"].is_null() != (generation == 1) {
                return Err(format!("generation {generation}, but {hello}").into());
            }
            seen.generations[n].store(generation, Ordering::Relaxed);
            let mut last = None;
            while let Some(event) = events.next().await {
                last = Some(event?.event_type);
            }
            if last.is_none_or(|last| last != "bye") {
                return Err("the stream has ended with no farewell".into());
            }
            generation += 1;
        }
        decoder = events.into_decoder();
        sleep(decoder.reconnection_time().ok_or("no retry")?).await;
    }
}

fn chunks(
    response: hyper::Response<Incoming>,
) -> impl futures_util::Stream<Item = std::result::Result<Bytes, hyper::Error>> + Unpin {
    Box::pin(BodyStream::new(response.into_body()).try_filter_map(async |frame| Ok(frame.into_data().ok())))
}

/// A request over a connection of its own, again and again, so that there is one at any moment of a restart.
async fn visitor(addr: SocketAddr, seen: &Seen) -> Result<()> {
    loop {
        let get = Request::get("/").header("host", addr.to_string()).header("connection", "close");
        let response = request(addr, get.body(Full::<Bytes>::default())?).await?;
        let text = response.into_body().collect().await?.to_bytes();
        if !text.starts_with(b"generation ") {
            return Err(format!("{text:?}").into());
        }
        seen.visits.fetch_add(1, Ordering::Relaxed);
    }
}

struct Restart {
    process: Process,
    addr: SocketAddr,
    /// Of the first process.
    id: u32,
}

impl Restart {
    async fn start(program: &Path, arguments: &[&str], notify: Option<&Path>) -> Self {
        let mut command = command(program);
        command.args(["--addr", "127.0.0.1:0"]).args(arguments);
        if let Some(path) = notify {
            command.env("NOTIFY_SOCKET", path);
        }
        let mut process = Process::start("restart", &mut command).unwrap();
        let addr = process.says("ssekit restart is listening on http://", SOON).await.unwrap();
        let id = process.says("kill -HUP ", SOON).await.unwrap();
        Self { addr: addr.strip_suffix('/').unwrap().parse().unwrap(), id: id.parse().unwrap(), process }
    }

    /// Waits until any of the processes has said so.
    async fn says(&self, before: &str) -> String {
        until(before, START, async || self.process.said(before)).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_refused_by_five_restarts() {
    let directory = Directory::new("hand-over");
    let manager = UnixDatagram::bind(directory.path().join("notify")).unwrap();
    manager.set_read_timeout(Some(SOON)).unwrap();
    let mut server =
        Restart::start(&example::program("restart"), &["--retry", "100"], Some(&directory.path().join("notify"))).await;
    let seen = Arc::new(Seen { generations: (0..CLIENTS).map(|_| AtomicU64::new(0)).collect(), ..Seen::default() });
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..CLIENTS {
        let (seen, addr) = (seen.clone(), server.addr);
        tasks.spawn(async move { client(addr, n, &seen).await.unwrap_or_else(|error| seen.fail("client", error)) });
    }
    for _ in 0..VISITORS {
        let (seen, addr) = (seen.clone(), server.addr);
        tasks.spawn(async move { visitor(addr, &seen).await.unwrap_or_else(|error| seen.fail("visitor", error)) });
    }

    let mut id = server.id;
    for generation in 1..=RESTARTS + 1 {
        let are_all_there = |seen: &Seen| seen.generations.iter().all(|at| at.load(Ordering::Relaxed) == generation);
        seen.until(&format!("all clients in generation {generation}"), are_all_there).await;
        let mut notified = [0; 100];
        let len = manager.recv(&mut notified).unwrap();
        assert_eq!(std::str::from_utf8(&notified[..len]).unwrap(), format!("READY=1\nMAINPID={id}"));
        if generation <= RESTARTS {
            signal(id, "HUP");
            let who = format!("generation {generation}, process {id}, ");
            id = server.says(&format!("{who}is succeeded by process ")).await.parse().unwrap();
            let report = server.says(&format!("{who}ends: ")).await;
            assert!(report.starts_with(&format!("{CLIENTS} streams in ")), "{report}");
            assert!(report.contains(&format!(": {CLIENTS} drained, 0 ended, 0 forced")), "{report}");
        }
    }
    assert!(server.process.ended(SOON).await.success());
    let visits = seen.visits.load(Ordering::Relaxed);
    seen.until("a visit to the last", |seen| seen.visits.load(Ordering::Relaxed) > visits).await;
    println!("{visits} visits");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_when_its_successor_fails() {
    let directory = Directory::new("failure");
    let program = directory.path().join("restart");
    let install = |text: &str, mode| {
        let new = directory.path().join("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        // At once, since nobody can write to a program that runs.
        fs::rename(new, &program).unwrap();
    };
    fs::copy(example::program("restart"), &program).unwrap();
    let mut server = Restart::start(&program, &["--patience", "1"], None).await;
    let get = || Request::get("/events").header("host", "x").body(Full::<Bytes>::default()).unwrap();
    let mut events = EventStream::new(chunks(request(server.addr, get()).await.unwrap()));
    let mut hello = async || events.next().await.unwrap().unwrap().data.to_string();
    assert!(hello().await.contains("\"generation\":1"));

    for (text, mode, says) in [
        ("#!/bin/sh\nexit 3\n", 0o755, "it has ended with exit status: 3"),
        ("#!/bin/sh\nexec sleep 1000\n", 0o755, "it does not serve after 1s"),
        ("", 0o644, "Permission denied"),
    ] {
        install(text, mode);
        server.process.signal("HUP");
        server.says(says).await;
        // It ticks on.
        assert!(hello().await.parse::<u64>().is_ok());
        request(server.addr, get()).await.unwrap();
    }

    fs::remove_file(&program).unwrap();
    fs::copy(example::program("restart"), &program).unwrap();
    server.process.signal("HUP");
    let id: u32 = server.says("is succeeded by process ").await.parse().unwrap();
    assert!(server.process.ended(SOON).await.success());
    let mut events = EventStream::new(chunks(request(server.addr, get()).await.unwrap()));
    assert!(events.next().await.unwrap().unwrap().data.contains(&format!("\"process\":{id}")));
}
