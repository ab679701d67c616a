//! The end of clients and topics after the events that are already published.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use ssekit_core::{EncodedEvent, Event};
use ssekit_server::hub::{
    Disconnect, Hub, HubOptions, Log, LoggedEvent, MemoryLog, NewEvent, Position, PublishError, Publishing,
    RecentEvents, RetentionOptions, SessionPolicy, SlowConsumerPolicy, StartFrom, Subscribe, Subscription,
};
use ssekit_server::{AfterEnd, CloseReason, EventBody, LastEventId};
use tokio::time::advance;

use super::{id, publish, ready};

/// A log that keeps all events, the last two in memory, and whose pages wait until they are released.
struct SlowLog {
    recent: RecentEvents,
    all: Mutex<Vec<LoggedEvent>>,
    is_released: Arc<AtomicBool>,
}

impl Log for SlowLog {
    fn recent(&self) -> &RecentEvents {
        &self.recent
    }

    fn publish(&self, event: NewEvent<'_>) -> Publishing {
        let mut all = self.all.lock().unwrap();
        let outcome = self.recent.append(&event);
        if let Ok(position) = outcome {
            let (topic, key) = (event.topic.to_owned(), event.key.map(str::to_owned));
            all.push(LoggedEvent { position, topic, key, event: Some(event.event) });
        }
        Publishing::done(outcome)
    }

    fn first(&self) -> Option<Position> {
        Some(Position { epoch: 7, offset: 1 })
    }

    async fn read(&self, from: Position) -> io::Result<Vec<LoggedEvent>> {
        while !self.is_released.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
        Ok(self.all.lock().unwrap().iter().filter(|event| event.position >= from).take(3).cloned().collect())
    }
}

/// How far a client is when it is disconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    New,
    Waiting,
    MidPage,
    ReadingHistory,
}

const STAGES: [Stage; 4] = [Stage::New, Stage::Waiting, Stage::MidPage, Stage::ReadingHistory];

fn read(body: &mut EventBody<Subscription>) -> (String, bool) {
    let mut text = String::new();
    // A page of a slow log needs a second poll.
    for _ in 0..100 {
        match body.next().now_or_never() {
            Some(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap()),
            Some(None) => return (text, true),
            None => {}
        }
    }
    (text, false)
}

fn data(text: &str) -> Vec<u64> {
    text.lines().filter_map(|line| line.strip_prefix("data: ")?.parse().ok()).collect()
}

/// Publishes, disconnects and reads. Returns the numbers of the events that the client received, and the rest of the text.
fn run(stage: Stage, policy: SlowConsumerPolicy, is_filtered: bool, how: &Disconnect) -> (Vec<u64>, String) {
    let max_events = if stage == Stage::ReadingHistory { 2 } else { 100 };
    let is_released = Arc::new(AtomicBool::new(false));
    let recent = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(max_events));
    let log = SlowLog { recent, all: Mutex::default(), is_released: is_released.clone() };
    let hub = Hub::with_log(log, HubOptions::new());
    // Two events fill a page.
    let filler = if stage == Stage::MidPage { "x".repeat(7000) } else { String::new() };
    let publish = |numbers: std::ops::RangeInclusive<u64>| {
        for number in numbers {
            hub.publish("a", Event::data(format!("{number}\n{filler}"))).now().unwrap();
        }
    };
    let mut subscribe = Subscribe::topic("a").with_key("k").with_policy(policy);
    if is_filtered {
        subscribe = subscribe.with_filter(|_| true);
    }
    let mut body = hub.subscribe(subscribe).unwrap().into_body().without_keep_alive().without_stall_timeout();
    let mut text = String::new();
    if stage != Stage::New {
        text += &read(&mut body).0;
    }
    publish(1..=5);
    if stage == Stage::MidPage {
        body = body.with_max_chunk(0);
        text += std::str::from_utf8(&body.next().now_or_never().unwrap().unwrap().unwrap()).unwrap();
    }
    if stage == Stage::ReadingHistory {
        assert!(body.next().now_or_never().is_none(), "it waits for the page");
    }
    publish(6..=6);
    assert_eq!(hub.disconnect_key("k", how), 1);
    publish(7..=8);
    assert_eq!((hub.len(), hub.clients().len(), hub.count_of("k")), (0, 0, 0), "its place is free at once");
    is_released.store(true, Ordering::Relaxed);
    let handle = body.handle();
    let (rest, is_over) = read(&mut body);
    text += &rest;
    assert!(is_over, "{stage:?} {policy:?}: {text}");
    assert_eq!(handle.close_reason(), Some(CloseReason::Disconnected));
    let end = text.rfind("event: ssekit:disconnect").map(|end| text[end..].to_owned());
    (data(&text), end.unwrap_or_default())
}

#[test]
fn client_receives_every_event_published_before_a_disconnect() {
    use SlowConsumerPolicy::{Coalesce, Disconnect as End, SkipToLatest, SkipToOldest};

    let mut runs = 0;
    for (after_end, mark) in [(AfterEnd::Reconnect, ""), (AfterEnd::Stop, "id: ssekit:done\n\n")] {
        let how = Disconnect::new().with_reason("bye").with_after_end(after_end);
        for _ in 0..16 {
            for (stage, policy) in STAGES
                .into_iter()
                .flat_map(|stage| [End, SkipToOldest, SkipToLatest, Coalesce].map(|policy| (stage, policy)))
            {
                for is_filtered in [false, true] {
                    let (numbers, end) = run(stage, policy, is_filtered, &how);
                    assert_eq!(numbers, [1, 2, 3, 4, 5, 6], "{stage:?} {policy:?} {is_filtered}");
                    assert_eq!(end, format!("event: ssekit:disconnect\ndata: bye\n\n{mark}"));
                    runs += 1;
                }
            }
        }
    }
    assert!(runs >= 1000);
}

#[test]
fn immediate_disconnect_delivers_nothing_more() {
    for stage in STAGES {
        let how = Disconnect::new().with_reason("bye").immediately();
        let (numbers, end) = run(stage, SlowConsumerPolicy::SkipToOldest, false, &how);
        let expected: &[u64] = if stage == Stage::MidPage { &[1, 2] } else { &[] };
        assert_eq!((&*numbers, &*end), (expected, "event: ssekit:disconnect\ndata: bye\n\n"), "{stage:?}");
    }
}

#[test]
fn coalescing_client_receives_the_state_before_its_disconnect() {
    let hub = Hub::default();
    let subscribe = Subscribe::topic("a").with_key("k").with_policy(SlowConsumerPolicy::Coalesce);
    let mut stream = hub.subscribe(subscribe).unwrap();
    let set = |text| hub.publish_keyed("a", "price", Event::data(text)).now().unwrap();
    set("1");
    set("2");
    hub.disconnect_key("k", &Disconnect::new());
    set("3");
    // The older event may come too: the newest event of the key is not for this client.
    let text = ready(&hub, &mut stream);
    assert!(text.ends_with("id: E-2\ndata: 2\n\n"), "{text}");
}

#[test]
fn slow_client_that_ends_receives_the_gap_and_its_last_event() {
    let log = MemoryLog::new(RetentionOptions::new().with_max_events(2));
    let hub = Hub::with_log(log, HubOptions::new());
    let mut stream = hub.subscribe(Subscribe::topic("a").with_session("s", SessionPolicy::TakeOver)).unwrap();
    publish(&hub, "a", ["1", "2", "3"]);
    let _newer = hub.subscribe(Subscribe::topic("a").with_session("s", SessionPolicy::TakeOver)).unwrap();
    let text = ready(&hub, &mut stream);
    assert!(text.contains("event: ssekit:gap\nid: E-1\n"), "{text}");
    assert!(text.ends_with("id: E-2\ndata: 2\n\nid: E-3\ndata: 3\n\nid: ssekit:done\n\n"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn client_that_does_not_read_is_ended_after_the_stall_timeout() {
    use CloseReason::{Disconnected, SlowConsumer};

    let second = Duration::from_secs(1);
    for (in_body, stall, expected) in [
        (true, Some(3 * second), (3 * second, SlowConsumer)),
        (true, None, (10 * second, Disconnected)),
        (false, None, (10 * second, Disconnected)),
    ] {
        let hub = Hub::default();
        let subscription = hub.subscribe(Subscribe::topic("a").with_key("k")).unwrap();
        let handle = subscription.handle();
        let (mut plain, mut body) = (None, None);
        if in_body {
            let made = subscription.into_body().without_keep_alive();
            let made = match stall {
                Some(stall) => made.with_stall_timeout(stall),
                None => made.without_stall_timeout(),
            };
            body.insert(made).next().await.unwrap().unwrap();
        } else {
            plain = Some(subscription);
        }
        publish(&hub, "a", ["1"]);
        hub.disconnect_key("k", &Disconnect::new());
        tokio::task::yield_now().await;
        advance(expected.0 - Duration::from_millis(10)).await;
        tokio::task::yield_now().await;
        assert_eq!(handle.close_reason(), None);
        advance(Duration::from_millis(20)).await;
        tokio::task::yield_now().await;
        assert_eq!(handle.close_reason(), Some(expected.1), "{in_body} {stall:?}");
        drop((plain, body));
    }
}

#[tokio::test(start_paused = true)]
async fn client_that_reads_slowly_is_not_cut_off() {
    let hub = Hub::default();
    let mut stream = hub.subscribe(Subscribe::topic("a").with_key("k")).unwrap();
    let large = "x".repeat(20_000);
    for _ in 0..5 {
        hub.publish("a", Event::data(&*large)).now().unwrap();
    }
    hub.disconnect_key("k", &Disconnect::new());
    tokio::task::yield_now().await;
    let mut text = Vec::new();
    while let Some(events) = stream.next().await {
        text.extend_from_slice(events.as_bytes());
        advance(Duration::from_secs(8)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(text.windows(6).filter(|window| window == b"data: ").count(), 5);
}

#[test]
fn immediate_disconnect_ends_a_client_that_is_about_to_end() {
    let hub = Hub::default();
    let mut stream = hub.subscribe(Subscribe::topic("a").with_key("k")).unwrap();
    publish(&hub, "a", ["1"]);
    assert_eq!(hub.disconnect_key("k", &Disconnect::new()), 1);
    assert_eq!(hub.disconnect_key("k", &Disconnect::new()), 0, "it is no longer present");
    assert_eq!(hub.disconnect_key("k", &Disconnect::new().immediately()), 1);
    assert!(stream.next().now_or_never().is_some_and(|end| end.is_none()));
}

#[test]
fn topic_is_disconnected_without_its_prefixes() {
    let hub = Hub::default();
    let mut named = hub.subscribe(Subscribe::topics(["a", "b"])).unwrap();
    let mut other = hub.subscribe(Subscribe::prefix("a")).unwrap();
    publish(&hub, "a", ["1"]);
    assert_eq!(hub.disconnect_topic("a", &Disconnect::new().with_reason("moved")), 1);
    assert_eq!(hub.disconnect_topic("unknown", &Disconnect::new()), 0);
    let expected = "id: E-0\n\nid: E-1\ndata: 1\n\nevent: ssekit:disconnect\ndata: moved\n\n";
    assert_eq!(ready(&hub, &mut named), expected);
    assert!(named.next().now_or_never().is_some_and(|end| end.is_none()));
    assert_eq!(ready(&hub, &mut other), "id: E-0\n\nid: E-1\ndata: 1\n\n");
    assert_eq!((hub.len(), other.handle().close_reason()), (1, None));
}

#[test]
fn finished_topic_ends_its_clients_and_tells_later_ones() {
    let hub = Hub::default();
    let mut waiting = hub.subscribe(Subscribe::topic("a")).unwrap();
    let mut both = hub.subscribe(Subscribe::topics(["a", "b"])).unwrap();
    let mut prefix = hub.subscribe(Subscribe::topic("a").with_prefix("c/")).unwrap();
    assert_eq!(ready(&hub, &mut waiting), "id: E-0\n\n");
    publish(&hub, "a", ["1", "2"]);
    assert_eq!(hub.finish_topic("a").unwrap(), 1);
    assert!(hub.is_finished("a") && !hub.is_finished("b"));
    assert!(hub.topics().iter().all(|topic| topic.is_finished == (&*topic.name == "a")));
    let events = "id: E-1\ndata: 1\n\nid: E-2\ndata: 2\n\n";
    assert_eq!(ready(&hub, &mut waiting), format!("{events}id: ssekit:done\n\n"));
    assert_eq!(waiting.handle().close_reason(), Some(CloseReason::StreamEnd));
    for stream in [&mut both, &mut prefix] {
        assert_eq!(ready(&hub, stream), format!("id: E-0\n\n{events}"));
        assert_eq!(stream.handle().close_reason(), None);
    }
    assert!(matches!(hub.publish("a", Event::data("3")).now(), Err(PublishError::Finished)));
    publish(&hub, "b", ["3"]);

    // Three clients: the first missed an event, the second missed no event, and the third is new.
    for (last, missed) in [(Some(1), "id: E-2\ndata: 2\n\n"), (Some(2), ""), (None, "")] {
        let last = last.and_then(|offset| id(&hub, offset));
        let mut late = hub.subscribe(Subscribe::topic("a").with_last_event_id(last.clone())).unwrap();
        let start = last.map_or("E-3".to_owned(), |id| format!("E-{}", id.as_str().split_once('-').unwrap().1));
        assert_eq!(ready(&hub, &mut late), format!("id: {start}\n\n{missed}id: ssekit:done\n\n"));
        assert!(late.next().now_or_never().is_some_and(|end| end.is_none()));
    }
    assert_eq!(hub.finish_topic("b").unwrap(), 1);
    assert_eq!(ready(&hub, &mut both), "id: E-3\ndata: 3\n\nid: ssekit:done\n\n");
    drop(prefix);
    assert_eq!(hub.len(), 0);
}

#[test]
fn finished_topic_is_remembered_up_to_a_limit_and_handed_over() {
    let log = MemoryLog::new(RetentionOptions::new().with_max_events(1).with_max_idle_topics(2));
    let hub = Hub::with_log(log.clone(), HubOptions::new());
    for topic in ["1", "2", "3"] {
        assert_eq!(hub.finish_topic(topic).unwrap(), 0);
    }
    assert_eq!(["1", "2", "3"].map(|topic| hub.is_finished(topic)), [false, true, true]);
    publish(&hub, "1", ["x"]);
    let next = MemoryLog::import(&log.seal(), RetentionOptions::new()).unwrap();
    let next = Hub::with_log(next, HubOptions::new());
    assert_eq!(["1", "2", "3"].map(|topic| next.is_finished(topic)), [false, true, true]);
    let mut late = next.subscribe(Subscribe::topic("3").with_start(StartFrom::Oldest)).unwrap();
    assert!(ready(&next, &mut late).ends_with("id: ssekit:done\n\n"));
    assert!(matches!(hub.finish_topic("4"), Err(PublishError::Sealed)));
    assert!(matches!(next.finish_topic(&"x".repeat(257)), Err(PublishError::NameTooLong { len: 257 })));
}

/// Another process has published, whether or not the topic is finished here.
#[test]
fn event_of_another_process_is_kept_after_a_topic_is_finished() {
    let recent = RecentEvents::with_epoch(7, RetentionOptions::new());
    let hub = Hub::with_log(MemoryLog::from(recent.clone()), HubOptions::new());
    hub.finish_topic("a").unwrap();
    assert!(recent.is_finished("a"));
    let position = Position { epoch: 7, offset: 1 };
    recent.append_at(position, &NewEvent::new("a", EncodedEvent::from(Event::data("x")))).unwrap();
    let request = Subscribe::topic("a").with_last_event_id(LastEventId::try_from("7-0").ok());
    let mut late = hub.subscribe(request).unwrap();
    assert_eq!(ready(&hub, &mut late), "id: E-0\n\nid: E-1\ndata: x\n\nid: ssekit:done\n\n");
}
