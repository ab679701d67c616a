//! A client: what it is sent, held against the log, and what it then has.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::Stream;
use serde_json::Value;
use ssekit_core::{Decoder, EventId};
use ssekit_server::hub::{Position, ResumeOutcome, SlowConsumerPolicy, StartFrom, Subscription};
use ssekit_server::{CloseReason, EventBody, StreamHandle};

use super::log::{Log, Lost};
use super::operation::Subscriber;

/// What the event before all others has as its data.
pub(super) const FIRST: &str = "first of all";
/// What a client is told that is disconnected.
pub(super) const REASON: &str = "out with you";

pub(super) struct Client {
    pub(super) by: Subscriber,
    pub(super) connection: Option<Connection>,
    decoder: Decoder,
    /// What each block has left it with, of all that it was ever sent.
    seen: Vec<Seen>,
    /// Up to where it has all events, or was told that it has not.
    at: Option<u64>,
    told: Vec<(u64, u64)>,
}

#[derive(Clone)]
struct Seen {
    last_id: Option<String>,
    told: usize,
}

/// A client's stream, and where it stands.
pub(super) struct Connection {
    stream: Option<Pin<Box<dyn Stream<Item = Vec<u8>>>>>,
    pub(super) handle: StreamHandle,
    pub(super) id: u64,
    pub(super) resume: ResumeOutcome,
    /// It was asked to end; what it is told then.
    pub(super) kicked: Option<Kick>,
    pub(super) is_over: bool,
    /// It was told not to come back.
    is_done: bool,
    /// It has all there is, and is to be woken.
    waiting: Option<Arc<Woken>>,
    is_due: bool,
    has_preamble: bool,
    head: VecDeque<Head>,
    /// It needs events from here on, or from some offset up to `high`: nothing is for it in between.
    low: u64,
    high: u64,
    told_to: u64,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) gaps: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kick {
    /// It is told why.
    Out,
    /// It is told not to come back.
    TakenOver,
}

/// What comes before all events.
enum Head {
    First,
    Gap(&'static str, Option<u64>, Lost),
    ResumeOutcome,
    Position,
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Client {
    pub(super) fn new(by: Subscriber, last_id: Option<String>) -> Self {
        let seen = vec![Seen { last_id, told: 0 }];
        Self { by, connection: None, decoder: Decoder::new(), seen, at: None, told: Vec::new() }
    }

    pub(super) fn last_id(&self) -> Option<&str> {
        self.seen.last().and_then(|seen| seen.last_id.as_deref())
    }

    /// It is cut off, and the last so many blocks have not reached it.
    pub(super) fn lose(&mut self, blocks: usize) {
        self.connection = None;
        self.seen.truncate(self.seen.len().saturating_sub(blocks).max(1));
        self.told.truncate(self.seen.last().map_or(0, |seen| seen.told));
    }

    /// It is one of the hub's.
    pub(super) fn connect(&mut self, log: &Log, subscription: Subscription) {
        self.decoder.reconnect();
        let last_id = self.last_id().unwrap_or_default().to_owned();
        self.decoder.set_last_event_id(EventId::new(&last_id).expect("it was one")).expect("it is short");

        let by = self.by;
        let resume = subscription.resume_outcome();
        let coalesces = by.policy == SlowConsumerPolicy::Coalesce;
        let oldest =
            if coalesces { (1, log.deliverable(&by, 1).next().unwrap_or(log.next())) } else { (log.first, log.first) };
        let next = (log.next(), log.next());
        let started = match by.start {
            StartFrom::Oldest => oldest,
            StartFrom::Last(count) => {
                let last = log.last(by.pattern, count);
                (last, last)
            }
            _ => next,
        };
        self.at = None;
        // Whoever wants what is kept has not lost what is not.
        let excused = log.first - 1;
        let mut gap = None;
        let (mut range, mut told_to) = (started, log.lost(&by, 1, true).may.unwrap_or(0));
        match self.last_id().map(str::parse::<Position>) {
            None => assert_eq!(resume, ResumeOutcome::Fresh),
            Some(Err(_)) => {
                assert_eq!(resume, ResumeOutcome::Malformed);
                gap = Some(Head::Gap("malformed", None, Lost::default()));
            }
            Some(Ok(seen)) if seen.epoch != log.epoch || seen.offset >= log.next() => {
                assert_eq!(resume, ResumeOutcome::EpochChanged);
                gap = Some(Head::Gap("epoch_changed", None, Lost::default()));
                told_to = excused;
                range = if by.policy == SlowConsumerPolicy::SkipToLatest { next } else { oldest };
            }
            Some(Ok(seen)) => {
                log.check_resume(&by, seen.offset, resume);
                (self.at, told_to) = (Some(seen.offset), 0);
                range = (seen.offset + 1, seen.offset + 1);
                if matches!(resume, ResumeOutcome::Gap { .. }) {
                    let lost = log.lost(&by, seen.offset + 1, !log.is_forgetful());
                    let to = match by.policy {
                        SlowConsumerPolicy::SkipToLatest => {
                            Lost { must: Some(log.next() - 1), may: Some(log.next() - 1) }
                        }
                        _ => lost,
                    };
                    if !coalesces {
                        range = (to.must.map_or(range.0, |to| to + 1), to.may.map_or(range.0, |to| to + 1));
                    }
                    gap = Some(Head::Gap("retention", Some(seen.offset + 1), to));
                }
            }
        }
        if self.at.is_none() {
            self.told = vec![(0, excused)];
        }
        let gaps = u64::from(gap.is_some());
        let first = by.has_first.then_some(Head::First);
        let told = by.tells_resume.then_some(Head::ResumeOutcome);
        // Either says where it is; else a block with an ID alone does.
        let position = (gap.is_none() && told.is_none()).then_some(Head::Position);
        let head = first.into_iter().chain(gap).chain(told).chain(position).collect();
        let (id, handle) = (subscription.id(), subscription.handle());
        self.connection = Some(Connection {
            stream: Some(stream(&by, subscription)),
            handle,
            id,
            resume,
            kicked: None,
            is_over: false,
            is_done: false,
            waiting: None,
            is_due: false,
            has_preamble: by.in_body,
            head,
            low: range.0,
            high: range.1,
            told_to,
            events: 0,
            bytes: 0,
            gaps,
        });
    }

    /// Reads one item, or all there is.
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
                    // A body may have read ahead.
                    if !all && !self.by.in_body {
                        return;
                    }
                }
                Poll::Ready(None) => return self.is_over(log),
                Poll::Pending if woken.0.load(Ordering::Relaxed) > 0 => {}
                Poll::Pending => return self.has_all(log, woken),
            }
        }
        panic!("it is woken again and again, for nothing");
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

    /// Takes a block, and says what is dispatched for it.
    fn block(&mut self, log: &Log, block: &str) -> Option<String> {
        let id = block.lines().find_map(|line| line.strip_prefix("id: "));
        let last_id = id.or(self.last_id()).map(str::to_owned);
        let data = self.meaning(log, block, id.and_then(|id| id.parse().ok()));
        self.seen.push(Seen { last_id, told: self.told.len() });
        data
    }

    fn meaning(&mut self, log: &Log, block: &str, id: Option<Position>) -> Option<String> {
        let connection = self.connection.as_mut().expect("it is connected");
        if std::mem::take(&mut connection.has_preamble) {
            assert_eq!(block, ": \n\n");
            return None;
        }
        if connection.kicked.is_some() {
            if block == "id: ssekit:done\n\n" {
                connection.is_done = true;
                return None;
            }
            assert_eq!(block, format!("event: ssekit:disconnect\ndata: {REASON}\n\n"));
            return Some(REASON.to_owned());
        }
        let offset = id.map(|id| {
            assert_eq!(id.epoch, log.epoch);
            id.offset
        });
        match connection.head.pop_front() {
            Some(Head::First) => {
                assert_eq!(block, format!("data: {FIRST}\n\n"));
                return Some(FIRST.to_owned());
            }
            Some(Head::ResumeOutcome) => {
                let json = connection.resume.to_json();
                let id = id.expect("it has one");
                assert_eq!(block, format!("event: ssekit:resume\nid: {id}\ndata: {json}\n\n"));
                self.starts_behind(log, id.offset);
                return Some(json);
            }
            Some(Head::Position) => {
                let id = id.expect("it has one");
                assert_eq!(block, format!("id: {id}\n\n"));
                self.starts_behind(log, id.offset);
                return None;
            }
            Some(Head::Gap(reason, from, to)) => return Some(self.gap(log, block, offset, Some((reason, from, to)))),
            None => {}
        }
        if block.starts_with("event: ssekit:gap\n") {
            return Some(self.gap(log, block, offset, None));
        }

        let lost = log.lost(&self.by, connection.high, true).must.filter(|lost| *lost > connection.told_to);
        assert_eq!(lost, None, "it has lost that, and gets {block:?}");
        let expected = log.deliverable(&self.by, connection.high).next();
        let expected = expected.unwrap_or_else(|| panic!("there is nothing for it, and it gets {block:?}"));
        let event = log.event(expected);
        assert!(block == event.wire, "{:.80?} instead of {:.80?}", block, event.wire);
        connection.low = expected + 1;
        connection.high = log.deliverable(&self.by, expected + 1).next().unwrap_or(log.next());
        connection.events += 1;
        connection.bytes += block.len() as u64;
        self.advance(log, expected - 1);
        self.at = Some(expected);
        event.data.clone()
    }

    /// It is told of a gap: before all events, or amid them.
    fn gap(&mut self, log: &Log, block: &str, id: Option<u64>, head: Option<(&str, Option<u64>, Lost)>) -> String {
        let connection = self.connection.as_mut().expect("it is connected");
        let data = block.lines().find_map(|line| line.strip_prefix("data: ")).expect("it has data");
        let json: Value = serde_json::from_str(data).expect("it is JSON");
        let offset = |name: &str| {
            let position = json[name].as_str().map(|text| text.parse::<Position>().expect("it is a position"))?;
            assert_eq!(position.epoch, log.epoch);
            Some(position.offset)
        };
        let (id, to) = (id.expect("it has an ID"), offset("to").expect("it has an end"));
        let (reason, from, missed) = (json["reason"].as_str(), offset("from"), json["missed"].as_u64());
        let coalesces = self.by.policy == SlowConsumerPolicy::Coalesce;
        if let Some((expected, since, lost)) = head {
            assert_eq!((reason, from), (Some(expected), since), "{block:?}");
            if let Some(from) = since {
                let missed = missed.expect("it is known");
                let is_right = lost.must.unwrap_or(from) <= to && lost.may.is_some_and(|may| to <= may);
                assert!(is_right, "{block:?}: {lost:?}");
                let lost = log.count_lost(&self.by, from, to);
                assert!((lost..=to - from + 1).contains(&missed), "{missed} missed, of {lost}");
                connection.told_to = to;
                self.told.push((from, to));
            } else {
                assert_eq!(missed, None);
                self.told.push((0, to));
            }
            let expected =
                if coalesces || since.is_none() { connection.low..=connection.high } else { to + 1..=to + 1 };
            assert!(expected.contains(&(id + 1)), "it goes on behind {id}: {block:?}");
            (connection.low, connection.high) = (id + 1, id + 1);
        } else {
            assert_ne!(self.by.policy, SlowConsumerPolicy::Disconnect);
            assert_eq!(reason, Some("slow_consumer"));
            let Lost { must, may } = log.lost(&self.by, connection.low, !log.is_forgetful());
            let told_to = connection.told_to;
            let may = may.filter(|may| *may > told_to).unwrap_or_else(|| panic!("a gap of nothing: {block:?}"));
            let from = from.expect("it is known");
            let forgotten = if log.is_forgetful() { log.first } else { 0 };
            let expected = connection.low.max(told_to + 1)..=connection.high.max(told_to + 1).max(forgotten);
            assert!(expected.contains(&from), "{block:?}, from {expected:?}");
            let expected = match self.by.policy {
                SlowConsumerPolicy::SkipToLatest => log.next() - 1..=log.next() - 1,
                _ => must.unwrap_or(0)..=may,
            };
            assert!(expected.contains(&to), "{block:?}, to {expected:?}");
            let missed = missed.expect("it is known");
            if coalesces || self.by.filter.is_some() {
                let lost = log.count_lost(&self.by, from, to);
                assert!((lost..=to - from + 1).contains(&missed), "{block:?}: {lost} lost");
            } else {
                assert_eq!(missed, log.count(self.by.pattern, from, to), "{block:?}");
            }
            connection.told_to = to;
            connection.gaps += 1;
            if coalesces {
                assert!((connection.low..=connection.high).contains(&(id + 1)), "{block:?}");
            } else {
                assert_eq!(id, to);
                (connection.low, connection.high) = (to + 1, to + 1);
            }
            self.told.push((from, to));
        }
        self.advance(log, id);
        data.to_owned()
    }

    /// It is told where it is.
    fn starts_behind(&mut self, log: &Log, offset: u64) {
        let connection = self.connection.as_mut().expect("it is connected");
        let cursor = offset + 1;
        assert!((connection.low..=connection.high).contains(&cursor), "it starts at {cursor}");
        (connection.low, connection.high) = (cursor, cursor);
        self.advance(log, offset);
    }

    /// It comes back to behind this offset if it is cut off now. So it has all before, or was told that it has not.
    fn advance(&mut self, log: &Log, to: u64) {
        let at = *self.at.get_or_insert(to);
        assert!(at <= to, "it has {at}, and comes back to {to}");
        self.check(log, at + 1, to);
        self.at = Some(to);
    }

    fn check(&self, log: &Log, from: u64, to: u64) {
        let coalesces = self.by.policy == SlowConsumerPolicy::Coalesce;
        for offset in (from..=to).filter(|offset| log.is_wanted(&self.by, *offset)) {
            let is_told = self.told.iter().any(|(from, to)| (from..=to).contains(&&offset));
            // The newest is not, and is checked when it is its turn.
            let is_superseded = coalesces && log.is_superseded(offset);
            assert!(is_told || is_superseded, "it goes without {offset}, untold");
        }
    }

    /// There is no more for it.
    fn has_all(&mut self, log: &Log, woken: Arc<Woken>) {
        let connection = self.connection.as_mut().expect("it is connected");
        assert!(connection.head.is_empty());
        assert_eq!(connection.kicked, None, "it was disconnected, and waits");
        let lost = log.lost(&self.by, connection.high, true).must.filter(|lost| *lost > connection.told_to);
        assert_eq!(lost, None, "it has lost that, and waits");
        assert_eq!(log.deliverable(&self.by, connection.high).next(), None, "there is that for it, and it waits");
        connection.high = log.next();
        connection.waiting = Some(woken);
        if let Some(at) = self.at {
            self.check(log, at + 1, log.next() - 1);
        }
    }

    fn is_over(&mut self, log: &Log) {
        let connection = self.connection.as_mut().expect("it is connected");
        connection.is_over = true;
        let expected = match connection.kicked {
            Some(kick) => {
                assert_eq!(connection.is_done, kick == Kick::TakenOver);
                CloseReason::Disconnected
            }
            None => {
                assert!(connection.head.is_empty());
                assert_eq!(self.by.policy, SlowConsumerPolicy::Disconnect, "it has ended");
                let lost = log.lost(&self.by, connection.low, !log.is_forgetful());
                assert!(lost.may.is_some(), "it has lost nothing, and has ended");
                CloseReason::SlowConsumer
            }
        };
        assert_eq!(connection.handle.close_reason(), Some(expected));
    }
}

impl Connection {
    /// There is something new for it.
    pub(super) fn is_due(&mut self) {
        self.is_due = true;
    }

    /// Who waits is woken when there is something new, and only then.
    pub(super) fn check_woken(&self) {
        if let Some(woken) = &self.waiting {
            let wakes = woken.0.load(Ordering::Relaxed);
            assert_eq!(wakes > 0, self.is_due, "woken {wakes} times");
        }
    }

    /// How many events wait for it, if that is known.
    pub(super) fn lag(&self, by: &Subscriber, log: &Log) -> Option<u64> {
        let is_known = by.policy != SlowConsumerPolicy::Coalesce && by.filter.is_none() && self.head.is_empty();
        is_known.then(|| log.count(by.pattern, self.low.max(log.first), log.next()))
    }
}

fn stream(by: &Subscriber, subscription: Subscription) -> Pin<Box<dyn Stream<Item = Vec<u8>>>> {
    use futures_util::StreamExt;

    if by.in_body {
        // With nothing that goes by the clock.
        let body: EventBody<_> = subscription.into_body().without_keep_alive().without_stall_timeout();
        Box::pin(body.map(|chunk| chunk.expect("it has no error").to_vec()))
    } else {
        Box::pin(subscription.map(|frame| frame.as_bytes().to_vec()))
    }
}
