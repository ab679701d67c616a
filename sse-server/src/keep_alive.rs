use std::time::Duration;

use ssekit_core::EncodedEvent;

use crate::schedule::LONGEST;

/// Less would flood the connection.
const SHORTEST: Duration = Duration::from_millis(1);

/// What an idle connection is sent, and how often, so that proxies do not take it for dead and a client that is gone is
/// noticed.
///
/// Every write starts the interval anew: a busy stream sends none.
///
/// ```
/// use std::time::Duration;
/// use ssekit_core::{Event, event_type};
/// use ssekit_server::KeepAlive;
///
/// // An event that a page's own code can see, where a comment is for the connection only.
/// let ping = Event::data("").with_event_type(event_type!("ping"));
/// let keep_alive = KeepAlive::every(Duration::from_secs(20)).with_frame(ping);
/// # let _ = keep_alive;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct KeepAlive {
    interval: Duration,
    /// An empty comment if there is none.
    frame: Option<EncodedEvent>,
}

impl KeepAlive {
    /// An empty comment after every `interval` with nothing else written. Less than a millisecond counts as one, and more
    /// than a year as one.
    pub fn every(interval: Duration) -> Self {
        Self { interval: interval.clamp(SHORTEST, LONGEST), frame: None }
    }

    /// The same with this comment or event instead.
    pub fn with_frame(mut self, frame: impl Into<EncodedEvent>) -> Self {
        self.frame = Some(frame.into());
        self
    }

    pub(crate) fn into_event(self) -> Option<EncodedEvent> {
        self.frame
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }
}

impl Default for KeepAlive {
    /// A comment every 15 seconds, which is what the standard recommends.
    fn default() -> Self {
        Self::every(Duration::from_secs(15))
    }
}
