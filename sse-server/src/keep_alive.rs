use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use ssekit_core::{EncodedEvent, IntoEvent};

use crate::schedule::LONGEST;

/// A shorter interval would flood the connection.
const SHORTEST: Duration = Duration::from_millis(1);

/// Why the event of a setting could not be encoded. Settings are cloned, so the error is shared.
pub(crate) type EventError = Arc<dyn Error + Send + Sync>;

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
    event: Result<Option<EncodedEvent>, EventError>,
}

impl KeepAlive {
    /// Sends an empty comment whenever nothing was written for `interval`.
    ///
    /// An interval below a millisecond counts as a millisecond, and one above a year as a year.
    pub fn every(interval: Duration) -> Self {
        Self { interval: interval.clamp(SHORTEST, LONGEST), event: Ok(None) }
    }

    /// Sends this event instead of an empty comment.
    ///
    /// If the event cannot be encoded, the body fails with the error when it is first polled.
    pub fn with_event(mut self, event: impl IntoEvent) -> Self {
        self.event = event.into_event().map(Some).map_err(EventError::from);
        self
    }

    pub(crate) fn into_event(self) -> Result<Option<EncodedEvent>, EventError> {
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
