//! Reading: the next page of one client.
//!
//! # The offset axis
//!
//! Inside the hub, offsets count through all epochs (see [`Epochs`]). These offsets decide what a client gets next:
//!
//! ```text
//!                        evicted_to                       last event of the client's feeds that is not in memory
//!                        |        store.first()           oldest event in memory, of all topics
//!                        |        |            cursor     first offset that the client may still need
//!                        |        |            |       store.next()      offset of the next event
//!  offset 1              v        v            v       v
//!    |----|--------------|--------|------------|-------|--->
//!         ^        ^         ^                    ^
//!         |        |         |                    break_at     last offset before a break in the log
//!         |        |         reported_to                       last offset that a gap event has covered
//!         |        lost_to                                     last event that is nowhere
//!         history                                              oldest offset in the log's history
//! ```
//!
//! - `1 <= store.first() <= store.next()`, and `lost_to <= evicted_to < store.next()`.
//! - `lost_to = min(evicted_to, history - 1)`, and `lost_to = evicted_to` if the log has no history.
//! - `cursor <= store.next()`, unless the client is ahead of memory: its last event ID says so (`is_ahead`), or it read
//!   the history that far.
//! - `break_at` is `u64::MAX` if no break is ahead of the client. `break_at < cursor` means that the client has all
//!   events before the break, and the break is reported next.
//! - `end_after` is `u64::MAX` unless the client is about to end: see [`ending`](super::ending). It is the last offset that
//!   the client receives.
//! - An offset `<= reported_to` is never reported again. `reported_to >= cursor` only for a client that coalesces, which
//!   reads the retained events among the lost ones.
//!
//! # The outcomes
//!
//! [`State::read`] examines these conditions in this order:
//!
//! | condition | outcome | change |
//! |---|---|---|
//! | the client is not registered | `Unsubscribed` | |
//! | `end_after < cursor`, and no break is before the cursor | `End` | |
//! | `is_ahead`, and `cursor > store.next()` | `VerifyLastEvent` | |
//! | `break_at < cursor` | `Gap` | `break_at` is the next break |
//! | `lost_to` is missing, policy `Disconnect`, and no end was requested | `TooSlow` | |
//! | `lost_to` is missing, otherwise | `Gap` | `reported_to`; `cursor`, unless it coalesces |
//! | `evicted_to` is missing, no retained event is before it | `ReadHistory` | |
//! | the same bytes were joined for another client | `Events` | `cursor` |
//! | no event up to `break_at`, which memory has passed | `Gap` | `break_at` is the next break |
//! | no event up to `end_after`, which memory has passed | `End` | |
//! | no event | `CaughtUp` | `cursor`; the client is registered as a waiter |
//! | events, and a filter | `Unfiltered` | `cursor` |
//! | events | `Events` | `cursor` |
//!
//! An offset is *missing* for a client if it is `>= cursor` and `> reported_to`.

use std::sync::Arc;

use bytes::Bytes;
use ssekit_core::EncodedEvent;

use super::compaction::Compaction;
use super::epochs::Epochs;
use super::feeds::{Feed, Feeds, Joined, SubscribedFeed};
use super::page::{self, Bounds, Page};
use super::position::Position;
use super::registry::{Client, Slot};
use super::resume::{Gap, GapReason};
use super::state::{Counts, State};
use super::store::Store;
use super::subscribe::{Filter, SlowConsumerPolicy};
use super::view::View;
use crate::stream_control::EndRequest;

/// The next thing for a client.
pub(super) enum ReadOutcome {
    /// Events as one piece of bytes. If `is_caught_up`, the client is registered as a waiter.
    Events { bytes: Bytes, is_caught_up: bool },
    /// Events for a client with a filter, which must be called without the hub's lock.
    Unfiltered(Unfiltered),
    /// A gap event.
    Gap(EncodedEvent),
    /// No event. The client is registered as a waiter.
    CaughtUp,
    /// The next events are in the log's history, from this offset on.
    ReadHistory { from: u64, position: Position },
    /// The client's last event is not in memory yet. The log's history knows whether it exists.
    VerifyLastEvent { offset: u64, position: Position },
    /// The client has missed events, and its policy is to disconnect.
    TooSlow,
    /// The client has received all events before its end.
    End(Box<EndRequest>),
    /// The client is not registered any more.
    Unsubscribed,
}

/// Events that a filter has not been asked about.
pub(super) struct Unfiltered {
    pub(super) filter: Filter,
    pub(super) candidates: Vec<Candidate>,
    /// The bytes of all candidates, in order.
    pub(super) bytes: Vec<u8>,
    pub(super) is_caught_up: bool,
}

/// One event that a filter is asked about.
pub(super) struct Candidate {
    pub(super) topic: Arc<str>,
    pub(super) key: Option<Arc<str>>,
    pub(super) position: Position,
    /// The end of its bytes.
    pub(super) end: usize,
}

impl State {
    /// Reads the next page of a client. `history` is the oldest position in the log's history, if there is one.
    pub(super) fn read(&mut self, slot: Slot, history: Option<Position>) -> ReadOutcome {
        let Self { registry, feeds, store, compaction, counts, selected, epochs, .. } = self;
        let Some(client) = registry.get_mut(slot) else { return ReadOutcome::Unsubscribed };
        let history = history.map(|first| epochs.first_offset(first));
        Reader { client, feeds, store, compaction, epochs, counts, selected }.read(history)
    }

    /// Counts events that a filter has let through.
    pub(super) fn delivered(&mut self, slot: Slot, count: usize, bytes: usize) {
        self.counts.delivered(count, bytes);
        if let Some(client) = self.registry.get_mut(slot) {
            client.delivered(count, bytes);
        }
    }
}

/// One client, and the parts of the state that it is read from.
struct Reader<'a> {
    client: &'a mut Client,
    feeds: &'a mut Feeds,
    store: &'a Store,
    compaction: &'a Compaction,
    epochs: &'a Epochs,
    counts: &'a mut Counts,
    /// The offsets of the events of the page.
    selected: &'a mut Vec<u64>,
}

impl Reader<'_> {
    fn read(&mut self, history: Option<u64>) -> ReadOutcome {
        if self.client.end_after < self.client.cursor && self.client.break_at >= self.client.cursor {
            return self.end();
        }
        if self.client.is_ahead && self.client.cursor > self.store.next() {
            let offset = self.client.cursor - 1;
            return ReadOutcome::VerifyLastEvent { offset, position: self.epochs.at(offset) };
        }
        self.client.is_ahead = false;
        if self.client.break_at < self.client.cursor {
            return self.report_break();
        }
        let evicted_to = self.view().evicted_to();
        let lost_to = evicted_to.min(history.map_or(u64::MAX, |first| first - 1));
        if self.client.misses(lost_to) {
            return self.report_lost(lost_to, history.is_some());
        }
        let mut last = self.client.read_to();
        if self.client.misses(evicted_to) {
            // The history has no offset that was reported, but compaction may retain one.
            let from = self.client.cursor.max(self.client.reported_to.saturating_add(1));
            if self.view().retained(self.client.cursor..from).next().is_none() {
                return ReadOutcome::ReadHistory { from, position: self.epochs.at(from) };
            }
            last = last.min(from - 1);
        }
        self.read_joined().unwrap_or_else(|| self.read_page(last))
    }

    #[inline]
    fn view(&self) -> View<'_> {
        self.client.view(self.feeds, self.compaction)
    }

    /// The only feed of a client that gets all events of it, and so the same bytes as its other clients.
    #[inline]
    fn only_feed(&self) -> Option<&Feed> {
        match &*self.client.subscribed {
            [feed] if self.is_plain() => self.feeds.get(feed.id),
            _ => None,
        }
    }

    /// Whether the client gets all events of its feeds.
    #[inline]
    fn is_plain(&self) -> bool {
        self.client.filter.is_none() && !self.view().coalesces()
    }

    /// Returns the bytes that were joined for another client at the same cursor.
    fn read_joined(&mut self) -> Option<ReadOutcome> {
        let joined = self.only_feed()?.joined_from(self.client.cursor)?;
        let Joined { last, count, bytes, .. } = joined;
        if *last > self.client.read_to() {
            return None;
        }
        let (cursor, count, bytes) = (*last + 1, *count, bytes.clone());
        let page = Page::joined(cursor, self.client.read_to() < u64::MAX);
        Some(self.deliver(&page, count, bytes))
    }

    /// Reads events from memory, up to `last`.
    fn read_page(&mut self, last: u64) -> ReadOutcome {
        let max = if self.is_plain() { page::SHARED } else { page::COPIED };
        let view = self.client.view(self.feeds, self.compaction);
        let Client { cursor, end_after, .. } = *self.client;
        let bounds = Bounds { cursor, last, end_after, max };
        let page = Page::select(view, self.store, bounds, self.selected);
        if !self.selected.is_empty() {
            return match self.client.filter.clone() {
                Some(filter) => self.unfiltered(&page, filter),
                None => self.join(page),
            };
        }
        match self.advance(&page) {
            true => ReadOutcome::CaughtUp,
            false if self.client.break_at < self.client.cursor => self.report_break(),
            false => self.end(),
        }
    }

    /// Copies the selected events for a filter.
    fn unfiltered(&mut self, page: &Page, filter: Filter) -> ReadOutcome {
        let mut bytes = Vec::with_capacity(page.bytes);
        let candidates = self.selected.iter().filter_map(|&offset| {
            let (topic, key, part) = match self.compaction.get(offset) {
                Some(event) => (event.topic, Some(&event.key), &event.bytes[..]),
                None => self.store.event(offset).map(|(entry, bytes)| (entry.topic, entry.key.as_ref(), bytes))?,
            };
            bytes.extend_from_slice(part);
            let topic = self.feeds.get(topic)?.name.clone();
            Some(Candidate { topic, key: key.cloned(), position: self.epochs.at(offset), end: bytes.len() })
        });
        let candidates = candidates.collect();
        let is_caught_up = self.advance(page);
        ReadOutcome::Unfiltered(Unfiltered { filter, candidates, bytes, is_caught_up })
    }

    /// Joins the selected events, and keeps the bytes for other clients of the feed at the same cursor.
    fn join(&mut self, mut page: Page) -> ReadOutcome {
        let is_shared = !page.is_full && self.only_feed().is_some_and(|feed| feed.subscribers > 1);
        let (bytes, count) = if page.has_retained {
            (self.copy(page.bytes), self.selected.len())
        } else {
            self.store.join(self.selected, page.bytes, if is_shared { page::SHARED } else { page::COPIED })
        };
        if count < self.selected.len() {
            self.selected.truncate(count);
            self.selected.last().into_iter().for_each(|last| page.stop_after(*last));
        }
        let only_id = self.client.subscribed.first().map(|feed| feed.id).filter(|_| is_shared && !page.is_full);
        if let (Some(id), &[first, ..], &[.., last]) = (only_id, &self.selected[..], &self.selected[..]) {
            if let Some(feed) = self.feeds.get_mut(id) {
                feed.joined = Some(Joined { first, last, count, bytes: bytes.clone() });
            }
        }
        self.deliver(&page, count, bytes)
    }

    /// Copies the selected events, some of which only compaction retains.
    fn copy(&self, len: usize) -> Bytes {
        let mut bytes = Vec::with_capacity(len);
        for offset in &*self.selected {
            match self.compaction.get(*offset) {
                Some(event) => bytes.extend_from_slice(&event.bytes),
                None => bytes.extend_from_slice(self.store.event(*offset).map_or(&[], |(_, bytes)| bytes)),
            }
        }
        bytes.into()
    }

    /// Counts events as delivered, and moves the cursor past them.
    #[inline]
    fn deliver(&mut self, page: &Page, count: usize, bytes: Bytes) -> ReadOutcome {
        let is_caught_up = self.advance(page);
        self.client.delivered(count, bytes.len());
        self.counts.delivered(count, bytes.len());
        ReadOutcome::Events { bytes, is_caught_up }
    }

    /// Moves the cursor past a page. A client that has caught up is registered with the waiters of its feeds: the hub's
    /// lock is held, so it cannot miss an event in between. Returns whether it has caught up.
    #[inline]
    fn advance(&mut self, page: &Page) -> bool {
        self.client.cursor = page.cursor;
        if page.is_full {
            self.client.accounted = self.view().accounted(page.cursor);
            return false;
        }
        self.client.accounted = 0;
        for SubscribedFeed { id, registration } in &mut self.client.subscribed {
            if let Some(feed) = self.feeds.get_mut(*id) {
                self.client.accounted += feed.published;
                feed.waiters.register(registration, &self.client.control);
            }
        }
        true
    }

    /// Ends a client that has all events before its end.
    fn end(&self) -> ReadOutcome {
        self.client.end_request.clone().map_or(ReadOutcome::Unsubscribed, ReadOutcome::End)
    }

    /// Reports a break to a client that has all events before it.
    fn report_break(&mut self) -> ReadOutcome {
        let to = self.epochs.latest_at(self.client.break_at);
        self.client.break_at = self.epochs.break_after(self.client.break_at);
        self.client.gaps += 1;
        self.counts.gaps += 1;
        ReadOutcome::Gap(Gap { reason: GapReason::EpochChanged, from: None, to, missed: None }.into_event(to))
    }

    /// Reports lost events, and continues after them as the client's policy says.
    fn report_lost(&mut self, lost_to: u64, has_history: bool) -> ReadOutcome {
        let policy = self.client.policy;
        // A client that is about to end must receive its last events, which may tell it not to reconnect.
        if policy == SlowConsumerPolicy::Disconnect && self.client.end_request.is_none() {
            return ReadOutcome::TooSlow;
        }
        let from = self.client.cursor.max(self.client.reported_to + 1);
        let to = if policy == SlowConsumerPolicy::SkipToLatest { self.store.next() - 1 } else { lost_to };
        let missed = self.skip_lost(to);
        // Events of a history are not in the counts of the feeds.
        let missed = if has_history { to - from + 1 } else { missed.min(to - from + 1) };
        self.counts.gaps += 1;
        // The gap event also covers a break among the lost events.
        if (from..to).contains(&self.client.break_at) {
            self.client.break_at = self.epochs.break_after(to);
        }
        let at = |offset| self.epochs.resume_position(offset, self.client.break_at);
        let (from, missed) = (Some(self.epochs.at(from)), Some(missed));
        let gap = Gap { reason: GapReason::SlowConsumer, from, to: at(to), missed };
        ReadOutcome::Gap(gap.into_event(at(self.client.cursor - 1)))
    }

    /// Moves the client past the lost events up to `to`. Returns how many of its events are missing.
    fn skip_lost(&mut self, to: u64) -> u64 {
        let cursor = self.view().cursor_after_gap(self.client.cursor, to);
        // Events before skipped offsets can still be in memory. They are unread, and missed all the same.
        let count = self.view().count(cursor);
        let missed = count.published.saturating_sub(self.client.accounted + count.unread);
        self.client.reported_to = to;
        self.client.gaps += 1;
        if cursor > to {
            self.client.cursor = cursor;
            self.client.accounted += missed;
        }
        missed
    }
}
