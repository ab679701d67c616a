//! Snapshots of a hub: its counts, and its topics.

use std::fmt;
use std::sync::Arc;

use super::feeds::Feed;
use super::position::Position;
use super::resume::ResumeOutcome;
use super::state::State;
use crate::close::CloseReason;
use crate::drain::StreamGroup;

/// A snapshot of what a [`Hub`](super::Hub) has and has done: see [`Hub::stats`](super::Hub::stats).
///
/// `Display` writes one line. With the feature `serde` it can be serialised; positions are texts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HubStats {
    /// The name of the hub: see [`HubOptions::with_name`](super::HubOptions::with_name).
    pub name: Arc<str>,
    /// The number of clients.
    pub clients: usize,
    /// The number of topics, including topics without events that are remembered.
    pub topics: usize,
    /// The position of the oldest event in memory, or of the next event if there is none.
    pub first: Position,
    /// The position of the next event.
    pub next: Position,
    /// The number of events in memory.
    pub events: usize,
    /// The number of bytes of these events.
    pub bytes: usize,
    /// The number of older events that are retained as the newest of their key.
    pub retained: usize,
    /// The largest number of events that one client has not read.
    pub max_lag: u64,
    /// The number of events published.
    pub published: u64,
    /// The number of bytes of these events on the wire.
    pub published_bytes: u64,
    /// The number of events evicted from memory. Some of them may be retained as the newest of their key.
    pub evicted: u64,
    /// The number of events delivered. An event counts once for each client.
    pub delivered: u64,
    /// The number of bytes of these events.
    pub delivered_bytes: u64,
    /// The number of gap events that clients received.
    pub gaps: u64,
    /// The number of rejected subscribers.
    pub rejected: u64,
    /// The number of clients by the outcome of resuming.
    pub resumes: ResumeCounts,
    /// The number of closed streams by reason: see [`StreamGroup::closed_count`].
    #[cfg_attr(feature = "serde", serde(serialize_with = "serialize_closed"))]
    pub closed: Vec<(CloseReason, u64)>,
}

impl fmt::Display for HubStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, clients, topics, events, bytes, published, delivered, gaps, max_lag, .. } = self;
        write!(f, "hub {name}: {clients} clients, {topics} topics, {events} events of {bytes} bytes; ")?;
        write!(f, "{published} published, {delivered} delivered, {gaps} gaps, largest lag {max_lag}")
    }
}

/// Serialises the counts as a map by [`CloseReason::as_str`].
#[cfg(feature = "serde")]
fn serialize_closed<S: serde::Serializer>(closed: &[(CloseReason, u64)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(closed.iter().map(|(reason, count)| (reason.as_str(), count)))
}

/// The number of clients by the outcome of resuming: see [`ResumeOutcome`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ResumeCounts {
    /// Clients without a last event ID.
    pub fresh: u64,
    /// Clients that had missed nothing.
    pub up_to_date: u64,
    /// Clients that received all events that they had missed.
    pub resumed: u64,
    /// Clients that received a gap event first, because some of the missed events were evicted.
    pub gap: u64,
    /// Clients that received a gap event first, because their last event was of another log.
    pub epoch_changed: u64,
    /// Clients that received a gap event first, because their last event ID was not a position.
    pub malformed: u64,
}

impl ResumeCounts {
    /// Iterates over the counts with the names of their outcomes: see [`ResumeOutcome::as_str`].
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { fresh, up_to_date, resumed, gap, epoch_changed, malformed } = *self;
        [
            ("fresh", fresh),
            ("up_to_date", up_to_date),
            ("resumed", resumed),
            ("gap", gap),
            ("epoch_changed", epoch_changed),
            ("malformed", malformed),
        ]
        .into_iter()
    }
}

impl fmt::Display for ResumeCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (outcome, count)) in self.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}{count} {outcome}")?;
        }
        Ok(())
    }
}

/// A snapshot of one topic: see [`Hub::topics`](super::Hub::topics).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct TopicInfo {
    /// The name of the topic.
    pub name: Arc<str>,
    /// The number of its events in memory.
    pub events: usize,
    /// The number of clients that subscribe to it by its name.
    pub clients: usize,
    /// Whether it is [finished](super::Hub::finish_topic).
    pub is_finished: bool,
}

impl fmt::Display for TopicInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, events, clients, is_finished } = self;
        let finished = if *is_finished { ", finished" } else { "" };
        write!(f, "topic {name}: {events} events, {clients} clients{finished}")
    }
}

impl State {
    /// Returns a snapshot for the hub with this name and these streams.
    pub(super) fn stats(&self, name: &Arc<str>, streams: &StreamGroup) -> HubStats {
        let counts = &self.counts;
        let [fresh, up_to_date, resumed, gap, epoch_changed, malformed]: [u64; ResumeOutcome::KINDS] = counts.resumes;
        HubStats {
            name: name.clone(),
            clients: self.registry.len(),
            topics: self.feeds.topics().len(),
            first: self.epochs.at(self.store.first()),
            next: self.epochs.at(self.store.next()),
            events: self.store.len(),
            bytes: self.store.bytes(),
            retained: self.compaction.len(),
            max_lag: self.registry.after(0).map(|client| self.lag(client)).max().unwrap_or(0),
            published: counts.published,
            published_bytes: counts.published_bytes,
            evicted: counts.evicted,
            delivered: counts.delivered,
            delivered_bytes: counts.delivered_bytes,
            gaps: counts.gaps,
            rejected: counts.rejected,
            resumes: ResumeCounts { fresh, up_to_date, resumed, gap, epoch_changed, malformed },
            closed: CloseReason::all().iter().map(|reason| (*reason, streams.closed_count(*reason))).collect(),
        }
    }

    /// Returns a snapshot of the topics that have events or clients.
    pub(super) fn topics(&self) -> Vec<TopicInfo> {
        let feeds = self.feeds.topics().filter_map(|(name, id)| Some((name, self.feeds.get(id)?)));
        let info = |(name, feed): (&Arc<str>, &Feed)| TopicInfo {
            name: name.clone(),
            events: feed.offsets.len() + feed.keys.retained(),
            clients: feed.subscribers - feed.ending,
            is_finished: feed.is_finished,
        };
        feeds.map(info).filter(|topic| topic.events > 0 || topic.clients > 0).collect()
    }
}

#[cfg(feature = "metrics")]
impl HubStats {
    /// Sets the hub's metrics, which [`metrics`](crate::metrics) lists, to the values of this snapshot.
    ///
    /// Call it from time to time, or whenever the metrics are scraped. So an event costs nothing for the metrics of its
    /// hub. The label `hub` is the name of the hub.
    ///
    /// ```
    /// ssekit_server::metrics::describe_metrics();
    /// let hub = ssekit_server::hub::Hub::default();
    /// hub.stats().record();
    /// ```
    pub fn record(&self) {
        use crate::metrics as m;
        use ::metrics::{counter, gauge};

        for (metric, value) in [
            (m::HUB_CLIENTS, self.clients as f64),
            (m::HUB_TOPICS, self.topics as f64),
            (m::HUB_EVENTS, self.events as f64),
            (m::HUB_BYTES, self.bytes as f64),
            (m::HUB_RETAINED, self.retained as f64),
            (m::HUB_MAX_LAG, self.max_lag as f64),
        ] {
            gauge!(metric.name, "hub" => self.name.clone()).set(value);
        }
        for (metric, value) in [
            (m::HUB_PUBLISHED, self.published),
            (m::HUB_PUBLISHED_BYTES, self.published_bytes),
            (m::HUB_EVICTED, self.evicted),
            (m::HUB_DELIVERED, self.delivered),
            (m::HUB_DELIVERED_BYTES, self.delivered_bytes),
            (m::HUB_GAPS, self.gaps),
            (m::HUB_REJECTED, self.rejected),
        ] {
            counter!(metric.name, "hub" => self.name.clone()).absolute(value);
        }
        for (outcome, count) in self.resumes.iter() {
            counter!(m::HUB_RESUMES.name, "hub" => self.name.clone(), "outcome" => outcome).absolute(count);
        }
    }
}
