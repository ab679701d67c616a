//! The memory and the allocations of a hub.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use futures_util::Stream;
use ssekit_core::Event;
use ssekit_server::hub::{Hub, HubOptions, MemoryLog, RetentionOptions, StartFrom, Subscribe, Subscription};
use ssekit_server::{EventBody, LastEventId};

ssekit_testkit::count_allocations!();

type Body = Pin<Box<EventBody<Subscription>>>;

fn next(body: &mut Body) -> Option<Bytes> {
    match body.as_mut().poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(chunk) => chunk.transpose().unwrap(),
        Poll::Pending => None,
    }
}

fn subscribe(hub: &Hub, subscribe: Subscribe) -> Body {
    let mut body = Box::pin(hub.subscribe(subscribe).unwrap().into_body());
    while next(&mut body).is_some() {}
    body
}

/// Runs work within a runtime, because bodies need a timer for their keep-alive.
fn with_timer<T>(work: impl FnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    work()
}

#[test]
fn idle_client_is_small() {
    with_timer(|| {
        let hub = Hub::default();
        // Tables grow in steps. After one more client, there is room for the others.
        let mut clients: Vec<Body> = Vec::with_capacity(3000);
        clients.extend((0..1100).map(|_| subscribe(&hub, Subscribe::topic("a"))));
        let ((), held) = held(|| clients.extend((0..900).map(|_| subscribe(&hub, Subscribe::topic("a")))));
        eprintln!("{} bytes for each client, its body among them", held / 900);
        assert!(held / 900 < 1024, "{}", held / 900);
    });
}

/// The hub reads pages only as fast as the client.
#[test]
fn long_replay_to_slow_client_holds_one_page() {
    with_timer(|| {
        let hub = Hub::with_log(
            MemoryLog::new(RetentionOptions::new().with_max_events(200_000).with_max_bytes(64 << 20)),
            HubOptions::new(),
        );
        let data = "x".repeat(80);
        for n in 0..100_000 {
            // Two topics alternate, so the pages of one topic must be joined.
            hub.publish(if n % 3 == 0 { "b" } else { "a" }, Event::data(&data)).now().unwrap();
        }
        for (request, expected) in [(Subscribe::topic("a"), 66_666), (Subscribe::topics(["a", "b"]), 100_000)] {
            let request = request.with_start(StartFrom::Oldest);
            let mut body = Box::pin(hub.subscribe(request).unwrap().into_body());
            let (mut events, mut most) = (0, 0);
            loop {
                let (chunk, held) = held(|| next(&mut body));
                let Some(chunk) = chunk else { break };
                events += chunk.windows(2).filter(|window| *window == b"\nd").count();
                most = most.max(held);
                assert!(chunk.len() <= 64 << 10);
            }
            assert_eq!(events, expected);
            // Copied pages, and the offsets of their events. A page of a whole segment shares the bytes of the hub.
            assert!(most <= 48 << 10, "{most}");
        }
    });
}

#[test]
fn memory_bounded_when_clients_do_not_read() {
    with_timer(|| {
        let hub = Hub::with_log(
            MemoryLog::new(RetentionOptions::new().with_max_events(1000).with_max_bytes(1 << 20)),
            HubOptions::new(),
        );
        let mut stuck: Vec<Body> = (0..100).map(|_| subscribe(&hub, Subscribe::prefix(""))).collect();
        let data = "x".repeat(500);
        let publish = |count: usize| {
            for n in 0..count {
                hub.publish(&format!("topic/{}", n % 50), Event::data(&data)).now().unwrap();
            }
        };
        publish(2_000);
        // Each client holds one older chunk that it does not write.
        let chunks: Vec<_> = stuck.iter_mut().map(next).collect();
        let ((), held) = held(|| publish(100_000));
        assert!(held < 256 << 10, "{held}");
        assert_eq!(hub.stats().events, 1000);
        drop(chunks);
    });
}

/// Without an event, no publish clears the list of waiters.
#[test]
fn quiet_topic_holds_no_waiters_that_left_or_were_woken() {
    with_timer(|| {
        let hub = Hub::with_log(MemoryLog::new(RetentionOptions::new().with_max_events(100)), HubOptions::new());
        let mut client = subscribe(&hub, Subscribe::topics(["quiet", "busy"]));
        let mut round = || {
            drop(subscribe(&hub, Subscribe::topic("quiet").with_prefix("p")));
            hub.publish("busy", Event::data("x")).now().unwrap();
            assert!(next(&mut client).is_some() && next(&mut client).is_none());
        };
        (0..5_000).for_each(|_| round());
        let ((), held) = held(|| (0..15_000).for_each(|_| round()));
        assert!(held < 128 << 10, "{held}");
    });
}

#[test]
fn delivery_allocates_nothing() {
    with_timer(|| {
        let hub = Hub::default();
        let mut clients: Vec<Body> = (0..100).map(|_| subscribe(&hub, Subscribe::topic("a"))).collect();
        let mut round = || {
            hub.publish("a", Event::data("x")).now().unwrap();
            for client in &mut clients {
                assert!(next(client).is_some() && next(client).is_none());
            }
        };
        (0..100).for_each(|_| round());
        let ((), count) = allocations(|| (0..1000).for_each(|_| round()));
        eprintln!("{} allocations for an event to 100 clients", count as f64 / 1000.0);
        // The event, the joined bytes, and the growth of the log.
        assert!(count < 8_000, "{count}");
    });
}

/// An old ID costs no more than a new one.
#[test]
fn resuming_copies_only_delivered_pages() {
    let hub = Hub::with_log(
        MemoryLog::new(RetentionOptions::new().with_max_events(200_000).with_max_bytes(64 << 20)),
        HubOptions::new(),
    );
    let first = hub.publish("a", Event::data("x")).now().unwrap();
    for _ in 0..100_000 {
        hub.publish("a", Event::data("x")).now().unwrap();
    }
    let last = LastEventId::try_from(&*first.to_string()).ok();
    let (subscription, held) = held(|| hub.subscribe(Subscribe::topic("a").with_last_event_id(last)).unwrap());
    assert!(held < 4096, "{held}");
    drop(subscription);
}

/// No event is ever published that would clear the list of waiters.
#[test]
fn departed_clients_of_idle_topic_leave_no_memory() {
    with_timer(|| {
        let hub = Hub::default();
        let come_and_go = |count: usize| {
            for n in 0..count {
                let several = Subscribe::topics(["a", "b"]).with_prefix("c").with_key(&format!("user:{}", n % 10));
                drop(subscribe(&hub, several));
            }
        };
        let _stays = subscribe(&hub, Subscribe::topics(["a", "b"]).with_prefix("c"));
        come_and_go(10);
        let ((), held) = held(|| come_and_go(10_000));
        assert!(held < 1024, "{held}");
    });
}
