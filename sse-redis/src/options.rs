use std::time::Duration;

/// Where a hub's events are in Redis, and how many.
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
    /// All events are in the stream with this key, which is nothing else's. Some 100,000 are kept, of at most 256 KiB each, for
    /// however long.
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

    /// The same, with some so many events kept (at least 1): Redis drops them by the block, of 100 as it comes, and so
    /// keeps a few more. Each process trims when it publishes, so all should say the same.
    pub fn with_max_events(mut self, events: usize) -> Self {
        self.max_events = events.max(1);
        self
    }

    /// The same, with events kept for at most so long (at least a second), but for the very last: by the clock of the process
    /// that has published them, next to that of the one that looks after it, once in a second.
    pub fn with_max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age.max(Duration::from_secs(1)));
        self
    }

    /// The same, with events of at most so many bytes. It has to be less than what each hub may keep. What is read at once has
    /// 64 MiB at the most, or one event, if none is larger.
    pub fn with_max_event_bytes(mut self, bytes: usize) -> Self {
        self.max_event_bytes = bytes;
        self
    }

    /// The same, where at most so many events (65,536 if this is not called), of so many bytes in all (64 MiB), wait to be
    /// published. The next is [refused](ssekit_server::hub::PublishError::Overloaded).
    pub fn with_max_queued(mut self, events: usize, bytes: usize) -> Self {
        (self.max_queued, self.max_queued_bytes) = (events, bytes);
        self
    }

    /// The same, where a process that starts has so many of the last events in memory at once, instead of 1,000. The others
    /// are read when a client needs them.
    pub fn with_preload(mut self, events: usize) -> Self {
        self.preload = events;
        self
    }

    /// The same, where Redis is waited for so long, instead of 5 seconds: to take a connection, to answer, and to come back
    /// while an event waits to be published. At least 100 ms, at most an hour.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.clamp(Duration::from_millis(100), Duration::from_secs(3600));
        self
    }
}
