//! Settings: what a log keeps in memory, and whom a hub serves.

use std::sync::Arc;
use std::time::Duration;

use crate::drain::StreamGroup;

/// The maximum length of a topic's name, a prefix or a key, in bytes.
pub const MAX_NAME_LEN: usize = 256;
/// The maximum number of topics, prefixes and keys, together, that one subscriber may name.
pub const MAX_NAMES: usize = 256;

/// What a log keeps in memory: how many events, how many bytes, for how long.
///
/// A log takes these options when it is created: [`MemoryLog::new`](super::MemoryLog::new),
/// [`RecentEvents::with_epoch`](super::RecentEvents::with_epoch). [`HubOptions`] are the other half: whom a hub serves.
///
/// ```
/// use std::time::Duration;
/// use ssekit_core::Event;
/// use ssekit_server::hub::{Hub, HubOptions, MemoryLog, RetentionOptions};
///
/// let retention = RetentionOptions::new().with_max_events(1_000).with_max_age(Duration::from_secs(3600));
/// let hub = Hub::with_log(MemoryLog::new(retention), HubOptions::new());
/// for n in 0..2_000 {
///     hub.publish("news", Event::data(&n.to_string())).now()?;
/// }
/// assert_eq!(hub.stats().events, 1_000);
/// # Ok::<(), ssekit_server::hub::PublishError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RetentionOptions {
    pub(super) max_events: usize,
    pub(super) max_bytes: usize,
    pub(super) max_age: Option<Duration>,
    pub(super) max_keys: usize,
    pub(super) max_idle_topics: usize,
}

impl RetentionOptions {
    /// Keeps 65,536 events and 16 MiB, and the newest event of 16,384 keys beyond that, with no maximum age.
    pub fn new() -> Self {
        Self { max_events: 65_536, max_bytes: 16 << 20, max_age: None, max_keys: 16_384, max_idle_topics: 16_384 }
    }

    /// Sets the maximum number of events (default 65,536, at least 1).
    pub fn with_max_events(mut self, events: usize) -> Self {
        self.max_events = events.max(1);
        self
    }

    /// Sets the maximum number of bytes of events, as they are on the wire (default 16 MiB).
    ///
    /// The newest events of keys may take as many bytes again. A larger event is not
    /// [published](super::PublishError::TooLarge). Up to 64 KiB more are in memory, and about 50 bytes for each event.
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Sets the maximum age of events (default: none). Older events are evicted by the next event or subscriber.
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Sets the number of keys whose newest event is kept beyond the other limits (default 16,384).
    ///
    /// [`Coalesce`](super::SlowConsumerPolicy::Coalesce) delivers these events. The maximum age applies to them too.
    pub fn with_max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// Sets how many topics without events and subscribers are remembered (default 16,384).
    ///
    /// A topic takes about 500 bytes. A client that resumes on a forgotten topic may receive a gap event although it
    /// missed nothing.
    pub fn with_max_idle_topics(mut self, topics: usize) -> Self {
        self.max_idle_topics = topics;
        self
    }
}

impl Default for RetentionOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// Whom a hub serves, and its name.
///
/// ```
/// use ssekit_server::hub::{Hub, HubOptions, RejectionReason, Subscribe};
///
/// let hub = Hub::new(HubOptions::new().with_name("prices").with_max_clients_per_key(1));
/// let first = hub.subscribe(Subscribe::topic("oil").with_key("user:1"))?;
/// let second = hub.subscribe(Subscribe::topic("gas").with_key("user:1")).unwrap_err();
/// assert_eq!(second.reason(), RejectionReason::KeyFull { max: 1 });
/// # drop(first);
/// # Ok::<(), ssekit_server::hub::Rejection>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct HubOptions {
    pub(super) name: Arc<str>,
    pub(super) max_clients: usize,
    pub(super) max_per_key: usize,
    pub(super) max_per_topic: usize,
    pub(super) retry_after: Duration,
    pub(super) group: Option<StreamGroup>,
}

impl HubOptions {
    /// Accepts a million clients, with no limits by key or topic. The name is `default`.
    pub fn new() -> Self {
        Self {
            name: Arc::from("default"),
            max_clients: 1_000_000,
            max_per_key: usize::MAX,
            max_per_topic: usize::MAX,
            retry_after: Duration::from_secs(5),
            group: None,
        }
    }

    /// Sets the hub's name, which is the label `hub` of its metrics (default `default`).
    ///
    /// Without [`with_group`](Self::with_group), it is also the name of the group of the hub's streams.
    ///
    /// Give each hub of a process another name: hubs with the same name overwrite each other's metrics.
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// Sets the maximum number of clients (default 1,000,000).
    pub fn with_max_clients(mut self, clients: usize) -> Self {
        self.max_clients = clients;
        self
    }

    /// Sets the maximum number of clients with the same key (default: no maximum).
    pub fn with_max_clients_per_key(mut self, clients: usize) -> Self {
        self.max_per_key = clients;
        self
    }

    /// Sets the maximum number of clients of the same topic or prefix (default: no maximum).
    pub fn with_max_clients_per_topic(mut self, clients: usize) -> Self {
        self.max_per_topic = clients;
        self
    }

    /// Sets how long a rejected client waits before it tries again (default 5 seconds).
    ///
    /// Each client waits for a random time between this and twice this, so that they do not all come at once.
    pub fn with_retry_after(mut self, time: Duration) -> Self {
        self.retry_after = time;
        self
    }

    /// Puts the hub's streams into this group, which drains them with its other streams (default: a group of their own).
    pub fn with_group(mut self, group: &StreamGroup) -> Self {
        self.group = Some(group.clone());
        self
    }
}

impl Default for HubOptions {
    fn default() -> Self {
        Self::new()
    }
}
