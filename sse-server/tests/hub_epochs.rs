//! Logs that continue in another epoch, with or without missing events, and clients that are ahead of this process.

mod epoch_log;
mod polled;

use ssekit_core::Event;
use ssekit_server::LastEventId;
use ssekit_server::hub::{
    EventMeta, Hub, HubOptions, MemoryLog, NewEvent, Position, PublishError, RecentEvents, ResumeOutcome,
    RetentionOptions, SlowConsumerPolicy, StartFrom, Subscribe, Subscription,
};

use epoch_log::{Shared, at, node};
use polled::all;

fn id(position: Position) -> Option<LastEventId> {
    LastEventId::try_from(&*position.to_string()).ok()
}

fn publish(hub: &Hub, tail: &RecentEvents, count: u64) {
    for _ in 0..count {
        let last = tail.last_position();
        let _ = hub.publish("a", Event::data(at(last.epoch, last.offset + 1).to_string())).now();
    }
}

fn events(epoch: u64, offsets: impl IntoIterator<Item = u64>) -> String {
    offsets.into_iter().map(|offset| format!("id: {epoch}-{offset}\ndata: {epoch}-{offset}\n\n")).collect()
}

fn replaced(epoch: u64) -> String {
    format!(
        "event: ssekit:gap\nid: {epoch}-0\ndata: {{\"reason\":\"epoch_changed\",\"from\":null,\"to\":\"{epoch}-0\",\"missed\":null}}\n\n"
    )
}

fn subscribe(hub: &Hub, last: Option<Position>) -> Subscription {
    hub.subscribe(Subscribe::topic("a").with_last_event_id(last.and_then(id))).unwrap()
}

fn memory() -> (Hub, RecentEvents) {
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new());
    (Hub::with_log(MemoryLog::from(tail.clone()), HubOptions::new()), tail)
}

/// The passed position and the next one.
fn passed(outcome: Result<(), PublishError>) -> (Position, Position) {
    match outcome {
        Err(PublishError::Passed { position, next }) => (position, next),
        other => panic!("{other:?}"),
    }
}

fn import(bytes: &[u8]) -> Hub {
    Hub::with_log(MemoryLog::import(bytes, RetentionOptions::new()).unwrap(), HubOptions::new())
}

#[test]
fn continued_epoch_sends_no_gap_event() {
    let (hub, tail) = memory();
    publish(&hub, &tail, 3);
    let mut live = subscribe(&hub, Some(at(7, 1)));
    assert_eq!(all(&mut live), format!("id: 7-1\n\n{}", events(7, 2..=3)));
    let mut late = subscribe(&hub, Some(at(7, 0)));
    tail.continue_epoch(9).unwrap();
    assert_eq!((hub.position(), tail.last_position(), hub.stats().next), (at(9, 0), at(9, 0), at(9, 1)));
    publish(&hub, &tail, 2);
    assert_eq!(all(&mut live), events(9, 1..=2));
    assert_eq!(all(&mut late), format!("id: 7-0\n\n{}{}", events(7, 1..=3), events(9, 1..=2)));
    // A client can resume after an ID of each epoch.
    for (last, resume, rest) in [
        (at(7, 2), ResumeOutcome::Resumed { missed: 3 }, events(7, [3]) + &events(9, 1..=2)),
        (at(7, 3), ResumeOutcome::Resumed { missed: 2 }, events(9, 1..=2)),
        (at(9, 0), ResumeOutcome::Resumed { missed: 2 }, events(9, 1..=2)),
        (at(9, 1), ResumeOutcome::Resumed { missed: 1 }, events(9, [2])),
        (at(9, 2), ResumeOutcome::UpToDate, String::new()),
    ] {
        let mut stream = subscribe(&hub, Some(last));
        assert_eq!(stream.resume_outcome(), resume, "{last}");
        let first = if last == at(9, 0) { at(7, 3) } else { last };
        assert_eq!(all(&mut stream), format!("id: {first}\n\n{rest}"));
    }
    // The epoch ended before this position.
    for last in [at(7, 4), at(8, 0), at(9, 3), at(10, 0)] {
        assert_eq!(subscribe(&hub, Some(last)).resume_outcome(), ResumeOutcome::EpochChanged, "{last}");
    }
    let mut astray = subscribe(&hub, Some(at(7, 4)));
    assert_eq!(all(&mut astray), format!("{}{}", replaced(9), events(9, 1..=2)), "it has the rest");
    for epoch in [9, 8, 0] {
        let expected = (at(epoch, 0), at(9, 3));
        assert_eq!((passed(tail.continue_epoch(epoch)), passed(tail.restart_epoch(epoch))), (expected, expected));
    }
    assert_eq!(hub.stats().gaps, 5);
}

#[test]
fn restarted_epoch_sends_each_client_one_gap_event() {
    let (hub, tail) = memory();
    publish(&hub, &tail, 3);
    let [mut live, mut late] = [at(7, 3), at(7, 1)].map(|last| subscribe(&hub, Some(last)));
    assert_eq!(all(&mut live), "id: 7-3\n\n");
    let filtered =
        Subscribe::topic("a").with_last_event_id(id(at(7, 1))).with_filter(|event| event.position.offset < 3);
    let mut filtered = hub.subscribe(filtered).unwrap();
    let mut other = hub.subscribe(Subscribe::topic("b")).unwrap();
    assert_eq!(all(&mut other), "id: 7-3\n\n");
    tail.restart_epoch(9).unwrap();
    assert_eq!(all(&mut live), replaced(9), "at once");
    assert_eq!(all(&mut other), replaced(9), "also one of another topic");
    publish(&hub, &tail, 2);
    assert_eq!(all(&mut live), events(9, 1..=2));
    assert_eq!(all(&mut late), format!("id: 7-1\n\n{}{}{}", events(7, 2..=3), replaced(9), events(9, 1..=2)));
    let expected = format!("id: 7-1\n\n{}{}{}", events(7, [2]), replaced(9), events(9, 1..=2));
    assert_eq!(all(&mut filtered), expected);

    let mut stream = subscribe(&hub, Some(at(7, 2)));
    assert_eq!(stream.resume_outcome(), ResumeOutcome::EpochChanged);
    assert_eq!(all(&mut stream), format!("id: 7-2\n\n{}{}{}", events(7, [3]), replaced(9), events(9, 1..=2)));
    let mut stream = subscribe(&hub, Some(at(9, 0)));
    assert_eq!(stream.resume_outcome(), ResumeOutcome::Resumed { missed: 2 });
    assert_eq!(all(&mut stream), format!("id: 9-0\n\n{}", events(9, 1..=2)));
    // A client of an unknown epoch begins after the last break.
    let mut stream = subscribe(&hub, Some(at(8, 1)));
    assert_eq!(stream.resume_outcome(), ResumeOutcome::EpochChanged);
    assert_eq!(all(&mut stream), format!("{}{}", replaced(9), events(9, 1..=2)));
    let mut oldest = hub.subscribe(Subscribe::topic("a").with_start(StartFrom::Oldest)).unwrap();
    assert_eq!(all(&mut oldest), format!("id: 7-0\n\n{}{}{}", events(7, 1..=3), replaced(9), events(9, 1..=2)));
    // Two breaks at one offset are one; breaks with events in between are two.
    let mut late = subscribe(&hub, Some(at(9, 1)));
    tail.restart_epoch(10).unwrap();
    tail.restart_epoch(11).unwrap();
    publish(&hub, &tail, 1);
    tail.restart_epoch(12).unwrap();
    let rest = format!("{}{}{}", replaced(11), events(11, [1]), replaced(12));
    assert_eq!(all(&mut live), rest);
    assert_eq!(all(&mut late), format!("id: 9-1\n\n{}{rest}", events(9, [2])));
    assert_eq!(all(&mut subscribe(&hub, None)), "id: 12-0\n\n");
}

#[test]
fn slow_client_gets_one_gap_event_for_lost_events_and_break_among_them() {
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(2));
    let hub = Hub::with_log(MemoryLog::from(tail.clone()), HubOptions::new());
    let slow = |policy| hub.subscribe(Subscribe::topic("a").with_policy(policy)).unwrap();
    let [mut oldest, mut latest] = [SlowConsumerPolicy::SkipToOldest, SlowConsumerPolicy::SkipToLatest].map(slow);
    publish(&hub, &tail, 4);
    tail.restart_epoch(8).unwrap();
    let gap = |from: Position, to: Position, missed: u64| {
        format!(
            "event: ssekit:gap\nid: {to}\ndata: {{\"reason\":\"slow_consumer\",\"from\":\"{from}\",\"to\":\"{to}\",\"missed\":{missed}}}\n\n"
        )
    };
    let expected = format!("id: 7-0\n\n{}{}{}", gap(at(7, 1), at(7, 2), 2), events(7, 3..=4), replaced(8));
    assert_eq!(all(&mut oldest), expected);
    assert_eq!(all(&mut latest), format!("id: 7-0\n\n{}{}", gap(at(7, 1), at(7, 4), 4), replaced(8)));
    // The lost events are before and after the break, and one gap event reports both.
    let mut slow = slow(SlowConsumerPolicy::SkipToOldest);
    all(&mut slow);
    publish(&hub, &tail, 1);
    tail.restart_epoch(9).unwrap();
    publish(&hub, &tail, 3);
    assert_eq!(all(&mut slow), format!("{}{}", gap(at(8, 1), at(9, 1), 2), events(9, 2..=3)));
    assert_eq!(subscribe(&hub, Some(at(8, 0))).resume_outcome(), ResumeOutcome::Gap { oldest: at(9, 2) });
}

#[test]
fn retained_events_precede_break() {
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(1));
    let hub = Hub::with_log(MemoryLog::from(tail.clone()), HubOptions::new());
    let subscribe = || Subscribe::topic("a").with_policy(SlowConsumerPolicy::Coalesce).with_start(StartFrom::Oldest);
    let mut slow = hub.subscribe(subscribe()).unwrap();
    for key in ["x", "y", "x"] {
        hub.publish_keyed("a", key, Event::data(key)).now().unwrap();
    }
    tail.restart_epoch(8).unwrap();
    for key in ["z", "x"] {
        hub.publish_keyed("a", key, Event::data(key)).now().unwrap();
    }
    let (before, after) = ("id: 7-2\ndata: y\n\n", "id: 8-1\ndata: z\n\nid: 8-2\ndata: x\n\n");
    let expected = format!("id: 7-0\n\n{before}{}{after}", replaced(8));
    assert_eq!(all(&mut slow), expected);
    assert_eq!(all(&mut hub.subscribe(subscribe()).unwrap()), expected);
}

/// Another process that is further ahead has served the client.
#[test]
fn client_ahead_of_memory_resumes_if_history_has_its_event() {
    let log = Shared::default();
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new());
    let hub = node(&log, &tail);
    publish(&hub, &tail, 2);
    log.keep(&[at(7, 3), at(7, 4), at(7, 5)]);
    let [mut right, mut last, mut wrong] = [4, 5, 6].map(|offset| subscribe(&hub, Some(at(7, offset))));
    assert_eq!(
        (right.resume_outcome(), wrong.resume_outcome()),
        (ResumeOutcome::UpToDate, ResumeOutcome::UpToDate),
        "as far as is known"
    );
    assert_eq!((all(&mut right), all(&mut last)), ("id: 7-4\n\n".into(), "id: 7-5\n\n".into()));
    let told = "event: ssekit:gap\nid: 7-2\ndata: {\"reason\":\"epoch_changed\",\"from\":null,\"to\":\"7-2\",\"missed\":null}\n\n";
    assert_eq!(all(&mut wrong), format!("id: 7-6\n\n{told}"));
    for offset in 3..=6 {
        tail.append_at(at(7, offset), &NewEvent::new("a", Event::data(format!("7-{offset}")))).unwrap();
    }
    assert_eq!((all(&mut right), all(&mut last)), (events(7, 5..=6), events(7, [6])));
    assert_eq!(all(&mut wrong), events(7, 3..=6));
    // Without a history, no event can be verified.
    assert_eq!(subscribe(&memory().0, Some(at(7, 1))).resume_outcome(), ResumeOutcome::EpochChanged);
}

#[test]
fn client_ahead_of_its_epoch_gets_gap_event() {
    for is_broken in [false, true] {
        let log = Shared::default();
        let tail = RecentEvents::with_epoch(7, RetentionOptions::new());
        let hub = node(&log, &tail);
        publish(&hub, &tail, 2);
        log.keep(&[at(7, 3)]);
        let mut idle = subscribe(&hub, Some(at(7, 2)));
        let mut ahead = [0; 2].map(|_| subscribe(&hub, Some(at(7, 3))));
        assert_eq!((all(&mut ahead[0]), all(&mut idle)), ("id: 7-3\n\n".into(), "id: 7-2\n\n".into()));
        // The events that they have seen are lost.
        log.0.lock().unwrap().retain(|event| event.position.offset < 3);
        let change = if is_broken { RecentEvents::restart_epoch } else { RecentEvents::continue_epoch };
        change(&tail, 8).unwrap();
        publish(&hub, &tail, 2);
        let rest = format!("{}{}", replaced(8), events(8, 1..=2));
        assert_eq!(all(&mut ahead[0]), rest);
        assert_eq!(all(&mut ahead[1]), format!("id: 7-3\n\n{rest}"));
        assert_eq!(all(&mut idle), if is_broken { rest } else { events(8, 1..=2) });
    }
}

#[test]
fn history_page_ends_at_break() {
    let log = Shared::default();
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(2));
    let hub = node(&log, &tail);
    publish(&hub, &tail, 6);
    tail.continue_epoch(8).unwrap();
    publish(&hub, &tail, 2);
    // Another process keeps fewer events than this one knows of.
    log.0.lock().unwrap().retain(|event| event.position.epoch == 7 && event.position.offset <= 3);
    tail.restart_epoch(9).unwrap();
    log.keep(&[at(9, 1)]);
    let mut stream = subscribe(&hub, Some(at(7, 1)));
    let gap =
        "event: ssekit:gap\nid: 7-6\ndata: {\"reason\":\"retention\",\"from\":\"7-4\",\"to\":\"7-6\",\"missed\":3}\n\n";
    let expected = format!("id: 7-1\n\n{}{gap}{}{}", events(7, 2..=3), events(8, 1..=2), replaced(9));
    assert_eq!(all(&mut stream), expected);
    tail.append_at(at(9, 1), &NewEvent::new("a", Event::data("9-1"))).unwrap();
    assert_eq!(all(&mut stream), events(9, [1]));
}

#[test]
fn recent_events_can_begin_in_later_epoch() {
    let log = Shared::default();
    log.keep(&[at(7, 4), at(7, 5), at(9, 1), at(11, 1), at(11, 2)]);
    let before = [at(7, 5), at(9, 1), at(8, 50)];
    let tail = RecentEvents::starting_after(&before, at(11, 2), RetentionOptions::new());
    let hub = node(&log, &tail);
    assert_eq!(tail.last_position(), at(11, 2));
    let mut stream = subscribe(&hub, Some(at(7, 4)));
    assert_eq!(stream.resume_outcome(), ResumeOutcome::Resumed { missed: 4 });
    let expected = format!("id: 7-4\n\n{}{}{}", events(7, [5]), events(9, [1]), events(11, 1..=2));
    assert_eq!(all(&mut stream), expected);
    assert_eq!(subscribe(&hub, Some(at(9, 2))).resume_outcome(), ResumeOutcome::EpochChanged);
    assert!(
        matches!(subscribe(&hub, Some(at(7, 1))).resume_outcome(), ResumeOutcome::Gap { oldest } if oldest == at(7, 4))
    );
    publish(&hub, &tail, 1);
    assert_eq!(all(&mut stream), events(11, [3]));
}

#[test]
fn skipped_position_is_not_missed() {
    let (hub, tail) = memory();
    publish(&hub, &tail, 1);
    let mut stream = subscribe(&hub, Some(at(7, 1)));
    assert_eq!(all(&mut stream), "id: 7-1\n\n");
    tail.skip(at(7, 2)).unwrap();
    tail.skip(at(7, 3)).unwrap();
    assert_eq!(passed(tail.skip(at(7, 3))), (at(7, 3), at(7, 4)));
    assert!(tail.skip(at(8, 4)).is_err() && tail.skip(at(7, u64::MAX)).is_err());
    publish(&hub, &tail, 1);
    assert_eq!(all(&mut stream), events(7, [4]));
    // The skipped offsets before it are missed all the same.
    tail.skip(at(7, 6)).unwrap();
    assert_eq!(all(&mut stream), "END");
    assert!(matches!(subscribe(&hub, Some(at(7, 4))).resume_outcome(), ResumeOutcome::Gap { .. }));
    assert_eq!(subscribe(&hub, Some(at(7, 6))).resume_outcome(), ResumeOutcome::UpToDate);
}

#[test]
fn oldest_epochs_over_limit_forgotten_with_their_events() {
    let (hub, tail) = memory();
    let mut slow = hub.subscribe(Subscribe::topic("a").with_policy(SlowConsumerPolicy::SkipToOldest)).unwrap();
    let keyed_tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(1));
    let keyed = Hub::with_log(MemoryLog::from(keyed_tail.clone()), HubOptions::new());
    for epoch in 8..108 {
        publish(&hub, &tail, 1);
        tail.continue_epoch(epoch).unwrap();
        keyed.publish_keyed("a", &epoch.to_string(), Event::data("x")).now().unwrap();
        keyed_tail.continue_epoch(epoch).unwrap();
    }
    assert_eq!((hub.stats().events, keyed.stats().events, keyed.stats().retained), (63, 1, 62));
    let text = all(&mut slow);
    assert!(text.contains("\"reason\":\"slow_consumer\""), "{text}");
    assert!(text.ends_with(&(45..=106).map(|epoch| events(epoch, [1])).collect::<String>()), "{text}");
    assert_eq!(subscribe(&hub, Some(at(7, 1))).resume_outcome(), ResumeOutcome::EpochChanged);
    assert_eq!(subscribe(&hub, Some(at(106, 1))).resume_outcome(), ResumeOutcome::UpToDate);
    let hub = import(&MemoryLog::from(tail.clone()).export());
    assert_eq!((hub.position(), hub.stats().events), (at(107, 0), 0));
}

#[test]
fn current_epoch_is_exported() {
    let (hub, tail) = memory();
    publish(&hub, &tail, 3);
    tail.continue_epoch(8).unwrap();
    publish(&hub, &tail, 2);
    let new = import(&MemoryLog::from(tail.clone()).seal());
    let mut stream = subscribe(&new, Some(at(8, 1)));
    assert_eq!(all(&mut stream), format!("id: 8-1\n\n{}", events(8, [2])));
    assert_eq!(subscribe(&new, Some(at(7, 3))).resume_outcome(), ResumeOutcome::EpochChanged);
}

/// A client with a break ahead shares the bytes of a client without one, and gets the break directly after them.
#[test]
fn client_of_joined_bytes_gets_break_after_them() {
    let (hub, tail) = memory();
    publish(&hub, &tail, 1);
    let [mut first, mut late, mut later] = [(); 3].map(|()| subscribe(&hub, Some(at(7, 1))));
    for stream in [&mut first, &mut late, &mut later] {
        assert_eq!(all(stream), "id: 7-1\n\n");
    }
    publish(&hub, &tail, 2);
    assert_eq!(all(&mut first), events(7, 2..=3));
    tail.restart_epoch(8).unwrap();
    assert_eq!(all(&mut late), format!("{}{}", events(7, 2..=3), replaced(8)));
    assert_eq!(all(&mut first), replaced(8));
    // The events of its topic can end before the break.
    hub.publish("b", Event::data("other")).now().unwrap();
    tail.restart_epoch(9).unwrap();
    assert_eq!(all(&mut later), format!("{}{}{}", events(7, 2..=3), replaced(8), replaced(9)));
    assert_eq!(
        all(&mut subscribe(&hub, Some(at(7, 1)))),
        format!("id: 7-1\n\n{}{}{}", events(7, 2..=3), replaced(8), replaced(9))
    );
}

/// The filter is called without the lock.
#[test]
fn epoch_begun_during_history_page_loses_no_event() {
    let log = Shared::default();
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new());
    let hub = node(&log, &tail);
    log.keep(&[at(7, 1), at(7, 2), at(7, 3)]);
    tail.append_at(at(7, 2), &NewEvent::new("a", Event::data("7-2"))).unwrap();
    let during = tail.clone();
    let filter = move |_: &EventMeta<'_>| {
        let _ = during.continue_epoch(8);
        true
    };
    let subscribe = Subscribe::topic("a").with_last_event_id(id(at(7, 0))).with_filter(filter);
    let mut stream = hub.subscribe(subscribe).unwrap();
    // The client receives an event that the epoch does not have in the end.
    assert_eq!(all(&mut stream), format!("id: 7-0\n\n{}{}", events(7, 1..=3), replaced(8)));
    publish(&hub, &tail, 3);
    assert_eq!(all(&mut stream), events(8, 1..=3));
}

#[test]
fn unordered_history_neither_loops_nor_duplicates() {
    let log = Shared::default();
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(1));
    let hub = node(&log, &tail);
    publish(&hub, &tail, 6);
    log.0.lock().unwrap().swap(1, 2);
    log.keep(&[at(7, 5)]);
    let mut stream = subscribe(&hub, Some(at(7, 0)));
    let text = all(&mut stream);
    let ids: Vec<_> = text.lines().filter_map(|line| line.strip_prefix("data: 7-")).collect();
    assert_eq!(ids, ["1", "3", "4", "5", "6"], "{text}");
    assert!(text.contains("\"from\":\"7-2\",\"to\":\"7-2\""), "{text}");
}

#[test]
fn sealed_log_rejects_all_changes() {
    let (hub, tail) = memory();
    publish(&hub, &tail, 1);
    let new = import(&MemoryLog::from(tail.clone()).seal());
    for outcome in [tail.skip(at(7, 2)), tail.continue_epoch(8), tail.restart_epoch(8)] {
        assert!(matches!(outcome, Err(PublishError::Sealed)));
    }
    assert_eq!((hub.position(), new.position()), (at(7, 1), at(7, 1)));
    MemoryLog::from(tail.clone()).unseal();
    assert!(tail.skip(at(7, 2)).is_ok() && tail.continue_epoch(8).is_ok());
}

/// Without a history, or with one that begins after the skipped offsets.
#[test]
fn new_client_starts_after_skipped_offsets() {
    for (first, trimmed) in [(None, false), (Some(at(7, 5)), true)] {
        let log = Shared::default();
        let tail = RecentEvents::with_epoch(7, RetentionOptions::new());
        let append = |offset| {
            tail.append_at(at(7, offset), &NewEvent::new("a", Event::data(format!("7-{offset}")))).unwrap();
        };
        [1, 2, 5, 6].into_iter().for_each(append);
        log.keep(first.as_slice());
        for start in [StartFrom::Oldest, StartFrom::Last(3)] {
            let subscribe = Subscribe::topic("a").with_start(start);
            let stream = match trimmed {
                true => node(&log, &tail).subscribe(subscribe),
                false => Hub::with_log(MemoryLog::from(tail.clone()), HubOptions::new()).subscribe(subscribe),
            };
            assert_eq!(all(&mut stream.unwrap()), format!("id: 7-4\n\n{}", events(7, 5..=6)), "{start:?}");
        }
    }
}

#[test]
fn oldest_start_is_at_an_existing_event() {
    let log = Shared::default();
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(2));
    let hub = node(&log, &tail);
    publish(&hub, &tail, 6);
    let oldest = |first: &[Position]| {
        log.0.lock().unwrap().clear();
        log.keep(first);
        match subscribe(&hub, Some(at(7, 1))).resume_outcome() {
            ResumeOutcome::Gap { oldest } => oldest,
            resume => panic!("{resume:?}"),
        }
    };
    // Histories with fewer events than memory, of an unknown epoch, and ahead of memory.
    assert_eq!(
        [at(7, 4), at(7, 6), at(9, 1), at(7, 9)].map(|first| oldest(&[first])),
        [at(7, 4), at(7, 5), at(7, 5), at(7, 5)]
    );
}

#[test]
fn event_in_memory_not_missed_when_history_lacks_it() {
    let log = Shared::default();
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(3));
    let hub = node(&log, &tail);
    publish(&hub, &tail, 6);
    log.keep(&[at(7, 9)]);
    log.0.lock().unwrap().retain(|event| [1, 2, 6, 9].contains(&event.position.offset));
    let mut stream = subscribe(&hub, Some(at(7, 1)));
    let gap =
        "event: ssekit:gap\nid: 7-3\ndata: {\"reason\":\"retention\",\"from\":\"7-3\",\"to\":\"7-3\",\"missed\":1}\n\n";
    assert_eq!(all(&mut stream), format!("id: 7-1\n\n{}{gap}{}", events(7, [2]), events(7, 4..=6)));
}

/// The break is directly after the last event of the client, and later events are lost.
#[test]
fn resume_at_break_before_lost_events_gets_one_gap_event() {
    for (policy, rest) in [
        (SlowConsumerPolicy::Disconnect, events(8, 3..=4)),
        (SlowConsumerPolicy::SkipToOldest, events(8, 3..=4)),
        (SlowConsumerPolicy::SkipToLatest, String::new()),
    ] {
        let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(2));
        let hub = Hub::with_log(MemoryLog::from(tail.clone()), HubOptions::new());
        publish(&hub, &tail, 3);
        tail.restart_epoch(8).unwrap();
        publish(&hub, &tail, 4);
        let subscribe = Subscribe::topic("a").with_last_event_id(id(at(7, 3))).with_policy(policy);
        let mut stream = hub.subscribe(subscribe).unwrap();
        assert_eq!(stream.resume_outcome(), ResumeOutcome::EpochChanged);
        let to = if rest.is_empty() { 4 } else { 2 };
        let told = format!(
            "event: ssekit:gap\nid: 8-{to}\ndata: {{\"reason\":\"epoch_changed\",\"from\":null,\"to\":\"8-{to}\",\"missed\":null}}\n\n"
        );
        assert_eq!(all(&mut stream), format!("{told}{rest}"));
    }
}

/// A new client has no claim to offsets before its start.
#[test]
fn new_client_gets_no_gap_event_for_lost_events() {
    let log = Shared::default();
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(1));
    let hub = node(&log, &tail);
    publish(&hub, &tail, 2);
    log.keep(&[at(7, 3)]);
    log.0.lock().unwrap()[2].topic = "b".into();
    let mut stream = subscribe(&hub, Some(at(7, 0)));
    assert_eq!(all(&mut stream), format!("id: 7-0\n\n{}", events(7, 1..=2)));
    log.0.lock().unwrap().pop();
    tail.continue_epoch(8).unwrap();
    publish(&hub, &tail, 1);
    assert_eq!(all(&mut stream), events(8, [1]));
}

#[test]
fn gap_outcome_names_oldest_event_after_skipped_offsets() {
    let (hub, tail) = memory();
    publish(&hub, &tail, 2);
    tail.append_at(at(7, 5), &NewEvent::new("a", Event::data("7-5"))).unwrap();
    assert_eq!(subscribe(&hub, Some(at(7, 1))).resume_outcome(), ResumeOutcome::Gap { oldest: at(7, 5) });
}

#[test]
fn events_lost_by_history_before_read_are_counted() {
    let log = Shared::default();
    log.keep(&[at(7, 1), at(7, 2), at(7, 3)]);
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new());
    let hub = node(&log, &tail);
    tail.append_at(at(7, 3), &NewEvent::new("a", Event::data("7-3"))).unwrap();
    let subscribe = Subscribe::topic("a").with_policy(SlowConsumerPolicy::SkipToOldest);
    let mut stream = hub.subscribe(subscribe.with_last_event_id(id(at(7, 0)))).unwrap();
    log.0.lock().unwrap().drain(..2);
    let gap = "event: ssekit:gap\nid: 7-2\ndata: {\"reason\":\"slow_consumer\",\"from\":\"7-1\",\"to\":\"7-2\",\"missed\":2}\n\n";
    assert_eq!(all(&mut stream), format!("id: 7-0\n\n{gap}{}", events(7, [3])));
}

#[test]
fn break_before_lost_events_gets_own_gap_event() {
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(1));
    let hub = Hub::with_log(MemoryLog::from(tail.clone()), HubOptions::new());
    publish(&hub, &tail, 1);
    tail.restart_epoch(8).unwrap();
    publish(&hub, &tail, 1);
    let subscribe = Subscribe::topic("a").with_policy(SlowConsumerPolicy::Coalesce).with_start(StartFrom::Oldest);
    let mut stream = hub.subscribe(subscribe).unwrap();
    publish(&hub, &tail, 1);
    let gap = "event: ssekit:gap\nid: 7-0\ndata: {\"reason\":\"slow_consumer\",\"from\":\"8-1\",\"to\":\"8-1\",\"missed\":1}\n\n";
    assert_eq!(all(&mut stream), format!("id: 7-0\n\n{gap}{}{}", replaced(8), events(8, [2])));
}

#[test]
fn client_of_other_history_gets_one_gap_event_with_skipped_offsets() {
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new());
    let hub = Hub::with_log(MemoryLog::from(tail.clone()), HubOptions::new());
    publish(&hub, &tail, 1);
    tail.append_at(at(7, 3), &NewEvent::new("a", Event::data("7-3"))).unwrap();
    let subscribe = Subscribe::topic("a").with_policy(SlowConsumerPolicy::Coalesce);
    let mut stream = hub.subscribe(subscribe.with_last_event_id(id(at(6, 1)))).unwrap();
    let gap = "event: ssekit:gap\nid: 7-0\ndata: {\"reason\":\"epoch_changed\",\"from\":null,\"to\":\"7-2\",\"missed\":null}\n\n";
    assert_eq!(all(&mut stream), format!("{gap}{}{}", events(7, [1]), events(7, [3])));
}

#[test]
fn events_lost_before_break_reported_before_it() {
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(2));
    let hub = Hub::with_log(MemoryLog::from(tail.clone()), HubOptions::new());
    publish(&hub, &tail, 3);
    tail.restart_epoch(8).unwrap();
    publish(&hub, &tail, 2);
    let gap =
        "event: ssekit:gap\nid: 7-3\ndata: {\"reason\":\"retention\",\"from\":\"7-2\",\"to\":\"7-3\",\"missed\":2}\n\n";
    assert_eq!(all(&mut subscribe(&hub, Some(at(7, 1)))), format!("{gap}{}{}", replaced(8), events(8, 1..=2)));
}
