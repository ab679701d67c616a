//! The state that the tasks of a log share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ssekit_server::hub::{Position, RecentEvents};
use tokio::sync::{Mutex as AsyncMutex, Notify, Semaphore};

use crate::connection::Connection;
use crate::entry::Entry;
use crate::error::RedisConnectError;
use crate::options::RedisOptions;
use crate::queue::Queue;
use crate::source::RedisSource;
use crate::status::RedisStatus;

/// The approximate size of a page of entries in bytes.
const PAGE: usize = 256 * 1024;
/// The maximum number of entries of a page.
const MAX_ENTRIES: usize = 1024;
/// The maximum size of a page in bytes, if each event has the maximum size.
const MAX_PAGE: usize = 64 << 20;
/// The maximum number of pages of old events to read at once.
const MAX_PAGES: usize = 8;
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_secs(2);

pub(crate) struct Shared {
    pub(crate) source: RedisSource,
    pub(crate) options: RedisOptions,
    pub(crate) recent: RecentEvents,
    pub(crate) queue: Queue,
    state: Mutex<State>,
    /// Notifies the writer to check again in which epoch it publishes.
    pub(crate) rejoin: Notify,
    /// The reader continues after the last position in memory: entries that it read after that are lost.
    pub(crate) is_lost: AtomicBool,
    /// The connection for old events and for maintenance.
    asking: AsyncMutex<Option<Connection>>,
    pub(crate) pages: Semaphore,
    pub(crate) page_len: PageLen,
}

/// A task that has a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Reader,
    Writer,
    Maintenance,
}

struct State {
    /// Indexed by [`Part`].
    is_well: [bool; 3],
    /// The last entry that was acknowledged.
    acked: Position,
    status: RedisStatus,
}

impl Shared {
    pub(crate) fn new(
        source: RedisSource,
        options: RedisOptions,
        recent: RecentEvents,
        read: Position,
        first: Position,
    ) -> Self {
        let status = RedisStatus {
            key: options.key.as_str().into(),
            is_reading: false,
            is_writing: false,
            is_answering: false,
            error: None,
            read,
            first,
            queued: 0,
            published: 0,
            failed: 0,
            batches: 0,
            entries: 0,
            skipped: 0,
            pages: 0,
            disconnects: 0,
            losses: 0,
        };
        let acked = Position { epoch: 0, offset: 0 };
        // The log was connected before it serves anybody.
        Self {
            queue: Queue::new(options.max_queued, options.max_queued_bytes),
            source,
            recent,
            state: Mutex::new(State { is_well: [true; 3], acked, status }),
            rejoin: Notify::new(),
            is_lost: AtomicBool::new(false),
            asking: AsyncMutex::default(),
            pages: Semaphore::new(MAX_PAGES),
            page_len: PageLen::new(options.max_event_bytes),
            options,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn status(&self) -> RedisStatus {
        let queued = self.queue.len();
        let state = self.state();
        let [is_reading, is_writing, is_answering] = state.is_well;
        RedisStatus { is_reading, is_writing, is_answering, queued, ..state.status.clone() }
    }

    pub(crate) fn count(&self, count: impl FnOnce(&mut RedisStatus)) {
        count(&mut self.state().status);
    }

    pub(crate) fn first(&self) -> Position {
        self.state().status.first
    }

    pub(crate) fn read(&self) -> Position {
        self.state().status.read
    }

    /// Returns the text of the last error.
    pub(crate) fn error(&self) -> Arc<str> {
        self.state().status.error.clone().unwrap_or_else(|| "redis was too slow".into())
    }

    /// Returns the position up to which all entries have been in the stream.
    pub(crate) fn known(&self) -> Position {
        self.recent.last_position().max(self.acked())
    }

    pub(crate) fn acked(&self) -> Position {
        self.state().acked
    }

    pub(crate) fn set_acked(&self, position: Position) {
        let mut state = self.state();
        state.acked = state.acked.max(position);
    }

    pub(crate) fn is_well(&self, part: Part) {
        let was_well = std::mem::replace(&mut self.state().is_well[part as usize], true);
        if !was_well {
            tracing::info!(key = self.options.key, ?part, "redis is back");
        }
    }

    pub(crate) fn is_ill(&self, part: Part, error: &RedisConnectError) {
        let was_well = {
            let mut state = self.state();
            state.status.error = Some(error.to_string().into());
            state.status.disconnects += 1;
            std::mem::replace(&mut state.is_well[part as usize], false)
        };
        if was_well {
            tracing::warn!(key = self.options.key, ?part, %error, "redis is not to be had");
            if part != Part::Writer && !error.is_of_server() {
                // Otherwise the writer would notice nothing until it publishes, and that would fail.
                self.rejoin.notify_one();
            }
        }
    }

    /// Counts an entry that is not an event of a hub.
    pub(crate) fn skip(&self, position: Position) {
        let skipped = {
            let mut state = self.state();
            state.status.skipped += 1;
            state.status.skipped
        };
        // Many such entries in a row do not fill the program's log.
        if skipped.is_power_of_two() {
            tracing::warn!(key = self.options.key, %position, skipped, "an entry in redis is no event, and left out");
        }
    }

    /// Returns the connection for old events and for maintenance. Opens it if necessary.
    pub(crate) async fn asking(&self) -> Result<Connection, RedisConnectError> {
        let mut asking = self.asking.lock().await;
        if let Some(connection) = &*asking {
            return Ok(connection.clone());
        }
        let connection = Connection::open(&self.source, self.options.timeout).await?;
        *asking = Some(connection.clone());
        Ok(connection)
    }

    /// Drops the connection for old events and for maintenance, after an error.
    pub(crate) async fn stop_asking(&self) {
        self.asking.lock().await.take();
    }
}

/// The number of entries to ask for. It adapts to the sizes of the last entries, to fill a page.
pub(crate) struct PageLen {
    len: AtomicUsize,
    max: usize,
}

impl PageLen {
    pub(crate) fn new(max_event_bytes: usize) -> Self {
        let max = (MAX_PAGE / max_event_bytes.max(1)).clamp(1, MAX_ENTRIES);
        Self { len: AtomicUsize::new(max.min(MAX_ENTRIES / 8)), max }
    }

    pub(crate) fn get(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Adapts the length of a page to the sizes of these entries.
    pub(crate) fn learn(&self, entries: &[Entry]) {
        let bytes: usize = entries.iter().map(Entry::size).sum();
        if let Some(mean) = bytes.checked_div(entries.len()) {
            let len = (PAGE / mean.max(1)).clamp(1, self.max);
            self.len.store(len.min(self.get() * 2), Ordering::Relaxed);
        }
    }

    /// Shortens the next page, after a read that took too long.
    pub(crate) fn shorten(&self) {
        self.len.store((self.get() / 8).max(1), Ordering::Relaxed);
    }
}

/// Doubles the pause each time, up to 2 seconds. Each pause is shortened at random, to between half and all of it.
pub(crate) struct Backoff(Duration);

impl Backoff {
    pub(crate) fn new() -> Self {
        Self(FIRST_PAUSE)
    }

    pub(crate) fn reset(&mut self) {
        self.0 = FIRST_PAUSE;
    }

    pub(crate) async fn pause(&mut self) {
        let pause = self.0.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.0 = (self.0 * 2).min(LAST_PAUSE);
        tokio::time::sleep(pause).await;
    }
}
