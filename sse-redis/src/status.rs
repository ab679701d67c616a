//! A snapshot of a log's connections and counts.

use std::fmt;
use std::sync::Arc;

use ssekit_server::hub::Position;

/// A snapshot of a [`RedisLog`](crate::RedisLog): the state of its connections, and counts.
///
/// `Display` writes one line. With the feature `serde` it can be serialised; positions are texts.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RedisStatus {
    /// The key of the stream.
    pub key: Arc<str>,
    /// Whether the connection that reads new events works.
    pub is_reading: bool,
    /// Whether the connection that publishes works.
    pub is_writing: bool,
    /// Whether the connection for everything else works. It is used once a second.
    pub is_answering: bool,
    /// The last error, if there was one.
    pub error: Option<Arc<str>>,
    /// The position of the last entry that was read. Others may have published later ones.
    pub read: Position,
    /// The position of the oldest event, at most a second ago.
    pub first: Position,
    /// The number of events that wait to be published.
    pub queued: usize,
    /// The number of events that this process published.
    pub published: u64,
    /// The number of events that were not published, or are not known to be.
    pub failed: u64,
    /// The number of batches that were sent.
    pub batches: u64,
    /// The number of entries that were read, of all processes.
    pub entries: u64,
    /// The number of these entries that were not events of a hub.
    pub skipped: u64,
    /// The number of pages of old events that were read.
    pub pages: u64,
    /// The number of connections that were lost or could not be opened.
    pub disconnects: u64,
    /// The number of times that the stream was found to have lost events.
    pub losses: u64,
}

impl RedisStatus {
    /// Returns whether all connections work: for a readiness probe.
    ///
    /// While this is false, clients stay connected and their streams are kept alive.
    pub fn is_ready(&self) -> bool {
        self.is_reading && self.is_writing && self.is_answering
    }
}

impl fmt::Display for RedisStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, read, queued, published, failed, .. } = self;
        let state = if self.is_ready() { "ready" } else { "not ready" };
        write!(f, "redis stream {key}: {state}, read up to {read}; ")?;
        write!(f, "{published} published, {failed} failed, {queued} queued")?;
        match self.error.as_ref().filter(|_| !self.is_ready()) {
            Some(error) => write!(f, "; {error}"),
            None => Ok(()),
        }
    }
}

#[cfg(feature = "metrics")]
impl RedisStatus {
    /// Sets the metrics of the log to the values of this snapshot. Their label `key` is the key of the stream.
    ///
    /// Call it from time to time, or whenever the metrics are scraped.
    ///
    /// | name | kind | description |
    /// |---|---|---|
    /// | `ssekit_redis_ready` | gauge | 1 if all connections work, or 0. |
    /// | `ssekit_redis_queued_events` | gauge | Events that wait to be published. |
    /// | `ssekit_redis_published_total` | counter | Events that this process published. |
    /// | `ssekit_redis_failed_total` | counter | Events that were not published, or are not known to be. |
    /// | `ssekit_redis_batches_total` | counter | Batches that were sent. |
    /// | `ssekit_redis_entries_total` | counter | Entries that were read, of all processes. |
    /// | `ssekit_redis_skipped_total` | counter | Entries that were not events of a hub. |
    /// | `ssekit_redis_pages_total` | counter | Pages of old events that were read. |
    /// | `ssekit_redis_disconnects_total` | counter | Connections that were lost or could not be opened. |
    /// | `ssekit_redis_losses_total` | counter | Times that the stream was found to have lost events. |
    pub fn record(&self) {
        use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

        for (name, description, value) in [
            ("ssekit_redis_ready", "1 if all connections work, or 0.", f64::from(u8::from(self.is_ready()))),
            ("ssekit_redis_queued_events", "Events that wait to be published.", self.queued as f64),
        ] {
            describe_gauge!(name, Unit::Count, description);
            gauge!(name, "key" => self.key.clone()).set(value);
        }
        for (name, description, value) in [
            ("ssekit_redis_published_total", "Events that this process published.", self.published),
            ("ssekit_redis_failed_total", "Events that were not published, or are not known to be.", self.failed),
            ("ssekit_redis_batches_total", "Batches that were sent.", self.batches),
            ("ssekit_redis_entries_total", "Entries that were read, of all processes.", self.entries),
            ("ssekit_redis_skipped_total", "Entries that were not events of a hub.", self.skipped),
            ("ssekit_redis_pages_total", "Pages of old events that were read.", self.pages),
            ("ssekit_redis_disconnects_total", "Connections that were lost or could not be opened.", self.disconnects),
            ("ssekit_redis_losses_total", "Times that the stream was found to have lost events.", self.losses),
        ] {
            describe_counter!(name, Unit::Count, description);
            counter!(name, "key" => self.key.clone()).absolute(value);
        }
    }
}
