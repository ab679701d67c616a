use std::time::Duration;

/// The stream of a hub in Redis, and its limits.
#[derive(Clone, Debug)]
#[must_use]
pub struct RedisOptions {
    pub(crate) key: String,
    pub(crate) max_events: usize,
    pub(crate) max_age: Option<Duration>,
    pub(crate) max_event_bytes: usize,
    pub(crate) max_queued: usize,
    pub(crate) max_queued_bytes: usize,
    pub(crate) preload: usize,
    pub(crate) timeout: Duration,
}

impl RedisOptions {
    /// Uses the stream with this key, and for nothing else.
    ///
    /// Keeps about 100,000 events of at most 256 KiB each, with no maximum age.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            max_events: 100_000,
            max_age: None,
            max_event_bytes: 256 << 10,
            max_queued: 65_536,
            max_queued_bytes: 64 << 20,
            preload: 1000,
            timeout: Duration::from_secs(5),
        }
    }

    /// Sets the maximum number of events in Redis (default 100,000, at least 1).
    ///
    /// Redis trims by blocks of about 100 events, so it keeps slightly more. Each process trims when it publishes: use the same
    /// number in all processes.
    pub fn with_max_events(mut self, events: usize) -> Self {
        self.max_events = events.max(1);
        self
    }

    /// Sets the maximum age of events in Redis (default: none, at least 1 second).
    ///
    /// Each process trims once a second. An event's age is the difference between its publisher's clock and the clock of the process
    /// that trims. The last event stays.
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age.max(Duration::from_secs(1)));
        self
    }

    /// Sets the maximum size of an event in bytes (default 256 KiB).
    ///
    /// It must be less than [`RetentionOptions::with_max_bytes`](ssekit_server::hub::RetentionOptions::with_max_bytes) of every
    /// process. One read from Redis returns at most 64 MiB, or one event.
    pub fn with_max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// Sets how many events and bytes may wait to be published (default 65,536 events and 64 MiB).
    ///
    /// Another event fails with [`Overloaded`](ssekit_server::hub::PublishError::Overloaded).
    pub fn with_max_queued(mut self, events: usize, bytes: usize) -> Self {
        (self.max_queued, self.max_queued_bytes) = (events, bytes);
        self
    }

    /// Sets how many of the last events a process reads into memory at its start (default 1,000).
    ///
    /// Older events are read when a client needs them.
    pub fn with_preload(mut self, events: usize) -> Self {
        self.preload = events;
        self
    }

    /// Sets how long to wait for Redis (default 5 seconds, from 100 ms to an hour).
    ///
    /// It bounds a connection attempt, an answer, and the time that an event waits while Redis is away.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(Duration::from_millis(100), Duration::from_secs(3600));
        self
    }
}
