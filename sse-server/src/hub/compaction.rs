//! Compaction by key: the newest event of each key of a topic outlives its older events.
//!
//! [`Compaction`] holds the events that the store has evicted and that are still the newest of their key.
//! [`TopicKeys`], one in each topic's feed, knows the newest offset of each key, wherever that event is.
//!
//! An event with a key goes through these states:
//!
//! | from | when | to |
//! |---|---|---|
//! | newest, in the store | a newer event of its key is published | superseded, in the store |
//! | newest, in the store | the store evicts it | retained here; lost if `max_keys` is 0 |
//! | superseded, in the store | the store evicts it | dropped: a client that coalesces does not need it |
//! | retained here | a newer event of its key is published | dropped, likewise |
//! | retained here | a limit on keys, bytes or age is exceeded | lost |

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeBounds;
use std::sync::Arc;

use bytes::Bytes;

use super::store::{Entry, FeedId};

/// The newest event of each key of one topic.
#[derive(Default)]
pub(super) struct TopicKeys {
    /// The offset of the newest event by key.
    #[expect(clippy::box_collection, reason = "most topics have no keys, and should pay for one pointer")]
    newest: Option<Box<HashMap<Arc<str>, u64>>>,
    /// The number of the topic's events in [`Compaction`].
    retained: usize,
}

impl TopicKeys {
    /// The number of the topic's events that only compaction retains.
    pub(super) fn retained(&self) -> usize {
        self.retained
    }

    /// Whether the newest event of this key is another one than the one at `offset`, and not after `last`.
    pub(super) fn is_superseded(&self, key: &str, offset: u64, last: u64) -> bool {
        self.newest(key).is_some_and(|newest| newest != offset && newest <= last)
    }

    fn newest(&self, key: &str) -> Option<u64> {
        self.newest.as_ref()?.get(key).copied()
    }

    /// Records that the newest event of a key is lost after compaction retained it.
    pub(super) fn forget(&mut self, key: &str) {
        self.retained -= 1;
        self.remove(key);
    }

    fn remove(&mut self, key: &str) {
        if let Some(newest) = &mut self.newest {
            newest.remove(key);
        }
        self.newest.take_if(|newest| newest.is_empty());
    }
}

/// An event that only compaction retains.
pub(super) struct RetainedEvent {
    pub(super) topic: FeedId,
    /// The time of its publication by the hub's clock.
    pub(super) at: u64,
    pub(super) key: Arc<str>,
    pub(super) bytes: Bytes,
}

/// The events that are older than the store and still the newest of their key, by offset.
#[derive(Default)]
pub(super) struct Compaction {
    retained: BTreeMap<u64, RetainedEvent>,
    bytes: usize,
}

impl Compaction {
    /// The number of retained events.
    pub(super) fn len(&self) -> usize {
        self.retained.len()
    }

    /// The number of bytes of the retained events.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The oldest retained event.
    #[inline]
    pub(super) fn first(&self) -> Option<(u64, &RetainedEvent)> {
        self.retained.first_key_value().map(|(offset, event)| (*offset, event))
    }

    /// Returns the retained event at an offset.
    pub(super) fn get(&self, offset: u64) -> Option<&RetainedEvent> {
        self.retained.get(&offset)
    }

    /// Iterates over the retained events with these offsets, in order.
    pub(super) fn range(&self, offsets: impl RangeBounds<u64>) -> impl Iterator<Item = (u64, &RetainedEvent)> {
        self.retained.range(offsets).map(|(offset, event)| (*offset, event))
    }

    /// Records that the event at `offset` is the newest of its key, and drops the event that it supersedes if that is
    /// retained here. Returns the key, shared with the key's other events.
    #[inline]
    pub(super) fn supersede(&mut self, keys: &mut TopicKeys, key: &str, offset: u64) -> Arc<str> {
        let newest = keys.newest.get_or_insert_default();
        let known = newest.get_key_value(key).map(|(key, offset)| (key.clone(), *offset));
        let (key, before) = known.map_or_else(|| (key.into(), None), |(key, before)| (key, Some(before)));
        newest.insert(Arc::clone(&key), offset);
        if let Some(old) = before.and_then(|before| self.retained.remove(&before)) {
            keys.retained -= 1;
            self.bytes -= old.bytes.len();
        }
        key
    }

    /// Retains an event, which must be the newest of its key.
    pub(super) fn insert(&mut self, keys: &mut TopicKeys, offset: u64, event: RetainedEvent) {
        keys.retained += 1;
        self.bytes += event.bytes.len();
        self.retained.insert(offset, event);
    }

    /// Takes over an event with a key that the store is about to evict, if it is the newest of its key and `max_keys`
    /// is not 0. Returns whether the event is lost: clients that coalesce would have received it.
    #[inline]
    pub(super) fn evicted(
        &mut self,
        keys: &mut TopicKeys,
        offset: u64,
        (entry, key): (&Entry, &Arc<str>),
        bytes: &[u8],
        max_keys: usize,
    ) -> bool {
        if keys.newest(key) != Some(offset) {
            return false;
        }
        if max_keys == 0 {
            keys.remove(key);
            return true;
        }
        let bytes = Bytes::copy_from_slice(bytes);
        let event = RetainedEvent { topic: entry.topic, at: entry.at, key: key.clone(), bytes };
        self.insert(keys, offset, event);
        false
    }

    /// Removes the oldest retained event, which is then lost: its topic has to [forget](TopicKeys::forget) it.
    pub(super) fn pop_first(&mut self) -> Option<(u64, RetainedEvent)> {
        let (offset, event) = self.retained.pop_first()?;
        self.bytes -= event.bytes.len();
        Some((offset, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retained(key: &Arc<str>, bytes: &'static [u8]) -> RetainedEvent {
        RetainedEvent { topic: 0, at: 0, key: key.clone(), bytes: Bytes::from_static(bytes) }
    }

    #[test]
    fn retained_event_is_dropped_when_superseded() {
        let (mut compaction, mut keys) = (Compaction::default(), TopicKeys::default());
        let key = compaction.supersede(&mut keys, "a", 1);
        compaction.insert(&mut keys, 1, retained(&key, b"one"));
        assert_eq!((compaction.len(), compaction.bytes(), keys.retained()), (1, 3, 1));
        assert!(!keys.is_superseded("a", 1, u64::MAX) && !keys.is_superseded("b", 1, u64::MAX));
        let again = compaction.supersede(&mut keys, "a", 5);
        assert!(Arc::ptr_eq(&key, &again), "a key is stored once");
        assert_eq!((compaction.len(), compaction.bytes(), keys.retained()), (0, 0, 0));
        assert!(keys.is_superseded("a", 1, u64::MAX) && !keys.is_superseded("a", 5, u64::MAX));
        assert!(keys.is_superseded("a", 1, 5) && !keys.is_superseded("a", 1, 4), "the newer event is not delivered");
    }

    #[test]
    fn oldest_retained_event_is_dropped_with_its_key() {
        let (mut compaction, mut keys) = (Compaction::default(), TopicKeys::default());
        for (offset, name) in [(3, "a"), (7, "b")] {
            let key = compaction.supersede(&mut keys, name, offset);
            compaction.insert(&mut keys, offset, retained(&key, b"data"));
        }
        let (_, event) = compaction.pop_first().unwrap();
        keys.forget(&event.key);
        assert_eq!(compaction.range(..).map(|(offset, _)| offset).collect::<Vec<_>>(), [7]);
        assert_eq!((keys.newest("a"), keys.newest("b"), compaction.bytes(), keys.retained()), (None, Some(7), 4, 1));
        let (_, event) = compaction.pop_first().unwrap();
        keys.forget(&event.key);
        assert!(keys.newest.is_none(), "a topic without keys holds no map");
    }
}
