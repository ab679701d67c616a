//! The clock that detects a stalled client. Such a client reads nothing, so the server does not poll the body any more.
//!
//! ```text
//! body hands over a chunk    server polls again    ..    server does not poll
//!        |--- waiting since ---|  cleared                 |--- stall timeout ---| SlowConsumer
//! ```
//!
//! Every chunk touches this clock, so times are whole milliseconds in atomics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A time as milliseconds since [`StallClock::created`], plus one. 0 means no time.
type Stamp = AtomicU64;

pub(crate) struct StallClock {
    created: Instant,
    /// The time when the server took a chunk, if it has not polled the body since.
    waiting_since: Stamp,
    /// The time when the server last took a chunk.
    #[cfg(feature = "hub")]
    last_write: Stamp,
}

impl StallClock {
    pub(crate) fn new() -> Self {
        Self {
            created: Instant::now(),
            waiting_since: Stamp::new(0),
            #[cfg(feature = "hub")]
            last_write: Stamp::new(0),
        }
    }

    /// Notes that the body hands a chunk to the server.
    #[inline]
    pub(crate) fn chunk_written(&self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.created).as_millis();
        let stamp = u64::try_from(elapsed).unwrap_or(u64::MAX).saturating_add(1);
        self.waiting_since.store(stamp, Ordering::Relaxed);
        #[cfg(feature = "hub")]
        self.last_write.store(stamp, Ordering::Relaxed);
    }

    /// Notes that the server polls the body.
    #[inline]
    pub(crate) fn server_polled(&self) {
        self.waiting_since.store(0, Ordering::Relaxed);
    }

    /// Returns the time when the server last took a chunk.
    #[cfg(feature = "hub")]
    pub(crate) fn last_write(&self) -> Option<Instant> {
        self.instant(self.last_write.load(Ordering::Relaxed))
    }

    /// Returns the time when the server took the chunk after which it has not polled.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        self.instant(self.waiting_since.load(Ordering::Relaxed))
    }

    /// Returns the time when the client counts as stalled, unless the server polls before.
    pub(crate) fn stalls_at(&self, stall_timeout: Option<Duration>) -> Option<Instant> {
        self.waiting_since()?.checked_add(stall_timeout?)
    }

    fn instant(&self, stamp: u64) -> Option<Instant> {
        self.created.checked_add(Duration::from_millis(stamp.checked_sub(1)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn client_stalls_a_timeout_after_a_chunk_unless_the_server_polls() {
        let (clock, timeout) = (StallClock::new(), Some(Duration::from_secs(10)));
        assert_eq!(clock.stalls_at(timeout), None);
        clock.chunk_written(clock.created + Duration::from_secs(5));
        assert_eq!(clock.stalls_at(timeout), Some(clock.created + Duration::from_secs(15)));
        assert_eq!(clock.stalls_at(None), None);
        clock.server_polled();
        assert_eq!(clock.stalls_at(timeout), None);
    }

    #[test]
    fn chunk_in_the_first_millisecond_counts() {
        let clock = StallClock::new();
        clock.chunk_written(clock.created);
        assert_eq!(clock.waiting_since(), Some(clock.created));
    }
}
