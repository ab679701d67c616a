use std::time::Duration;

use ssekit_core::EncodedEvent;

use crate::schedule::LONGEST;

/// A shorter interval would flood the connection.
const SHORTEST: Duration = Duration::from_millis(1);

/// The event that an idle connection is sent, and how often.
///
/// A keep-alive stops proxies from closing an idle connection, and shows the server that a client has gone. Every write
/// restarts the interval, so a busy stream sends no keep-alive.
///
/// ```
/// use std::time::Duration;
/// use ssekit_core::{Event, event_type};
/// use ssekit_server::KeepAlive;
///
/// // The code of a page sees this event. A comment is for the connection only.
/// let ping = Event::data("").with_event_type(event_type!("ping"));
/// let keep_alive = KeepAlive::every(Duration::from_secs(20)).with_event(ping);
/// # let _ = keep_alive;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct KeepAlive {
    interval: Duration,
    /// `None` for an empty comment.
    event: Option<EncodedEvent>,
}

impl KeepAlive {
    /// Sends an empty comment whenever nothing was written for `interval`.
    ///
    /// An interval below a millisecond counts as a millisecond, and one above a year as a year.
    pub fn every(interval: Duration) -> Self {
        Self { interval: interval.clamp(SHORTEST, LONGEST), event: None }
    }

    /// Sends this event instead of an empty comment.
    pub fn with_event(mut self, event: impl Into<EncodedEvent>) -> Self {
        self.event = Some(event.into());
        self
    }

    pub(crate) fn into_event(self) -> Option<EncodedEvent> {
        self.event
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }
}

impl Default for KeepAlive {
    /// Sends an empty comment every 15 seconds, as the standard recommends.
    fn default() -> Self {
        Self::every(Duration::from_secs(15))
    }
}
