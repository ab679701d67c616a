//! Publishing, and delivery to subscribers.

use std::hint::black_box;
use std::pin::Pin;

use ssekit_core::{EncodedEvent, Event};
use ssekit_server::EventBody;
use ssekit_server::hub::{Hub, HubOptions, MemoryLog, RetentionOptions, SlowConsumerPolicy, Subscribe, Subscription};

use crate::Workload;
use crate::body::{poll_chunks, with_timer};
use crate::streams::words;

pub(crate) const WORKLOADS: [Workload; 8] = [
    workload("hub, publish without subscribers", 1, |rounds| deliver(0, 1, topic, rounds)),
    workload("hub, publish and deliver to 1", 1, |rounds| deliver(1, 1, topic, rounds)),
    workload("hub, publish and deliver to 100", 100, |rounds| deliver(100, 1, topic, rounds)),
    workload("hub, publish 16 and deliver at once", 16, |rounds| deliver(1, 16, topic, rounds)),
    workload("hub, publish and deliver by prefix", 1, |rounds| deliver(1, 1, prefix, rounds)),
    workload("hub, publish and deliver, filtered", 1, |rounds| deliver(1, 1, filtered, rounds)),
    workload("hub, publish 16, filter out half", 16, |rounds| deliver(1, 16, half, rounds)),
    workload("hub, publish 16 of 4 keys and coalesce", 16, coalesce),
];

const fn workload(name: &'static str, deliveries: u32, run: fn(u32)) -> Workload {
    // The warm-up fills the log, so that each event drops another.
    Workload { name, events: deliveries, warm_up: 2000, measured: if deliveries == 1 { 10_000 } else { 1000 }, run }
}

fn hub() -> Hub {
    // Epochs have as many digits, but partly random ones.
    let log = MemoryLog::with_epoch(1_763_749_139_123_456, RetentionOptions::new().with_max_events(1000));
    Hub::with_log(log, HubOptions::new())
}

fn topic() -> Subscribe {
    Subscribe::topic("news/world")
}

fn prefix() -> Subscribe {
    Subscribe::prefix("news/")
}

fn filtered() -> Subscribe {
    topic().with_filter(|event| black_box(event.topic).len() > 3)
}

fn half() -> Subscribe {
    topic().with_filter(|event| event.position.offset % 2 == 0)
}

fn bodies(hub: &Hub, subscribers: usize, subscribe: fn() -> Subscribe) -> Vec<Pin<Box<EventBody<Subscription>>>> {
    let mut bodies: Vec<_> = (0..subscribers)
        .map(|_| Box::pin(hub.subscribe(subscribe()).expect("there is room for a subscriber").into_body()))
        .collect();
    for body in &mut bodies {
        poll_chunks(body.as_mut());
    }
    bodies
}

fn deliver(subscribers: usize, burst: u32, subscribe: fn() -> Subscribe, rounds: u32) {
    let event = EncodedEvent::from(Event::data(words(0, 100)));
    with_timer(|| {
        let hub = hub();
        let mut bodies = bodies(&hub, subscribers, subscribe);
        for _ in 0..rounds {
            for _ in 0..burst {
                hub.publish("news/world", black_box(&event).clone()).now().expect("the hub is not sealed");
            }
            for body in &mut bodies {
                assert!(poll_chunks(body.as_mut()) > 0);
            }
        }
    });
}

fn coalesce(rounds: u32) {
    let event = EncodedEvent::from(Event::data(words(0, 100)));
    with_timer(|| {
        let hub = hub();
        let mut bodies = bodies(&hub, 1, || topic().with_policy(SlowConsumerPolicy::Coalesce));
        for _ in 0..rounds {
            for n in 0..16 {
                let key = ["a", "b", "c", "d"][n % 4];
                hub.publish_keyed("news/world", key, black_box(&event).clone()).now().expect("the hub is not sealed");
            }
            assert!(poll_chunks(bodies[0].as_mut()) > 0);
        }
    });
}
