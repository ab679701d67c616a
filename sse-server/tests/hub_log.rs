//! A hub on a custom log that several hubs share and that has a history.

mod polled;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::{FutureExt, StreamExt};
use ssekit_core::Event;
use ssekit_server::hub::{
    Hub, HubOptions, Log, LoggedEvent, MemoryLog, NewEvent, Position, PublishError, Publishing, RecentEvents,
    ResumeOutcome, RetentionOptions, SlowConsumerPolicy, StartFrom, Subscribe,
};
use ssekit_server::{CloseReason, LastEventId};

use polled::all;

const EPOCH: u64 = 7;

/// All events. A page has 2 of them and is ready at the second poll.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Events>>);

#[derive(Default)]
struct Events {
    all: Vec<LoggedEvent>,
    /// The number of events beyond two that a page has.
    more: usize,
    is_broken: bool,
    is_stuck: bool,
}

struct Page(Shared, Position, bool);

impl Future for Page {
    type Output = io::Result<Vec<LoggedEvent>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if !std::mem::replace(&mut self.2, true) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let events = self.0.0.lock().unwrap();
        if events.is_stuck {
            return Poll::Pending;
        }
        if events.is_broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let from = events.all.iter().filter(|event| event.position >= self.1);
        Poll::Ready(Ok(from.take(2 + events.more).cloned().collect()))
    }
}

/// A process that shares the log with others: the shared events, and the recent events of this process.
struct Node {
    shared: Shared,
    recent: RecentEvents,
}

fn node(shared: &Shared, recent: &RecentEvents) -> Hub {
    Hub::with_log(Node { shared: shared.clone(), recent: recent.clone() }, HubOptions::new())
}

impl Log for Node {
    fn recent(&self) -> &RecentEvents {
        &self.recent
    }

    fn publish(&self, event: NewEvent<'_>) -> Publishing {
        let mut events = self.shared.0.lock().unwrap();
        let offset = events.all.last().map_or(0, |event| event.position.offset) + 1;
        let position = Position { epoch: self.recent.last_position().epoch, offset };
        let (topic, key) = (event.topic.to_owned(), event.key.map(str::to_owned));
        events.all.push(LoggedEvent { position, topic, key, event: Some(event.event.clone()) });
        Publishing::done(self.recent.append_at(position, &event))
    }

    fn first(&self) -> Option<Position> {
        self.shared.0.lock().unwrap().all.first().map(|event| event.position)
    }

    fn read(&self, from: Position) -> impl Future<Output = io::Result<Vec<LoggedEvent>>> + Send {
        Page(self.shared.clone(), from, false)
    }
}

/// A hub that keeps 2 events in memory.
fn hub(log: &Shared) -> (Hub, RecentEvents) {
    let tail = RecentEvents::with_epoch(EPOCH, RetentionOptions::new().with_max_events(2));
    (node(log, &tail), tail)
}

fn at(offset: u64) -> Position {
    Position { epoch: EPOCH, offset }
}

fn after(offset: u64) -> Option<LastEventId> {
    LastEventId::try_from(&*format!("{EPOCH}-{offset}")).ok()
}

fn event(offset: u64) -> String {
    format!("id: 7-{offset}\ndata: {offset}\n\n")
}

fn publish(hub: &Hub, topics: &[&str]) {
    for topic in topics {
        let next = hub.stats().next.offset.to_string();
        hub.publish(topic, Event::data(&next)).now().unwrap();
    }
}

#[test]
fn evicted_events_come_from_history() {
    let log = Shared::default();
    let (hub, _) = hub(&log);
    publish(&hub, &["a", "b", "a", "a", "b", "a", "b", "a"]);
    let subscribe = |last| hub.subscribe(Subscribe::topic("a").with_last_event_id(last)).unwrap();
    let mut stream = subscribe(after(1));
    assert_eq!(stream.resume_outcome(), ResumeOutcome::Resumed { missed: 7 }, "at the most");
    assert_eq!(all(&mut stream), format!("id: 7-1\n\n{}{}{}{}", event(3), event(4), event(6), event(8)));
    publish(&hub, &["a"]);
    assert_eq!(all(&mut stream), event(9));
    // A slow client reads the history too.
    publish(&hub, &["b", "a", "a", "b", "b"]);
    assert_eq!(all(&mut stream), format!("{}{}", event(11), event(12)));

    let mut oldest = hub.subscribe(Subscribe::topic("b").with_start(StartFrom::Oldest)).unwrap();
    let expected: String = [2, 5, 7, 10, 13, 14].map(event).concat();
    assert_eq!(all(&mut oldest), format!("id: 7-0\n\n{expected}"));
    let filtered =
        Subscribe::prefix("").with_last_event_id(after(0)).with_filter(|event| event.position.offset % 5 == 0);
    assert_eq!(all(&mut hub.subscribe(filtered).unwrap()), format!("id: 7-0\n\n{}{}", event(5), event(10)));
    assert_eq!((hub.stats().gaps, hub.stats().delivered), (0, 7 + 6 + 2));
}

#[test]
fn events_neither_in_memory_nor_history_are_a_gap() {
    let log = Shared::default();
    let (hub, _) = hub(&log);
    publish(&hub, &["a"; 9]);
    let gap = |from: u64, to: u64| {
        let missed = to - from + 1;
        format!(
            "event: ssekit:gap\nid: 7-{to}\ndata: {{\"reason\":\"retention\",\"from\":\"7-{from}\",\"to\":\"7-{to}\",\"missed\":{missed}}}\n\n"
        )
    };
    let subscribe = |last| hub.subscribe(Subscribe::topic("a").with_last_event_id(last)).unwrap();
    log.0.lock().unwrap().all.drain(..2);
    let mut stream = subscribe(after(1));
    assert_eq!(stream.resume_outcome(), ResumeOutcome::Gap { oldest: Position { epoch: EPOCH, offset: 3 } });
    let events = |from: u64| (from..=9).map(event).collect::<String>();
    assert_eq!(all(&mut stream), format!("{}{}", gap(2, 2), events(3)));

    // The history is trimmed, or lacks events, while it is read.
    let mut stream = subscribe(after(2));
    log.0.lock().unwrap().all.retain(|event| ![4, 6, 7].contains(&event.position.offset));
    let (three, five) = (event(3), event(5));
    let expected = format!("id: 7-2\n\n{three}{}{five}{}{}", gap(4, 4), gap(6, 7), events(8));
    assert_eq!(all(&mut stream), expected);
    let mut stream = subscribe(after(3));
    log.0.lock().unwrap().all.clear();
    assert_eq!(all(&mut stream), "id: 7-3\n\nEND", "the policy is to disconnect");
}

/// A new process has none of the events published before.
#[test]
fn recent_events_can_begin_anywhere_and_skip_offsets() {
    let log = Shared::default();
    publish(&hub(&log).0, &["a"; 5]);
    let (hub, tail) = hub(&log);
    let mut early = hub.subscribe(Subscribe::topic("a")).unwrap();
    assert_eq!(all(&mut early), "id: 7-0\n\n");
    hub.publish("a", Event::data("6")).now().unwrap();
    // Events that never arrived in memory are read from the history.
    assert_eq!(all(&mut early), (1..=6).map(event).collect::<String>());
    let mut stream = hub.subscribe(Subscribe::topic("a").with_last_event_id(after(3))).unwrap();
    assert_eq!(all(&mut stream), format!("id: 7-3\n\n{}", (4..=6).map(event).collect::<String>()));
    for offset in [0, 6, u64::MAX] {
        let error = append_at(&tail, offset, "x").unwrap_err();
        assert!(
            matches!(error, PublishError::Passed { position, next } if (position, next) == (at(offset), at(7))),
            "{error}"
        );
    }
}

/// A new process, whose clients were served by another process of the same log.
#[test]
fn recent_events_can_begin_after_an_event() {
    let log = Shared::default();
    publish(&hub(&log).0, &["a"; 5]);
    let tail = RecentEvents::starting_after(&[], at(5), RetentionOptions::new().with_max_events(2));
    let subscribe = |hub: &Hub, last| hub.subscribe(Subscribe::topic("a").with_last_event_id(last)).unwrap();
    let hub = node(&log, &tail);
    let mut streams = [3, 5].map(|offset| subscribe(&hub, after(offset)));
    assert_eq!(streams[0].resume_outcome(), ResumeOutcome::Resumed { missed: 2 });
    assert_eq!(streams[1].resume_outcome(), ResumeOutcome::UpToDate);
    assert_eq!(all(&mut streams[0]), format!("id: 7-3\n\n{}{}", event(4), event(5)));
    assert_eq!(all(&mut streams[1]), "id: 7-5\n\n");
    hub.publish("a", Event::data("6")).now().unwrap();
    assert_eq!(streams.map(|mut stream| all(&mut stream)), [event(6), event(6)]);

    let tail = RecentEvents::starting_after(&[], at(5), RetentionOptions::new());
    let hub = Hub::with_log(MemoryLog::from(tail), HubOptions::new());
    let gone = hub.subscribe(Subscribe::topic("a").with_last_event_id(after(3))).unwrap();
    assert!(matches!(gone.resume_outcome(), ResumeOutcome::Gap { .. }));
    let here = hub.subscribe(Subscribe::topic("a").with_last_event_id(after(5))).unwrap();
    assert_eq!(here.resume_outcome(), ResumeOutcome::UpToDate);
}

/// The history ends before the skipped offsets, or lacks them.
#[test]
fn skipped_offsets_without_history_are_one_gap() {
    let log = Shared::default();
    publish(&hub(&log).0, &["a"]);
    let tail = RecentEvents::with_epoch(EPOCH, RetentionOptions::new());
    let hub = node(&log, &tail);
    append_at(&tail, 1, "1").unwrap();
    let mut stream = hub.subscribe(Subscribe::topic("a").with_last_event_id(after(0))).unwrap();
    assert_eq!(all(&mut stream), format!("id: 7-0\n\n{}", event(1)));
    append_at(&tail, 5, "5").unwrap();
    let text = all(&mut stream);
    let told = "\"from\":\"7-2\",\"to\":\"7-4\",\"missed\":3}\n\n";
    assert!(text.ends_with(&format!("{told}{}", event(5))), "{text}");
}

#[test]
fn skipped_offsets_count_as_missed() {
    for (topics, missed) in [(&["a"][..], 4), (&["a", "b"], 4), (&["b"], 3)] {
        let tail = RecentEvents::with_epoch(EPOCH, RetentionOptions::new());
        let hub = Hub::with_log(MemoryLog::from(tail.clone()), HubOptions::new());
        let subscribe = Subscribe::topics(topics.iter().copied()).with_policy(SlowConsumerPolicy::SkipToOldest);
        let mut stream = hub.subscribe(subscribe).unwrap();
        assert_eq!(all(&mut stream), "id: 7-0\n\n");
        for offset in [1, 5] {
            append_at(&tail, offset, "x").unwrap();
        }
        let gap = format!("\"from\":\"7-1\",\"to\":\"7-4\",\"missed\":{missed}}}");
        let text = all(&mut stream);
        assert!(text.contains(&gap), "{topics:?} {text}");
        assert_eq!(text.ends_with("id: 7-5\ndata: x\n\n"), topics[0] == "a");
    }
}

/// Another process has published an event that has not arrived in this process.
#[test]
fn history_ahead_of_memory_duplicates_no_event() {
    let log = Shared::default();
    publish(&hub(&log).0, &["a"; 9]);
    log.0.lock().unwrap().more = 100;
    let (hub, tail) = hub(&log);
    let hear = |offset: u64| {
        append_at(&tail, offset, &offset.to_string()).unwrap();
    };
    (1..=6).for_each(hear);
    for filter in [false, true] {
        let mut subscribe = Subscribe::topic("a").with_last_event_id(after(1));
        if filter {
            subscribe = subscribe.with_filter(|_| true);
        }
        let mut stream = hub.subscribe(subscribe).unwrap();
        assert_eq!(all(&mut stream), format!("id: 7-1\n\n{}", (2..=9).map(event).collect::<String>()));
        let next = hub.stats().next.offset;
        hear(next);
        assert_eq!(all(&mut stream), "", "{next}");
    }
    let mut stream = hub.subscribe(Subscribe::topic("a").with_last_event_id(after(1))).unwrap();
    all(&mut stream);
    (9..=10).for_each(hear);
    assert_eq!(all(&mut stream), event(10));
}

/// New events wait until the page of the history is ready.
#[test]
fn events_published_during_history_read_do_not_busy_poll() {
    let log = Shared::default();
    let (hub, _) = hub(&log);
    let subscribe = Subscribe::topics(["a", "b"]);
    let mut body = hub.subscribe(subscribe).unwrap().into_body().without_keep_alive().without_stall_timeout();
    while body.next().now_or_never().is_some() {}
    publish(&hub, &["a"; 5]);
    log.0.lock().unwrap().is_stuck = true;
    assert!(body.next().now_or_never().is_none());
    publish(&hub, &["b"]);
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let is_pending = body.next().now_or_never().is_none();
        let _ = sender.send((body, is_pending));
    });
    let (mut body, is_pending) = receiver.recv_timeout(std::time::Duration::from_secs(10)).unwrap();
    assert!(is_pending);
    log.0.lock().unwrap().is_stuck = false;
    let mut text = String::new();
    while let Some(Some(Ok(chunk))) = body.next().now_or_never() {
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert_eq!(text, (1..=6).map(event).collect::<String>());
}

/// An empty history. While it is read, an event arrives in memory.
struct Late(RecentEvents);

impl Log for Late {
    fn recent(&self) -> &RecentEvents {
        &self.0
    }

    fn publish(&self, event: NewEvent<'_>) -> Publishing {
        Publishing::done(self.0.append(&event))
    }

    fn first(&self) -> Option<Position> {
        Some(at(1))
    }

    async fn read(&self, _: Position) -> io::Result<Vec<LoggedEvent>> {
        append_at(&self.0, 1, "1").unwrap();
        Ok(Vec::new())
    }
}

#[test]
fn last_event_can_arrive_during_its_verification() {
    let tail = RecentEvents::with_epoch(EPOCH, RetentionOptions::new());
    let hub = Hub::with_log(Late(tail.clone()), HubOptions::new());
    let mut stream = hub.subscribe(Subscribe::topic("a").with_last_event_id(after(1))).unwrap();
    assert_eq!(all(&mut stream), "id: 7-1\n\n");
    append_at(&tail, 2, "2").unwrap();
    assert_eq!(all(&mut stream), event(2));
}

#[test]
fn history_event_with_own_id_is_not_sent() {
    let log = Shared::default();
    let (hub, _) = hub(&log);
    publish(&hub, &["a"; 9]);
    log.0.lock().unwrap().all[1].event = Some(Event::data("2").with_id(ssekit_core::event_id!("8-1")).into());
    let mut stream = hub.subscribe(Subscribe::topic("a").with_last_event_id(after(0))).unwrap();
    assert_eq!(all(&mut stream), format!("id: 7-0\n\n{}{}", event(1), (3..=9).map(event).collect::<String>()));
}

fn append_at(tail: &RecentEvents, offset: u64, data: &str) -> Result<Position, PublishError> {
    tail.append_at(at(offset), &NewEvent::new("a", Event::data(data)))
}

#[tokio::test(start_paused = true)]
async fn failed_history_ends_stream_and_pending_history_does_not() {
    let log = Shared::default();
    let (hub, _) = hub(&log);
    publish(&hub, &["a"; 9]);
    let subscribe = |last| hub.subscribe(Subscribe::topic("a").with_last_event_id(last)).unwrap();
    let mut body = subscribe(after(5)).into_body();
    let mut text = String::new();
    while !text.ends_with(&event(9)) {
        text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    assert_eq!(text, format!(": \n\nid: 7-5\n\n{}", (6..=9).map(event).collect::<String>()));
    let (mut body, handle) = (subscribe(after(5)).into_body(), body.handle());
    log.0.lock().unwrap().is_broken = true;
    assert_eq!(body.next().await.unwrap().unwrap(), ": \n\nid: 7-5\n\n");
    assert!(body.next().await.is_none());
    assert_eq!((handle.close_reason(), body.handle().close_reason()), (None, Some(CloseReason::Error)));
    assert!(body.next().now_or_never().is_some());
}

#[test]
fn new_client_gets_no_gap_event_before_oldest_of_history() {
    for policy in [SlowConsumerPolicy::Disconnect, SlowConsumerPolicy::SkipToOldest, SlowConsumerPolicy::Coalesce] {
        let log = Shared::default();
        let (hub, _) = hub(&log);
        publish(&hub, &["news"; 9]);
        log.0.lock().unwrap().all.drain(..4);
        let subscribe = Subscribe::topic("news").with_start(StartFrom::Oldest).with_policy(policy);
        let all = all(&mut hub.subscribe(subscribe).unwrap());
        assert_eq!(all.split_once("\n\n").unwrap().1, (5..=9).map(event).collect::<String>(), "{policy:?}");
    }
}

#[test]
fn gap_before_history_reported_once_without_retained_events() {
    let gap = |from: u64, to: u64| {
        let missed = to + 1 - from;
        format!(
            "event: ssekit:gap\nid: 7-{last}\ndata: {{\"reason\":\"retention\",\"from\":\"7-{from}\",\"to\":\"7-{to}\",\"missed\":{missed}}}\n\n",
            last = from - 1
        )
    };
    let log = Shared::default();
    let (hub, _) = hub(&log);
    publish(&hub, &["news"]);
    hub.publish_keyed("news", "key", Event::data("2")).now().unwrap();
    publish(&hub, &["news"; 7]);
    log.0.lock().unwrap().all.drain(..4);
    for (last, told) in [(None, String::new()), (after(0), gap(1, 4)), (after(1), gap(2, 4))] {
        let subscribe =
            Subscribe::topic("news").with_start(StartFrom::Oldest).with_policy(SlowConsumerPolicy::Coalesce);
        let all = all(&mut hub.subscribe(subscribe.with_last_event_id(last)).unwrap());
        let told = if told.is_empty() { "id: 7-0\n\n".to_owned() } else { told };
        assert_eq!(all, format!("{told}{}{}", event(2), (5..=9).map(event).collect::<String>()));
    }
}

#[test]
fn new_client_gets_no_break_before_oldest_of_history() {
    for policy in [SlowConsumerPolicy::SkipToOldest, SlowConsumerPolicy::Disconnect] {
        let log = Shared::default();
        let (hub, tail) = hub(&log);
        publish(&hub, &["news"; 3]);
        log.0.lock().unwrap().all.clear();
        tail.restart_epoch(8).unwrap();
        publish(&hub, &["news"; 5]);
        let subscribe = Subscribe::topic("news").with_start(StartFrom::Oldest).with_policy(policy);
        let all = all(&mut hub.subscribe(subscribe).unwrap());
        let expected: String = (1..=5).map(|offset| format!("id: 8-{offset}\ndata: {offset}\n\n")).collect();
        assert_eq!(all.split_once("\n\n").unwrap().1, expected, "{policy:?}");
    }
}
