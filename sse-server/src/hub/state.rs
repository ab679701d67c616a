//! The state of a hub under its lock: how an event is appended, and how it is evicted.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::compaction::{Compaction, RetainedEvent};
use super::deadlines::Deadlines;
use super::epochs::{Epochs, MAX_OFFSET};
use super::feeds::Feeds;
use super::options::RetentionOptions;
use super::position::Position;
use super::publishing::PublishError;
use super::registry::Registry;
use super::resume::ResumeOutcome;
use super::store::{FeedId, Store};
use super::waiters::WakeList;
use crate::stream_control::StreamControl;

/// The start of a hub's clock, in milliseconds: 34 years. So events of an imported log can be older than the hub.
const PAST: u64 = 1 << 40;

/// The recent events of a hub and its clients.
///
/// Code that holds its lock calls no code of the application, wakes no task and does not wait.
pub(super) struct State {
    pub(super) epochs: Epochs,
    retention: RetentionOptions,
    created: Instant,
    pub(super) store: Store,
    pub(super) feeds: Feeds,
    /// The newest events of keys that are older than the store.
    pub(super) compaction: Compaction,
    pub(super) registry: Registry,
    pub(super) counts: Counts,
    /// Whether the log accepts no events any more, because another process continues it.
    /// The clients that are about to end.
    pub(super) deadlines: Deadlines,
    is_sealed: bool,
    /// The ID line of the last event. Its first `epoch_len` bytes are `id: `, the epoch and a hyphen.
    id_line: Vec<u8>,
    epoch_len: usize,
    /// An empty list of waiters with capacity. See [`WakeList::spare`].
    pub(super) spare: Option<Slab<Arc<StreamControl>>>,
    /// A buffer for the offsets of the events of a page.
    pub(super) selected: Vec<u64>,
}

/// The counters of a hub since its creation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) published: u64,
    pub(super) published_bytes: u64,
    pub(super) delivered: u64,
    pub(super) delivered_bytes: u64,
    pub(super) evicted: u64,
    pub(super) gaps: u64,
    pub(super) rejected: u64,
    pub(super) resumes: [u64; ResumeOutcome::KINDS],
}

impl Counts {
    /// Counts delivered events.
    pub(super) fn delivered(&mut self, count: usize, bytes: usize) {
        self.delivered += count as u64;
        self.delivered_bytes += bytes as u64;
    }
}

impl State {
    /// Creates the state of an empty log.
    pub(super) fn new(epoch: u64, retention: RetentionOptions) -> Self {
        let id_line = id_line(epoch);
        Self {
            epochs: Epochs::new(epoch),
            created: Instant::now(),
            store: Store::new(1),
            feeds: Feeds::new(retention.max_idle_topics),
            compaction: Compaction::default(),
            registry: Registry::default(),
            counts: Counts::default(),
            deadlines: Deadlines::default(),
            is_sealed: false,
            epoch_len: id_line.len(),
            id_line,
            spare: None,
            selected: Vec::new(),
            retention,
        }
    }

    /// Rejects all changes of the log, or accepts them again.
    pub(super) fn set_sealed(&mut self, is_sealed: bool) {
        self.is_sealed = is_sealed;
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    /// The time by the hub's clock, in milliseconds.
    pub(super) fn now(&self) -> u64 {
        PAST.saturating_add(millis(self.created.elapsed()))
    }

    /// Appends an event at this position, or at the next one. Its block has no ID.
    pub(super) fn append(
        &mut self,
        position: Option<Position>,
        topic: &str,
        key: Option<&str>,
        block: &[u8],
        wakes: &mut WakeList,
    ) -> Result<Position, PublishError> {
        self.check_open()?;
        let offset = position.map_or(Ok(self.store.next()), |position| self.offset(position))?;
        // An offset has at most 20 digits.
        let (len, max) = (self.epoch_len + 21 + block.len(), self.retention.max_bytes.min(u32::MAX as usize / 2));
        if len > max {
            return Err(PublishError::TooLarge { len, max });
        }
        let now = self.now();
        self.skip_to(offset, wakes);
        let topic = self.feeds.topic(topic);
        // A log that gives the position has the event already, for all processes.
        if position.is_none() && self.feeds.get(topic).is_some_and(|feed| feed.is_finished) {
            return Err(PublishError::Finished);
        }
        let offset = self.push(topic, key, block, now, wakes);
        self.counts.published += 1;
        self.evict(now);
        Ok(self.epochs.at(offset))
    }

    pub(super) fn check_open(&self) -> Result<(), PublishError> {
        if self.is_sealed { Err(PublishError::Sealed) } else { Ok(()) }
    }

    /// Returns the offset of a position of the current epoch that has no event yet.
    fn offset(&self, position: Position) -> Result<u64, PublishError> {
        let next = self.store.next();
        let found = self.epochs.find(position).filter(|_| position.epoch == self.epochs.epoch());
        let offset = found.map(|(offset, _)| offset).filter(|offset| (next..=MAX_OFFSET).contains(offset));
        offset.ok_or(PublishError::Passed { position, next: self.epochs.at(next) })
    }

    /// Skips the offsets before this one. Their events, if there are any, are in the history of the log.
    fn skip_to(&mut self, offset: u64, wakes: &mut WakeList) {
        if offset > self.store.next() {
            self.feeds.skip_to(offset - 1, offset - self.store.next(), wakes);
            self.store.skip_to(offset);
        }
    }

    /// Begins after this offset of the current epoch: the events before it were never in this process.
    pub(super) fn begin_after(&mut self, offset: u64) {
        let last = self.epochs.base().saturating_add(offset).min(MAX_OFFSET);
        self.store.skip_to(last + 1);
        self.feeds.set_forgotten_to(last);
    }

    /// Skips one position without an event.
    pub(super) fn leave_out(&mut self, position: Position, wakes: &mut WakeList) -> Result<(), PublishError> {
        self.check_open()?;
        let offset = self.offset(position)?;
        self.skip_to(offset, wakes);
        self.store.skip_to(offset + 1);
        Ok(())
    }

    /// Begins another epoch. If events may be missing before it, each client receives a gap event after its events of the
    /// epochs before.
    pub(super) fn begin_epoch(
        &mut self,
        epoch: u64,
        is_broken: bool,
        wakes: &mut WakeList,
    ) -> Result<(), PublishError> {
        self.check_open()?;
        let (base, next) = (self.store.next() - 1, self.epochs.at(self.store.next()));
        if epoch <= self.epochs.epoch() {
            return Err(PublishError::Passed { position: Position { epoch, offset: 0 }, next });
        }
        if let Some(known_from) = self.epochs.begin(epoch, base, is_broken) {
            while self.store.len() > 0 && self.store.first() <= known_from {
                self.evict_one();
            }
            while self.compaction.first().is_some_and(|(offset, _)| offset <= known_from) {
                self.evict_retained();
            }
        }
        self.id_line = id_line(epoch);
        self.epoch_len = self.id_line.len();
        let mut is_for_any = is_broken;
        for (_, client) in &mut self.registry.clients {
            let is_ahead = client.cursor > base + 1;
            if is_ahead {
                client.rewind_to(base, &self.feeds, &self.compaction);
            } else if is_broken {
                client.break_at = client.break_at.min(base);
            }
            is_for_any |= is_ahead;
        }
        if is_for_any {
            self.feeds.wake_all(wakes);
        }
        Ok(())
    }

    /// Appends an event without evicting others.
    pub(super) fn push(
        &mut self,
        topic: FeedId,
        key: Option<&str>,
        block: &[u8],
        now: u64,
        wakes: &mut WakeList,
    ) -> u64 {
        let offset = self.store.next();
        self.id_line.truncate(self.epoch_len);
        // A write into memory cannot fail.
        let _ = writeln!(self.id_line, "{}", offset - self.epochs.base());
        let key = key.map(|key| self.supersede(topic, key, offset));
        let bytes = self.store.bytes();
        self.store.push(topic, key, now, [&self.id_line, block]);
        self.counts.published_bytes += (self.store.bytes() - bytes) as u64;
        self.feeds.add(topic, offset, wakes);
        offset
    }

    /// Adds an event that is older than the store, as the newest of its key: for a log that is imported.
    pub(super) fn push_retained(&mut self, topic: &str, key: &str, block: &[u8], at: u64, offset: u64) {
        let id = self.feeds.topic(topic);
        let Some(feed) = self.feeds.get_mut(id) else { return };
        feed.published += 1;
        let key = self.compaction.supersede(&mut feed.keys, key, offset);
        let bytes = [format!("id: {}\n", self.epochs.at(offset)).as_bytes(), block].concat();
        self.compaction.insert(&mut feed.keys, offset, RetainedEvent { topic: id, at, key, bytes: bytes.into() });
    }

    /// Records an event that is about to be published as the newest of its key.
    fn supersede(&mut self, topic: FeedId, key: &str, offset: u64) -> Arc<str> {
        match self.feeds.get_mut(topic) {
            Some(feed) => self.compaction.supersede(&mut feed.keys, key, offset),
            None => key.into(),
        }
    }

    /// Evicts events that exceed a limit.
    pub(super) fn evict(&mut self, now: u64) {
        let RetentionOptions { max_events, max_bytes, max_keys, .. } = self.retention;
        let max_age = self.retention.max_age.map(millis);
        let is_old = |at: u64| max_age.is_some_and(|max| now.saturating_sub(at) > max);
        while self.store.len() > max_events
            || self.store.bytes() > max_bytes
            || max_age.is_some() && self.store.front().is_some_and(|(_, entry, _)| is_old(entry.at))
        {
            self.evict_one();
        }
        while self.compaction.len() > max_keys
            || self.compaction.bytes() > max_bytes
            || max_age.is_some() && self.compaction.first().is_some_and(|(_, event)| is_old(event.at))
        {
            self.evict_retained();
        }
    }

    /// Drops the oldest event that only compaction retains.
    fn evict_retained(&mut self) {
        let Some((offset, event)) = self.compaction.pop_first() else { return };
        if let Some(feed) = self.feeds.get_mut(event.topic) {
            feed.keys.forget(&event.key);
        }
        self.feeds.evict(event.topic, offset, true);
    }

    /// Drops the oldest event of the store, which compaction may retain.
    fn evict_one(&mut self) {
        let Some((offset, entry, bytes)) = self.store.front() else { return };
        let topic = entry.topic;
        let is_lost = match (&entry.key, self.feeds.get_mut(topic)) {
            (Some(key), Some(feed)) => {
                self.compaction.evicted(&mut feed.keys, offset, (entry, key), bytes, self.retention.max_keys)
            }
            _ => true,
        };
        self.store.pop_front();
        self.counts.evicted += 1;
        self.feeds.evict(topic, offset, is_lost);
    }
}

fn id_line(epoch: u64) -> Vec<u8> {
    format!("id: {epoch}-").into_bytes()
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
