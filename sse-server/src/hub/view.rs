//! The part of the log in memory that one client sees.
//!
//! A client that coalesces ([`SlowConsumerPolicy::Coalesce`]) sees another log than the others. All differences are in
//! this module:
//!
//! | | other clients | a client that coalesces |
//! |---|---|---|
//! | sees | all events in the store | the newest event of each key, in the store or [retained](super::compaction) |
//! | has lost | all events that the store evicted | evicted events without a key, and retained events that were dropped |
//! | can begin | after the events it has lost | anywhere: older events may be retained |
//! | continues after a gap | after the lost events | at its cursor, to read retained events |

use std::ops::RangeBounds;

use super::compaction::{Compaction, RetainedEvent};
use super::feeds::{Feed, Feeds, SubscribedFeed};
use super::store::{FeedId, Store};
use super::subscribe::SlowConsumerPolicy;

/// The part of the log in memory that one client sees: the events of its feeds.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    subscribed: &'a [SubscribedFeed],
    feeds: &'a Feeds,
    /// For a client that coalesces.
    compaction: Option<&'a Compaction>,
}

/// The number of events of a client's feeds.
#[derive(Clone, Copy)]
pub(super) struct EventCount {
    /// The events that were ever published.
    pub(super) published: u64,
    /// The events in the store from a cursor on.
    pub(super) unread: u64,
}

impl<'a> View<'a> {
    /// Creates the view of a client with these feeds and this policy.
    #[inline]
    pub(super) fn new(
        policy: SlowConsumerPolicy,
        subscribed: &'a [SubscribedFeed],
        feeds: &'a Feeds,
        compaction: &'a Compaction,
    ) -> Self {
        let compaction = (policy == SlowConsumerPolicy::Coalesce).then_some(compaction);
        Self { subscribed, feeds, compaction }
    }

    /// Whether the client receives only the newest event of each key.
    #[inline]
    pub(super) fn coalesces(&self) -> bool {
        self.compaction.is_some()
    }

    /// The feeds of the client.
    pub(super) fn feeds(self) -> impl Iterator<Item = &'a Feed> {
        self.subscribed.iter().filter_map(move |feed| self.feeds.get(feed.id))
    }

    /// The offset of the last event that the client would have received and that is no longer in memory, or 0.
    #[inline]
    pub(super) fn evicted_to(&self) -> u64 {
        let coalesces = self.coalesces();
        self.feeds().map(|feed| if coalesces { feed.lost_to } else { feed.evicted_to }).max().unwrap_or(0)
    }

    /// Counts all events of its feeds, and the stored events from `cursor` on.
    #[inline]
    pub(super) fn count(&self, cursor: u64) -> EventCount {
        self.feeds().fold(EventCount { published: 0, unread: 0 }, |count, feed| EventCount {
            published: count.published + feed.published,
            unread: count.unread + feed.count_from(cursor),
        })
    }

    /// Counts the events that a client at `cursor` does not need: events before the cursor, and lost events after it.
    #[inline]
    pub(super) fn accounted(&self, cursor: u64) -> u64 {
        let EventCount { published, unread } = self.count(cursor);
        published.saturating_sub(unread + self.count_retained(cursor))
    }

    /// Counts the retained events from `cursor` on. 0 for a client that does not coalesce.
    #[inline]
    pub(super) fn count_retained(&self, cursor: u64) -> u64 {
        if self.coalesces() { self.retained(cursor..).count() as u64 } else { 0 }
    }

    /// Iterates over the retained events of the client's feeds. Empty unless the client coalesces.
    pub(super) fn retained(self, offsets: impl RangeBounds<u64>) -> impl Iterator<Item = (u64, &'a RetainedEvent)> {
        let retained = self.compaction.map(|compaction| compaction.range(offsets));
        retained.into_iter().flatten().filter(move |(_, event)| self.has_topic(event.topic))
    }

    /// Whether the client does not receive the event at `offset`, because it receives a newer one of its key, up to `last`.
    #[inline]
    pub(super) fn is_superseded(&self, store: &Store, offset: u64, last: u64) -> bool {
        if !self.coalesces() {
            return false;
        }
        let Some((entry, _)) = store.event(offset) else { return false };
        let (Some(key), Some(feed)) = (&entry.key, self.feeds.get(entry.topic)) else { return false };
        feed.keys.is_superseded(key, offset, last)
    }

    /// The first offset at which a client can begin that has lost events up to `lost_to`.
    pub(super) fn begin(&self, lost_to: u64) -> u64 {
        if self.coalesces() { 1 } else { lost_to + 1 }
    }

    /// The cursor of a client at `cursor` after a gap event up to `to`.
    #[inline]
    pub(super) fn cursor_after_gap(&self, cursor: u64, to: u64) -> u64 {
        if self.coalesces() { cursor } else { to + 1 }
    }

    /// Whether events of this topic are for the client: by the topic's name, or by a prefix of it.
    fn has_topic(&self, topic: FeedId) -> bool {
        let is_subscribed = |id: FeedId| self.subscribed.binary_search_by_key(&id, |feed| feed.id).is_ok();
        let has_prefix = |feed: &Feed| feed.prefixes.iter().any(|prefix| is_subscribed(*prefix));
        is_subscribed(topic) || self.feeds.get(topic).is_some_and(has_prefix)
    }
}
