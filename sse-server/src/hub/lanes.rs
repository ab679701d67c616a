//! Topics and prefixes of topics: which events each has, and who waits for the next.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use slab::Slab;

use super::waiters::{Called, Waiters};

/// What a subscriber can subscribe to: a topic, or all topics with a prefix.
pub(super) struct Lane {
    pub(super) name: Arc<str>,
    is_prefix: bool,
    /// The offsets of its events that are kept.
    pub(super) index: VecDeque<u64>,
    /// How many of its events are kept beyond that, being the newest of their key.
    pub(super) compacted: usize,
    /// How many events it has had.
    pub(super) published: u64,
    /// The offset of the last of its events that is not kept; 0 if there is none.
    pub(super) evicted_to: u64,
    /// The same, of those that had no newer one of their key.
    pub(super) lost_to: u64,
    pub(super) waiters: Waiters,
    pub(super) subscribers: usize,
    /// Of a topic, the lanes of the prefixes that it has.
    pub(super) prefixes: Vec<u32>,
    /// What was last made for a subscriber that then had all there is. The next one gets the same bytes.
    pub(super) joined: Option<Joined>,
    /// Of a topic, the newest event of each key.
    pub(super) newest: Option<Box<Newest>>,
    /// Whether it is among those that may be forgotten.
    is_idle: bool,
}

/// The newest events of keys. In a box, since most topics have no keys.
#[derive(Default)]
pub(super) struct Newest(pub(super) HashMap<Arc<str>, u64>);

/// The events from one to another, joined.
pub(super) struct Joined {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) count: usize,
    pub(super) bytes: Bytes,
}

impl Lane {
    fn new(name: Arc<str>, is_prefix: bool, forgotten_to: u64) -> Self {
        Self {
            name,
            is_prefix,
            index: VecDeque::new(),
            compacted: 0,
            published: 0,
            evicted_to: forgotten_to,
            lost_to: forgotten_to,
            waiters: Waiters::default(),
            subscribers: 0,
            prefixes: Vec::new(),
            joined: None,
            newest: None,
            is_idle: false,
        }
    }

    /// Where in the index the events from this offset on begin.
    pub(super) fn position(&self, from: u64) -> usize {
        // Who is served live is near the end.
        let mut tail = self.index.iter().rev().take(8).take_while(|offset| **offset >= from);
        match tail.by_ref().count() {
            8 => self.index.partition_point(|offset| *offset < from),
            behind => self.index.len() - behind,
        }
    }

    /// All of its events from this offset on, if they have been joined.
    pub(super) fn joined_from(&self, from: u64) -> Option<&Joined> {
        let first = self.index.get(self.position(from))?;
        self.joined.as_ref().filter(|joined| joined.first == *first && self.index.back() == Some(&joined.last))
    }

    /// How many of its events from this offset on are kept.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        (self.index.len() - self.position(from)) as u64
    }

    /// The newest event of a key.
    pub(super) fn newest(&self, key: &str) -> Option<u64> {
        self.newest.as_ref()?.0.get(key).copied()
    }

    /// The newest event of a key is not kept.
    pub(super) fn forget_key(&mut self, key: &str) {
        if let Some(newest) = &mut self.newest {
            newest.0.remove(key);
        }
        self.newest.take_if(|newest| newest.0.is_empty());
    }

    pub(super) fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether it has the events of this topic.
    pub(super) fn has(&self, topic: &str) -> bool {
        if self.is_prefix { topic.starts_with(&*self.name) } else { *self.name == *topic }
    }

    fn add(&mut self, offset: u64, called: &mut Called) {
        self.index.push_back(offset);
        self.published += 1;
        self.waiters.call(called);
    }

    pub(super) fn has_events(&self) -> bool {
        !self.index.is_empty() || self.compacted > 0
    }

    fn may_be_forgotten(&self) -> bool {
        !self.is_prefix && self.subscribers == 0 && !self.has_events()
    }
}

/// All lanes.
#[derive(Default)]
pub(super) struct Lanes {
    all: Slab<Lane>,
    topics: HashMap<Arc<str>, u32>,
    sorted: BTreeMap<Arc<str>, u32>,
    prefixes: HashMap<Arc<str>, u32>,
    /// Topics with no events and no subscribers, the longest so first. Some may have got one since.
    idle: VecDeque<u32>,
    /// The last offset of any event of the topics that are forgotten.
    forgotten_to: u64,
    max_idle: usize,
}

impl Lanes {
    pub(super) fn new(max_idle: usize) -> Self {
        Self { max_idle, ..Self::default() }
    }

    pub(super) fn get(&self, id: u32) -> Option<&Lane> {
        self.all.get(id as usize)
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut Lane> {
        self.all.get_mut(id as usize)
    }

    /// The lane of a topic, if it has one.
    pub(super) fn find_topic(&self, name: &str) -> Option<u32> {
        self.topics.get(name).copied()
    }

    /// The lane of a prefix, if it has one.
    pub(super) fn find_prefix(&self, prefix: &str) -> Option<u32> {
        self.prefixes.get(prefix).copied()
    }

    pub(super) fn forgotten_to(&self) -> u64 {
        self.forgotten_to
    }

    /// Of topics that were forgotten elsewhere.
    pub(super) fn set_forgotten_to(&mut self, offset: u64) {
        self.forgotten_to = self.forgotten_to.max(offset);
    }

    /// How many topics there are, with those that have neither events nor subscribers and are not forgotten yet.
    pub(super) fn topics(&self) -> impl ExactSizeIterator<Item = (&Arc<str>, u32)> {
        self.sorted.iter().map(|(name, id)| (name, *id))
    }

    /// The lane of a topic.
    pub(super) fn topic(&mut self, name: &str) -> u32 {
        if let Some(id) = self.topics.get(name) {
            return *id;
        }
        let name: Arc<str> = name.into();
        let mut lane = Lane::new(name.clone(), false, self.forgotten_to);
        if self.prefixes.len() <= name.len() {
            let prefixes = self.prefixes.iter().filter(|(prefix, _)| name.starts_with(&***prefix));
            lane.prefixes = prefixes.map(|(_, id)| *id).collect();
        } else {
            let prefixes = (0..=name.len()).filter_map(|end| self.prefixes.get(name.get(..end)?));
            lane.prefixes = prefixes.copied().collect();
        }
        let id = self.all.insert(lane) as u32;
        self.topics.insert(name.clone(), id);
        self.sorted.insert(name, id);
        id
    }

    /// The lane of all topics with this prefix.
    pub(super) fn prefix(&mut self, prefix: &str) -> u32 {
        if let Some(id) = self.prefixes.get(prefix) {
            return *id;
        }
        let name: Arc<str> = prefix.into();
        let id = self.all.insert(Lane::new(name.clone(), true, self.forgotten_to)) as u32;
        let (mut published, mut evicted_to, mut lost_to) = (0, self.forgotten_to, self.forgotten_to);
        let mut index = Vec::new();
        for topic in topics_of(&self.sorted, prefix) {
            if let Some(topic) = self.all.get_mut(topic as usize) {
                topic.prefixes.push(id);
                index.extend(&topic.index);
                published += topic.published;
                evicted_to = evicted_to.max(topic.evicted_to);
                lost_to = lost_to.max(topic.lost_to);
            }
        }
        // Runs that are sorted each, which this merges.
        index.sort();
        if let Some(lane) = self.all.get_mut(id as usize) {
            (lane.index, lane.published) = (index.into(), published);
            (lane.evicted_to, lane.lost_to) = (evicted_to, lost_to);
        }
        self.prefixes.insert(name, id);
        id
    }

    /// A subscriber of the lane has gone, or the lane is new and has none.
    pub(super) fn settle(&mut self, id: u32) {
        let Some(lane) = self.all.get_mut(id as usize).filter(|lane| lane.subscribers == 0) else { return };
        if !lane.is_prefix {
            self.maybe_idle(id);
            return;
        }
        let Some(lane) = self.all.try_remove(id as usize) else { return };
        self.prefixes.remove(&lane.name);
        for topic in topics_of(&self.sorted, &lane.name) {
            if let Some(topic) = self.all.get_mut(topic as usize) {
                topic.prefixes.retain(|prefix| *prefix != id);
            }
        }
    }

    /// A topic has a new event.
    pub(super) fn add(&mut self, topic: u32, offset: u64, called: &mut Called) {
        let Some(lane) = self.all.get_mut(topic as usize) else { return };
        lane.add(offset, called);
        let prefixes = std::mem::take(&mut lane.prefixes);
        for id in &prefixes {
            if let Some(lane) = self.all.get_mut(*id as usize) {
                lane.add(offset, called);
            }
        }
        if let Some(lane) = self.all.get_mut(topic as usize) {
            lane.prefixes = prefixes;
        }
    }

    /// An event of a topic is kept no more. `is_lost` unless there is a newer one of its key, or it is kept for it.
    pub(super) fn evict(&mut self, topic: u32, offset: u64, is_lost: bool) {
        let Some(lane) = self.all.get_mut(topic as usize) else { return };
        let prefixes = std::mem::take(&mut lane.prefixes);
        for id in prefixes.iter().copied().chain([topic]) {
            let Some(lane) = self.all.get_mut(id as usize) else { continue };
            if lane.index.front().is_some_and(|first| *first <= offset) {
                lane.index.pop_front();
            }
            lane.joined.take_if(|joined| joined.first <= offset);
            lane.evicted_to = lane.evicted_to.max(offset);
            if is_lost {
                lane.lost_to = lane.lost_to.max(offset);
            }
        }
        if let Some(lane) = self.all.get_mut(topic as usize) {
            lane.prefixes = prefixes;
        }
        self.maybe_idle(topic);
    }

    /// Events up to this offset, so many of them, of whatever topics, have never been here.
    pub(super) fn skip_to(&mut self, offset: u64, count: u64, called: &mut Called) {
        self.set_forgotten_to(offset);
        for (_, lane) in &mut self.all {
            // They may have been any topic's: who waits has to be told, or to read them.
            lane.published += count;
            lane.waiters.call(called);
            (lane.evicted_to, lane.lost_to) = (lane.evicted_to.max(offset), lane.lost_to.max(offset));
        }
    }

    /// Calls all who wait.
    pub(super) fn call_all(&mut self, called: &mut Called) {
        self.all.iter_mut().for_each(|(_, lane)| lane.waiters.call(called));
    }

    /// A topic may have nothing and nobody left. It is remembered for a while: who comes back to it is to be told
    /// exactly what is missing.
    pub(super) fn maybe_idle(&mut self, id: u32) {
        let Some(lane) = self.all.get_mut(id as usize).filter(|lane| lane.may_be_forgotten()) else { return };
        if !lane.is_idle && lane.evicted_to <= self.forgotten_to {
            // A new one would know no less: nobody has published to it.
            self.forget(id);
            return;
        }
        if !lane.is_idle {
            lane.is_idle = true;
            lane.index.shrink_to_fit();
            self.idle.push_back(id);
        }
        while self.idle.len() > self.max_idle {
            let Some(id) = self.idle.pop_front() else { return };
            let Some(lane) = self.all.get_mut(id as usize) else { continue };
            lane.is_idle = false;
            if lane.may_be_forgotten() {
                self.forget(id);
            }
        }
    }

    fn forget(&mut self, id: u32) {
        let Some(lane) = self.all.try_remove(id as usize) else { return };
        self.forgotten_to = self.forgotten_to.max(lane.evicted_to);
        self.topics.remove(&lane.name);
        self.sorted.remove(&lane.name);
    }
}

fn topics_of<'a>(sorted: &'a BTreeMap<Arc<str>, u32>, prefix: &'a str) -> impl Iterator<Item = u32> + 'a {
    let behind = sorted.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
    behind.take_while(move |(name, _)| name.starts_with(prefix)).map(|(_, id)| *id)
}
