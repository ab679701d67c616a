//! Subscribers in the process, without HTTP.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt;
use ssekit_core::Event;
use ssekit_server::hub::{Hub, HubOptions, Subscribe};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{TOPIC, node};
use crate::fanout::event::{self, EVENT_LEN};

/// Subscribers that read as fast as they can.
struct Subscribers {
    seen: Arc<Seen>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Seen {
    /// The number of the last event of a burst, and the number of subscribers that received it.
    last: AtomicU64,
    by: AtomicU64,
    all: Notify,
}

impl Subscribers {
    fn new(hub: &Hub, count: u64) -> io::Result<Self> {
        let seen = Arc::new(Seen::default());
        let tasks = (0..count).map(|_| {
            let mut body = hub.subscribe(Subscribe::topic(TOPIC)).map_err(io::Error::other)?.into_body();
            let seen = seen.clone();
            Ok(tokio::spawn(async move {
                while let Some(Ok(chunk)) = body.next().await {
                    let last = chunk.len().checked_sub(EVENT_LEN).and_then(|at| event::parse(&chunk[at..]));
                    let is_last = last.is_some_and(|(number, _)| number == seen.last.load(Ordering::Relaxed));
                    if is_last && seen.by.fetch_add(1, Ordering::Relaxed) + 1 == count {
                        seen.all.notify_one();
                    }
                }
            }))
        });
        Ok(Self { tasks: tasks.collect::<io::Result<_>>()?, seen })
    }

    /// Publishes `burst` events, numbered from `first`. Waits until all subscribers have them.
    async fn publish(&self, hub: &Hub, first: u64, burst: u64) {
        let mut text = String::new();
        self.seen.last.store(first + burst - 1, Ordering::Relaxed);
        self.seen.by.store(0, Ordering::Relaxed);
        for number in first..first + burst {
            event::write(&mut text, number, 0);
            // All subscribers receive the event, which shows that it was published.
            drop(hub.publish(TOPIC, Event::data(&text)));
        }
        self.seen.all.notified().await;
    }
}

impl Drop for Subscribers {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Delivers bursts of events to subscribers, from a node if there is a URL, and otherwise from a hub in memory. Returns the
/// result of `measure`, which is called after a warm-up.
pub(super) async fn fan<T>(
    url: Option<&str>,
    subscribers: u64,
    bursts: u64,
    burst: u64,
    measure: impl FnOnce() -> T,
) -> io::Result<T> {
    match url {
        Some(url) => fan_by(&*node(url).await?, subscribers, bursts, burst, measure).await,
        None => fan_by(&Hub::new(HubOptions::new()), subscribers, bursts, burst, measure).await,
    }
}

async fn fan_by<T>(hub: &Hub, subscribers: u64, bursts: u64, burst: u64, measure: impl FnOnce() -> T) -> io::Result<T> {
    let subscribers = Subscribers::new(hub, subscribers)?;
    let mut first = 0;
    for _ in 0..10 {
        subscribers.publish(hub, first, burst).await;
        first += burst;
    }
    let measured = measure();
    for _ in 0..bursts {
        subscribers.publish(hub, first, burst).await;
        first += burst;
    }
    Ok(measured)
}
