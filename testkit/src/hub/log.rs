//! The naive log: all events ever published, and the offsets that a hub keeps.

use std::collections::BTreeSet;

use ssekit_server::hub::{ResumeOutcome, SlowConsumerPolicy};

use super::operation::{Limits, Pattern, Subscriber, passes};

/// A published event.
pub(super) struct Published {
    pub(super) topic: &'static str,
    pub(super) key: Option<&'static str>,
    /// The time of its publication, in milliseconds.
    pub(super) at: u64,
    /// The bytes on the wire, with the ID.
    pub(super) wire: String,
    /// The data of the dispatched event. A comment dispatches no event.
    pub(super) data: Option<String>,
}

pub(super) struct Log {
    pub(super) epoch: u64,
    pub(super) limits: Limits,
    /// All events. The event with offset `n` is at index `n - 1`.
    events: Vec<Published>,
    /// The oldest offset in the log, or the next one if the log is empty.
    pub(super) first: u64,
    /// The older offsets that are retained as the newest of their key.
    pub(super) compacted: BTreeSet<u64>,
    /// The offsets that were dropped without a newer event of their key.
    lost: BTreeSet<u64>,
    pub(super) now: u64,
}

/// The last lost offset of a client. A gap event has to report `must`, and is allowed to report `may`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    pub(super) must: Option<u64>,
    pub(super) may: Option<u64>,
}

impl Log {
    pub(super) fn new(limits: Limits) -> Self {
        let (compacted, lost) = (BTreeSet::new(), BTreeSet::new());
        Self { epoch: 0, limits, events: Vec::new(), first: 1, compacted, lost, now: 0 }
    }

    pub(super) fn next(&self) -> u64 {
        self.events.len() as u64 + 1
    }

    pub(super) fn event(&self, offset: u64) -> &Published {
        &self.events[offset as usize - 1]
    }

    pub(super) fn push(&mut self, event: Published) {
        if event.key.is_some() {
            let is_same = |old: &Published| old.topic == event.topic && old.key == event.key;
            let old = self.compacted.iter().copied().find(|offset| is_same(self.event(*offset)));
            old.map(|old| self.compacted.remove(&old));
        }
        self.events.push(event);
        self.evict();
    }

    /// Evicts the oldest events over the limits. The newest event of a key is retained, within the same limits once more.
    pub(super) fn evict(&mut self) {
        let is_old = |log: &Self, offset| log.limits.age.is_some_and(|age| log.now - log.event(offset).at > age);
        while self.next() - self.first > self.limits.events as u64
            || self.bytes(self.first..self.next()) > self.limits.bytes
            || self.first < self.next() && is_old(self, self.first)
        {
            let offset = self.first;
            self.first += 1;
            if self.event(offset).key.is_none() {
                self.lost.insert(offset);
            } else if !self.is_superseded(offset) {
                self.compacted.insert(offset);
            }
        }
        while self.compacted.len() > self.limits.keys
            || self.bytes(self.compacted.iter().copied()) > self.limits.bytes
            || self.compacted.first().is_some_and(|offset| is_old(self, *offset))
        {
            self.lost.extend(self.compacted.pop_first());
        }
    }

    pub(super) fn bytes(&self, offsets: impl IntoIterator<Item = u64>) -> usize {
        offsets.into_iter().map(|offset| self.event(offset).wire.len()).sum()
    }

    /// Whether the key of this event has a newer event.
    pub(super) fn is_superseded(&self, offset: u64) -> bool {
        let event = self.event(offset);
        let is_same = |other: &Published| other.topic == event.topic && other.key == event.key;
        event.key.is_some() && self.events[offset as usize..].iter().any(is_same)
    }

    pub(super) fn is_in(&self, pattern: Pattern, offset: u64) -> bool {
        is_in(pattern, self.event(offset).topic)
    }

    /// Whether an event passes a subscriber's topics and filter.
    pub(super) fn is_wanted(&self, by: &Subscriber, offset: u64) -> bool {
        let event = self.event(offset);
        is_in(by.pattern, event.topic) && passes(by.filter, event.topic, event.key, offset)
    }

    /// The offsets from one on that the hub has for a subscriber, superseded ones included.
    pub(super) fn kept(&self, by: &Subscriber, from: u64) -> impl Iterator<Item = u64> {
        let coalesces = by.policy == SlowConsumerPolicy::Coalesce;
        (from..self.next()).filter(move |offset| {
            let is_kept = *offset >= self.first || coalesces && self.compacted.contains(offset);
            is_kept && self.is_wanted(by, *offset)
        })
    }

    /// The offsets that a subscriber receives from an offset on, in order.
    pub(super) fn deliverable(&self, by: &Subscriber, from: u64) -> impl Iterator<Item = u64> {
        let coalesces = by.policy == SlowConsumerPolicy::Coalesce;
        self.kept(by, from).filter(move |offset| !(coalesces && self.is_superseded(*offset)))
    }

    /// Counts the events of a pattern in a range.
    pub(super) fn count(&self, pattern: Pattern, from: u64, to: u64) -> u64 {
        (from..=to.min(self.next() - 1)).filter(|offset| self.is_in(pattern, *offset)).count() as u64
    }

    /// The offset where the last `count` events of a pattern begin.
    pub(super) fn last(&self, pattern: Pattern, count: usize) -> u64 {
        let last = (self.first..self.next()).rev().filter(|offset| self.is_in(pattern, *offset)).take(count);
        last.last().unwrap_or(self.next())
    }

    /// The last offsets from `from` on that a subscriber has lost.
    ///
    /// Unless `is_exact`, the hub may have forgotten a topic, and then reports all evicted offsets.
    pub(super) fn lost(&self, by: &Subscriber, from: u64, is_exact: bool) -> Lost {
        let mut range = (from..self.first).rev();
        let lost = if by.policy == SlowConsumerPolicy::Coalesce {
            let mut lost = (from..self.first).rev();
            let is_lost = |offset: u64| self.lost.contains(&offset) && self.is_in(by.pattern, offset);
            Lost {
                // A lost event stops being a loss when a newer event of its key is published.
                must: lost.find(|offset| is_lost(*offset) && !self.is_superseded(*offset)),
                may: range.find(|offset| is_lost(*offset)),
            }
        } else {
            let last = range.find(|offset| self.is_in(by.pattern, *offset));
            Lost { must: last, may: last }
        };
        let forgotten = Some(self.first - 1).filter(|last| *last >= from);
        if is_exact { lost } else { Lost { may: forgotten, ..lost } }
    }

    /// Counts the events in a range whose loss must be reported to a subscriber.
    pub(super) fn count_lost(&self, by: &Subscriber, from: u64, to: u64) -> u64 {
        let coalesces = by.policy == SlowConsumerPolicy::Coalesce;
        let is_lost = |offset: &u64| {
            self.is_wanted(by, *offset) && (!coalesces || self.lost.contains(offset) && !self.is_superseded(*offset))
        };
        (from..=to.min(self.next() - 1)).filter(is_lost).count() as u64
    }

    /// Whether the hub may have forgotten a topic.
    pub(super) fn is_forgetful(&self) -> bool {
        self.limits.idle_topics < 100
    }

    /// Checks the outcome of resuming for a subscriber that has seen this offset.
    pub(super) fn check_resume(&self, by: &Subscriber, seen: u64, resume: ResumeOutcome) {
        let lost = self.lost(by, seen + 1, !self.is_forgetful());
        let coalesces = by.policy == SlowConsumerPolicy::Coalesce;
        let later = self.count(by.pattern, seen + 1, self.next() - 1);
        match resume {
            ResumeOutcome::Gap { oldest } => {
                assert!(lost.may.is_some(), "a gap after {seen} without a lost event");
                let kept = (self.first..self.next()).find(|offset| self.is_in(by.pattern, *offset));
                let compacted = self.compacted.iter().copied().find(|offset| self.is_in(by.pattern, *offset));
                let expected = kept.unwrap_or(self.next());
                let is_oldest = oldest.offset == expected || coalesces && Some(oldest.offset) == compacted;
                assert!(is_oldest && oldest.epoch == self.epoch, "oldest is {oldest}, not {expected} or {compacted:?}");
            }
            ResumeOutcome::UpToDate | ResumeOutcome::Resumed { .. } => {
                assert!(lost.must.is_none(), "{resume:?} after {seen}, where {lost:?}");
                let missed = if let ResumeOutcome::Resumed { missed } = resume { missed } else { 0 };
                let at_least = if coalesces { self.deliverable(by, seen + 1).count() as u64 } else { later };
                assert!((at_least..=later).contains(&missed), "{missed} missed, of {at_least} to {later}");
                assert_eq!(resume == ResumeOutcome::UpToDate, later == 0);
            }
            _ => panic!("{resume:?} after {seen}"),
        }
    }
}

/// Whether a topic matches a pattern.
pub(super) fn is_in((topics, prefixes): Pattern, topic: &str) -> bool {
    topics.contains(&topic) || prefixes.iter().any(|prefix| topic.starts_with(prefix))
}
