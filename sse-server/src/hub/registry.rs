//! The registry of connected clients.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::compaction::Compaction;
use super::feeds::{Feeds, SubscribedFeed};
use super::resume::ResumeOutcome;
use super::subscribe::{Filter, SlowConsumerPolicy};
use super::view::View;
use crate::stream_control::StreamControl;

/// All clients of a hub.
#[derive(Default)]
pub(super) struct Registry {
    pub(super) clients: Slab<Client>,
    /// The index in `clients` by client number.
    ids: BTreeMap<u64, usize>,
    /// The indexes in `clients` by key.
    pub(super) keys: HashMap<Arc<str>, BTreeSet<usize>>,
    /// The number of the newest client.
    pub(super) last_id: u64,
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
    pub age: Duration,
    /// The time since the server last took bytes for it, if it has taken any.
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

impl Registry {
    /// Iterates over the clients with this key.
    pub(super) fn of_key(&self, key: &str) -> impl Iterator<Item = &Client> {
        self.keys.get(key).into_iter().flatten().filter_map(|index| self.clients.get(*index))
    }

    /// Returns the client with this number.
    pub(super) fn find(&self, id: u64) -> Option<&Client> {
        self.clients.get(*self.ids.get(&id)?)
    }

    /// Iterates over the clients with higher numbers, in order.
    pub(super) fn after(&self, id: u64) -> impl Iterator<Item = &Client> {
        self.ids.range(id.saturating_add(1)..).filter_map(|(_, index)| self.clients.get(*index))
    }

    /// The client in a slot, if it is still registered.
    #[inline]
    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Client> {
        self.clients.get_mut(slot.index).filter(|client| client.id == slot.id)
    }

    /// Counts the clients with this key.
    pub(super) fn count_of_key(&self, key: &str) -> usize {
        self.keys.get(key).map_or(0, BTreeSet::len)
    }

    /// Adds a client.
    pub(super) fn insert(&mut self, client: Client) -> Slot {
        let keys = client.keys.clone();
        let slot = Slot { id: client.id, index: self.clients.insert(client) };
        self.ids.insert(slot.id, slot.index);
        for key in keys {
            self.keys.entry(key).or_default().insert(slot.index);
        }
        slot
    }

    /// Removes a client, if it is still registered.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<Client> {
        self.clients.get(slot.index).filter(|client| client.id == slot.id)?;
        let client = self.clients.try_remove(slot.index)?;
        self.ids.remove(&slot.id);
        for key in &client.keys {
            if let Some(of_key) = self.keys.get_mut(key) {
                of_key.remove(&slot.index);
                if of_key.is_empty() {
                    self.keys.remove(key);
                }
            }
        }
        Some(client)
    }
}

impl Client {
    /// The part of the log that it sees.
    #[inline]
    pub(super) fn view<'a>(&'a self, feeds: &'a Feeds, compaction: &'a Compaction) -> View<'a> {
        View::new(self.policy, &self.subscribed, feeds, compaction)
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
