//! A test of the hub against a naive model.
//!
//! The model follows the hub's documentation, not its implementation: a list of all events ever published, and the set of
//! offsets that the hub keeps. Each client checks each block that it receives against that list. After each block it also
//! checks that it would lose no event if its connection were cut there and it resumed after its last event ID.

mod client;
mod gap_event;
mod log;
mod operation;
mod shared;

use std::collections::BTreeSet;
use std::fmt::Debug;

use proptest::collection::vec;
use proptest::prelude::*;
use ssekit_core::{Event, EventType};
use ssekit_server::LastEventId;
use ssekit_server::hub::{
    ClientInfo, Disconnect, Hub, HubOptions, ImportError, MemoryLog, PublishError, RejectionReason, RetentionOptions,
    SessionPolicy, SlowConsumerPolicy, StartFrom, Subscribe,
};

use client::{Client, Connection, FIRST, Kick, REASON};
use log::{Log, Published};
pub use shared::hub_of_a_shared_log_behaves_like_the_model;

use operation::{KEYS, LastId, Limits, Operation, PATTERNS, Pattern, SESSIONS, Subscriber, TOPICS, USERS, operations};

/// Runs the steps of an input on a hub and on the model, and checks after each step that they agree.
pub fn hub_behaves_like_the_model(input: &[u8]) {
    let (limits, steps) = operations(input);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("it needs nothing").block_on(async {
        let mut world = World::new(limits);
        let mut told = Told { limits, steps: Vec::new() };
        for step in steps {
            told.steps.push(step);
            world.step(step).await;
            world.check();
        }
    });
}

/// The limits and steps of a run. It prints them if the test fails.
struct Told<L: Debug, O: Debug> {
    limits: L,
    steps: Vec<O>,
}

impl<L: Debug, O: Debug> Drop for Told<L, O> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{:?}", self.limits);
            self.steps.iter().for_each(|step| println!("{step:?}"));
        }
    }
}

/// Generates inputs with fewer than `steps` steps.
pub fn inputs(steps: usize) -> impl Strategy<Value = Vec<u8>> {
    let head = any::<[u8; 4]>();
    (head, vec(any::<[u8; 4]>(), 0..steps)).prop_map(|(head, steps)| [&head[..], &steps.concat()].concat())
}

/// Imports arbitrary bytes, and an exported log with some bytes changed. The hub rejects them or works.
pub fn import_never_panics(input: &[u8]) {
    let _ = import(input);
    let (changes, input) = input.split_at(input.len().min(8));
    let (limits, steps) = operations(input);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("it needs nothing").block_on(async {
        let mut world = World::new(limits);
        for step in steps.into_iter().filter(|step| matches!(step, Operation::Publish { .. } | Operation::Advance(_))) {
            world.step(step).await;
        }
        let mut bytes = world.memory.export();
        assert!(import(&bytes).is_ok());
        for change in changes.chunks_exact(4) {
            let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
            match change[2] % 4 {
                0 => bytes[at] = change[3],
                1 => bytes[at] = bytes[at].wrapping_add(change[3]),
                2 => drop(bytes.remove(at)),
                _ => bytes.insert(at, change[3]),
            }
        }
        let _ = import(&bytes);
    });
}

/// A hub of any bytes works as long as nothing has to be true of what was in them but the order.
fn import(bytes: &[u8]) -> Result<(), ImportError> {
    for (events, keys) in [(1_000, 1_000), (2, 1), (1, 0)] {
        let retention = RetentionOptions::new().with_max_events(events).with_max_keys(keys);
        let memory = MemoryLog::import(bytes, retention)?;
        let hub = Hub::with_log(memory.clone(), HubOptions::new());
        let epoch = hub.stats().next.epoch;
        for policy in [SlowConsumerPolicy::SkipToOldest, SlowConsumerPolicy::Coalesce] {
            let resumed = LastEventId::try_from(&*format!("{epoch}-0")).expect("it is one");
            let by =
                |id| Subscribe::prefix("").with_policy(policy).with_start(StartFrom::Oldest).with_last_event_id(id);
            let streams: Vec<_> = [None, Some(resumed)].map(|id| hub.subscribe(by(id)).expect("there is room")).into();
            let published = hub.publish_keyed("a", "k1", Event::data("next")).now();
            for stream in streams {
                let offsets = offsets(stream);
                assert!(offsets.is_sorted_by(|a, b| a < b), "{offsets:?}");
                if let Ok(position) = &published {
                    assert_eq!(offsets.last(), Some(&position.offset));
                }
            }
        }
        let again = MemoryLog::import(&memory.export(), RetentionOptions::new()).expect("it is of a hub");
        assert_eq!(Hub::with_log(again, HubOptions::new()).stats().next, hub.stats().next);
    }
    Ok(())
}

/// Reads the offsets of all events that a subscriber receives.
fn offsets(stream: ssekit_server::hub::Subscription) -> Vec<u64> {
    use futures_util::{FutureExt, StreamExt};

    let mut stream = stream.skip(1);
    let mut offsets = Vec::new();
    while let Some(Some(frame)) = stream.next().now_or_never() {
        let text = std::str::from_utf8(frame.as_bytes()).expect("it was checked").to_owned();
        if !text.starts_with("event: ssekit:gap\n") {
            let ids = text.lines().filter_map(|line| line.strip_prefix("id: ")?.split('-').nth(1));
            offsets.extend(ids.map(|offset| offset.parse::<u64>().expect("it is a number")));
        }
    }
    offsets
}

struct World {
    hub: Hub,
    memory: MemoryLog,
    log: Log,
    clients: Vec<Client>,
    last_number: u64,
    published: u64,
    rejected: u64,
}

impl World {
    fn new(limits: Limits) -> Self {
        let memory = MemoryLog::new(retention(&limits));
        let hub = Hub::with_log(memory.clone(), options(&limits));
        let mut log = Log::new(limits);
        log.epoch = hub.stats().next.epoch;
        Self { hub, memory, log, clients: Vec::new(), last_number: 0, published: 0, rejected: 0 }
    }

    async fn step(&mut self, step: Operation) {
        match step {
            Operation::Publish { topic, stride, key, size, times } => {
                for n in 0..times {
                    let key = key.map(|key| KEYS[(key + n) % KEYS.len()]);
                    self.publish(TOPICS[(topic + n * stride) % TOPICS.len()], key, size);
                }
            }
            Operation::Subscribe(by, last_id) => self.connect(by, last_id),
            Operation::Poll { client, all } => {
                if let Some(n) = self.number(client) {
                    self.clients[n].poll(&self.log, all);
                }
            }
            Operation::PollAll => self.clients.iter_mut().for_each(|client| client.poll(&self.log, true)),
            Operation::Drop(client) => {
                if let Some(n) = self.number(client) {
                    self.clients[n].connection = None;
                }
            }
            Operation::Resume { client, lost } => {
                if let Some(n) = self.number(client) {
                    let mut client = self.clients.swap_remove(n);
                    client.lose(lost.into());
                    self.subscribe(&mut client);
                    self.clients.push(client);
                }
            }
            Operation::Disconnect(user, is_immediate) => self.disconnect(user, is_immediate),
            Operation::HandOver => self.hand_over(),
            Operation::Advance(time) => {
                tokio::time::advance(time).await;
                self.log.now += time.as_millis() as u64;
            }
            Operation::Stats => {
                self.log.evict();
                self.check_stats();
            }
        }
    }

    /// Subscribes a new client.
    fn connect(&mut self, by: Subscriber, last_id: LastId) {
        let (epoch, next) = (self.log.epoch, self.log.next());
        let last_id = match last_id {
            LastId::None => None,
            LastId::Before(n) => Some(format!("{epoch}-{}", next.saturating_sub(u64::from(n)))),
            LastId::OtherEpoch(n) => Some(format!("{}-{n}", epoch - 1)),
            LastId::Malformed(n) => {
                Some(["x", "ssekit:done", "1-1-1", "-1", "1-", " 1-1"][usize::from(n) % 6].to_owned())
            }
        };
        let mut client = Client::new(by, last_id);
        if self.subscribe(&mut client) {
            self.clients.push(client);
        }
    }

    fn disconnect(&mut self, user: &'static str, is_immediate: bool) {
        let mut how = Disconnect::new().with_reason(REASON);
        if is_immediate {
            how = how.immediately();
        }
        let found = self.hub.disconnect_key(user, &how);
        let last = self.log.next() - 1;
        let those = self.clients.iter_mut().filter(|client| client.by.user == Some(user));
        let open = those.filter_map(|client| client.connection.as_mut()).filter(|connection| !connection.is_over);
        let (present, ending): (Vec<_>, Vec<_>) = open.partition(|connection| connection.kicked.is_none());
        // A client that is about to end can be unregistered before it has read the end of its stream.
        let possible = present.len()..=present.len() + if is_immediate { ending.len() } else { 0 };
        assert!(possible.contains(&found), "{found} disconnected, of {possible:?}");
        let ends_after = (!is_immediate).then_some(last);
        present.into_iter().for_each(|connection| connection.kick(Kick::Out, ends_after));
        ending.into_iter().filter(|_| is_immediate).for_each(|connection| connection.kick(Kick::Out, None));
    }

    /// The index of a client.
    fn number(&self, client: u8) -> Option<usize> {
        usize::from(client).checked_rem(self.clients.len())
    }

    fn publish(&mut self, topic: &'static str, key: Option<&'static str>, size: usize) {
        let offset = self.log.next();
        let text = format!("{offset:0size$}");
        let lines = format!("{offset}\n\n{text}");
        let event = match offset % 8 {
            3 => Event::comment(&text),
            4 => Event::new(),
            5 => Event::data(&lines),
            6 => Event::data(&text).with_event_type(EventType::from_static("other")),
            _ => Event::data(&text),
        };
        let wire = format!("id: {}-{offset}\n{event}", self.log.epoch);
        let published = match key {
            Some(key) => self.hub.publish_keyed(topic, key, &event),
            None => self.hub.publish(topic, &event),
        };
        match published.now() {
            Ok(position) => assert_eq!((position.epoch, position.offset), (self.log.epoch, offset)),
            Err(PublishError::TooLarge { .. }) => {
                // The hub assumes an offset of the most digits.
                assert!(wire.len() + 20 > self.log.limits.bytes, "{} bytes are too many", wire.len());
                return;
            }
            Err(error) => panic!("{error}"),
        }
        assert!(wire.len() <= self.log.limits.bytes);
        self.published += 1;
        let (at, data) = (self.log.now, event.data.as_deref().map(str::to_owned));
        self.log.push(Published { topic, key, at, wire, data });
        for client in self.clients.iter_mut().filter(|client| log::is_in(client.by.pattern, topic)) {
            client.connection.iter_mut().for_each(Connection::expect_wake);
        }
    }

    /// Subscribes a client. Returns whether the hub has admitted it.
    fn subscribe(&mut self, client: &mut Client) -> bool {
        let by = client.by;
        let mut request = Subscribe::topics(by.pattern.0.iter().copied()).with_policy(by.policy).with_start(by.start);
        request = by.pattern.1.iter().fold(request, |request, prefix| request.with_prefix(prefix));
        request = by.user.into_iter().fold(request, |request, user| request.with_key(user));
        request = by.session.into_iter().fold(request, |request, (name, policy)| request.with_session(name, policy));
        request = request.with_last_event_id(client.last_id().map(|id| LastEventId::try_from(id).expect("it is one")));
        if let Some(n) = by.filter {
            request = request
                .with_filter(move |event| operation::passes(Some(n), event.topic, event.key, event.position.offset));
        }
        if by.has_first {
            request = request.with_first_event(Event::data(FIRST));
        }
        if by.tells_resume {
            request = request.with_resume_event();
        }

        let reasons = self.reasons_to_reject(&by);
        match self.hub.subscribe(request) {
            Ok(subscription) => {
                assert_eq!(reasons, [], "it is taken");
                self.last_number += 1;
                assert_eq!(subscription.id(), self.last_number);
                if let Some((session, SessionPolicy::TakeOver)) = by.session {
                    let others = self.clients.iter_mut().filter(|other| keys(&other.by).contains(session));
                    let last = self.log.next() - 1;
                    others.filter_map(connected).for_each(|other| other.kick(Kick::TakenOver, Some(last)));
                }
                self.log.evict();
                client.connect(&self.log, subscription);
                true
            }
            Err(rejection) => {
                assert!(reasons.contains(&rejection.reason()), "{rejection}, {reasons:?}");
                self.rejected += 1;
                false
            }
        }
    }

    fn reasons_to_reject(&self, by: &Subscriber) -> Vec<RejectionReason> {
        let Limits { clients: max, per_key, per_topic, .. } = self.log.limits;
        let has_session = |client: &Subscriber| by.session.is_some_and(|(session, _)| keys(client).contains(session));
        let all = || self.clients.iter().filter(|client| is_connected(client)).map(|client| &client.by);
        let takes_over = matches!(by.session, Some((_, SessionPolicy::TakeOver)));
        let staying = || all().filter(|client| !(takes_over && has_session(client)));
        let mut reasons = Vec::new();
        if matches!(by.session, Some((_, SessionPolicy::RejectNew))) && all().any(has_session) {
            reasons.push(RejectionReason::SessionTaken);
        }
        if staying().count() >= max {
            reasons.push(RejectionReason::Full { max });
        }
        if keys(by).iter().any(|key| staying().filter(|client| keys(client).contains(key)).count() >= per_key) {
            reasons.push(RejectionReason::KeyFull { max: per_key });
        }
        let (topics, prefixes) = disjoint(by.pattern);
        let of_topic = |name: &str| staying().filter(|client| disjoint(client.pattern).0.contains(name)).count();
        let of_prefix = |name: &str| staying().filter(|client| disjoint(client.pattern).1.contains(name)).count();
        let counts = topics.iter().map(|name| of_topic(name)).chain(prefixes.iter().map(|name| of_prefix(name)));
        if counts.max().unwrap_or(0) >= per_topic {
            reasons.push(RejectionReason::TopicFull { max: per_topic });
        }
        reasons
    }

    fn hand_over(&mut self) {
        let bytes = self.memory.seal();
        assert!(matches!(self.hub.publish("a", Event::data("")).now(), Err(PublishError::Sealed)));
        let import = |bytes: &[u8]| MemoryLog::import(bytes, retention(&self.log.limits)).expect("it is of a hub");
        let memory = import(&bytes);
        if !self.log.is_forgetful() {
            // Only topics have other numbers, once.
            let again = memory.export();
            assert!(import(&again).export() == again);
        }
        let hub = Hub::with_log(memory.clone(), options(&self.log.limits));
        self.clients.iter_mut().for_each(|client| client.connection = None);
        assert!(self.hub.is_empty());
        (self.hub, self.memory, self.last_number, self.published, self.rejected) = (hub, memory, 0, 0, 0);
        self.log.evict();
    }

    /// What can be seen from outside is as in the model.
    fn check(&mut self) {
        let log = &self.log;
        for connection in self.clients.iter().filter_map(|client| client.connection.as_ref()) {
            connection.check_woken();
        }
        let mut infos = self.hub.clients();
        infos.sort_by_key(|info| info.id);
        let mut clients: Vec<_> = self.clients.iter().filter(|client| is_connected(client)).collect();
        clients.sort_by_key(|client| client.connection.as_ref().map(|connection| connection.id));
        assert_eq!(infos.len(), clients.len(), "clients: {infos:?}");
        assert_eq!((self.hub.len(), self.hub.is_empty()), (clients.len(), clients.is_empty()));
        for (info, client) in infos.iter().zip(&clients) {
            check_info(info, client, log);
        }
        for key in USERS.into_iter().chain(SESSIONS) {
            let those = clients.iter().filter(|client| keys(&client.by).contains(key)).count();
            assert_eq!((self.hub.count_of(key), self.hub.clients_of(key).len()), (those, those), "{key}");
        }

        let names = TOPICS.iter().chain(PATTERNS.iter().flat_map(|(topics, _)| *topics));
        let expected = names.collect::<BTreeSet<_>>().into_iter().filter_map(|name| {
            let kept = log.compacted.iter().copied().chain(log.first..log.next());
            let events = kept.filter(|offset| log.event(*offset).topic == *name).count();
            let those = clients.iter().filter(|client| disjoint(client.by.pattern).0.contains(name)).count();
            (events + those > 0).then(|| ((*name).to_owned(), events, those))
        });
        let topics = self.hub.topics();
        let topics = topics.iter().map(|topic| (topic.name.to_string(), topic.events, topic.clients));
        assert_eq!(topics.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    }

    fn check_stats(&self) {
        let (log, stats) = (&self.log, self.hub.stats());
        assert_eq!((stats.first.offset, stats.next.offset), (log.first, log.next()));
        assert_eq!((stats.first.epoch, stats.next.epoch), (log.epoch, log.epoch));
        assert_eq!(stats.events as u64, log.next() - log.first);
        assert_eq!(stats.bytes, log.bytes(log.first..log.next()));
        assert_eq!(stats.retained, log.compacted.len());
        assert_eq!((stats.published, stats.rejected), (self.published, self.rejected));
        assert_eq!(stats.clients, self.hub.len());
        assert_eq!(stats.resumes.iter().map(|(_, count)| count).sum::<u64>(), self.last_number);
    }
}

fn check_info(info: &ClientInfo, client: &Client, log: &Log) {
    let connection = client.connection.as_ref().expect("it is connected");
    assert_eq!((info.id, info.resume), (connection.id, connection.resume));
    assert_eq!(info.keys.iter().map(|key| &**key).collect::<BTreeSet<_>>(), keys(&client.by));
    let (topics, prefixes) = disjoint(client.by.pattern);
    assert_eq!(info.topics.iter().map(|name| &**name).collect::<BTreeSet<_>>(), topics);
    assert_eq!(info.prefixes.iter().map(|name| &**name).collect::<BTreeSet<_>>(), prefixes);
    let counted = (info.events, info.bytes, info.gaps);
    assert_eq!(counted, (connection.events, connection.bytes, connection.gaps), "{info:?}");
    if let Some(lag) = connection.lag(&client.by, log) {
        assert_eq!(info.lag, lag, "{info:?}");
    }
}

fn retention(limits: &Limits) -> RetentionOptions {
    let mut retention = RetentionOptions::new()
        .with_max_events(limits.events)
        .with_max_bytes(limits.bytes)
        .with_max_keys(limits.keys)
        .with_max_idle_topics(limits.idle_topics);
    if let Some(age) = limits.age {
        retention = retention.with_max_age(std::time::Duration::from_millis(age));
    }
    retention
}

fn options(limits: &Limits) -> HubOptions {
    HubOptions::new()
        .with_max_clients(limits.clients)
        .with_max_clients_per_key(limits.per_key)
        .with_max_clients_per_topic(limits.per_topic)
}

/// The topics and prefixes that are not in another of the prefixes.
fn disjoint((topics, prefixes): Pattern) -> (BTreeSet<&'static str>, BTreeSet<&'static str>) {
    let is_in_other = |name: &str| prefixes.iter().any(|prefix| *prefix != name && name.starts_with(prefix));
    let is_in_any = |name: &str| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let topics = topics.iter().copied().filter(|name| !is_in_any(name)).collect();
    (topics, prefixes.iter().copied().filter(|name| !is_in_other(name)).collect())
}

fn keys(by: &Subscriber) -> BTreeSet<&'static str> {
    by.user.into_iter().chain(by.session.map(|(session, _)| session)).collect()
}

fn is_connected(client: &Client) -> bool {
    client.connection.as_ref().is_some_and(|connection| !connection.is_over && connection.kicked.is_none())
}

fn connected(client: &mut Client) -> Option<&mut Connection> {
    client.connection.as_mut().filter(|connection| !connection.is_over && connection.kicked.is_none())
}
