//! A log that goes on in another epoch, with nothing missing or with something, and clients that know more than this process.

mod polled;

use std::io;
use std::sync::{Arc, Mutex};

use ssekit_core::Event;
use ssekit_server::LastEventId;
use ssekit_server::hub::{
    EventMeta, Hub, HubOptions, Log, LoggedEvent, MemoryLog, NewEvent, Position, PublishError, Publishing,
    RecentEvents, ResumeOutcome, RetentionOptions, SlowConsumerPolicy, StartFrom, Subscribe, Subscription,
};

use polled::all;

/// What other processes have published, whether or not this one has heard of it.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<LoggedEvent>>>);

/// A process that shares the log with others: what they have in common, and what this one has in memory.
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
        let outcome = self.recent.append(&event);
        outcome.iter().for_each(|position| self.shared.keep(&[*position]));
        Publishing::done(outcome)
    }

    fn first(&self) -> Option<Position> {
        Some(self.shared.0.lock().unwrap().first().map_or(at(1, 1), |event| event.position))
    }

    async fn read(&self, from: Position) -> io::Result<Vec<LoggedEvent>> {
        let all = self.shared.0.lock().unwrap();
        Ok(all.iter().filter(|event| event.position >= from).take(3).cloned().collect())
    }
}

impl Shared {
    fn keep(&self, positions: &[Position]) {
        self.0.lock().unwrap().extend(positions.iter().map(|position| LoggedEvent {
            position: *position,
            topic: "a".into(),
            key: None,
            event: Some(Event::data(&position.to_string()).into()),
        }));
    }
}

fn at(epoch: u64, offset: u64) -> Position {
    Position { epoch, offset }
}

fn id(position: Position) -> Option<LastEventId> {
    LastEventId::try_from(&*position.to_string()).ok()
}

fn publish(hub: &Hub, tail: &RecentEvents, count: u64) {
    for _ in 0..count {
        let last = tail.last_position();
        let _ = hub.publish("a", Event::data(&at(last.epoch, last.offset + 1).to_string())).now();
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

/// The position that is passed, and the next one.
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
fn nobody_is_told_of_an_epoch_that_goes_on() {
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
    // By an ID of any of them.
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
    // This epoch ended before that.
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
fn each_is_told_where_a_history_was_replaced() {
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
    // What a client may know of an epoch that is not known here has nothing to do with what was before the break.
    let mut stream = subscribe(&hub, Some(at(8, 1)));
    assert_eq!(stream.resume_outcome(), ResumeOutcome::EpochChanged);
    assert_eq!(all(&mut stream), format!("{}{}", replaced(9), events(9, 1..=2)));
    let mut oldest = hub.subscribe(Subscribe::topic("a").with_start(StartFrom::Oldest)).unwrap();
    assert_eq!(all(&mut oldest), format!("id: 7-0\n\n{}{}{}", events(7, 1..=3), replaced(9), events(9, 1..=2)));
    // Twice in a row is once; and with events between them, in its place.
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
fn who_was_too_slow_is_told_of_both_and_none_twice() {
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
    // What is lost reaches beyond the break: it is one gap.
    let mut slow = slow(SlowConsumerPolicy::SkipToOldest);
    all(&mut slow);
    publish(&hub, &tail, 1);
    tail.restart_epoch(9).unwrap();
    publish(&hub, &tail, 3);
    assert_eq!(all(&mut slow), format!("{}{}", gap(at(8, 1), at(9, 1), 2), events(9, 2..=3)));
    assert_eq!(subscribe(&hub, Some(at(8, 0))).resume_outcome(), ResumeOutcome::Gap { oldest: at(9, 2) });
}

#[test]
fn keyed_events_of_before_come_before_the_break() {
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

/// It was served by a process that is further ahead.
#[test]
fn a_client_that_knows_more_is_believed_if_the_history_knows_it_too() {
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
        tail.append_at(at(7, offset), &NewEvent::new("a", Event::data(&format!("7-{offset}")))).unwrap();
    }
    assert_eq!((all(&mut right), all(&mut last)), (events(7, 5..=6), events(7, [6])));
    assert_eq!(all(&mut wrong), events(7, 3..=6));
    // With no history there is nobody to ask.
    assert_eq!(subscribe(&memory().0, Some(at(7, 1))).resume_outcome(), ResumeOutcome::EpochChanged);
}

#[test]
fn a_client_that_knows_more_than_its_epoch_had_is_told() {
    for is_broken in [false, true] {
        let log = Shared::default();
        let tail = RecentEvents::with_epoch(7, RetentionOptions::new());
        let hub = node(&log, &tail);
        publish(&hub, &tail, 2);
        log.keep(&[at(7, 3)]);
        let mut idle = subscribe(&hub, Some(at(7, 2)));
        let mut ahead = [0; 2].map(|_| subscribe(&hub, Some(at(7, 3))));
        assert_eq!((all(&mut ahead[0]), all(&mut idle)), ("id: 7-3\n\n".into(), "id: 7-2\n\n".into()));
        // What they have seen is lost.
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
fn what_is_read_of_the_history_ends_at_a_break() {
    let log = Shared::default();
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(2));
    let hub = node(&log, &tail);
    publish(&hub, &tail, 6);
    tail.continue_epoch(8).unwrap();
    publish(&hub, &tail, 2);
    // Another process has kept less than this one was told of before.
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
fn a_tail_may_begin_in_a_later_epoch() {
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
fn a_place_that_is_left_out_is_missed_by_nobody() {
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
    // What is before it and has not come is missed all the same.
    tail.skip(at(7, 6)).unwrap();
    assert_eq!(all(&mut stream), "END");
    assert!(matches!(subscribe(&hub, Some(at(7, 4))).resume_outcome(), ResumeOutcome::Gap { .. }));
    assert_eq!(subscribe(&hub, Some(at(7, 6))).resume_outcome(), ResumeOutcome::UpToDate);
}

#[test]
fn the_oldest_of_very_many_epochs_are_forgotten_with_their_events() {
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
    assert_eq!((hub.stats().events, keyed.stats().events, keyed.stats().compacted), (63, 1, 62));
    let text = all(&mut slow);
    assert!(text.contains("\"reason\":\"slow_consumer\""), "{text}");
    assert!(text.ends_with(&(45..=106).map(|epoch| events(epoch, [1])).collect::<String>()), "{text}");
    assert_eq!(subscribe(&hub, Some(at(7, 1))).resume_outcome(), ResumeOutcome::EpochChanged);
    assert_eq!(subscribe(&hub, Some(at(106, 1))).resume_outcome(), ResumeOutcome::UpToDate);
    let hub = import(&MemoryLog::from(tail.clone()).export());
    assert_eq!((hub.position(), hub.stats().events), (at(107, 0), 0));
}

#[test]
fn the_present_epoch_is_handed_over() {
    let (hub, tail) = memory();
    publish(&hub, &tail, 3);
    tail.continue_epoch(8).unwrap();
    publish(&hub, &tail, 2);
    let new = import(&MemoryLog::from(tail.clone()).seal());
    let mut stream = subscribe(&new, Some(at(8, 1)));
    assert_eq!(all(&mut stream), format!("id: 8-1\n\n{}", events(8, [2])));
    assert_eq!(subscribe(&new, Some(at(7, 3))).resume_outcome(), ResumeOutcome::EpochChanged);
}

/// What is joined for one that has no break before it is also for one that has: it is told all the same, and at once.
#[test]
fn who_gets_the_bytes_of_another_is_told_of_the_break_behind_them() {
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
    // Also where the events of its topic end before the break.
    hub.publish("b", Event::data("other")).now().unwrap();
    tail.restart_epoch(9).unwrap();
    assert_eq!(all(&mut later), format!("{}{}{}", events(7, 2..=3), replaced(8), replaced(9)));
    assert_eq!(
        all(&mut subscribe(&hub, Some(at(7, 1)))),
        format!("id: 7-1\n\n{}{}{}", events(7, 2..=3), replaced(8), replaced(9))
    );
}

/// Its filter is asked with no lock held.
#[test]
fn an_epoch_that_begins_while_a_page_of_the_history_is_taken_loses_nothing() {
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
    // It gets an event that this epoch did not have in the end.
    assert_eq!(all(&mut stream), format!("id: 7-0\n\n{}{}", events(7, 1..=3), replaced(8)));
    publish(&hub, &tail, 3);
    assert_eq!(all(&mut stream), events(8, 1..=3));
}

#[test]
fn a_history_out_of_order_keeps_nobody_busy_and_doubles_nothing() {
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
fn a_sealed_log_goes_on_in_no_way() {
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

/// With no history, or one that begins behind it.
#[test]
fn who_is_new_starts_behind_a_hole() {
    for (first, trimmed) in [(None, false), (Some(at(7, 5)), true)] {
        let log = Shared::default();
        let tail = RecentEvents::with_epoch(7, RetentionOptions::new());
        let append = |offset| {
            tail.append_at(at(7, offset), &NewEvent::new("a", Event::data(&format!("7-{offset}")))).unwrap();
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
fn the_oldest_that_is_kept_is_where_something_is() {
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
    // One that has less than the tail; one of an epoch that is not known here yet; one that is ahead.
    assert_eq!(
        [at(7, 4), at(7, 6), at(9, 1), at(7, 9)].map(|first| oldest(&[first])),
        [at(7, 4), at(7, 5), at(7, 5), at(7, 5)]
    );
}

#[test]
fn what_is_here_is_not_missed_where_a_history_has_a_hole() {
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

/// Where it stands the history was replaced, and of what came then some is gone.
#[test]
fn who_comes_back_to_a_break_with_a_gap_behind_it_is_told_of_both_at_once() {
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

/// What it has passed over there is not for it, or nothing.
#[test]
fn a_client_that_has_seen_nothing_of_what_is_lost_is_not_told() {
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
fn a_gap_says_what_is_kept_behind_a_hole() {
    let (hub, tail) = memory();
    publish(&hub, &tail, 2);
    tail.append_at(at(7, 5), &NewEvent::new("a", Event::data("7-5"))).unwrap();
    assert_eq!(subscribe(&hub, Some(at(7, 1))).resume_outcome(), ResumeOutcome::Gap { oldest: at(7, 5) });
}

#[test]
fn what_a_history_has_lost_before_it_was_read_is_counted() {
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
fn a_break_before_what_is_missing_is_told_by_itself() {
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
fn who_knows_another_history_is_told_of_a_hole_with_it() {
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
fn what_is_missing_up_to_a_break_is_told_before_it() {
    let tail = RecentEvents::with_epoch(7, RetentionOptions::new().with_max_events(2));
    let hub = Hub::with_log(MemoryLog::from(tail.clone()), HubOptions::new());
    publish(&hub, &tail, 3);
    tail.restart_epoch(8).unwrap();
    publish(&hub, &tail, 2);
    let gap =
        "event: ssekit:gap\nid: 7-3\ndata: {\"reason\":\"retention\",\"from\":\"7-2\",\"to\":\"7-3\",\"missed\":2}\n\n";
    assert_eq!(all(&mut subscribe(&hub, Some(at(7, 1)))), format!("{gap}{}{}", replaced(8), events(8, 1..=2)));
}
