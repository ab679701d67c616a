//! A client that connects to one node after another, like a page that a load balancer serves.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use http_body_util::{BodyStream, Full};
use hyper::Request;
use serde_json::Value;
use ssekit::hub::Position;
use ssekit::{EventStream, ReceivedEvent};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::support::{Result, SOON, request, until};

/// The pause before the client reconnects.
const PAUSE: Duration = Duration::from_millis(20);

/// A client that reconnects until it is dropped.
pub(crate) struct Client {
    seen: Arc<Mutex<Seen>>,
    task: JoinHandle<()>,
}

struct Seen {
    /// The node for the next stream.
    node: SocketAddr,
    streams: usize,
    last: Option<Position>,
    lines: Vec<(Position, String)>,
    /// The resume outcome of each stream.
    outcomes: Vec<String>,
    /// The reason of each gap event.
    gaps: Vec<String>,
    /// The first violation of the rules.
    failure: Option<String>,
}

impl Client {
    /// Starts a client. It receives all lines, or the lines after `last`.
    pub(crate) fn start(node: SocketAddr, last: Option<Position>) -> Self {
        let (lines, outcomes, gaps) = Default::default();
        let seen = Seen { node, streams: 0, last, lines, outcomes, gaps, failure: None };
        let seen = Arc::new(Mutex::new(seen));
        let task = tokio::spawn(run(seen.clone()));
        Self { seen, task }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// Sets the node for the next stream.
    pub(crate) fn go_to(&self, node: SocketAddr) {
        self.seen().node = node;
    }

    pub(crate) fn node(&self) -> SocketAddr {
        self.seen().node
    }

    pub(crate) fn lines(&self) -> Vec<(Position, String)> {
        self.seen().lines.clone()
    }

    pub(crate) fn last(&self) -> Option<Position> {
        self.seen().last
    }

    pub(crate) fn outcomes(&self) -> Vec<String> {
        self.seen().outcomes.clone()
    }

    pub(crate) fn gaps(&self) -> Vec<String> {
        self.seen().gaps.clone()
    }

    async fn until(&self, what: &str, is: impl Fn(&Seen) -> bool) {
        until(what, SOON, async || {
            let seen = self.seen();
            assert_eq!(seen.failure, None);
            is(&seen).then_some(())
        })
        .await;
    }

    pub(crate) async fn until_streams(&self, count: usize) {
        self.until(&format!("{count} streams"), |seen| seen.streams >= count).await;
    }

    pub(crate) async fn until_line(&self, at: Position) {
        self.until(&format!("the line at {at}"), |seen| seen.lines.iter().rev().any(|line| line.0 == at)).await;
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Acts like an EventSource, but reconnects after a short pause, and perhaps to another node.
async fn run(seen: Arc<Mutex<Seen>>) {
    loop {
        let (node, last) = {
            let seen = seen.lock().unwrap();
            (seen.node, seen.last)
        };
        // Broken streams and failed connections are expected.
        let _ = stream(node, last, &seen).await;
        sleep(PAUSE).await;
    }
}

async fn stream(node: SocketAddr, last: Option<Position>, seen: &Mutex<Seen>) -> Result<()> {
    let mut get = Request::get("/events").header("host", node.to_string());
    if let Some(last) = last {
        get = get.header("last-event-id", last.to_string());
    }
    let response = request(node, get.body(Full::<Bytes>::default())?).await?;
    let chunks =
        Box::pin(BodyStream::new(response.into_body()).try_filter_map(async |frame| Ok(frame.into_data().ok())));
    let mut events = EventStream::new(chunks);
    while let Some(event) = events.next().await {
        let (event, mut seen) = (event?, seen.lock().unwrap());
        let last = seen.last;
        if let Err(error) = seen.take(&event) {
            seen.failure.get_or_insert(format!("{event:?}, behind {last:?}: {error}"));
        }
    }
    Ok(())
}

impl Seen {
    fn take(&mut self, event: &ReceivedEvent) -> Result<()> {
        match &*event.event_type {
            "hello" => {
                self.streams += 1;
                return Ok(());
            }
            "bye" => return Ok(()),
            _ => {}
        }
        let at: Position = event.last_event_id.parse()?;
        let data: Value = serde_json::from_str(&event.data)?;
        let text = |name: &str| data[name].as_str().map(str::to_owned).ok_or(format!("no {name}"));
        let before = self.last.replace(at).unwrap_or(Position { epoch: 0, offset: 0 });
        let is_in_order = match &*event.event_type {
            "chat" => {
                self.lines.push((at, text("text")?));
                at > before
            }
            "stats" => at > before,
            "ssekit:resume" => {
                self.outcomes.push(text("outcome")?);
                at >= before
            }
            "ssekit:gap" => {
                self.gaps.push(text("reason")?);
                at >= before
            }
            _ => return Err("of no known type".into()),
        };
        if is_in_order { Ok(()) } else { Err("out of order".into()) }
    }
}
