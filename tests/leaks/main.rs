//! Ten thousand clients connect and disconnect, and leave no memory, files or streams behind.

#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

#[path = "../servers/app.rs"]
// The other tests use the rest of the module.
#[allow(dead_code)]
mod app;
#[path = "../support/usage.rs"]
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;
use futures_util::{StreamExt, stream};
use ssekit::server::{DrainOptions, EventBody};
use ssekit::{EncodedEvent, Event};

use app::{App, Client, Http, KINDS, events, soon, until};
use usage::{memory, open_files};

const CLIENTS: usize = 10_000;
/// The number of clients that connect at the same time.
const AT_ONCE: usize = 50;
/// The memory that an allocator may keep. A leak of 200 bytes per client would be 2 MB.
const MEMORY: usize = 2 << 20;

/// Counts the live values of this type.
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn ten_thousand_clients_leave_nothing_behind() {
    for kind in KINDS {
        let alive = Arc::new(AtomicUsize::new(0));
        let counter = alive.clone();
        let app = App::new(move |_| {
            let counted = Counted::new(&counter);
            let events = stream::iter([EncodedEvent::from(Event::data("one"))]).chain(stream::pending());
            EventBody::new(
                events
                    .map(move |frame| {
                        let _ = &counted;
                        Ok(frame)
                    })
                    .boxed(),
            )
        });
        let server = app.start(kind, DrainOptions::new()).await;
        let come_and_go = async |count: usize| {
            for n in 0..count / AT_ONCE {
                let http = if n % 2 == 0 { Http::One } else { Http::Two };
                let clients = (0..AT_ONCE).map(async |_| {
                    let mut client = Client::connect(server.addr, http).await;
                    let mut events = events(client.get("/events", &[]).await);
                    soon(events.next()).await.unwrap();
                    (client, events)
                });
                let _clients = join_all(clients).await;
                assert!(app.streams.len() >= AT_ONCE);
            }
            // A connection is a task, and holds its guard until the task ends.
            until("no connection is left", || app.streams.connections() == 0).await;
            until("all are gone", || app.streams.is_empty() && alive.load(Ordering::Relaxed) == 0).await;
        };
        // Warms up the allocator, the buffers and the pools.
        come_and_go(1_000).await;
        let files = open_files();
        let before = memory();
        come_and_go(CLIENTS).await;
        until("all connections are closed", || open_files() <= files).await;
        let more = memory().saturating_sub(before);
        eprintln!("{kind:?}: {} streams, {} KiB more", app.closed().len(), more >> 10);
        assert!(more < MEMORY, "{kind:?}: {more} bytes are left of {CLIENTS} clients");
        assert_eq!(app.closed().len(), 1_000 + CLIENTS);
        drop(server);
    }
}
