//! The registry of connected clients.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::compaction::Compaction;
use super::feeds::{Feeds, SubscribedFeed};
use super::resume::ResumeOutcome;
use super::store::FeedId;
use super::subscribe::{Filter, SlowConsumerPolicy};
use super::view::View;
use crate::stream_control::{EndRequest, StreamControl};

/// All clients of a hub.
#[derive(Default)]
pub(super) struct Registry {
    pub(super) clients: Slab<Client>,
    /// The clients that are listed and counted.
    present: Roster,
    /// The clients that receive the last events before they end: see [`ending`](super::ending).
    ending: Roster,
    /// The number of the newest client.
    pub(super) last_id: u64,
}

/// Whether clients are listed and counted, or about to end.
#[derive(Clone, Copy)]
pub(super) enum Presence {
    Present,
    Ending,
}

/// An index of clients.
#[derive(Default)]
struct Roster {
    /// The index in `clients` by client number.
    ids: BTreeMap<u64, usize>,
    /// The indexes in `clients` by key.
    keys: HashMap<Arc<str>, BTreeSet<usize>>,
}

impl Roster {
    fn insert(&mut self, client: &Client, index: usize) {
        self.ids.insert(client.id, index);
        for key in &client.keys {
            self.keys.entry(key.clone()).or_default().insert(index);
        }
    }

    /// Removes a client. Returns whether it was here.
    fn remove(&mut self, client: &Client, index: usize) -> bool {
        if self.ids.remove(&client.id).is_none() {
            return false;
        }
        for key in &client.keys {
            if let Some(of_key) = self.keys.get_mut(key) {
                of_key.remove(&index);
                if of_key.is_empty() {
                    self.keys.remove(key);
                }
            }
        }
        true
    }
}

/// A client: its cursor in the log, its feeds, its waker and its filter. [`reading`](super::reading) draws the offsets.
pub(super) struct Client {
    pub(super) id: u64,
    /// The client's stream, to wake it and to end it.
    pub(super) control: Arc<StreamControl>,
    /// The feeds that it subscribes to, sorted by their numbers.
    pub(super) subscribed: Box<[SubscribedFeed]>,
    pub(super) keys: Box<[Arc<str>]>,
    pub(super) since: Instant,
    pub(super) resume: ResumeOutcome,
    pub(super) policy: SlowConsumerPolicy,
    pub(super) filter: Option<Filter>,
    /// The first offset that it may need. The client has received its events before it, or they were reported as missed.
    pub(super) cursor: u64,
    /// The last offset that a gap event has covered, or 0.
    pub(super) reported_to: u64,
    /// The last offset before the next break that must be reported to it, or `u64::MAX`.
    pub(super) break_at: u64,
    /// The last offset that it receives before it ends, or `u64::MAX`.
    pub(super) end_after: u64,
    /// How it ends after that.
    pub(super) end_request: Option<Box<EndRequest>>,
    /// Whether its last event is not in memory yet, and the log's history must confirm that it exists.
    pub(super) is_ahead: bool,
    /// The number of events of its feeds that it does not need any more: delivered, filtered out, superseded or missed.
    pub(super) accounted: u64,
    /// The number of events delivered.
    pub(super) events: u64,
    /// The number of bytes delivered.
    pub(super) bytes: u64,
    /// The number of gap events delivered.
    pub(super) gaps: u64,
}

/// The place of a client in the registry. `index` can belong to a later client by now; `id` cannot.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) index: usize,
    pub(super) id: u64,
}

/// A snapshot of one client of a [`Hub`](super::Hub).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ClientInfo {
    /// The number of the client, counted from 1 since the hub was created.
    pub id: u64,
    /// The keys of the client: see [`Subscribe::with_key`](super::Subscribe::with_key).
    pub keys: Vec<Arc<str>>,
    /// The topics that the client subscribes to, without those within one of its prefixes.
    pub topics: Vec<Arc<str>>,
    /// The topic prefixes that the client subscribes to, without those within another one.
    pub prefixes: Vec<Arc<str>>,
    /// The outcome of resuming after its last event ID.
    pub resume: ResumeOutcome,
    /// The time since it subscribed.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::serialize"))]
    pub age: Duration,
    /// The time since the server last took bytes for it, if it has taken any.
    #[cfg_attr(feature = "serde", serde(serialize_with = "crate::seconds::serialize_option"))]
    pub last_write: Option<Duration>,
    /// The number of events in memory that the client has not read, before its filter.
    pub lag: u64,
    /// The number of events delivered to it.
    pub events: u64,
    /// The number of bytes of these events.
    pub bytes: u64,
    /// The number of gap events delivered to it.
    pub gaps: u64,
}

impl fmt::Display for ClientInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, resume, age, lag, events, bytes, gaps, .. } = self;
        write!(f, "client {id}: {resume} {age:.1?} ago, {events} events of {bytes} bytes, {gaps} gaps, lag {lag}")
    }
}

impl Registry {
    fn roster(&self, presence: Presence) -> &Roster {
        match presence {
            Presence::Present => &self.present,
            Presence::Ending => &self.ending,
        }
    }

    /// Finds the client with this number.
    pub(super) fn find(&self, presence: Presence, id: u64) -> Option<usize> {
        self.roster(presence).ids.get(&id).copied()
    }

    /// Iterates over the clients with this key.
    pub(super) fn of_key(&self, presence: Presence, key: &str) -> impl Iterator<Item = usize> {
        self.roster(presence).keys.get(key).into_iter().flatten().copied()
    }

    /// Iterates over the clients that subscribe to this feed. Examines all clients.
    pub(super) fn of_feed(&self, presence: Presence, feed: FeedId) -> impl Iterator<Item = usize> {
        let indexes = self.roster(presence).ids.values().copied();
        indexes.filter(move |index| self.clients.get(*index).is_some_and(|client| client.has_feed(feed)))
    }

    /// The present clients with this key, if there are any.
    pub(super) fn with_key(&self, key: &str) -> Option<&BTreeSet<usize>> {
        self.present.keys.get(key)
    }

    /// Iterates over the present clients with higher numbers, in order.
    pub(super) fn after(&self, id: u64) -> impl Iterator<Item = &Client> {
        self.present.ids.range(id.saturating_add(1)..).filter_map(|(_, index)| self.clients.get(*index))
    }

    /// The number of present clients.
    pub(super) fn len(&self) -> usize {
        self.present.ids.len()
    }

    /// The client in a slot, if it is still registered.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Client> {
        self.clients.get_mut(slot.index).filter(|client| client.id == slot.id)
    }

    /// Counts the present clients with this key.
    pub(super) fn count_of_key(&self, key: &str) -> usize {
        self.with_key(key).map_or(0, BTreeSet::len)
    }

    /// Adds a client.
    pub(super) fn insert(&mut self, client: Client) -> Slot {
        let entry = self.clients.vacant_entry();
        let slot = Slot { id: client.id, index: entry.key() };
        self.present.insert(entry.insert(client), slot.index);
        slot
    }

    /// Moves a present client to the ending ones. It is no longer listed or counted.
    pub(super) fn retire(&mut self, index: usize) -> Option<&mut Client> {
        let client = self.clients.get_mut(index)?;
        if !self.present.remove(client, index) {
            return None;
        }
        self.ending.insert(client, index);
        Some(client)
    }

    /// Removes a client, if it is still registered. Returns whether it was present, too.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<(Client, Presence)> {
        self.clients.get(slot.index).filter(|client| client.id == slot.id)?;
        let client = self.clients.try_remove(slot.index)?;
        if self.present.remove(&client, slot.index) {
            return Some((client, Presence::Present));
        }
        self.ending.remove(&client, slot.index);
        Some((client, Presence::Ending))
    }
}

impl Client {
    /// The part of the log that it sees.
    #[inline]
    pub(super) fn view<'a>(&'a self, feeds: &'a Feeds, compaction: &'a Compaction) -> View<'a> {
        View::new(self.policy, &self.subscribed, feeds, compaction)
    }

    /// The last offset that it can read now: the last one before a break or before its end.
    #[inline]
    pub(super) fn read_to(&self) -> u64 {
        self.break_at.min(self.end_after)
    }

    /// Whether it subscribes to a feed.
    pub(super) fn has_feed(&self, id: FeedId) -> bool {
        self.subscribed.binary_search_by_key(&id, |feed| feed.id).is_ok()
    }

    /// Whether an event at `offset` is after its cursor and no gap event has covered it.
    #[inline]
    pub(super) fn misses(&self, offset: u64) -> bool {
        offset >= self.cursor && offset > self.reported_to
    }

    /// Counts delivered events.
    #[inline]
    pub(super) fn delivered(&mut self, count: usize, bytes: usize) {
        self.events += count as u64;
        self.bytes += bytes as u64;
        #[cfg(feature = "metrics")]
        self.control.add_page_events(count);
    }

    /// Moves a client that is ahead of the log back to the log's last offset, where a break must be reported to it.
    pub(super) fn rewind_to(&mut self, offset: u64, feeds: &Feeds, compaction: &Compaction) {
        (self.cursor, self.break_at, self.is_ahead) = (offset + 1, offset, false);
        self.accounted = self.view(feeds, compaction).count(self.cursor).published;
    }
}
