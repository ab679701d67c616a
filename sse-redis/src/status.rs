use std::sync::Arc;

use ssekit_server::hub::Position;

/// How a hub stands with Redis, as it was when it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisStatus {
    /// Whether it hears of new events.
    pub is_reading: bool,
    /// Whether it can publish.
    pub is_writing: bool,
    /// Whether Redis answers when it is asked now and then.
    pub is_answering: bool,
    /// What was wrong last, if anything ever was.
    pub error: Option<Arc<str>>,
    /// Where the last entry stands that was read. It is behind those that others have published since.
    pub read: Position,
    /// Where the oldest event stood, at most a second ago.
    pub first: Position,
    /// How many events wait to be published.
    pub queued: usize,
    /// How many events this process has published.
    pub published: u64,
    /// How many were not, or are not known to be.
    pub failed: u64,
    /// In how many batches they were sent.
    pub batches: u64,
    /// How many entries were read, of all processes.
    pub entries: u64,
    /// How many of them were no events of a hub, and left out.
    pub skipped: u64,
    /// How many pages of old events were read.
    pub pages: u64,
    /// How many times a connection was lost, or could not be had.
    pub disconnects: u64,
    /// How many times the stream was found to have lost events that it had had.
    pub losses: u64,
}

impl RedisStatus {
    /// Whether all goes well: what a readiness probe asks for. While it is false, clients stay connected and are kept alive.
    pub fn is_ready(&self) -> bool {
        self.is_reading && self.is_writing && self.is_answering
    }
}

#[cfg(feature = "metrics")]
impl RedisStatus {
    /// Tells the [`metrics`] recorder of the process: counters and gauges whose names begin with `ssekit_redis_`.
    pub fn record(&self) {
        use metrics::{counter, gauge};

        gauge!("ssekit_redis_ready").set(f64::from(u8::from(self.is_ready())));
        gauge!("ssekit_redis_queued").set(self.queued as f64);
        counter!("ssekit_redis_published").absolute(self.published);
        counter!("ssekit_redis_failed").absolute(self.failed);
        counter!("ssekit_redis_batches").absolute(self.batches);
        counter!("ssekit_redis_entries").absolute(self.entries);
        counter!("ssekit_redis_skipped").absolute(self.skipped);
        counter!("ssekit_redis_pages").absolute(self.pages);
        counter!("ssekit_redis_disconnects").absolute(self.disconnects);
        counter!("ssekit_redis_losses").absolute(self.losses);
    }
}
