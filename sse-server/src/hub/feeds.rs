//! Feeds: the topics and prefixes that clients subscribe to, with the offsets of their events and their waiters.
//!
//! A published event enters the feed of its topic and the feed of each subscribed prefix of that topic.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;

use super::compaction::TopicKeys;
use super::store::FeedId;
use super::waiters::{Registration, Waiters, WakeList};

/// A topic, or all topics with a common prefix.
///
/// `lost_to <= evicted_to < offsets.front()`, unless offsets were skipped: then older events can remain in `offsets`.
pub(super) struct Feed {
    pub(super) name: Arc<str>,
    is_prefix: bool,
    /// The offsets of its events in the store, ascending.
    pub(super) offsets: VecDeque<u64>,
    /// The number of events it has ever had.
    pub(super) published: u64,
    /// The offset of its last event that the store has evicted, or 0.
    pub(super) evicted_to: u64,
    /// The offset of its last evicted event that was the newest of its key or had no key, or 0.
    pub(super) lost_to: u64,
    /// The clients that wait for its next event.
    pub(super) waiters: Waiters,
    /// The number of clients that subscribe to this topic or prefix.
    pub(super) subscribers: usize,
    /// The number of these that are about to end, and so leave their place to others.
    pub(super) ending: usize,
    /// For a topic: whether it is [finished](super::Hub::finish_topic).
    pub(super) is_finished: bool,
    /// For a topic: the feeds of its subscribed prefixes.
    pub(super) prefixes: Vec<FeedId>,
    /// The bytes of its latest events, joined for one client and shared with the next client at the same offset.
    pub(super) joined: Option<Joined>,
    /// For a topic: the newest event of each key.
    pub(super) keys: TopicKeys,
    /// Whether it is in the list of idle topics.
    is_idle: bool,
}

/// One feed that a client subscribes to.
pub(super) struct SubscribedFeed {
    pub(super) id: FeedId,
    /// The client's entry among the feed's waiters.
    pub(super) registration: Registration,
}

/// The events `first..=last` of one feed as one piece of bytes.
pub(super) struct Joined {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: usize,
    pub(super) bytes: Bytes,
}

impl Feed {
    fn new(name: Arc<str>, is_prefix: bool, forgotten_to: u64) -> Self {
        Self {
            name,
            is_prefix,
            offsets: VecDeque::new(),
            published: 0,
            evicted_to: forgotten_to,
            lost_to: forgotten_to,
            waiters: Waiters::default(),
            subscribers: 0,
            ending: 0,
            is_finished: false,
            prefixes: Vec::new(),
            joined: None,
            keys: TopicKeys::default(),
            is_idle: false,
        }
    }

    /// Returns the position in `offsets` of the first event at or after this offset.
    pub(super) fn position(&self, from: u64) -> usize {
        // A client that is served live is within the last few events.
        let mut tail = self.offsets.iter().rev().take(8).take_while(|offset| **offset >= from);
        match tail.by_ref().count() {
            8 => self.offsets.partition_point(|offset| *offset < from),
            behind => self.offsets.len() - behind,
        }
    }

    /// Returns the joined bytes if they hold all of its events from this offset on.
    pub(super) fn joined_from(&self, from: u64) -> Option<&Joined> {
        let first = self.offsets.get(self.position(from))?;
        self.joined.as_ref().filter(|joined| joined.first == *first && self.offsets.back() == Some(&joined.last))
    }

    /// Counts its events in the store from this offset on.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        (self.offsets.len() - self.position(from)) as u64
    }

    /// Whether it stands for a prefix instead of a single topic.
    pub(super) fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether events of this topic are in this feed.
    pub(super) fn has(&self, topic: &str) -> bool {
        if self.is_prefix { topic.starts_with(&*self.name) } else { *self.name == *topic }
    }

    fn add(&mut self, offset: u64, wakes: &mut WakeList) {
        self.offsets.push_back(offset);
        self.published += 1;
        self.waiters.move_to(wakes);
    }

    /// Whether any of its events is retained.
    pub(super) fn has_events(&self) -> bool {
        !self.offsets.is_empty() || self.keys.retained() > 0
    }

    fn may_be_forgotten(&self) -> bool {
        !self.is_prefix && self.subscribers == 0 && !self.has_events()
    }
}

/// All feeds of a hub.
#[derive(Default)]
pub(super) struct Feeds {
    all: Slab<Feed>,
    topics: HashMap<Arc<str>, FeedId>,
    sorted: BTreeMap<Arc<str>, FeedId>,
    prefixes: HashMap<Arc<str>, FeedId>,
    /// Topics without events and subscribers, oldest first. Some may have received one since.
    idle: VecDeque<FeedId>,
    /// The last offset of any event of a forgotten topic.
    forgotten_to: u64,
    max_idle: usize,
}

impl Feeds {
    pub(super) fn new(max_idle: usize) -> Self {
        Self { max_idle, ..Self::default() }
    }

    pub(super) fn get(&self, id: FeedId) -> Option<&Feed> {
        self.all.get(id as usize)
    }

    pub(super) fn get_mut(&mut self, id: FeedId) -> Option<&mut Feed> {
        self.all.get_mut(id as usize)
    }

    /// Returns the feed of a topic, if there is one.
    pub(super) fn find_topic(&self, name: &str) -> Option<FeedId> {
        self.topics.get(name).copied()
    }

    /// Returns the feed of a prefix, if there is one.
    pub(super) fn find_prefix(&self, prefix: &str) -> Option<FeedId> {
        self.prefixes.get(prefix).copied()
    }

    pub(super) fn forgotten_to(&self) -> u64 {
        self.forgotten_to
    }

    /// Records that topics with events up to this offset were forgotten.
    pub(super) fn set_forgotten_to(&mut self, offset: u64) {
        self.forgotten_to = self.forgotten_to.max(offset);
    }

    /// Iterates over all topics by name, including idle topics that are not forgotten yet.
    pub(super) fn topics(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, FeedId)> {
        self.sorted.iter().map(|(name, id)| (name, *id))
    }

    /// Returns the feed of a topic, which it creates if there is none.
    pub(super) fn topic(&mut self, name: &str) -> FeedId {
        if let Some(id) = self.topics.get(name) {
            return *id;
        }
        let name: Arc<str> = name.into();
        let mut feed = Feed::new(name.clone(), false, self.forgotten_to);
        if self.prefixes.len() <= name.len() {
            let prefixes = self.prefixes.iter().filter(|(prefix, _)| name.starts_with(&***prefix));
            feed.prefixes = prefixes.map(|(_, id)| *id).collect();
        } else {
            let prefixes = (0..=name.len()).filter_map(|end| self.prefixes.get(name.get(..end)?));
            feed.prefixes = prefixes.copied().collect();
        }
        let id = self.all.insert(feed) as FeedId;
        self.topics.insert(name.clone(), id);
        self.sorted.insert(name, id);
        id
    }

    /// Returns the feed of a prefix, which it creates from its topics if there is none.
    pub(super) fn prefix(&mut self, prefix: &str) -> FeedId {
        if let Some(id) = self.prefixes.get(prefix) {
            return *id;
        }
        let name: Arc<str> = prefix.into();
        let id = self.all.insert(Feed::new(name.clone(), true, self.forgotten_to)) as FeedId;
        let (mut published, mut evicted_to, mut lost_to) = (0, self.forgotten_to, self.forgotten_to);
        let mut offsets = Vec::new();
        for topic in topics_of(&self.sorted, prefix) {
            if let Some(topic) = self.all.get_mut(topic as usize) {
                topic.prefixes.push(id);
                offsets.extend(&topic.offsets);
                published += topic.published;
                evicted_to = evicted_to.max(topic.evicted_to);
                lost_to = lost_to.max(topic.lost_to);
            }
        }
        // Each topic contributed a sorted run; the sort merges the runs.
        offsets.sort();
        if let Some(feed) = self.all.get_mut(id as usize) {
            (feed.offsets, feed.published) = (offsets.into(), published);
            (feed.evicted_to, feed.lost_to) = (evicted_to, lost_to);
        }
        self.prefixes.insert(name, id);
        id
    }

    /// Removes a prefix without subscribers, and makes a topic without events and subscribers idle.
    pub(super) fn release(&mut self, id: FeedId) {
        let Some(feed) = self.all.get_mut(id as usize).filter(|feed| feed.subscribers == 0) else { return };
        if !feed.is_prefix {
            self.make_idle(id);
            return;
        }
        let Some(feed) = self.all.try_remove(id as usize) else { return };
        self.prefixes.remove(&feed.name);
        for topic in topics_of(&self.sorted, &feed.name) {
            if let Some(topic) = self.all.get_mut(topic as usize) {
                topic.prefixes.retain(|prefix| *prefix != id);
            }
        }
    }

    /// Adds an event to its topic and to the prefixes of the topic.
    pub(super) fn add(&mut self, topic: FeedId, offset: u64, wakes: &mut WakeList) {
        let Some(feed) = self.all.get_mut(topic as usize) else { return };
        feed.add(offset, wakes);
        let prefixes = std::mem::take(&mut feed.prefixes);
        for id in &prefixes {
            if let Some(feed) = self.all.get_mut(*id as usize) {
                feed.add(offset, wakes);
            }
        }
        if let Some(feed) = self.all.get_mut(topic as usize) {
            feed.prefixes = prefixes;
        }
    }

    /// Records that the store no longer has an event. It `is_lost` unless a newer event of its key exists or compaction
    /// retains it.
    pub(super) fn evict(&mut self, topic: FeedId, offset: u64, is_lost: bool) {
        let Some(feed) = self.all.get_mut(topic as usize) else { return };
        let prefixes = std::mem::take(&mut feed.prefixes);
        for id in prefixes.iter().copied().chain([topic]) {
            let Some(feed) = self.all.get_mut(id as usize) else { continue };
            if feed.offsets.front().is_some_and(|first| *first <= offset) {
                feed.offsets.pop_front();
            }
            feed.joined.take_if(|joined| joined.first <= offset);
            feed.evicted_to = feed.evicted_to.max(offset);
            if is_lost {
                feed.lost_to = feed.lost_to.max(offset);
            }
        }
        if let Some(feed) = self.all.get_mut(topic as usize) {
            feed.prefixes = prefixes;
        }
        self.make_idle(topic);
    }

    /// Records that `count` events up to this offset, of unknown topics, never entered this process.
    pub(super) fn skip_to(&mut self, offset: u64, count: u64, wakes: &mut WakeList) {
        self.set_forgotten_to(offset);
        for (_, feed) in &mut self.all {
            // The events may belong to any topic, so each waiter must read them from the history or report a gap.
            feed.published += count;
            feed.waiters.move_to(wakes);
            (feed.evicted_to, feed.lost_to) = (feed.evicted_to.max(offset), feed.lost_to.max(offset));
        }
    }

    /// Wakes all waiters of all feeds.
    pub(super) fn wake_all(&mut self, wakes: &mut WakeList) {
        self.all.iter_mut().for_each(|(_, feed)| feed.waiters.move_to(wakes));
    }

    /// Makes a topic idle if it has neither events nor subscribers, and forgets the oldest idle topics over the limit.
    ///
    /// An idle topic still knows its last evicted offset, so a client that resumes there gets an exact gap.
    pub(super) fn make_idle(&mut self, id: FeedId) {
        let Some(feed) = self.all.get_mut(id as usize).filter(|feed| feed.may_be_forgotten()) else { return };
        if !feed.is_idle && !feed.is_finished && feed.evicted_to <= self.forgotten_to {
            // A new feed would know as much, because nobody has published to this one.
            self.forget(id);
            return;
        }
        if !feed.is_idle {
            feed.is_idle = true;
            feed.offsets.shrink_to_fit();
            self.idle.push_back(id);
        }
        while self.idle.len() > self.max_idle {
            let Some(id) = self.idle.pop_front() else { return };
            let Some(feed) = self.all.get_mut(id as usize) else { continue };
            feed.is_idle = false;
            if feed.may_be_forgotten() {
                self.forget(id);
            }
        }
    }

    fn forget(&mut self, id: FeedId) {
        let Some(feed) = self.all.try_remove(id as usize) else { return };
        self.forgotten_to = self.forgotten_to.max(feed.evicted_to);
        self.topics.remove(&feed.name);
        self.sorted.remove(&feed.name);
    }
}

fn topics_of<'a>(sorted: &'a BTreeMap<Arc<str>, FeedId>, prefix: &'a str) -> impl Iterator<Item = FeedId> + 'a {
    let from = sorted.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
    from.take_while(move |(name, _)| name.starts_with(prefix)).map(|(_, id)| *id)
}
