//! What a hub counts.

use std::sync::Arc;

use super::feeds::Feed;
use super::position::Position;
use super::resume::ResumeOutcome;
use super::state::State;
use crate::close::CloseReason;
use crate::drain::StreamGroup;

/// What a [`Hub`](super::Hub) has and what it has done, as it was when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HubStats {
    /// The clients that are connected.
    pub clients: usize,
    /// The topics that have events or clients, or had events.
    pub topics: usize,
    /// The oldest event that is kept, or the next one.
    pub first: Position,
    /// The place of the next event.
    pub next: Position,
    /// How many events are kept.
    pub events: usize,
    /// How many bytes those have.
    pub bytes: usize,
    /// How many older events are kept since they are the newest of their key.
    pub compacted: usize,
    /// The most events that wait for a client.
    pub max_lag: u64,
    /// How many events were published.
    pub published: u64,
    /// How many bytes those have on the wire.
    pub published_bytes: u64,
    /// How many events were given to clients, each counted.
    pub delivered: u64,
    /// How many bytes those have.
    pub delivered_bytes: u64,
    /// How many gaps clients were told of.
    pub gaps: u64,
    /// How many clients were not taken.
    pub rejected: u64,
    /// How many were new, up to date, resumed, and so on.
    pub resumes: ResumeCounts,
    /// How many streams have ended, and why: [`StreamGroup::closed_count`].
    pub closed: Vec<(CloseReason, u64)>,
}

/// How many clients stood where when they came: see [`ResumeOutcome`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are ResumeOutcome's")]
#[non_exhaustive]
pub struct ResumeCounts {
    pub fresh: u64,
    pub up_to_date: u64,
    pub resumed: u64,
    pub gap: u64,
    pub epoch_changed: u64,
    pub malformed: u64,
}

impl ResumeCounts {
    /// Each with its name: see [`ResumeOutcome::as_str`].
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

/// What a [`Topic`](TopicInfo) has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// Its name.
    pub name: Arc<str>,
    /// How many of its events are kept.
    pub events: usize,
    /// How many clients subscribe to it by its name.
    pub clients: usize,
    /// Whether it is [finished](super::Hub::finish_topic).
    pub is_finished: bool,
}

impl State {
    pub(super) fn stats(&self, streams: &StreamGroup) -> HubStats {
        let counts = &self.counts;
        let [fresh, up_to_date, resumed, gap, epoch_changed, malformed]: [u64; ResumeOutcome::KINDS] = counts.resumes;
        HubStats {
            clients: self.registry.len(),
            topics: self.feeds.topics().len(),
            first: self.epochs.at(self.store.first()),
            next: self.epochs.at(self.store.next()),
            events: self.store.len(),
            bytes: self.store.bytes(),
            compacted: self.compaction.len(),
            max_lag: self.registry.after(0).map(|client| self.lag(client)).max().unwrap_or(0),
            published: counts.published,
            published_bytes: counts.published_bytes,
            delivered: counts.delivered,
            delivered_bytes: counts.delivered_bytes,
            gaps: counts.gaps,
            rejected: counts.rejected,
            resumes: ResumeCounts { fresh, up_to_date, resumed, gap, epoch_changed, malformed },
            closed: CloseReason::all().iter().map(|reason| (*reason, streams.closed_count(*reason))).collect(),
        }
    }

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
    /// Tells the [`metrics`] recorder of the process: counters and gauges whose names begin with `ssekit_hub_`. Call it
    /// now and then, or when the metrics are asked for; no event costs anything for it.
    pub fn record(&self) {
        use metrics::{counter, gauge};

        gauge!("ssekit_hub_clients").set(self.clients as f64);
        gauge!("ssekit_hub_topics").set(self.topics as f64);
        gauge!("ssekit_hub_events").set(self.events as f64);
        gauge!("ssekit_hub_bytes").set(self.bytes as f64);
        gauge!("ssekit_hub_compacted").set(self.compacted as f64);
        gauge!("ssekit_hub_max_lag").set(self.max_lag as f64);
        counter!("ssekit_hub_published").absolute(self.published);
        counter!("ssekit_hub_published_bytes").absolute(self.published_bytes);
        counter!("ssekit_hub_delivered").absolute(self.delivered);
        counter!("ssekit_hub_delivered_bytes").absolute(self.delivered_bytes);
        counter!("ssekit_hub_gaps").absolute(self.gaps);
        counter!("ssekit_hub_rejected").absolute(self.rejected);
        for (outcome, count) in self.resumes.iter() {
            counter!("ssekit_hub_resumes", "outcome" => outcome).absolute(count);
        }
        for (reason, count) in &self.closed {
            counter!("ssekit_hub_closed", "reason" => reason.as_str()).absolute(*count);
        }
    }
}
