//! The example `restart`: from one process to the next, with nobody refused, and nothing lost or doubled.

#![cfg(unix)]
#![forbid(unsafe_code)]

#[path = "support/mod.rs"]
#[allow(dead_code)]
mod support;

use std::collections::{BTreeMap, HashSet};
use std::error::Error;
use std::iter::successors;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use std::{fs, os::unix::fs::PermissionsExt, os::unix::net::UnixDatagram};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyExt, BodyStream, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response, StatusCode};
use serde_json::Value;
use ssekit::hub::Position;
use ssekit::{Decoder, EventStream};
use support::process::{Process, command, signal};
use support::{Directory, Result, SOON, START, connect, example, request, until};
use tokio::time::{sleep, timeout};

const CLIENTS: usize = 200;
const VISITORS: usize = 100;
const PUBLISHERS: usize = 4;
const RESTARTS: u64 = 5;
/// So many notes at the least are published in each generation.
const NOTES: usize = 50;

/// Each with its place in the log.
type Notes = BTreeMap<Position, String>;

/// What the clients have seen. They go on until they are dropped, but publishers until they are told.
#[derive(Default)]
struct Seen {
    clients: Vec<Client>,
    /// How often a visitor was answered.
    visits: AtomicU64,
    /// What a publisher was told to be published.
    published: Mutex<Notes>,
    /// What may have been published, or not: the answer was lost.
    unknown: Mutex<HashSet<String>>,
    is_enough: AtomicBool,
    failures: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Client {
    /// The generation that it was last served by.
    generation: AtomicU64,
    notes: Mutex<Notes>,
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
    // The ID of the last event, of whichever process.
    let mut last: Option<Position> = None;
    loop {
        let get = Request::get("/events").header("host", addr.to_string());
        let get = get.header("last-event-id", decoder.last_event_id()).body(Full::<Bytes>::default())?;
        decoder.reconnect();
        let mut events = EventStream::with_decoder(chunks(request(addr, get).await?), decoder);
        // A server that is about to go has no event for who comes late.
        if let Some(hello) = events.next().await {
            let hello: Value = serde_json::from_str(&hello?.data)?;
            if hello["generation"] != generation {
                return Err(format!("generation {generation}, but {hello}").into());
            }
            seen.clients[n].generation.store(generation, Ordering::Relaxed);
            let mut is_over = false;
            while let Some(event) = events.next().await {
                let event = event?;
                let is_expected = match &*event.event_type {
                    "ssekit:resume" => {
                        let resume: Value = serde_json::from_str(&event.data)?;
                        let expected: &[&str] = if generation == 1 { &["fresh"] } else { &["up_to_date", "resumed"] };
                        expected.iter().any(|outcome| resume["outcome"] == *outcome)
                    }
                    "bye" => !std::mem::replace(&mut is_over, true),
                    event_type @ ("message" | "note") => {
                        let at: Position = event.last_event_id.parse()?;
                        if event_type == "note" {
                            seen.clients[n].notes.lock().unwrap().insert(at, event.data.to_string());
                        }
                        last.replace(at).is_none_or(|last| last < at && last.epoch == at.epoch)
                    }
                    _ => false,
                };
                if !is_expected {
                    return Err(format!("in generation {generation}, behind {last:?}: {event:?}").into());
                }
            }
            if !is_over {
                return Err("the stream has ended with no farewell".into());
            }
            generation += 1;
        }
        decoder = events.into_decoder();
        sleep(decoder.reconnection_time().ok_or("no retry")?).await;
    }
}

/// Publishes one note after the other, each until it is taken.
async fn publisher(addr: SocketAddr, n: usize, seen: &Seen) -> Result<()> {
    let mut notes = (0..).map(|number| format!("{n}-{number}"));
    let mut note = notes.next();
    let mut connection: Option<SendRequest<_>> = None;
    while let Some(text) = note.clone().filter(|_| !seen.is_enough.load(Ordering::Relaxed)) {
        // To connect may not fail, since nobody is refused. A connection that is kept may be closed at any time.
        let mut sender = match connection.take() {
            Some(sender) => sender,
            None => connect(addr).await?,
        };
        if sender.ready().await.is_err() {
            continue;
        }
        let post = Request::post("/publish").header("host", addr.to_string());
        let answer = async {
            let response = sender.send_request(post.body(Full::new(Bytes::from(text.clone())))?).await?;
            let (head, body) = response.into_parts();
            Result::Ok((head, body.collect().await?.to_bytes()))
        };
        match answer.await {
            Ok((head, body)) if head.status == StatusCode::OK => {
                let at = std::str::from_utf8(&body)?.parse()?;
                seen.published.lock().unwrap().insert(at, text);
                (note, connection) = (notes.next(), Some(sender));
            }
            // It is not published, but will be over another connection: that one's other end is the successor.
            Ok((head, _)) if head.status == StatusCode::SERVICE_UNAVAILABLE && head.headers["retry-after"] == "1" => {}
            Ok((head, body)) => return Err(format!("{head:?} {body:?}").into()),
            Err(_) => {
                seen.unknown.lock().unwrap().insert(text);
                note = notes.next();
            }
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(())
}

fn chunks(
    response: Response<Incoming>,
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
    let seen = Arc::new(Seen { clients: (0..CLIENTS).map(|_| Client::default()).collect(), ..Seen::default() });
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..CLIENTS {
        let (seen, addr) = (seen.clone(), server.addr);
        tasks.spawn(async move { client(addr, n, &seen).await.unwrap_or_else(|error| seen.fail("client", error)) });
    }
    for _ in 0..VISITORS {
        let (seen, addr) = (seen.clone(), server.addr);
        tasks.spawn(async move { visitor(addr, &seen).await.unwrap_or_else(|error| seen.fail("visitor", error)) });
    }

    let mut publishers = tokio::task::JoinSet::new();
    let mut id = server.id;
    for generation in 1..=RESTARTS + 1 {
        let is_there = |client: &Client| client.generation.load(Ordering::Relaxed) == generation;
        seen.until(&format!("all clients in generation {generation}"), |seen| seen.clients.iter().all(is_there)).await;
        if generation == 1 {
            // Not before, so that each client gets all.
            for n in 0..PUBLISHERS {
                let (seen, addr) = (seen.clone(), server.addr);
                let publisher =
                    async move { publisher(addr, n, &seen).await.map_err(|error| seen.fail("publisher", error)) };
                publishers.spawn(publisher);
            }
        }
        let published = seen.published.lock().unwrap().len();
        seen.until("more notes", |seen| seen.published.lock().unwrap().len() >= published + NOTES).await;
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

    seen.is_enough.store(true, Ordering::Relaxed);
    while publishers.join_next().await.is_some() {}
    let published = std::mem::take(&mut *seen.published.lock().unwrap());
    let last = *published.last_key_value().unwrap().0;
    let has_all = |client: &Client| client.notes.lock().unwrap().range(last..).next().is_some();
    seen.until("all notes to all clients", |seen| seen.clients.iter().all(has_all)).await;
    drop(tasks);
    let unknown = seen.unknown.lock().unwrap();
    for client in &seen.clients {
        let mut notes = client.notes.lock().unwrap();
        // Behind the last that is known to be published there may be some that are unknown.
        let behind = notes.split_off(&Position { offset: last.offset + 1, ..last });
        assert!(behind.values().all(|note| unknown.contains(note)), "{behind:?}");
        assert_eq!(notes.values().collect::<HashSet<_>>().len(), notes.len(), "a note was published twice");
        notes.retain(|_, note| !unknown.contains(note));
        let differ = notes.iter().zip(&published).find(|(note, expected)| note != expected);
        assert!(
            *notes == published,
            "{} notes, of {}; the first that differs: {differ:?}",
            notes.len(),
            published.len()
        );
    }
    for n in 0..PUBLISHERS {
        let numbers = published.values().filter_map(|note| note.strip_prefix(&format!("{n}-"))?.parse::<u64>().ok());
        assert!(numbers.is_sorted_by(|a, b| a < b), "publisher {n}");
    }
    println!("{visits} visits, {} notes, of {} nobody knows", published.len(), unknown.len());
}

/// A program in the place of the example, for it to start as its successor.
struct Program(PathBuf);

impl Program {
    fn new(directory: &Directory) -> Self {
        let path = directory.path().join("restart");
        fs::copy(example::program("restart"), &path).unwrap();
        Self(path)
    }

    fn replace(&self, text: &str, mode: u32) {
        let new = self.0.with_extension("new");
        fs::write(&new, text).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        // At once, since nobody can write to a program that runs.
        fs::rename(new, &self.0).unwrap();
    }

    fn restore(&self) {
        fs::remove_file(&self.0).unwrap();
        fs::copy(example::program("restart"), &self.0).unwrap();
    }
}

/// A client's events, and its notes to the others.
struct Watcher {
    addr: SocketAddr,
    events: EventStream<futures_util::stream::BoxStream<'static, std::result::Result<Bytes, hyper::Error>>>,
}

impl Watcher {
    async fn start(addr: SocketAddr, last_event_id: &str) -> Self {
        let get = Request::get("/events").header("host", "x").header("last-event-id", last_event_id);
        let response = request(addr, get.body(Full::default()).unwrap()).await.unwrap();
        Self { addr, events: EventStream::new(chunks(response).boxed()) }
    }

    /// The ID and the data of the next event of this type.
    async fn next(&mut self, event_type: &str) -> (String, String) {
        loop {
            let event = timeout(SOON, self.events.next()).await.unwrap().unwrap().unwrap();
            assert_ne!(event.event_type, "ssekit:gap", "{event:?}");
            if event.event_type == event_type {
                return (event.last_event_id.to_string(), event.data.to_string());
            }
        }
    }

    async fn publish(&self, note: &'static str) -> (StatusCode, String) {
        let post = Request::post("/publish").header("host", "x").body(Full::from(note)).unwrap();
        let response = request(self.addr, post).await.unwrap();
        let (status, retry) = (response.status(), response.headers().get("retry-after").cloned());
        assert_eq!(retry.is_some_and(|retry| retry == "1"), status == StatusCode::SERVICE_UNAVAILABLE);
        (status, String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().into()).unwrap())
    }

    /// It is published, and comes.
    async fn publishes(&mut self, note: &'static str) {
        let (status, position) = self.publish(note).await;
        assert_eq!(status, StatusCode::OK, "{position}");
        assert_eq!(self.next("note").await, (position, note.to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_goes_on_when_its_successor_fails() {
    let directory = Directory::new("failure");
    let program = Program::new(&directory);
    let mut server = Restart::start(&program.0, &["--patience", "1"], None).await;
    let mut watcher = Watcher::start(server.addr, "").await;
    assert!(watcher.next("hello").await.1.contains("\"generation\":1"));

    for (text, mode, says) in [
        ("#!/bin/sh\nexit 3\n", 0o755, "it has ended with exit status: 3"),
        ("", 0o644, "Permission denied"),
        // These have the log, or could have it.
        ("#!/bin/sh\necho ready\nexit 4\n", 0o755, "it has ended with exit status: 4"),
        ("#!/bin/sh\necho ready\ncat >/dev/null\nexec sleep 1000\n", 0o755, "it does not serve after 1s"),
    ] {
        program.replace(text, mode);
        server.process.signal("HUP");
        server.says(says).await;
        watcher.publishes("still here").await;
        // It ticks on.
        watcher.next("message").await;
        Watcher::start(server.addr, "").await.next("hello").await;
    }

    program.restore();
    server.process.signal("HUP");
    let id: u32 = server.says("is succeeded by process ").await.parse().unwrap();
    assert!(server.process.ended(SOON).await.success());
    watcher.next("bye").await;
    let mut watcher = Watcher::start(server.addr, watcher.events.last_event_id()).await;
    assert!(watcher.next("hello").await.1.contains(&format!("\"process\":{id}")));
    watcher.publishes("here now").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_published_while_a_successor_has_the_log() {
    let directory = Directory::new("sealed");
    let program = Program::new(&directory);
    let mut server = Restart::start(&program.0, &["--patience", "1000"], None).await;
    let mut watcher = Watcher::start(server.addr, "").await;
    watcher.next("hello").await;
    watcher.publishes("before").await;

    let go = directory.path().join("go");
    let wait = format!("until [ -e '{}' ]; do sleep 0.02; done", go.display());
    program.replace(&format!("#!/bin/sh\necho ready\n{wait}\nexit 3\n"), 0o755);
    server.process.signal("HUP");
    // Until then they are published.
    let refused = async || (watcher.publish("between").await.0 == StatusCode::SERVICE_UNAVAILABLE).then_some(());
    until("the log is sealed", SOON, refused).await;
    assert_eq!(watcher.publish("refused").await.0, StatusCode::SERVICE_UNAVAILABLE);
    // Those who come are served, by what there is.
    assert!(Watcher::start(server.addr, "").await.next("hello").await.1.contains("\"generation\":1"));

    fs::write(go, "").unwrap();
    server.says("it has ended with exit status: 3").await;
    let (status, after) = watcher.publish("after").await;
    assert_eq!(status, StatusCode::OK);
    loop {
        let (id, note) = watcher.next("note").await;
        if note == "after" {
            assert_eq!(id, after);
            break;
        }
        assert_eq!(note, "between");
    }
    server.process.signal("TERM");
    assert!(server.process.ended(SOON).await.success());
}
