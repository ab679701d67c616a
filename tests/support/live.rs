//! The examples `live` and `live_actix`, as their own process.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyStream, Full};
use hyper::Request;
use ssekit::EventStream;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::process::{Process, command};
use super::{SOON, example, request, until};

/// Each on a web framework of its own, and else the same.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Example {
    Live,
    LiveActix,
}

impl Example {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::LiveActix => "live_actix",
        }
    }
}

pub(crate) struct Live {
    name: &'static str,
    process: Process,
    pub(crate) addr: SocketAddr,
}

/// An event as the page shows it, and as the server sends it.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
pub(crate) struct Record {
    pub(crate) id: String,
    pub(crate) data: String,
}

impl Live {
    /// Starts it on a free port, or again on the one it had, to follow a file.
    pub(crate) async fn start(example: Example, addr: Option<SocketAddr>, tail: &Path) -> Self {
        Self::start_with(example, addr, &["--tail", tail.to_str().unwrap()]).await
    }

    /// The same, with these arguments instead.
    pub(crate) async fn start_with(example: Example, addr: Option<SocketAddr>, arguments: &[&str]) -> Self {
        let name = example.name();
        let deadline = Instant::now() + SOON;
        let wanted = addr.map_or_else(|| "127.0.0.1:0".to_owned(), |addr| addr.to_string());
        loop {
            let mut command = command(&example::program(name));
            let mut process = Process::start(name, command.args(["--addr", &wanted]).args(arguments)).unwrap();
            match process.says(&format!("ssekit {name} is listening on http://"), SOON).await {
                Ok(addr) => return Self { name, addr: addr.strip_suffix('/').unwrap().parse().unwrap(), process },
                // The port may not be free again at once.
                Err(_) if addr.is_some() && Instant::now() < deadline => sleep(Duration::from_millis(50)).await,
                Err(status) => panic!("{name} has ended: {status}"),
            }
        }
    }

    /// Gives it no chance to say goodbye.
    pub(crate) async fn kill(mut self) {
        self.process.kill().await;
    }

    /// Asks it to end, and waits until it has; what it says of its streams then.
    pub(crate) async fn terminate(self) -> String {
        self.ask_to_end();
        self.ended().await
    }

    pub(crate) fn ask_to_end(&self) {
        self.process.signal("TERM");
    }

    /// Waits until it has ended as it should; what it says of its streams then.
    pub(crate) async fn ended(mut self) -> String {
        assert!(self.process.ended(SOON).await.success());
        // Its last line may be read later than its end is seen.
        let report = format!("{} ends: ", self.name);
        until(&report, SOON, async || self.process.said(&report)).await
    }

    /// The first `count` records that this process has sent, once it has, by a client that is not a browser.
    pub(crate) async fn records(&self, count: usize) -> Vec<Record> {
        // It sends all that it has to a client that comes from another process.
        let get = Request::get("/events").header("host", self.addr.to_string()).header("last-event-id", "0-0");
        let response = timeout(SOON, request(self.addr, get.body(Full::<Bytes>::default()).unwrap())).await;
        let body = BodyStream::new(response.unwrap().unwrap().into_body());
        let mut events = Box::pin(EventStream::new(body.try_filter_map(async |frame| Ok(frame.into_data().ok()))));
        let deadline = Instant::now() + SOON;
        let mut records = Vec::new();
        while records.len() < count {
            let event = timeout_at(deadline, events.next()).await;
            let Ok(Some(Ok(event))) = event else { panic!("not {count} records, but {records:#?}, then {event:?}") };
            if event.event_type == "line" {
                records.push(Record { id: event.last_event_id.to_string(), data: event.data.to_string() });
            }
        }
        records
    }
}
