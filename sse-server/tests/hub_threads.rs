//! Publishers and clients on several threads at full speed. Connections are cut after random blocks. A client that resumes
//! after its last event ID receives each event once and in order, or a gap event.
//!
//! `SSEKIT_DELIVERIES=10000000 cargo test --release -p ssekit-server --test hub_threads -- --nocapture` delivers
//! that many events and prints the number.

use std::collections::{BTreeSet, HashMap};
use std::env;
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use futures_util::{Stream, StreamExt};
use ssekit_core::Event;
use ssekit_server::LastEventId;
use ssekit_server::hub::{
    Hub, HubOptions, MemoryLog, Position, ResumeOutcome, RetentionOptions, SlowConsumerPolicy, Subscribe,
};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const TOPICS: [&str; 8] = ["a/0", "a/1", "a/2", "a/3", "b/0", "b/1", "b/2", "c"];
const PUBLISHERS: usize = 4;
/// The number of clients: eight for each pattern, one per policy, as a stream and as a body.
const CLIENTS: usize = 64;
const PATTERNS: [(&[&str], &[&str]); 8] = [
    (&["a/0"], &[]),
    (&["c"], &[]),
    (&["a/1", "b/2", "c"], &[]),
    (&["a/0", "a/1", "a/2", "a/3", "b/0", "b/1", "b/2", "c"], &[]),
    (&[], &["a/"]),
    (&[], &[""]),
    (&["c", "a/0"], &["b/", "b/1"]),
    (&["a/3"], &["b/"]),
];
const POLICIES: [SlowConsumerPolicy; 4] = [
    SlowConsumerPolicy::Disconnect,
    SlowConsumerPolicy::SkipToOldest,
    SlowConsumerPolicy::SkipToLatest,
    SlowConsumerPolicy::Coalesce,
];

/// The number of events to deliver.
fn deliveries() -> u64 {
    let asked_for = env::var("SSEKIT_DELIVERIES").ok().map(|text| text.parse().unwrap());
    asked_for.unwrap_or(400_000)
}

#[test]
fn each_event_arrives_once_and_in_order() {
    let (delivered, gaps) = run(usize::MAX, deliveries());
    println!("{delivered} deliveries");
    assert_eq!(gaps, 0);
    assert!(delivered >= deliveries());
}

#[test]
fn each_event_arrives_once_and_in_order_or_is_reported_as_missing() {
    let (delivered, gaps) = run(100, deliveries() / 4);
    println!("{delivered} deliveries, {gaps} gaps");
}

/// The publisher and the topic of an event. The events of a source are numbered.
type Source = (usize, usize);

/// The blocks that a client has received.
#[derive(Default)]
struct Received {
    /// The next number of each source.
    next: HashMap<Source, usize>,
    /// The topics whose last event has arrived.
    ended: BTreeSet<String>,
    /// The offset of the last event.
    last: u64,
    last_id: Option<String>,
    delivered: u64,
    /// The ranges of numbers that are missing.
    skipped: Vec<(Source, usize, usize)>,
    told: Vec<(u64, u64)>,
}

/// Delivers events with a hub that keeps `max_events`. Returns the number of deliveries and of gaps.
fn run(max_events: usize, deliveries: u64) -> (u64, usize) {
    let shares = (0..CLIENTS).map(|n| topics_of(n).len() as u64).sum::<u64>();
    let each = (deliveries / shares / PUBLISHERS as u64 + 1) as usize;
    let hub = Hub::with_log(
        MemoryLog::new(RetentionOptions::new().with_max_events(max_events).with_max_bytes(1 << 32)),
        HubOptions::new(),
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let (received, offsets) = runtime.block_on(async {
        let (ready, mut all_ready) = tokio::sync::mpsc::channel::<()>(1);
        let clients: Vec<_> = (0..CLIENTS).map(|n| tokio::spawn(client(hub.clone(), n, ready.clone()))).collect();
        drop(ready);
        assert!(all_ready.recv().await.is_none());
        let publishing = {
            let hub = hub.clone();
            tokio::task::spawn_blocking(move || publish(&hub, each, max_events < each))
        };
        let offsets = publishing.await.unwrap();
        // A client that skips to the latest event can skip the last event of a topic.
        for _ in 0..1_000 {
            for name in TOPICS {
                hub.publish(name, Event::data(name)).now().unwrap();
            }
            sleep(Duration::from_millis(20)).await;
            if clients.iter().all(JoinHandle::is_finished) {
                break;
            }
        }
        let mut received = Vec::new();
        for client in clients {
            // A client that is never woken would wait for ever.
            received.push(timeout(Duration::from_secs(60), client).await.expect("a client is stuck").unwrap());
        }
        (received, offsets)
    });

    let mut all: Vec<u64> = offsets.values().flatten().copied().collect();
    all.sort_unstable();
    assert!(all.iter().copied().eq(1..=all.len() as u64), "offsets are left out or doubled");
    for (n, client) in received.iter().enumerate() {
        let told = merged(&client.told);
        for topic in topics_of(n) {
            for publisher in 0..PUBLISHERS {
                let source = (publisher, topic);
                let next = client.next.get(&source).copied().unwrap_or(0);
                // The last events can be missing.
                let skipped = client.skipped.iter().copied().filter(|(of, ..)| *of == source);
                for (_, from, to) in skipped.chain([(source, next, each)]) {
                    for offset in &offsets[&source][from..to] {
                        let before = told.partition_point(|(from, _)| from <= offset);
                        let is_told = before > 0 && *offset <= told[before - 1].1;
                        assert!(is_told, "client {n} goes without {offset}, untold");
                    }
                }
            }
        }
        let numbers = client.next.values().sum::<usize>();
        let skipped = client.skipped.iter().map(|(_, from, to)| to - from).sum::<usize>();
        assert_eq!((numbers - skipped) as u64, client.delivered);
    }
    assert!(hub.is_empty());
    (received.iter().map(|client| client.delivered).sum(), received.iter().map(|client| client.told.len()).sum())
}

/// Merges overlapping ranges.
fn merged(ranges: &[(u64, u64)]) -> Vec<(u64, u64)> {
    let mut ranges = ranges.to_vec();
    ranges.sort_unstable();
    let mut merged: Vec<(u64, u64)> = Vec::new();
    for (from, to) in ranges {
        match merged.last_mut() {
            Some((_, end)) if from <= *end + 1 => *end = to.max(*end),
            _ => merged.push((from, to)),
        }
    }
    merged
}

/// Publishes events of each source, and returns their offsets. If it is slow, some clients keep up.
fn publish(hub: &Hub, each: usize, is_slow: bool) -> HashMap<Source, Vec<u64>> {
    let mut offsets = HashMap::new();
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                scope.spawn(move || {
                    let mut offsets = vec![Vec::with_capacity(each); TOPICS.len()];
                    for number in 0..each {
                        for (topic, name) in TOPICS.iter().enumerate() {
                            let data = format!("{publisher} {topic} {number}");
                            let position = hub.publish(name, Event::data(&data)).now().unwrap();
                            offsets[topic].push(position.offset);
                        }
                        // More events than the hub keeps, then time for some clients to catch up.
                        if is_slow && number % 8 == 7 {
                            thread::sleep(Duration::from_millis(5));
                        }
                    }
                    offsets
                })
            })
            .collect();
        for (publisher, thread) in publishers.into_iter().enumerate() {
            let of_topics = thread.join().unwrap().into_iter().enumerate();
            offsets.extend(of_topics.map(|(topic, offsets)| ((publisher, topic), offsets)));
        }
    });
    offsets
}

/// The topics of the client with this number.
fn topics_of(n: usize) -> Vec<usize> {
    let (topics, prefixes) = PATTERNS[n % PATTERNS.len()];
    let is_its = |name: &str| topics.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix));
    (0..TOPICS.len()).filter(|topic| is_its(TOPICS[*topic])).collect()
}

/// Reads until the last event of each topic. Its connection is cut now and then.
async fn client(hub: Hub, n: usize, ready: tokio::sync::mpsc::Sender<()>) -> Received {
    let (topics, prefixes) = PATTERNS[n % PATTERNS.len()];
    let policy = POLICIES[n / PATTERNS.len() % POLICIES.len()];
    let subscribe = Subscribe::topics(topics.iter().copied()).with_policy(policy);
    let subscribe = prefixes.iter().fold(subscribe, |subscribe, prefix| subscribe.with_prefix(prefix));
    let mut random = fastrand::Rng::with_seed(n as u64);
    let mut received = Received::default();
    let mut ready = Some(ready);
    let topics = topics_of(n).len();
    while received.ended.len() < topics {
        let last_id = received.last_id.as_deref().map(|id| LastEventId::try_from(id).unwrap());
        let subscription = hub.subscribe(subscribe.clone().with_last_event_id(last_id)).unwrap();
        let resume = subscription.resume_outcome();
        assert_eq!(resume == ResumeOutcome::Fresh, received.last_id.is_none());
        let is_body = n / PATTERNS.len() / POLICIES.len() % 2 == 1;
        let mut stream: Pin<Box<dyn Stream<Item = Vec<u8>> + Send>> = if is_body {
            Box::pin(subscription.into_body().map(|chunk| chunk.unwrap().to_vec()))
        } else {
            Box::pin(subscription.map(|frame| frame.as_bytes().to_vec()))
        };
        'connected: while let Some(chunk) = stream.next().await {
            for block in std::str::from_utf8(&chunk).unwrap().split_inclusive("\n\n") {
                received.take(block);
                // The first block tells the client its position.
                if received.last_id.is_some() && random.u16(..500) == 0 {
                    break 'connected;
                }
            }
            if received.last_id.is_some() {
                ready = None;
            }
            if received.ended.len() == topics {
                break;
            }
            if random.u8(..8) == 0 {
                tokio::task::yield_now().await;
            }
        }
    }
    drop(ready);
    received
}

impl Received {
    fn take(&mut self, block: &str) {
        assert!(block.ends_with("\n\n"), "{block:?}");
        let Some(id) = block.lines().find_map(|line| line.strip_prefix("id: ")) else {
            assert_eq!(block, ": \n\n");
            return;
        };
        self.last_id = Some(id.to_owned());
        let offset = id.parse::<Position>().unwrap().offset;
        let Some(data) = block.lines().find_map(|line| line.strip_prefix("data: ")) else { return };
        if block.starts_with("event: ssekit:gap\n") {
            let offset = |name: &str| {
                let (_, behind) = data.split_once(&format!("\"{name}\":\"")).unwrap();
                behind.split('"').next().unwrap().parse::<Position>().unwrap().offset
            };
            self.told.push((offset("from"), offset("to")));
            return;
        }
        assert!(offset > self.last, "{offset} behind {}", self.last);
        self.last = offset;
        if TOPICS.contains(&data) {
            self.ended.insert(data.to_owned());
            return;
        }
        self.delivered += 1;
        let mut numbers = data.split(' ').map(|number| number.parse::<usize>().unwrap());
        let [publisher, topic, number] = [(); 3].map(|()| numbers.next().unwrap());
        let next = self.next.entry((publisher, topic)).or_default();
        assert!(number >= *next, "{data:?} again");
        if number > *next {
            self.skipped.push(((publisher, topic), *next, number));
        }
        *next = number + 1;
    }
}
