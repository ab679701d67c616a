//! Who is connected.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use slab::Slab;
use tokio::time::Instant;

use super::feeds::{FeedId, Feeds};
use super::resume::ResumeOutcome;
use super::subscribe::{Filter, SlowConsumerPolicy};
use super::waiters::Registration;
use crate::stream_control::StreamControl;

/// All subscribers.
#[derive(Default)]
pub(super) struct Registry {
    pub(super) clients: Slab<Client>,
    /// Where each is, by its number.
    ids: BTreeMap<u64, usize>,
    pub(super) keys: HashMap<Arc<str>, BTreeSet<usize>>,
    pub(super) last_id: u64,
}

/// A subscriber: a cursor, whom to wake, and a filter.
pub(super) struct Client {
    pub(super) id: u64,
    pub(super) control: Arc<StreamControl>,
    /// By their feeds' numbers.
    pub(super) subscribed: Box<[SubscribedFeed]>,
    pub(super) keys: Box<[Arc<str>]>,
    pub(super) since: Instant,
    pub(super) resume: ResumeOutcome,
    pub(super) policy: SlowConsumerPolicy,
    pub(super) filter: Option<Filter>,
    /// The next offset that it may need. It has all events of its feeds before, or was told that it has not.
    pub(super) cursor: u64,
    /// Of the events before the cursor, those up to this were told to be lost.
    pub(super) reported_to: u64,
    /// Where it has to be told that the history was replaced; it gets what is up to there first.
    pub(super) break_at: u64,
    /// It says to know an event that has not come here yet, and the history is to be asked whether there is one.
    pub(super) is_ahead: bool,
    /// How many events its feeds had had at the cursor.
    pub(super) passed: u64,
    pub(super) events: u64,
    pub(super) bytes: u64,
    pub(super) gaps: u64,
}

/// A subscriber's share in a feed.
pub(super) struct SubscribedFeed {
    pub(super) id: FeedId,
    pub(super) registration: Registration,
}

/// Where a client is in the registry: the slot may be another's by now, the ID is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) index: usize,
    pub(super) id: u64,
}

/// A client of a [`Hub`](super::Hub), as it was when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientInfo {
    /// Its number, counted from 1 since the hub was made.
    pub id: u64,
    /// What it is found by.
    pub keys: Vec<Arc<str>>,
    /// The topics that it subscribes to.
    pub topics: Vec<Arc<str>>,
    /// The prefixes of topics that it subscribes to.
    pub prefixes: Vec<Arc<str>>,
    /// Where it stood when it came.
    pub resume: ResumeOutcome,
    /// For how long it has been here.
    pub age: Duration,
    /// How long ago something was written to it, if anything was.
    pub last_write: Option<Duration>,
    /// How many events wait for it.
    pub lag: u64,
    /// How many events it was given.
    pub events: u64,
    /// How many bytes those have.
    pub bytes: u64,
    /// How many gaps it was told of.
    pub gaps: u64,
}

impl Registry {
    /// The clients with this key.
    pub(super) fn of_key(&self, key: &str) -> impl Iterator<Item = &Client> {
        self.keys.get(key).into_iter().flatten().filter_map(|index| self.clients.get(*index))
    }

    /// The client of this number.
    pub(super) fn find(&self, id: u64) -> Option<&Client> {
        self.clients.get(*self.ids.get(&id)?)
    }

    /// The clients with later numbers, in their order.
    pub(super) fn after(&self, id: u64) -> impl Iterator<Item = &Client> {
        self.ids.range(id.saturating_add(1)..).filter_map(|(_, index)| self.clients.get(*index))
    }

    pub(super) fn count_of_key(&self, key: &str) -> usize {
        self.keys.get(key).map_or(0, BTreeSet::len)
    }

    pub(super) fn insert(&mut self, client: Client) -> Slot {
        let keys = client.keys.clone();
        let slot = Slot { id: client.id, index: self.clients.insert(client) };
        self.ids.insert(slot.id, slot.index);
        for key in keys {
            self.keys.entry(key).or_default().insert(slot.index);
        }
        slot
    }

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
    /// How many events its feeds have had, and how many of them are kept and not before the cursor.
    pub(super) fn counts(subscribed: &[SubscribedFeed], feeds: &Feeds, cursor: u64) -> (u64, u64) {
        let feeds = subscribed.iter().filter_map(|feed| feeds.get(feed.id));
        feeds.fold((0, 0), |(all, left), feed| (all + feed.published, left + feed.count_from(cursor)))
    }

    /// The last offset that its feeds have lost, for someone with this policy.
    pub(super) fn lost_to(subscribed: &[SubscribedFeed], feeds: &Feeds, policy: SlowConsumerPolicy) -> u64 {
        let feeds = subscribed.iter().filter_map(|feed| feeds.get(feed.id));
        let lost_to = feeds.map(|feed| match policy {
            SlowConsumerPolicy::Coalesce => feed.lost_to,
            _ => feed.evicted_to,
        });
        lost_to.max().unwrap_or(0)
    }

    /// It knows events behind this offset that never were: it is told so, and goes on behind that.
    pub(super) fn rewind_to(&mut self, offset: u64, feeds: &Feeds) {
        (self.cursor, self.break_at, self.is_ahead) = (offset + 1, offset, false);
        self.passed = Self::counts(&self.subscribed, feeds, self.cursor).0;
    }

    /// Whether an event of this topic's feed is for it.
    pub(super) fn has_lane(subscribed: &[SubscribedFeed], feeds: &Feeds, topic: u32) -> bool {
        let is_its = |feed: u32| subscribed.binary_search_by_key(&feed, |feed| feed.id).is_ok();
        is_its(topic) || feeds.get(topic).is_some_and(|topic| topic.prefixes.iter().any(|prefix| is_its(*prefix)))
    }
}
