//! Clients of a hub connect, resume and disconnect, and some read nothing. The received events are exact, and nothing leaks.
//!
//! The test takes a minute, or the number of seconds in `SSEKIT_SOAK`:
//! `SSEKIT_SOAK=3600 cargo test --release --test soak -- --nocapture`.

#![forbid(unsafe_code)]
#![cfg(target_os = "linux")]

#[path = "../servers/app.rs"]
// The other tests use the rest of the module.
#[allow(dead_code)]
mod app;
#[path = "../support/usage.rs"]
mod usage;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use ssekit::Event;
use ssekit::hub::{Hub, HubOptions, MemoryLog, RetentionOptions};
use ssekit::server::DrainOptions;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use app::{App, Client, Http, Kind, events, soon, until};
use usage::{memory, open_files};

/// The number of concurrent clients of each server.
const CLIENTS: usize = 40;
const TOPICS: u64 = 10;
/// The number of events a second.
const RATE: u64 = 500;
/// The number of kept events. The first part of the test publishes more, so the log is full when memory is first measured.
const EVENTS: usize = 2_000;
/// The memory that an allocator may keep.
const MEMORY: usize = 4 << 20;

/// Publishes to random topics. The data of an event is its number in its topic.
async fn publish(hub: Hub, is_over: Arc<AtomicBool>) {
    let mut ticks = interval(Duration::from_millis(10));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut numbers = HashMap::<u64, u64>::new();
    while !is_over.load(Ordering::Relaxed) {
        ticks.tick().await;
        for _ in 0..RATE / 100 {
            let topic = fastrand::u64(..TOPICS);
            let number = numbers.entry(topic).or_default();
            *number += 1;
            hub.publish(&topic.to_string(), Event::data(number.to_string())).now().unwrap();
        }
    }
}

#[derive(Default)]
struct Counts {
    streams: AtomicU64,
    events: AtomicU64,
    gaps: AtomicU64,
}

/// Runs one client after another. Each one connects one to five times.
async fn come_and_go(app: App, addr: std::net::SocketAddr, counts: Arc<Counts>, is_over: Arc<AtomicBool>) {
    while !is_over.load(Ordering::Relaxed) {
        let path = format!("/hub/{}", fastrand::u64(..TOPICS));
        let (mut id, mut last) = (String::new(), None);
        for _ in 0..fastrand::u32(1..6) {
            let http = if fastrand::bool() { Http::One } else { Http::Two };
            let mut client = Client::connect(addr, http).await;
            let headers = [("last-event-id", &*id)];
            let response = client.get(&path, &headers[..usize::from(!id.is_empty())]).await;
            counts.streams.fetch_add(1, Ordering::Relaxed);
            if fastrand::u32(..10) == 0 {
                // This client reads nothing, and then disconnects.
                sleep(Duration::from_millis(fastrand::u64(..500))).await;
                continue;
            }
            let mut events = events(response);
            for _ in 0..fastrand::u32(..60) {
                let Ok(event) = timeout(app::SOON, events.next()).await else { panic!("nothing comes") };
                let Some(event) = event else { break };
                id = event.last_event_id.to_string();
                if &*event.event_type == "ssekit:gap" {
                    counts.gaps.fetch_add(1, Ordering::Relaxed);
                    last = None;
                    continue;
                }
                let number: u64 = event.data.parse().unwrap();
                let is_next = last.is_none_or(|last| number == last + 1);
                assert!(is_next, "{path}: {number} behind {last:?}");
                last = Some(number);
                counts.events.fetch_add(1, Ordering::Relaxed);
            }
            drop((events, client));
            sleep(Duration::from_millis(fastrand::u64(..50))).await;
        }
    }
    let _ = app;
}

#[tokio::test]
async fn clients_come_and_go_and_nothing_is_left() {
    let seconds = std::env::var("SSEKIT_SOAK").map_or(60, |text| text.parse().unwrap());
    let apps = [Kind::AxumServe, Kind::Actix].map(|kind| {
        let hub = Hub::with_log(MemoryLog::new(RetentionOptions::new().with_max_events(EVENTS)), HubOptions::new());
        (kind, App::with_hub(hub))
    });
    let mut servers = Vec::new();
    for (kind, app) in &apps {
        servers.push(app.start(*kind, DrainOptions::new()).await);
    }
    let counts = Arc::<Counts>::default();
    let is_quiet = Arc::new(AtomicBool::new(false));
    for (_, app) in &apps {
        tokio::spawn(publish(app.hub.clone(), is_quiet.clone()));
    }
    let run = async |time: Duration| {
        let is_over = Arc::new(AtomicBool::new(false));
        let mut clients = JoinSet::new();
        for ((_, app), server) in apps.iter().zip(&servers) {
            for _ in 0..CLIENTS {
                clients.spawn(come_and_go(app.clone(), server.addr, counts.clone(), is_over.clone()));
            }
        }
        let end = Instant::now() + time;
        while Instant::now() < end {
            sleep(Duration::from_millis(100)).await;
            assert!(!clients.is_empty());
            while let Some(ended) = clients.try_join_next() {
                ended.unwrap();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        while let Some(ended) = soon(clients.join_next()).await {
            ended.unwrap();
        }
        for (kind, app) in &apps {
            eprintln!("{kind:?}: waiting for the last of {} clients", app.hub.len());
            until("no client is left", || app.hub.is_empty() && app.streams.is_empty()).await;
            until("no connection is left", || app.streams.connections() == 0).await;
            assert!(app.hub.topics().iter().all(|topic| topic.clients == 0));
            assert_eq!(app.hub.stats().events, EVENTS);
        }
    };
    // Warms up the allocator, the buffers and the logs.
    let first = seconds.min(180) / 3;
    run(Duration::from_secs(first)).await;
    let (files, before) = (open_files(), memory());
    run(Duration::from_secs(seconds - first)).await;
    until("all connections are closed", || open_files() <= files).await;
    let more = memory().saturating_sub(before);
    let [streams, events, gaps] =
        [&counts.streams, &counts.events, &counts.gaps].map(|count| count.load(Ordering::Relaxed));
    eprintln!(
        "{seconds} s: {streams} streams, {events} events, {gaps} gaps; {} KiB more of {}",
        more >> 10,
        before >> 10
    );
    assert!(more < MEMORY, "{more} bytes are left");
    assert!(events > 0 && streams > 0);
    is_quiet.store(true, Ordering::Relaxed);
}
