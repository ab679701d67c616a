//! The log in memory, which another process can take over.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::hand_over::ImportError;
use super::log::Log;
use super::new_event::NewEvent;
use super::options::RetentionOptions;
use super::publishing::Publishing;
use super::recent_events::RecentEvents;
use super::state::State;

/// A log in the memory of one process.
///
/// [`Hub::new`](super::Hub::new) creates one. Create it yourself to set what it keeps, or to hand it over to another
/// process. Clones are the same log.
///
/// ```
/// use ssekit_core::Event;
/// use ssekit_server::hub::{Hub, HubOptions, MemoryLog, PublishError, RetentionOptions};
///
/// let log = MemoryLog::new(RetentionOptions::new());
/// let hub = Hub::with_log(log.clone(), HubOptions::new());
/// let last = hub.publish("news", Event::data("one")).now()?;
///
/// // Another process continues the log.
/// let bytes = log.seal();
/// assert!(matches!(hub.publish("news", Event::data("two")).now(), Err(PublishError::Sealed)));
/// let log = MemoryLog::import(&bytes, RetentionOptions::new())?;
/// let hub = Hub::with_log(log, HubOptions::new());
/// let next = hub.publish("news", Event::data("two")).now()?;
/// assert_eq!((next.epoch, next.offset), (last.epoch, last.offset + 1));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct MemoryLog {
    recent: RecentEvents,
}

impl MemoryLog {
    /// Creates an empty log with an epoch of its own: the time in microseconds, and up to a second more at random.
    pub fn new(retention: RetentionOptions) -> Self {
        Self::with_epoch(new_epoch(), retention)
    }

    /// Creates an empty log with this epoch: the first part of every event ID.
    ///
    /// Use an epoch only once. A client whose last event ID has the epoch of another log would otherwise resume at a wrong
    /// position, without a gap event.
    ///
    /// ```
    /// use ssekit_core::Event;
    /// use ssekit_server::hub::{Hub, HubOptions, MemoryLog, RetentionOptions};
    ///
    /// let hub = Hub::with_log(MemoryLog::with_epoch(7, RetentionOptions::new()), HubOptions::new());
    /// assert_eq!(hub.publish("news", Event::data("one")).now()?.to_string(), "7-1");
    /// # Ok::<(), ssekit_server::hub::PublishError>(())
    /// ```
    pub fn with_epoch(epoch: u64, retention: RetentionOptions) -> Self {
        Self { recent: RecentEvents::with_epoch(epoch, retention) }
    }

    /// Ends publishing and returns the log as bytes, for another process to [import](Self::import).
    ///
    /// Publishing then fails with [`Sealed`](super::PublishError::Sealed), so no event is lost. Clients still receive the
    /// events that are here. Drain the hub when the other process serves: its clients reconnect there and resume. A client
    /// that already was there and comes back here is [rejected](super::RejectionReason::Sealed).
    ///
    /// Cost: one copy of all events, under the log's lock.
    #[must_use]
    pub fn seal(&self) -> Vec<u8> {
        let mut state = self.recent.state();
        state.set_sealed(true);
        state.export()
    }

    /// Allows publishing again, after the other process failed before it published an event.
    ///
    /// Do not call it if the other process has published: this log would give the same IDs to other events. Create a new
    /// log instead; its clients receive a gap event.
    pub fn unseal(&self) {
        self.recent.state().set_sealed(false);
    }

    /// Returns whether the log is [sealed](Self::seal).
    pub fn is_sealed(&self) -> bool {
        self.recent.state().is_sealed()
    }

    /// Returns the log as bytes and continues to publish.
    ///
    /// Later events are not in the bytes. Do not import them while this log publishes: both would give the same IDs to
    /// different events. So this is no backup of a log in use.
    #[must_use]
    pub fn export(&self) -> Vec<u8> {
        self.recent.state().export()
    }

    /// Creates a log from the bytes of another one, and continues its IDs. It keeps what `retention` allows.
    ///
    /// Every field of the bytes is checked. The format may change with the version of this crate.
    ///
    /// # Errors
    ///
    /// [`ImportError`] if the bytes are not an exported log.
    pub fn import(bytes: &[u8], retention: RetentionOptions) -> Result<Self, ImportError> {
        State::import(bytes, retention).map(|state| Self { recent: RecentEvents::new(state) })
    }
}

impl Default for MemoryLog {
    /// Creates an empty log with the default retention.
    fn default() -> Self {
        Self::new(RetentionOptions::new())
    }
}

/// A log in memory on recent events that the program also changes itself.
impl From<RecentEvents> for MemoryLog {
    fn from(recent: RecentEvents) -> Self {
        Self { recent }
    }
}

impl Log for MemoryLog {
    fn recent(&self) -> &RecentEvents {
        &self.recent
    }

    fn publish(&self, event: NewEvent<'_>) -> Publishing {
        Publishing::done(self.recent.append(&event))
    }
}

/// How far apart the epochs of logs are spread that are created at the same time, in microseconds.
const SPREAD: u64 = 1_000_000;

/// Returns an epoch for a new log: microseconds since 1970, and up to a second more at random.
///
/// Within a process no two epochs are equal. Two processes that create a log at the same time choose the same epoch with
/// a probability of one in a million.
fn new_epoch() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);

    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(since_1970.as_micros()).unwrap_or(u64::MAX / 2);
    let epoch = now.saturating_add(fastrand::u64(..SPREAD));
    let later = |last: u64| Some(epoch.max(last.saturating_add(1)));
    // The closure always returns a value, so the update cannot fail.
    let last = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, later).unwrap_or_default();
    epoch.max(last.saturating_add(1))
}
