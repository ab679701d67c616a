//! A hub with one or a few clients. `hub_model.rs` tests the combinations, `hub_threads.rs` the races.

mod clients;
mod ending;
mod epochs;
mod hand_over;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use futures_util::{FutureExt, Stream, StreamExt};
use ssekit_core::{EncodedEvent, Event};
use ssekit_server::hub::{
    Disconnect, Hub, HubOptions, MemoryLog, PublishError, ResumeOutcome, RetentionOptions, SlowConsumerPolicy,
    StartFrom, Subscribe, Subscription,
};
use ssekit_server::{CloseReason, EventBody, LastEventId};
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);

/// Reads all ready items as text, with `E` for the epoch.
fn ready<S: Stream<Item = EncodedEvent> + Unpin>(hub: &Hub, stream: &mut S) -> String {
    let mut text = String::new();
    while let Some(Some(frame)) = stream.next().now_or_never() {
        text.push_str(std::str::from_utf8(frame.as_bytes()).unwrap());
    }
    text.replace(&hub.stats().next.epoch.to_string(), "E")
}

/// Reads all ready chunks of a body as text. Returns also whether the body has ended.
fn body_ready(hub: &Hub, body: &mut EventBody<Subscription>) -> (String, bool) {
    let mut text = String::new();
    loop {
        match body.next().now_or_never() {
            Some(Some(chunk)) => text.push_str(std::str::from_utf8(&chunk.unwrap()).unwrap()),
            end => return (text.replace(&hub.stats().next.epoch.to_string(), "E"), end.is_some()),
        }
    }
}

fn id(hub: &Hub, offset: u64) -> Option<LastEventId> {
    let epoch = hub.stats().next.epoch;
    LastEventId::try_from(&*format!("{epoch}-{offset}")).ok()
}

/// Publishes events with this data to a topic.
fn publish<'a>(hub: &Hub, topic: &str, data: impl IntoIterator<Item = &'a str>) {
    for data in data {
        hub.publish(topic, Event::data(data)).now().unwrap();
    }
}

fn small(max_events: usize) -> Hub {
    Hub::with_log(MemoryLog::new(RetentionOptions::new().with_max_events(max_events)), HubOptions::new())
}

#[test]
fn clients_receive_events_of_their_topics_in_order() {
    let hub = Hub::default();
    let mut topic = hub.subscribe(Subscribe::topic("a/1")).unwrap();
    let mut several = hub.subscribe(Subscribe::topics(["b", "a/1", "none"])).unwrap();
    let mut prefix = hub.subscribe(Subscribe::prefix("a/")).unwrap();
    let mut all = hub.subscribe(Subscribe::prefix("").with_topic("b").with_prefix("a/")).unwrap();
    let mut nothing = hub.subscribe(Subscribe::topics([])).unwrap();
    for stream in [&mut topic, &mut several, &mut prefix, &mut all, &mut nothing] {
        assert_eq!(ready(&hub, stream), "id: E-0\n\n");
    }
    publish(&hub, "a/1", ["1"]);
    publish(&hub, "b", ["2"]);
    // Topics created after the subscription.
    publish(&hub, "a/2", ["3"]);
    publish(&hub, "a", ["4"]);
    let events = ["id: E-1\ndata: 1\n\n", "id: E-2\ndata: 2\n\n", "id: E-3\ndata: 3\n\n", "id: E-4\ndata: 4\n\n"];
    assert_eq!(ready(&hub, &mut topic), events[0]);
    assert_eq!(ready(&hub, &mut several), events[..2].concat());
    assert_eq!(ready(&hub, &mut prefix), [events[0], events[2]].concat());
    assert_eq!(ready(&hub, &mut all), events.concat());
    assert_eq!(ready(&hub, &mut nothing), "");
    publish(&hub, "a/2", ["5"]);
    assert_eq!(ready(&hub, &mut prefix), "id: E-5\ndata: 5\n\n");
    assert_eq!(ready(&hub, &mut topic), "");
    let topics: Vec<_> = hub.topics().into_iter().map(|t| (t.name.to_string(), t.events, t.clients)).collect();
    let expected = [("a", 1, 0), ("a/1", 1, 2), ("a/2", 2, 0), ("b", 1, 1), ("none", 0, 1)];
    assert_eq!(topics, expected.map(|(name, events, clients)| (name.to_owned(), events, clients)));
}

#[test]
fn unpublishable_events_rejected_with_reason() {
    let log = MemoryLog::new(RetentionOptions::new().with_max_bytes(1000));
    let hub = Hub::with_log(log.clone(), HubOptions::new());
    let long = "x".repeat(257);
    for refused in [hub.publish(&long, Event::data("")), hub.publish_keyed("", &long, Event::data(""))] {
        assert!(matches!(refused.now(), Err(PublishError::NameTooLong { len: 257 })));
    }
    let own = Event::data("a").with_id(ssekit_core::event_id!("7"));
    assert!(matches!(hub.publish("a", own).now(), Err(PublishError::HasId)));
    let failed = hub.publish("a", Err::<Event<'_>, _>("out of paper")).now().unwrap_err();
    assert!(matches!(&failed, PublishError::Event(error) if error.to_string() == "out of paper"), "{failed}");
    let large = "x".repeat(1000);
    let error = hub.publish("a", Event::data(&large)).now().unwrap_err();
    assert!(matches!(error, PublishError::TooLarge { max: 1000, .. }), "{error}");
    let _ = log.seal();
    assert!(matches!(hub.publish("a", Event::data("")).now(), Err(PublishError::Sealed)));
    assert_eq!(hub.stats().published, 0);
    log.unseal();
    assert_eq!(hub.publish("a", Event::data("")).now().unwrap().offset, 1, "no offset is left out");
}

#[test]
fn resume_outcome_is_sent_and_events_follow_it() {
    let hub = small(3);
    publish(&hub, "a", ["1", "2", "3"]);
    publish(&hub, "b", ["4"]);
    let case = |last: Option<LastEventId>, topic: &str, resume: ResumeOutcome, expected: &str| {
        let subscribe = Subscribe::topic(topic).with_last_event_id(last.clone());
        let mut stream = hub.subscribe(subscribe.clone()).unwrap();
        assert_eq!(stream.resume_outcome(), resume, "{last:?}");
        assert_eq!(ready(&hub, &mut stream), expected, "{last:?}");
        let mut told = hub.subscribe(subscribe.with_resume_event()).unwrap();
        let json = resume.to_json().replace(&hub.stats().next.epoch.to_string(), "E");
        let text = ready(&hub, &mut told);
        assert!(text.contains("event: ssekit:resume\nid: E-"), "{text}");
        assert!(text.contains(&format!("data: {json}\n\n")), "{text}");
    };
    let two_and_three = "id: E-2\ndata: 2\n\nid: E-3\ndata: 3\n\n";
    case(None, "a", ResumeOutcome::Fresh, "id: E-4\n\n");
    case(id(&hub, 3), "a", ResumeOutcome::UpToDate, "id: E-3\n\n");
    case(id(&hub, 4), "a", ResumeOutcome::UpToDate, "id: E-4\n\n");
    case(id(&hub, 2), "a", ResumeOutcome::Resumed { missed: 1 }, "id: E-2\n\nid: E-3\ndata: 3\n\n");
    case(id(&hub, 1), "a", ResumeOutcome::Resumed { missed: 2 }, &format!("id: E-1\n\n{two_and_three}"));
    let gap = |reason: &str, from: &str, to: u64, missed: &str| {
        format!(
            "event: ssekit:gap\nid: E-{to}\ndata: {{\"reason\":\"{reason}\",\"from\":{from},\"to\":\"E-{to}\",\"missed\":{missed}}}\n\n"
        )
    };
    let epoch = hub.stats().next.epoch;
    let oldest = ssekit_server::hub::Position { epoch, offset: 2 };
    let told = gap("retention", "\"E-1\"", 1, "1");
    case(id(&hub, 0), "a", ResumeOutcome::Gap { oldest }, &format!("{told}{two_and_three}"));
    // No event of this topic is missing.
    case(id(&hub, 0), "b", ResumeOutcome::Resumed { missed: 1 }, "id: E-0\n\nid: E-4\ndata: 4\n\n");
    let told = gap("epoch_changed", "null", 1, "null");
    case(id(&hub, 5), "a", ResumeOutcome::EpochChanged, &format!("{told}{two_and_three}"));
    let other = LastEventId::try_from("7-2").ok();
    case(other, "a", ResumeOutcome::EpochChanged, &format!("{told}{two_and_three}"));
    let foreign = LastEventId::try_from("42").ok();
    case(foreign, "a", ResumeOutcome::Malformed, &gap("malformed", "null", 4, "null"));
    let resumes = hub.stats().resumes;
    let counts: Vec<_> = resumes.iter().map(|(_, count)| count).collect();
    assert_eq!(counts, [2, 4, 6, 2, 4, 2]);
    assert_eq!(hub.stats().gaps, 8);
}

#[test]
fn new_client_starts_as_requested() {
    let hub = small(4);
    publish(&hub, "a", ["1", "2"]);
    publish(&hub, "b", ["3"]);
    publish(&hub, "a", ["4", "5"]);
    for (start, expected) in [
        (StartFrom::Next, "id: E-5\n\n"),
        (
            StartFrom::Oldest,
            "id: E-1\n\nid: E-2\ndata: 2\n\nid: E-3\ndata: 3\n\nid: E-4\ndata: 4\n\nid: E-5\ndata: 5\n\n",
        ),
        (StartFrom::Last(2), "id: E-3\n\nid: E-4\ndata: 4\n\nid: E-5\ndata: 5\n\n"),
        (StartFrom::Last(0), "id: E-5\n\n"),
        (
            StartFrom::Last(9),
            "id: E-1\n\nid: E-2\ndata: 2\n\nid: E-3\ndata: 3\n\nid: E-4\ndata: 4\n\nid: E-5\ndata: 5\n\n",
        ),
    ] {
        let mut stream = hub.subscribe(Subscribe::topics(["a", "b"]).with_start(start)).unwrap();
        assert_eq!(ready(&hub, &mut stream), expected, "{start:?}");
    }
}

#[test]
fn slow_client_is_treated_by_its_policy() {
    let case = |policy: SlowConsumerPolicy, expected: &str| {
        let hub = small(3);
        let mut stream = hub.subscribe(Subscribe::topic("a").with_policy(policy)).unwrap();
        ready(&hub, &mut stream);
        publish(&hub, "a", ["1"]);
        assert_eq!(ready(&hub, &mut stream), "id: E-1\ndata: 1\n\n");
        publish(&hub, "b", ["2"]);
        publish(&hub, "a", ["3", "4"]);
        hub.publish_keyed("a", "k", Event::data("5")).now().unwrap();
        hub.publish_keyed("a", "k", Event::data("6")).now().unwrap();
        hub.publish_keyed("a", "l", Event::data("7")).now().unwrap();
        assert_eq!(ready(&hub, &mut stream), expected, "{policy:?}");
        let gaps = u64::from(policy != SlowConsumerPolicy::Disconnect);
        assert_eq!(hub.stats().gaps, gaps);
        publish(&hub, "a", ["8"]);
        let next = if policy == SlowConsumerPolicy::Disconnect { "" } else { "id: E-8\ndata: 8\n\n" };
        assert_eq!(ready(&hub, &mut stream), next, "{policy:?}");
    };
    let gap = |to: u64, missed: u64, id: u64| {
        format!(
            "event: ssekit:gap\nid: E-{id}\ndata: {{\"reason\":\"slow_consumer\",\"from\":\"E-2\",\"to\":\"E-{to}\",\"missed\":{missed}}}\n\n"
        )
    };
    let (six, seven) = ("id: E-6\ndata: 6\n\n", "id: E-7\ndata: 7\n\n");
    case(SlowConsumerPolicy::Disconnect, "");
    case(SlowConsumerPolicy::SkipToOldest, &format!("{}id: E-5\ndata: 5\n\n{six}{seven}", gap(4, 2, 4)));
    case(SlowConsumerPolicy::SkipToLatest, &gap(7, 5, 7));
    case(SlowConsumerPolicy::Coalesce, &format!("{}{six}{seven}", gap(4, 2, 1)));
}

#[tokio::test(start_paused = true)]
async fn disconnected_slow_client_resumes_with_gap_event() {
    let hub = small(2);
    let mut body = hub.subscribe(Subscribe::topic("a")).unwrap().into_body();
    let handle = body.handle();
    assert_eq!(body_ready(&hub, &mut body), (": \n\nid: E-0\n\n".to_owned(), false));
    publish(&hub, "a", ["1", "2", "3"]);
    assert_eq!(body_ready(&hub, &mut body), (String::new(), true));
    assert_eq!((handle.close_reason(), hub.len()), (Some(CloseReason::SlowConsumer), 0));
    let stream = hub.subscribe(Subscribe::topic("a").with_last_event_id(id(&hub, 0))).unwrap();
    assert!(matches!(stream.resume_outcome(), ResumeOutcome::Gap { .. }));
}

#[test]
fn stream_outside_body_ends_when_hub_ends_it() {
    let hub = small(1);
    let mut slow = hub.subscribe(Subscribe::topic("a")).unwrap();
    let mut kicked = hub.subscribe(Subscribe::topic("a").with_key("k")).unwrap();
    assert_eq!(ready(&hub, &mut slow), "id: E-0\n\n");
    publish(&hub, "a", ["1", "2"]);
    assert!(slow.next().now_or_never().is_some_and(|end| end.is_none()));
    assert_eq!((slow.handle().close_reason(), hub.len()), (Some(CloseReason::SlowConsumer), 1));
    // It also ends when there are always more events.
    assert_eq!(hub.disconnect_key("k", &Disconnect::new().immediately()), 1);
    assert!(kicked.next().now_or_never().is_some_and(|end| end.is_none()));
    assert_eq!((kicked.handle().close_reason(), hub.len()), (Some(CloseReason::Disconnected), 0));
}

#[test]
fn gap_counts_dropped_retained_events() {
    let hub =
        Hub::with_log(MemoryLog::new(RetentionOptions::new().with_max_events(1).with_max_keys(2)), HubOptions::new());
    for key in ["k", "l", "m"] {
        hub.publish_keyed("a", key, Event::data(key)).now().unwrap();
    }
    let subscribe = Subscribe::topic("a").with_policy(SlowConsumerPolicy::Coalesce).with_last_event_id(id(&hub, 0));
    let mut stream = hub.subscribe(subscribe).unwrap();
    assert_eq!(stream.resume_outcome(), ResumeOutcome::Resumed { missed: 3 });
    hub.publish_keyed("a", "n", Event::data("n")).now().unwrap();
    hub.publish_keyed("a", "o", Event::data("o")).now().unwrap();
    let gap = "{\"reason\":\"slow_consumer\",\"from\":\"E-1\",\"to\":\"E-2\",\"missed\":2}";
    let events = "id: E-3\ndata: m\n\nid: E-4\ndata: n\n\nid: E-5\ndata: o\n\n";
    let expected = format!("id: E-0\n\nevent: ssekit:gap\nid: E-0\ndata: {gap}\n\n{events}");
    assert_eq!(ready(&hub, &mut stream), expected);
}

#[test]
fn newest_event_of_each_key_outlives_others() {
    let hub = small(2);
    for (key, data) in [("x", "1"), ("y", "2"), ("x", "3"), ("z", "4"), ("y", "5")] {
        hub.publish_keyed("prices", key, Event::data(data)).now().unwrap();
    }
    publish(&hub, "other", ["6", "7"]);
    assert_eq!((hub.stats().events, hub.stats().retained), (2, 3));
    let coalesce = Subscribe::topic("prices").with_policy(SlowConsumerPolicy::Coalesce);
    let state = "id: E-3\ndata: 3\n\nid: E-4\ndata: 4\n\nid: E-5\ndata: 5\n\n";
    let mut new = hub.subscribe(coalesce.clone().with_start(StartFrom::Oldest)).unwrap();
    assert_eq!(ready(&hub, &mut new), format!("id: E-0\n\n{state}"));
    // Only superseded events are missing.
    let mut back = hub.subscribe(coalesce.clone().with_last_event_id(id(&hub, 1))).unwrap();
    assert_eq!(back.resume_outcome(), ResumeOutcome::Resumed { missed: 3 });
    assert_eq!(ready(&hub, &mut back), format!("id: E-1\n\n{state}"));
    // A client that wants all events has lost some.
    let all = hub.subscribe(Subscribe::topic("prices").with_last_event_id(id(&hub, 1))).unwrap();
    assert!(matches!(all.resume_outcome(), ResumeOutcome::Gap { .. }));
    // A new client has no claim to the lost events.
    let mut other = hub.subscribe(Subscribe::topic("other").with_policy(SlowConsumerPolicy::Coalesce)).unwrap();
    assert_eq!(ready(&hub, &mut other), "id: E-7\n\n");
    hub.publish_keyed("prices", "z", Event::data("8")).now().unwrap();
    assert_eq!(hub.stats().retained, 2, "the older one of that key is gone");
    assert_eq!(ready(&hub, &mut new), "id: E-8\ndata: 8\n\n");

    let none =
        Hub::with_log(MemoryLog::new(RetentionOptions::new().with_max_events(1).with_max_keys(0)), HubOptions::new());
    for (key, data) in [("x", "1"), ("x", "2"), ("y", "3")] {
        none.publish_keyed("prices", key, Event::data(data)).now().unwrap();
    }
    assert_eq!(none.stats().retained, 0);
    let back = none.subscribe(coalesce.with_last_event_id(id(&none, 1))).unwrap();
    assert!(matches!(back.resume_outcome(), ResumeOutcome::Gap { .. }), "the newest of x is lost");
}

#[test]
fn new_client_gets_no_gap_event_for_evicted_events() {
    let hub = small(2);
    publish(&hub, "a", ["1", "2", "3", "4"]);
    for policy in [SlowConsumerPolicy::Disconnect, SlowConsumerPolicy::SkipToOldest, SlowConsumerPolicy::Coalesce] {
        let subscribe = Subscribe::topic("a").with_policy(policy).with_start(StartFrom::Oldest);
        let mut new = hub.subscribe(subscribe.clone()).unwrap();
        let text = ready(&hub, &mut new);
        assert!(text.ends_with("\n\nid: E-3\ndata: 3\n\nid: E-4\ndata: 4\n\n") && !text.contains("gap"), "{text}");
        let foreign = LastEventId::try_from("42").ok();
        let mut back = hub.subscribe(subscribe.with_last_event_id(foreign)).unwrap();
        let text = ready(&hub, &mut back);
        assert_eq!(text.matches("ssekit:gap").count(), 1, "{policy:?} {text}");
    }
}

#[test]
fn filter_applies_to_missed_and_new_events() {
    let hub = Hub::default();
    publish(&hub, "a", ["1", "2"]);
    publish(&hub, "a/secret", ["3"]);
    hub.publish_keyed("a", "mine", Event::data("4")).now().unwrap();
    hub.publish_keyed("a", "yours", Event::data("5")).now().unwrap();
    let is_right = |event: &ssekit_server::hub::EventMeta<'_>| {
        event.topic == "a" && event.key != Some("yours") && event.position.offset != 2
    };
    let subscribe = Subscribe::prefix("a").with_filter(is_right).with_last_event_id(id(&hub, 0));
    let mut stream = hub.subscribe(subscribe).unwrap();
    assert_eq!(ready(&hub, &mut stream), "id: E-0\n\nid: E-1\ndata: 1\n\nid: E-4\ndata: 4\n\n");
    publish(&hub, "a/secret", ["6"]);
    assert_eq!(ready(&hub, &mut stream), "");
    publish(&hub, "a/secret", ["7"]);
    publish(&hub, "a", ["8"]);
    assert_eq!(ready(&hub, &mut stream), "id: E-8\ndata: 8\n\n");
    let info = &hub.clients()[0];
    let event = format!("id: {}-1\ndata: 1\n\n", hub.stats().next.epoch);
    assert_eq!((info.events, info.bytes), (3, 3 * event.len() as u64));
}

/// Without the position, the client would resume at an evicted event, and get a gap event for events it has no right to.
#[test]
fn client_with_many_filtered_events_gets_position() {
    let hub = small(500);
    let subscribe = || Subscribe::topic("a").with_filter(|event| event.position.offset < 100);
    let mut stream = hub.subscribe(subscribe()).unwrap();
    let mut id = String::new();
    for _ in 0..100 {
        publish(&hub, "a", ["x"; 20]);
        for line in ready(&hub, &mut stream).lines().filter_map(|line| line.strip_prefix("id: E-")) {
            id = line.to_owned();
        }
    }
    let last: u64 = id.parse().unwrap();
    assert!((1700..=2000).contains(&last), "{last}");
    let back = hub.subscribe(subscribe().with_last_event_id(self::id(&hub, last))).unwrap();
    assert!(
        matches!(back.resume_outcome(), ResumeOutcome::Resumed { .. } | ResumeOutcome::UpToDate),
        "{:?}",
        back.resume_outcome()
    );
}

/// A filter that rejects more pages than one poll reads does not stop the stream.
#[test]
fn pages_without_events_for_client_skipped() {
    let hub = Hub::default();
    let subscribe = Subscribe::topic("a").with_filter(|event| event.position.offset == 200);
    let mut stream = hub.subscribe(subscribe).unwrap();
    ready(&hub, &mut stream);
    let data = "x".repeat(8000);
    publish(&hub, "a", std::iter::repeat_n(&*data, 200));
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut polls = 0;
    let frame = loop {
        let woken = count.0.load(Ordering::Relaxed);
        polls += 1;
        if let std::task::Poll::Ready(frame) = Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker)) {
            break frame.unwrap();
        }
        assert!(count.0.load(Ordering::Relaxed) > woken, "nobody asks again");
    };
    assert!(polls > 2 && frame.as_bytes().ends_with(format!("-200\ndata: {data}\n\n").as_bytes()), "{polls}");
}

/// It yields even if another event arrives for a topic that it still waits for.
#[tokio::test(start_paused = true)]
async fn body_yields_between_pages_without_events() {
    let hub = Hub::default();
    let calls = Arc::new(AtomicUsize::new(0));
    let of_filter = calls.clone();
    let is_right = move |_: &ssekit_server::hub::EventMeta<'_>| of_filter.fetch_add(1, Ordering::Relaxed) == usize::MAX;
    let mut body = hub.subscribe(Subscribe::topics(["a", "b"]).with_filter(is_right)).unwrap().into_body();
    body_ready(&hub, &mut body);
    let data = "x".repeat(5000);
    publish(&hub, "a", std::iter::repeat_n(&*data, 200));
    let mut poll = || {
        body_ready(&hub, &mut body);
        calls.swap(0, Ordering::Relaxed)
    };
    let first = poll();
    publish(&hub, "b", ["x"]);
    let second = poll();
    assert!(first < 50 && second < 50, "{first} and {second} events at once");
}

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn only_waiting_clients_woken_once() {
    let hub = Hub::default();
    let count = Arc::new(Count::default());
    let waker = Waker::from(count.clone());
    let mut cx = Context::from_waker(&waker);
    let mut stream = hub.subscribe(Subscribe::topics(["a", "b"]).with_prefix("c")).unwrap();
    let mut poll = || {
        let mut events = 0;
        while let std::task::Poll::Ready(Some(_)) = Pin::new(&mut stream).poll_next(&mut cx) {
            events += 1;
        }
        events
    };
    poll();
    publish(&hub, "d", ["1"]);
    assert_eq!(count.0.load(Ordering::Relaxed), 0);
    publish(&hub, "a", ["2", "3"]);
    publish(&hub, "b", ["4"]);
    publish(&hub, "c1", ["5"]);
    assert_eq!(count.0.load(Ordering::Relaxed), 1, "it has been woken already");
    assert_eq!(poll(), 1, "they come together");
    publish(&hub, "c2", ["6"]);
    assert_eq!((count.0.load(Ordering::Relaxed), poll()), (2, 1));
}

#[test]
fn clients_at_same_cursor_share_bytes() {
    let hub = Hub::default();
    let mut streams: Vec<_> = (0..3).map(|_| hub.subscribe(Subscribe::topic("a")).unwrap()).collect();
    for stream in &mut streams {
        ready(&hub, stream);
    }
    publish(&hub, "a", ["1", "2"]);
    publish(&hub, "b", ["3"]);
    publish(&hub, "a", ["4"]);
    let frames: Vec<EncodedEvent> =
        streams.iter_mut().map(|stream| stream.next().now_or_never().flatten().unwrap()).collect();
    assert_eq!(frames[0].as_bytes().iter().filter(|byte| **byte == b'\n').count(), 9);
    assert!(frames.iter().all(|frame| frame.as_bytes().as_ptr() == frames[0].as_bytes().as_ptr()));
}

#[tokio::test(start_paused = true)]
async fn events_over_max_age_evicted() {
    let hub = Hub::with_log(MemoryLog::new(RetentionOptions::new().with_max_age(10 * SECOND)), HubOptions::new());
    publish(&hub, "a", ["1"]);
    hub.publish_keyed("a", "k", Event::data("2")).now().unwrap();
    advance(6 * SECOND).await;
    publish(&hub, "a", ["3"]);
    advance(5 * SECOND).await;
    let stream = hub.subscribe(Subscribe::topic("a").with_last_event_id(id(&hub, 2))).unwrap();
    assert_eq!(stream.resume_outcome(), ResumeOutcome::Resumed { missed: 1 });
    let coalesce = Subscribe::topic("a").with_policy(SlowConsumerPolicy::Coalesce).with_last_event_id(id(&hub, 1));
    assert!(
        matches!(hub.subscribe(coalesce).unwrap().resume_outcome(), ResumeOutcome::Gap { .. }),
        "the newest of a key too"
    );
    assert_eq!((hub.stats().events, hub.stats().retained), (1, 0));
}

/// Unknown names in requests do not evict topics that had events.
#[test]
fn topic_without_events_is_forgotten() {
    let hub = Hub::with_log(
        MemoryLog::new(RetentionOptions::new().with_max_events(2).with_max_idle_topics(10)),
        HubOptions::new(),
    );
    publish(&hub, "quiet", ["1"]);
    publish(&hub, "busy", ["2", "3", "4"]);
    for n in 0..100 {
        let _gone = hub.subscribe(Subscribe::topic(&n.to_string()).with_prefix("p")).unwrap();
    }
    assert_eq!(hub.stats().topics, 2);
    let subscribe = |offset| hub.subscribe(Subscribe::topic("quiet").with_last_event_id(id(&hub, offset))).unwrap();
    assert_eq!(
        (subscribe(1).resume_outcome(), subscribe(0).resume_outcome().as_str()),
        (ResumeOutcome::UpToDate, "gap")
    );
}
