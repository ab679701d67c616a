//! A client of the model: it checks each received block against the naive log.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::Stream;
use ssekit_core::{Decoder, EventId};
use ssekit_server::hub::{Position, ResumeOutcome, SlowConsumerPolicy, StartFrom, Subscription};
use ssekit_server::{CloseReason, EventBody, StreamHandle};

use super::gap_event::GapEvent;
use super::log::{Log, Lost};
use super::operation::Subscriber;

/// The data of the event that a client receives first.
pub(super) const FIRST: &str = "first of all";
/// The reason that a disconnected client receives.
pub(super) const REASON: &str = "out with you";

pub(super) struct Client {
    pub(super) by: Subscriber,
    pub(super) connection: Option<Connection>,
    decoder: Decoder,
    /// The state of the client after each block that it was ever sent.
    seen: Vec<Seen>,
    /// Up to this offset, the client has received its events, or a gap event has reported them.
    at: Option<u64>,
    /// The ranges of offsets that gap events have reported.
    reported: Vec<(u64, u64)>,
}

#[derive(Clone)]
struct Seen {
    last_id: Option<String>,
    /// The number of ranges reported so far.
    reported: usize,
}

/// One stream of a client, and what the client expects of it.
pub(super) struct Connection {
    stream: Option<Pin<Box<dyn Stream<Item = Vec<u8>>>>>,
    pub(super) handle: StreamHandle,
    pub(super) id: u64,
    pub(super) resume: ResumeOutcome,
    /// How the hub disconnected the client, if it did.
    pub(super) kicked: Option<Kick>,
    /// The last offset that a disconnected client receives. `None` if nothing more is for it but the reason.
    ends_after: Option<u64>,
    /// Whether a disconnected client has received its last event, so that only the reason and the end remain.
    has_farewell: bool,
    /// Whether the client was disconnected twice, and its stream may have been at the end of the first.
    is_ambiguous: bool,
    pub(super) is_over: bool,
    /// Whether the client has received the event that stops it from reconnecting.
    is_done: bool,
    /// The waker of a client that has received everything.
    waiting: Option<Arc<Woken>>,
    /// Whether the client must have been woken.
    is_due: bool,
    has_preamble: bool,
    head: VecDeque<Head>,
    /// The client's cursor is within `low..=high`. None of its events is in between.
    low: u64,
    high: u64,
    /// The last offset that a gap event has reported.
    reported_to: u64,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) gaps: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kick {
    /// By its user. The client receives the reason.
    Out,
    /// By a newer stream of its session. The client must not reconnect.
    TakenOver,
}

/// A block before all events.
enum Head {
    First,
    Gap(&'static str, Option<u64>, Lost),
    Resume,
    Position,
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// The start of a stream that the client expects.
struct Start {
    /// See [`Client::at`].
    at: Option<u64>,
    /// See [`Connection::low`].
    range: (u64, u64),
    reported_to: u64,
    gap: Option<Head>,
}

impl Client {
    pub(super) fn new(by: Subscriber, last_id: Option<String>) -> Self {
        let seen = vec![Seen { last_id, reported: 0 }];
        Self { by, connection: None, decoder: Decoder::new(), seen, at: None, reported: Vec::new() }
    }

    pub(super) fn last_id(&self) -> Option<&str> {
        self.seen.last().and_then(|seen| seen.last_id.as_deref())
    }

    /// Disconnects the client. The last `blocks` blocks have not reached it.
    pub(super) fn lose(&mut self, blocks: usize) {
        self.connection = None;
        self.seen.truncate(self.seen.len().saturating_sub(blocks).max(1));
        self.reported.truncate(self.seen.last().map_or(0, |seen| seen.reported));
    }

    /// Connects the client by a subscription that the hub has admitted.
    pub(super) fn connect(&mut self, log: &Log, subscription: Subscription) {
        self.decoder.reconnect();
        let last_id = self.last_id().unwrap_or_default().to_owned();
        self.decoder.set_last_event_id(EventId::new(&last_id).expect("it was one")).expect("it is short");

        let by = self.by;
        let resume = subscription.resume_outcome();
        let Start { at, range, reported_to, gap } = self.start(log, resume);
        self.at = at;
        if at.is_none() {
            // A client without a position has no claim to evicted events.
            self.reported = vec![(0, log.first - 1)];
        }
        let gaps = u64::from(gap.is_some());
        let first = by.has_first.then_some(Head::First);
        let resumed = by.tells_resume.then_some(Head::Resume);
        // Each of the others has an ID too.
        let position = (gap.is_none() && resumed.is_none()).then_some(Head::Position);
        let head = first.into_iter().chain(gap).chain(resumed).chain(position).collect();
        let (id, handle) = (subscription.id(), subscription.handle());
        self.connection = Some(Connection {
            stream: Some(stream(&by, subscription)),
            handle,
            id,
            resume,
            kicked: None,
            ends_after: None,
            has_farewell: false,
            is_ambiguous: false,
            is_over: false,
            is_done: false,
            waiting: None,
            is_due: false,
            has_preamble: by.in_body,
            head,
            low: range.0,
            high: range.1,
            reported_to,
            events: 0,
            bytes: 0,
            gaps,
        });
    }

    /// Checks the outcome of resuming, and says what the client expects.
    fn start(&self, log: &Log, resume: ResumeOutcome) -> Start {
        let lost_to = log.lost(&self.by, 1, true).may.unwrap_or(0);
        let fresh = Start { at: None, range: self.started(log), reported_to: lost_to, gap: None };
        let gap = |reason| Some(Head::Gap(reason, None, Lost::default()));
        match self.last_id().map(str::parse::<Position>) {
            None => {
                assert_eq!(resume, ResumeOutcome::Fresh);
                fresh
            }
            Some(Err(_)) => {
                assert_eq!(resume, ResumeOutcome::Malformed);
                Start { gap: gap("malformed"), ..fresh }
            }
            Some(Ok(seen)) if seen.epoch != log.epoch || seen.offset >= log.next() => {
                assert_eq!(resume, ResumeOutcome::EpochChanged);
                let skips = self.by.policy == SlowConsumerPolicy::SkipToLatest;
                let range = if skips { (log.next(), log.next()) } else { self.oldest(log) };
                Start { at: None, range, reported_to: log.first - 1, gap: gap("epoch_changed") }
            }
            Some(Ok(seen)) => {
                log.check_resume(&self.by, seen.offset, resume);
                self.start_after(log, seen.offset, matches!(resume, ResumeOutcome::Gap { .. }))
            }
        }
    }

    /// The range of the oldest offset available to the client.
    fn oldest(&self, log: &Log) -> (u64, u64) {
        match self.by.policy {
            SlowConsumerPolicy::Coalesce => (1, log.deliverable(&self.by, 1).next().unwrap_or(log.next())),
            _ => (log.first, log.first),
        }
    }

    /// The range that a client without a position starts in.
    fn started(&self, log: &Log) -> (u64, u64) {
        match self.by.start {
            StartFrom::Oldest => self.oldest(log),
            StartFrom::Last(count) => {
                let last = log.last(self.by.pattern, count);
                (last, last)
            }
            _ => (log.next(), log.next()),
        }
    }

    /// The start of a client that has seen this offset, with a gap event if later events are lost.
    fn start_after(&self, log: &Log, seen: u64, has_gap: bool) -> Start {
        let next = seen + 1;
        let start = Start { at: Some(seen), range: (next, next), reported_to: 0, gap: None };
        if !has_gap {
            return start;
        }
        let lost = match self.by.policy {
            SlowConsumerPolicy::SkipToLatest => Lost { must: Some(log.next() - 1), may: Some(log.next() - 1) },
            _ => log.lost(&self.by, next, !log.is_forgetful()),
        };
        let gap = Some(Head::Gap("retention", Some(next), lost));
        if self.by.policy == SlowConsumerPolicy::Coalesce {
            return Start { gap, ..start };
        }
        let after = |lost: Option<u64>| lost.map_or(next, |to| to + 1);
        Start { range: (after(lost.must), after(lost.may)), gap, ..start }
    }

    /// Reads one item, or all items that are ready.
    pub(super) fn poll(&mut self, log: &Log, all: bool) {
        for _ in 0..100 + 2 * log.next() {
            let Some(connection) = self.connection.as_mut().filter(|connection| !connection.is_over) else { return };
            let Some(stream) = &mut connection.stream else { return };
            let woken = Arc::<Woken>::default();
            let polled = stream.as_mut().poll_next(&mut Context::from_waker(&Waker::from(woken.clone())));
            (connection.waiting, connection.is_due) = (None, false);
            match polled {
                Poll::Ready(Some(chunk)) => {
                    self.take(log, &chunk);
                    // A body may have read more than one item.
                    if !all && !self.by.in_body {
                        return;
                    }
                }
                Poll::Ready(None) => return self.check_end(log),
                Poll::Pending if woken.0.load(Ordering::Relaxed) > 0 => {}
                Poll::Pending => return self.check_caught_up(log, woken),
            }
        }
        panic!("the client is woken again and again without an event");
    }

    fn take(&mut self, log: &Log, chunk: &[u8]) {
        let text = std::str::from_utf8(chunk).expect("all of it was");
        let mut dispatched = Vec::new();
        for block in text.split_inclusive("\n\n") {
            assert!(block.ends_with("\n\n"), "half an event: {block:?}");
            dispatched.extend(self.block(log, block));
        }
        let mut rest = chunk;
        let mut decoded = Vec::new();
        while let Some(event) = self.decoder.next_event(&mut rest).expect("none is too large") {
            decoded.push(event.data.to_owned());
        }
        assert_eq!(decoded, dispatched);
        assert_eq!(self.decoder.last_event_id(), self.last_id().unwrap_or_default());
    }

    /// Checks a block. Returns the data of the event that is dispatched for it.
    fn block(&mut self, log: &Log, block: &str) -> Option<String> {
        let id = block.lines().find_map(|line| line.strip_prefix("id: "));
        let last_id = id.or(self.last_id()).map(str::to_owned);
        let data = self.meaning(log, block, id.and_then(|id| id.parse().ok()));
        self.seen.push(Seen { last_id, reported: self.reported.len() });
        data
    }

    fn meaning(&mut self, log: &Log, block: &str, id: Option<Position>) -> Option<String> {
        let connection = self.connection.as_mut().expect("it is connected");
        if std::mem::take(&mut connection.has_preamble) {
            assert_eq!(block, ": \n\n");
            return None;
        }
        if connection.kicked.is_some() && (connection.ends_after.is_none() || is_farewell(block)) {
            if !connection.has_farewell {
                self.check_complete(log);
            }
            return self.connection.as_mut().expect("it is connected").farewell(block);
        }
        let offset = id.map(|id| {
            assert_eq!(id.epoch, log.epoch);
            id.offset
        });
        if let Some(head) = connection.head.pop_front() {
            return self.head(log, head, block, id);
        }
        if block.starts_with("event: ssekit:gap\n") {
            let gap = GapEvent::new(log, block, offset);
            return Some(self.gap_while_reading(log, &gap));
        }
        self.event(log, block)
    }

    /// Checks a block before all events.
    fn head(&mut self, log: &Log, head: Head, block: &str, id: Option<Position>) -> Option<String> {
        let connection = self.connection.as_mut().expect("it is connected");
        match head {
            Head::First => {
                assert_eq!(block, format!("data: {FIRST}\n\n"));
                Some(FIRST.to_owned())
            }
            Head::Resume => {
                let json = connection.resume.to_json();
                let id = id.expect("it has one");
                assert_eq!(block, format!("event: ssekit:resume\nid: {id}\ndata: {json}\n\n"));
                self.starts_after(log, id.offset);
                Some(json)
            }
            Head::Position => {
                let id = id.expect("it has one");
                assert_eq!(block, format!("id: {id}\n\n"));
                self.starts_after(log, id.offset);
                None
            }
            Head::Gap(reason, from, to) => {
                let gap = GapEvent::new(log, block, id.map(|id| id.offset));
                Some(self.gap_at_start(log, &gap, (reason, from, to)))
            }
        }
    }

    /// Checks an event: it must be the client's next one.
    fn event(&mut self, log: &Log, block: &str) -> Option<String> {
        let connection = self.connection.as_mut().expect("it is connected");
        let lost = log.lost(&self.by, connection.high, true).must.filter(|lost| *lost > connection.reported_to);
        assert_eq!(lost, None, "this offset is lost and was not reported before {block:?}");
        let last = connection.ends_after.unwrap_or(u64::MAX);
        let expected = match connection.ends_after {
            // Newer events of its keys are not for it, so it also receives superseded ones, if they are in memory.
            Some(_) if self.by.policy == SlowConsumerPolicy::Coalesce => {
                let mut kept = log.kept(&self.by, connection.high).take_while(|offset| *offset <= last);
                kept.find(|offset| log.event(*offset).wire == block || !log.is_superseded(*offset))
            }
            _ => log.deliverable(&self.by, connection.high).next().filter(|offset| *offset <= last),
        };
        let expected =
            expected.unwrap_or_else(|| panic!("there is no event for the client, and it receives {block:?}"));
        let event = log.event(expected);
        assert!(block == event.wire, "{:.80?} instead of {:.80?}", block, event.wire);
        connection.low = expected + 1;
        connection.high = match connection.ends_after {
            Some(_) => expected + 1,
            None => log.deliverable(&self.by, expected + 1).next().unwrap_or(log.next()),
        };
        connection.events += 1;
        connection.bytes += block.len() as u64;
        self.advance(log, expected - 1);
        self.at = Some(expected);
        event.data.clone()
    }

    /// Checks a gap event before all events.
    fn gap_at_start(&mut self, log: &Log, gap: &GapEvent<'_>, expected: (&str, Option<u64>, Lost)) -> String {
        let connection = self.connection.as_mut().expect("it is connected");
        let GapEvent { block, to, missed, id, .. } = *gap;
        let (reason, since, lost) = expected;
        assert_eq!((&*gap.reason, gap.from), (reason, since), "{block:?}");
        if let Some(from) = since {
            let is_right = lost.must.unwrap_or(from) <= to && lost.may.is_some_and(|may| to <= may);
            assert!(is_right, "{block:?}: {lost:?}");
            gap.check_missed(log.count_lost(&self.by, from, to), from);
            connection.reported_to = to;
            self.reported.push((from, to));
        } else {
            assert_eq!(missed, None);
            self.reported.push((0, to));
        }
        let coalesces = self.by.policy == SlowConsumerPolicy::Coalesce;
        let expected = if coalesces || since.is_none() { connection.low..=connection.high } else { to + 1..=to + 1 };
        assert!(expected.contains(&(id + 1)), "the client continues after {id}: {block:?}");
        (connection.low, connection.high) = (id + 1, id + 1);
        self.advance(log, id);
        gap.data().to_owned()
    }

    /// Checks a gap event among the events: the client was too slow.
    fn gap_while_reading(&mut self, log: &Log, gap: &GapEvent<'_>) -> String {
        let connection = self.connection.as_mut().expect("it is connected");
        let GapEvent { block, to, id, .. } = *gap;
        assert!(self.by.policy != SlowConsumerPolicy::Disconnect || connection.kicked.is_some());
        assert_eq!(gap.reason, "slow_consumer");
        let from = gap.from.expect("it is known");
        let Lost { must, may } = log.lost(&self.by, connection.low, !log.is_forgetful());
        let reported_to = connection.reported_to;
        let may = may.filter(|may| *may > reported_to).unwrap_or_else(|| panic!("a gap without an event: {block:?}"));
        let forgotten = if log.is_forgetful() { log.first } else { 0 };
        let expected = connection.low.max(reported_to + 1)..=connection.high.max(reported_to + 1).max(forgotten);
        assert!(expected.contains(&from), "{block:?}, from {expected:?}");
        let expected = match self.by.policy {
            SlowConsumerPolicy::SkipToLatest => log.next() - 1..=log.next() - 1,
            _ => must.unwrap_or(0)..=may,
        };
        assert!(expected.contains(&to), "{block:?}, to {expected:?}");
        let coalesces = self.by.policy == SlowConsumerPolicy::Coalesce;
        if coalesces || self.by.filter.is_some() {
            gap.check_missed(log.count_lost(&self.by, from, to), from);
        } else {
            assert_eq!(gap.missed, Some(log.count(self.by.pattern, from, to)), "{block:?}");
        }
        connection.reported_to = to;
        connection.gaps += 1;
        if coalesces {
            assert!((connection.low..=connection.high).contains(&(id + 1)), "{block:?}");
        } else {
            assert_eq!(id, to);
            (connection.low, connection.high) = (to + 1, to + 1);
        }
        self.reported.push((from, to));
        self.advance(log, id);
        gap.data().to_owned()
    }

    /// The client receives the position that it starts after.
    fn starts_after(&mut self, log: &Log, offset: u64) {
        let connection = self.connection.as_mut().expect("it is connected");
        let cursor = offset + 1;
        assert!((connection.low..=connection.high).contains(&cursor), "the client starts at {cursor}");
        (connection.low, connection.high) = (cursor, cursor);
        self.advance(log, offset);
    }

    /// The client now resumes after this offset. So it has received all its events before, or they were reported.
    fn advance(&mut self, log: &Log, to: u64) {
        let at = *self.at.get_or_insert(to);
        assert!(at <= to, "the client has {at} and resumes after {to}");
        self.check(log, at + 1, to);
        self.at = Some(to);
    }

    fn check(&self, log: &Log, from: u64, to: u64) {
        let coalesces = self.by.policy == SlowConsumerPolicy::Coalesce;
        for offset in (from..=to).filter(|offset| log.is_wanted(&self.by, *offset)) {
            let is_reported = self.reported.iter().any(|(from, to)| (from..=to).contains(&&offset));
            // The newest event of the key is checked instead.
            let is_superseded = coalesces && log.is_superseded(offset);
            assert!(is_reported || is_superseded, "{offset} is missing and was not reported");
        }
    }

    /// Checks that a disconnected client has received the events before its end.
    fn check_complete(&mut self, log: &Log) {
        let connection = self.connection.as_mut().expect("it is connected");
        connection.has_farewell = true;
        let Some(last) = connection.ends_after else { return };
        assert!(connection.head.is_empty(), "a disconnected client knows where it started");
        let is_lost = |lost: &u64| *lost > connection.reported_to && *lost <= last;
        assert_eq!(log.lost(&self.by, connection.high, true).must.filter(is_lost), None, "lost and not reported");
        let missing = log.deliverable(&self.by, connection.high).find(|offset| *offset <= last);
        assert_eq!(missing, None, "a client ends before this event");
        if let Some(at) = self.at {
            self.check(log, at + 1, last);
        }
    }

    /// Checks that a client whose stream is pending has received all its events.
    fn check_caught_up(&mut self, log: &Log, woken: Arc<Woken>) {
        let connection = self.connection.as_mut().expect("it is connected");
        assert!(connection.head.is_empty());
        assert_eq!(connection.kicked, None, "a disconnected client waits");
        let lost = log.lost(&self.by, connection.high, true).must.filter(|lost| *lost > connection.reported_to);
        assert_eq!(lost, None, "a client waits that has lost this offset");
        assert_eq!(
            log.deliverable(&self.by, connection.high).next(),
            None,
            "a client waits that there is an event for"
        );
        connection.high = log.next();
        connection.waiting = Some(woken);
        if let Some(at) = self.at {
            self.check(log, at + 1, log.next() - 1);
        }
    }

    /// Checks the reason of the end of the stream.
    fn check_end(&mut self, log: &Log) {
        let connection = self.connection.as_mut().expect("it is connected");
        connection.is_over = true;
        let expected = match connection.kicked {
            Some(kick) => {
                assert!(connection.is_ambiguous || connection.is_done == (kick == Kick::TakenOver));
                assert!(connection.has_farewell, "a client ends without its last events");
                CloseReason::Disconnected
            }
            None => {
                assert!(connection.head.is_empty());
                assert_eq!(self.by.policy, SlowConsumerPolicy::Disconnect, "the stream has ended");
                let lost = log.lost(&self.by, connection.low, !log.is_forgetful());
                assert!(lost.may.is_some(), "the stream of a client has ended that has lost no event");
                CloseReason::SlowConsumer
            }
        };
        assert_eq!(connection.handle.close_reason(), Some(expected));
    }
}

impl Connection {
    /// The hub disconnects the client: after this offset, or at once. Only the first call counts, but for one at once.
    pub(super) fn kick(&mut self, how: Kick, ends_after: Option<u64>) {
        if self.kicked.is_none() || ends_after.is_none() && !self.has_farewell {
            self.is_ambiguous = self.kicked.is_some_and(|kick| kick != how);
            (self.kicked, self.ends_after) = (Some(how), ends_after);
        }
        self.expect_wake();
    }

    /// Checks a block after the hub has disconnected the client.
    fn farewell(&mut self, block: &str) -> Option<String> {
        if block == "id: ssekit:done\n\n" {
            self.is_done = true;
            return None;
        }
        assert_eq!(block, format!("event: ssekit:disconnect\ndata: {REASON}\n\n"));
        Some(REASON.to_owned())
    }

    /// Records that the client must be woken, if it waits.
    pub(super) fn expect_wake(&mut self) {
        self.is_due = true;
    }

    /// Checks that a waiting client was woken if, and only if, there is an event or an end for it.
    pub(super) fn check_woken(&self) {
        if let Some(woken) = &self.waiting {
            let wakes = woken.0.load(Ordering::Relaxed);
            assert_eq!(wakes > 0, self.is_due, "woken {wakes} times");
        }
    }

    /// The number of unread events, if it is known.
    pub(super) fn lag(&self, by: &Subscriber, log: &Log) -> Option<u64> {
        let is_known = by.policy != SlowConsumerPolicy::Coalesce && by.filter.is_none() && self.head.is_empty();
        is_known.then(|| log.count(by.pattern, self.low.max(log.first), log.next()))
    }
}

/// Whether a block is the last one of a client that the hub has disconnected.
fn is_farewell(block: &str) -> bool {
    block.starts_with("event: ssekit:disconnect\n") || block == "id: ssekit:done\n\n"
}

fn stream(by: &Subscriber, subscription: Subscription) -> Pin<Box<dyn Stream<Item = Vec<u8>>>> {
    use futures_util::StreamExt;

    if by.in_body {
        // Without timers.
        let body: EventBody<_> = subscription.into_body().without_keep_alive().without_stall_timeout();
        Box::pin(body.map(|chunk| chunk.expect("it has no error").to_vec()))
    } else {
        Box::pin(subscription.map(|frame| frame.as_bytes().to_vec()))
    }
}
