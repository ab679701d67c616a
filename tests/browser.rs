//! A real browser at the page of the examples `live` and `live_actix`: what `EventSource` makes of the stream, and of its end.

#![cfg(unix)]
#![forbid(unsafe_code)]

mod support;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use ssekit_testkit::redis::RedisSetup;
use tokio::fs;
use tokio::io::AsyncWriteExt;
use tokio::task::block_in_place;

use support::live::{Example, Live, Record};
use support::proxy::{Fate, Proxy};
use support::webdriver::Browser;
use support::{Directory, SOON, request, until};

/// What the page shows.
#[derive(Debug, Deserialize)]
struct Page {
    state: String,
    shown_state: String,
    last_event_id: String,
    opens: usize,
    outcome: String,
    hello_last_event_id: String,
    stats: usize,
    lines: usize,
    hellos: usize,
    cpu: String,
    memory: String,
    load: String,
    byes: usize,
    records: Vec<Record>,
    chat: Vec<Said>,
    unsent: String,
    hub: String,
}

/// A message of the chat.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Said {
    id: String,
    name: String,
    text: String,
}

const LOOK: &str = "
    const text = id => document.getElementById(id).textContent;
    return {
        state: document.body.dataset.state,
        shown_state: text('state'),
        last_event_id: text('last-event-id'),
        opens: Number(text('opens')),
        outcome: text('outcome'),
        hello_last_event_id: text('hello-last-event-id'),
        stats: Number(text('count-stats')),
        lines: Number(text('count-line')),
        hellos: Number(text('count-hello')),
        cpu: text('cpu-value'),
        memory: text('memory-value'),
        load: text('load-value'),
        byes: document.querySelectorAll('#log .bye').length,
        records: [...document.querySelectorAll('#log .record[data-id]')].map(record => (
            { id: record.dataset.id, data: record.querySelector('.data').textContent })),
        chat: [...document.querySelectorAll('#chat li')].map(said => (
            { id: said.dataset.id, name: said.querySelector('b').textContent, text: said.querySelector('.text').textContent })),
        unsent: text('unsent'),
        hub: text('hub'),
    };";

/// The window with the page.
struct Window(Browser);

impl Window {
    async fn open(directory: &Path, addr: SocketAddr) -> Self {
        let browser = Browser::open(directory).await;
        browser.go(&format!("http://{addr}/")).await;
        Self(browser)
    }

    async fn until(&self, what: &str, is: impl Fn(&Page) -> bool) -> Page {
        until(what, SOON, async || Some(self.0.run::<Page>(LOOK).await).filter(&is)).await
    }

    /// By then, the server has long begun to follow the file, too.
    async fn until_first_visit(&self) -> Page {
        let page = self.until("two samples", |page| page.state == "live" && page.stats >= 2).await;
        assert_eq!((&*page.outcome, &*page.hello_last_event_id), ("fresh", ""), "{page:#?}");
        assert_eq!((&*page.shown_state, page.opens, page.hellos), ("live", 1, 1), "{page:#?}");
        page
    }

    /// Sends a message as a user does, but that the page's own limits do not hold for a script.
    async fn say(&self, name: &str, text: &str) {
        let (name, text) = (json!(name), json!(text));
        let script = format!("$('name').value = {name}; $('text').value = {text}; $('say').requestSubmit()");
        let (): () = self.0.run(&script).await;
    }

    async fn until_said(&self, messages: &[(&str, &str)]) -> Page {
        let page = self.until(&format!("{} messages", messages.len()), |page| page.chat.len() >= messages.len()).await;
        let said: Vec<_> = page.chat.iter().map(|said| (&*said.name, &*said.text)).collect();
        assert_eq!(said, messages);
        page
    }

    async fn until_records(&self, count: usize) -> Page {
        self.until(&format!("{count} records"), |page| page.records.len() >= count).await
    }
}

/// The file that the server follows.
struct Tail(PathBuf);

impl Tail {
    async fn new(directory: &Directory) -> Self {
        let path = directory.path().join("followed.log");
        fs::write(&path, "This was there before.\n").await.unwrap();
        Self(path)
    }

    async fn append(&self, records: &[impl AsRef<str>]) {
        let text: String = records.iter().flat_map(|record| [record.as_ref(), "\n"]).collect();
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&self.0).await.unwrap();
        file.write_all(text.as_bytes()).await.unwrap();
        file.flush().await.unwrap();
    }
}

/// Makes a test of each, for each of the examples.
macro_rules! on_each {
    ($($case:ident,)*) => {
        mod live {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Example::Live).await;
            })*
        }

        mod live_actix {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() {
                super::$case(super::Example::LiveActix).await;
            })*
        }
    };
}

on_each! {
    a_page_goes_on_with_a_restarted_server,
    a_page_is_told_that_the_server_goes,
    a_lost_connection_loses_and_doubles_nothing,
    a_server_that_is_already_ahead_is_known_to_be_another,
    all_pages_see_what_is_said_also_those_that_were_away,
}

fn data(records: &[Record]) -> Vec<&str> {
    records.iter().map(|record| &*record.data).collect()
}

async fn a_page_goes_on_with_a_restarted_server(example: Example) {
    let directory = Directory::new(&format!("{}-restart", example.name()));
    let tail = Tail::new(&directory).await;
    let server = Live::start(example, None, &tail.0).await;
    let addr = server.addr;
    let window = Window::open(directory.path(), addr).await;

    let page = window.until_first_visit().await;
    for value in [&page.cpu, &page.memory, &page.load] {
        assert!(value.contains(|c: char| c.is_ascii_digit()), "{page:#?}");
    }

    let mut written = vec![
        "<b>bold</b> &amp; &lt; \"quoted\" 'too' <script>document.body.remove()</script>",
        "ünïcödé 漢字 🦀\twith a tab, and a space at the end \n  indented: by two\n\n\tby a tab, after a blank line",
        "data: id: 7: event: : {\"json\": [1, 2]} \\n \\u0041",
        ": no comment",
        "the last one\n \n\n   ends with what looks blank\n\t",
    ];
    tail.append(&written).await;
    let page = window.until_records(written.len()).await;
    assert_eq!(data(&page.records), written);
    assert_eq!(page.records, server.records(written.len()).await, "the IDs are the events' own");

    server.kill().await;
    let lost = window.until("the loss", |page| page.state == "reconnecting").await;
    assert_eq!(lost.records, page.records);
    assert_eq!(lost.shown_state, "reconnecting", "{lost:#?}");
    let (epoch, number) = lost.last_event_id.split_once('-').unwrap();
    assert!(number.parse::<usize>().unwrap() >= lost.stats + lost.lines, "{lost:#?}");

    let server = Live::start(example, Some(addr), &tail.0).await;
    let back = window.until("two more samples", |page| page.state == "live" && page.stats >= lost.stats + 2).await;
    assert_eq!(back.outcome, "epoch_changed", "{back:#?}");
    assert_eq!(back.hello_last_event_id, lost.last_event_id, "{back:#?}");
    assert_eq!((back.opens, back.hellos), (lost.opens + 1, lost.hellos + 1), "{back:#?}");
    assert_ne!(back.last_event_id.split_once('-').unwrap().0, epoch, "{back:#?}");
    assert_eq!(back.records, lost.records);

    written.push("after the restart\n\tby another process");
    tail.append(&written[lost.records.len()..]).await;
    let after = window.until_records(written.len()).await;
    assert_eq!(data(&after.records), written);
    assert_eq!(after.records[lost.records.len()..], server.records(1).await);
    assert_eq!(after.records[..lost.records.len()], lost.records);

    let picture = window.0.screenshot().await;
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{}.png", example.name())), &picture).await.unwrap();
    assert!(picture.starts_with(b"\x89PNG\r\n\x1a\n") && picture.ends_with(b"IEND\xae\x42\x60\x82"));
    assert!(picture.len() > 10_000, "{} bytes", picture.len());
}

/// Asked to end, the server ends at once, though the page has a stream open.
async fn a_page_is_told_that_the_server_goes(example: Example) {
    let directory = Directory::new(&format!("{}-bye", example.name()));
    let tail = Tail::new(&directory).await;
    let server = Live::start(example, None, &tail.0).await;
    let addr = server.addr;
    let window = Window::open(directory.path(), addr).await;
    window.until_first_visit().await;

    let report = server.terminate().await;
    assert!(report.starts_with("1 stream in ") && report.contains(": 1 drained, 0 ended, 0 forced"), "{report}");
    let lost = window.until("the loss", |page| page.state == "reconnecting").await;
    assert_eq!((lost.byes, lost.opens), (1, 1), "{lost:#?}");

    let _server = Live::start(example, Some(addr), &tail.0).await;
    let back = window.until("its return", |page| page.state == "live" && page.hellos == 2).await;
    assert_eq!((&*back.outcome, &*back.hello_last_event_id), ("epoch_changed", &*lost.last_event_id), "{back:#?}");
}

async fn a_lost_connection_loses_and_doubles_nothing(example: Example) {
    let directory = Directory::new(&format!("{}-resume", example.name()));
    let tail = Tail::new(&directory).await;
    let server = Live::start(example, None, &tail.0).await;
    let proxy = Proxy::start(server.addr).await;
    let window = Window::open(directory.path(), proxy.addr).await;
    window.until_first_visit().await;

    let mut written: Vec<String> = Vec::new();
    let mut write = async |when: &str| {
        let numbers = written.len()..written.len() + 4;
        // Long enough for a cut to be within one, and of such characters that it may be within one of these.
        let filler = "🦀 漢字 ünïcödé ".repeat(8);
        let records: Vec<String> = numbers.map(|n| format!("{n} {when} {filler}end")).collect();
        tail.append(&records).await;
        written.extend(records);
        written.clone()
    };
    let written = write("at first").await;
    assert_eq!(data(&window.until_records(written.len()).await.records), written);

    // After a refusal, the page asks with an ID in the URL, which by the next cut is an old one.
    for fate in [Fate::Cut, Fate::CutAfter(1), Fate::Refused, Fate::CutAfter(333), Fate::CutAfter(1111)] {
        proxy.set(fate);
        write("into the cut").await;
        let lost = window.until("the loss", |page| page.state == "reconnecting").await;
        let written = write("during the cut").await;
        server.records(written.len()).await;
        if fate == Fate::Refused {
            until("a refusal", SOON, async || (proxy.refusals() > 0).then_some(())).await;
        }

        proxy.set(Fate::Carried);
        let is_back = |page: &Page| page.state == "live" && page.hellos > lost.hellos;
        let back = window.until(&format!("the end of {fate:?}"), is_back).await;
        assert_eq!(back.outcome, "resumed", "{fate:?}: {back:#?}");
        assert_eq!(back.hello_last_event_id, lost.last_event_id, "{fate:?}: {back:#?}");
        assert_eq!((back.opens, back.hellos), (lost.opens + 1, lost.hellos + 1), "{fate:?}: {back:#?}");

        let written = write("after the cut").await;
        let page = window.until_records(written.len()).await;
        assert_eq!(data(&page.records), written, "{fate:?}");
        assert_eq!(page.records, server.records(written.len()).await, "{fate:?}");
        assert_eq!(page.lines, written.len(), "{fate:?}");
    }
}

/// By the number in its last event ID, the page would have missed the last few of the new server's events only.
async fn a_server_that_is_already_ahead_is_known_to_be_another(example: Example) {
    let directory = Directory::new(&format!("{}-ahead", example.name()));
    let tail = Tail::new(&directory).await;
    let server = Live::start(example, None, &tail.0).await;
    let addr = server.addr;
    let proxy = Proxy::start(addr).await;
    let window = Window::open(directory.path(), proxy.addr).await;
    window.until_first_visit().await;

    proxy.set(Fate::Cut);
    let lost = window.until("the loss", |page| page.state == "reconnecting").await;
    server.kill().await;
    // A file that is not there yet is read from its start, so that no record comes before the server looks.
    fs::remove_file(&tail.0).await.unwrap();
    let server = Live::start(example, Some(addr), &tail.0).await;
    let number: usize = lost.last_event_id.split_once('-').unwrap().1.parse().unwrap();
    let written: Vec<String> = (0..number + 5).map(|n| format!("{n} while the page was away")).collect();
    tail.append(&written).await;
    let sent = server.records(written.len()).await;

    proxy.set(Fate::Carried);
    let page = window.until_records(written.len()).await;
    assert_eq!((&*page.outcome, page.opens, page.hellos), ("epoch_changed", 2, 2), "{page:#?}");
    assert_eq!(page.hello_last_event_id, lost.last_event_id, "{page:#?}");
    assert_eq!(page.records, sent);
    assert_eq!(data(&page.records), written);
}

async fn all_pages_see_what_is_said_also_those_that_were_away(example: Example) {
    let (directory, other) = (Directory::new(&format!("{}-a", example.name())), format!("{}-b", example.name()));
    let other = Directory::new(&other);
    let tail = Tail::new(&directory).await;
    let server = Live::start(example, None, &tail.0).await;
    let proxy = Proxy::start(server.addr).await;
    let (ada, bob) = (Window::open(directory.path(), server.addr), Window::open(other.path(), proxy.addr));
    let (ada, bob) = tokio::join!(ada, bob);
    bob.until_first_visit().await;

    let mut said = vec![("Ada", "<b>hello</b> &amp; 漢字 🦀"), ("somebody", "with no name")];
    ada.say("Ada", said[0].1).await;
    bob.until_said(&said[..1]).await;
    bob.say(" ", said[1].1).await;
    let page = ada.until_said(&said).await;
    assert_eq!(bob.until_said(&said).await.chat, page.chat, "the IDs are the events' own");

    // Of what is refused, the page shows why, and keeps the text.
    ada.say("Ada", &"x".repeat(501)).await;
    let refused = ada.until("the refusal", |page| !page.unsent.is_empty()).await;
    assert_eq!(refused.unsent, "Not sent: text has 501 characters, of 500 at the most.");
    assert_eq!(ada.0.run::<usize>("return $('text').value.length").await, 501);

    proxy.set(Fate::Cut);
    let lost = bob.until("the loss", |page| page.state == "reconnecting").await;
    bob.say("Bob", "into the void").await;
    bob.until("the failure", |page| page.unsent.starts_with("No answer: ")).await;
    said.push(("Ada", "while Bob was away"));
    ada.say("Ada", said[2].1).await;
    let page = ada.until_said(&said).await;
    assert_eq!(page.unsent, "");

    proxy.set(Fate::Carried);
    let back = bob.until_said(&said).await;
    assert_eq!((&*back.outcome, &*back.hello_last_event_id), ("resumed", &*lost.last_event_id), "{back:#?}");
    assert_eq!(back.chat, page.chat);

    // A page that is new gets what was said before.
    ada.0.go(&format!("http://{}/", server.addr)).await;
    assert_eq!(ada.until_said(&said).await.chat, page.chat);
    assert_eq!(ada.0.run::<String>("return $('name').value").await, "Ada", "it is remembered");

    // The server may notice later than the page that a connection is over.
    let are_two = async || Some(hub_stats(server.addr).await).filter(|stats| stats["clients"] == 2);
    let stats = until("the end of the connections that are over", SOON, are_two).await;
    assert_eq!((&stats["topics"], &stats["closed"]["client_gone"]), (&json!(3), &json!(2)), "{stats:#}");
    assert_eq!((&stats["resumes"]["fresh"], &stats["resumes"]["resumed"]), (&json!(3), &json!(1)), "{stats:#}");
    assert_eq!(stats["listed"].as_array().map(Vec::len), Some(2), "{stats:#}");
    bob.until("the hub's numbers", |page| page.hub.starts_with("Hub: 2 clients · ")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_two_nodes_show_one_chat_and_each_its_own_machine() {
    let redis = RedisSetup::new().start();
    let directories = ["node-a", "node-b"].map(Directory::new);
    let tail = Tail::new(&directories[1]).await;
    let (url, path) = (redis.url(), tail.0.to_str().unwrap());
    let a = Live::start_with(Example::Live, None, &["--redis", &url]).await;
    let b = Live::start_with(Example::LiveActix, None, &["--redis", &url, "--tail", path]).await;
    let (ada, bob) =
        tokio::join!(Window::open(directories[0].path(), a.addr), Window::open(directories[1].path(), b.addr));
    tokio::join!(ada.until_first_visit(), bob.until_first_visit());

    tail.append(&["of b alone", "the next"]).await;
    bob.until_records(2).await;
    let said = [("Ada", "hello from a"), ("Bob", "hello from b")];
    ada.say(said[0].0, said[0].1).await;
    bob.until_said(&said[..1]).await;
    bob.say(said[1].0, said[1].1).await;
    let page = ada.until_said(&said).await;
    assert_eq!(page.chat, bob.until_said(&said).await.chat);
    assert_eq!(data(&page.records), [""; 0]);

    block_in_place(|| redis.kill());
    ada.say("Ada", "into the void").await;
    let text = "Not sent: event not published, and can be tried again: ";
    let is_told = |page: &Page| page.unsent.starts_with(text) || page.unsent.starts_with("No answer: ");
    let lost = ada.until("the failure", is_told).await;
    assert_eq!((&*lost.state, lost.opens), ("live", 1), "{lost:#?}");
    block_in_place(|| redis.start());
    // With what it had in memory, all is lost that was said, but not from the pages.
    let gaps = async || {
        let gaps = "return document.querySelectorAll('#log .gap').length";
        (ada.0.run::<usize>(gaps).await + bob.0.run::<usize>(gaps).await == 2).then_some(())
    };
    until("the gap", SOON, gaps).await;
    let is_ready = async || (get(b.addr, "/ready").await.status() == 200).then_some(());
    until("b is ready", SOON, is_ready).await;
    bob.say("Bob", "again").await;
    let page = ada.until_said(&[said[0], said[1], ("Bob", "again")]).await;
    assert_eq!((&*page.state, page.opens), ("live", 1), "{page:#?}");
}

async fn hub_stats(addr: SocketAddr) -> Value {
    let response = get(addr, "/hub_stats").await;
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

async fn get(addr: SocketAddr, path: &str) -> Response<Incoming> {
    let get = Request::get(path).header("host", addr.to_string()).body(Full::<Bytes>::default()).unwrap();
    request(addr, get).await.unwrap()
}
