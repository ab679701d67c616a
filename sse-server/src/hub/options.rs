use std::time::Duration;

use crate::drain::StreamGroup;

/// The most bytes that the name of a topic, a prefix or a key may have.
pub const MAX_NAME_LEN: usize = 256;
/// The most topics, prefixes and keys, together, that one subscriber may name.
pub const MAX_NAMES: usize = 256;

/// What a [`Hub`](super::Hub) keeps and whom it takes.
#[derive(Clone, Debug)]
#[must_use]
pub struct HubOptions {
    pub(super) max_events: usize,
    pub(super) max_bytes: usize,
    pub(super) max_age: Option<Duration>,
    pub(super) max_keys: usize,
    pub(super) max_idle_topics: usize,
    pub(super) max_clients: usize,
    pub(super) max_per_key: usize,
    pub(super) max_per_topic: usize,
    pub(super) retry: Duration,
    pub(super) streams: StreamGroup,
}

impl HubOptions {
    /// Keeps 65,536 events, 16 MiB, the newest events of 16,384 keys beyond that, for however long; takes a million
    /// clients.
    pub fn new() -> Self {
        Self {
            max_events: 65_536,
            max_bytes: 16 << 20,
            max_age: None,
            max_keys: 16_384,
            max_idle_topics: 16_384,
            max_clients: 1_000_000,
            max_per_key: usize::MAX,
            max_per_topic: usize::MAX,
            retry: Duration::from_secs(5),
            streams: StreamGroup::new(),
        }
    }

    /// The same, with at most so many events kept (at least 1).
    pub fn with_max_events(mut self, events: usize) -> Self {
        self.max_events = events.max(1);
        self
    }

    /// The same, with at most so many bytes of events kept, as they stand on the wire; as many again for events that are the
    /// newest of their key. An event with more is not published. Up to 64 KiB more are in memory, and some 50 bytes for
    /// each event.
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The same, with events kept for at most so long. Those that are older are dropped when the next is published, or a
    /// subscriber comes.
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// The same, with the newest events of so many keys kept beyond the other limits on number and bytes, for
    /// [`Coalesce`](super::SlowConsumerPolicy::Coalesce). They are not kept longer than others.
    pub fn with_max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// The same, which remembers so many topics that have neither events nor subscribers, instead of 16,384. A topic takes
    /// some 500 bytes. Whoever comes back to one that is forgotten may be told of a gap where there was none.
    pub fn with_max_idle_topics(mut self, topics: usize) -> Self {
        self.max_idle_topics = topics;
        self
    }

    /// The same, with at most so many clients.
    pub fn with_max_clients(mut self, clients: usize) -> Self {
        self.max_clients = clients;
        self
    }

    /// The same, with at most so many clients with the same key.
    pub fn with_max_clients_per_key(mut self, clients: usize) -> Self {
        self.max_per_key = clients;
        self
    }

    /// The same, with at most so many clients of the same topic or prefix.
    pub fn with_max_clients_per_topic(mut self, clients: usize) -> Self {
        self.max_per_topic = clients;
        self
    }

    /// The same, where a client that is rejected waits so long before it comes back, or up to twice as long, at random.
    pub fn with_retry(mut self, retry: Duration) -> Self {
        self.retry = retry;
        self
    }

    /// The same, whose clients are among these streams, and drained with them, instead of those of the hub alone.
    pub fn with_group(mut self, streams: &StreamGroup) -> Self {
        self.streams = streams.clone();
        self
    }
}

impl Default for HubOptions {
    fn default() -> Self {
        Self::new()
    }
}
