//! Why a stream is over, and what its client does afterwards.

use std::fmt;

use ssekit_core::{EncodedEvent, EventId};

use crate::last_event_id::LastEventId;

/// The reason why a stream is over.
///
/// More reasons may be added in minor versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The server dropped the body before its end: the client has gone, or the server gave the request up.
    ClientGone,
    /// The application's stream ended by itself.
    StreamEnd,
    /// The application's stream failed: an item or a callback was an error.
    Error,
    /// The client read nothing for the stall timeout.
    SlowConsumer,
    /// The application had no event for the idle timeout.
    Idle,
    /// The stream reached its maximum lifetime.
    MaxLifetime,
    /// A [`StreamHandle`](crate::StreamHandle) or a hub ended the stream.
    Disconnected,
    /// A drain ended the stream, and told the client when to reconnect.
    Draining,
    /// A drain reached its deadline, and ended the stream by force.
    Forced,
}

const ALL: [CloseReason; 9] = [
    CloseReason::ClientGone,
    CloseReason::StreamEnd,
    CloseReason::Error,
    CloseReason::SlowConsumer,
    CloseReason::Idle,
    CloseReason::MaxLifetime,
    CloseReason::Disconnected,
    CloseReason::Draining,
    CloseReason::Forced,
];

impl CloseReason {
    /// The number of reasons, for a table that is indexed by `reason as usize`.
    pub(crate) const COUNT: usize = ALL.len();

    /// Returns all reasons of this version, for a table of counts.
    ///
    /// ```
    /// use ssekit_server::CloseReason;
    ///
    /// assert!(CloseReason::all().contains(&CloseReason::StreamEnd));
    /// ```
    pub fn all() -> &'static [Self] {
        &ALL
    }

    /// Returns the name in snake case, for logs and metrics.
    ///
    /// ```
    /// use ssekit_server::CloseReason;
    ///
    /// assert_eq!(CloseReason::ClientGone.as_str(), "client_gone");
    /// ```
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::StreamEnd => "stream_end",
            Self::Error => "error",
            Self::SlowConsumer => "slow_consumer",
            Self::Idle => "idle",
            Self::MaxLifetime => "max_lifetime",
            Self::Disconnected => "disconnected",
            Self::Draining => "draining",
            Self::Forced => "forced",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a client does after its stream has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a client reconnects or stops")]
pub enum AfterEnd {
    /// The client may reconnect. An EventSource does so by itself.
    #[default]
    Reconnect,
    /// The client stops: the stream is finished.
    ///
    /// A stream cannot tell an EventSource to stop. Only the answer 204 (No Content) to its next request can. So the
    /// stream ends with the last event ID [`LastEventId::FINISHED`], in a block that dispatches no event. The client sends
    /// this ID when it reconnects, and the [`SseRequest`](crate::SseRequest) extractors answer 204. A handler without such
    /// an extractor starts a new stream.
    Stop,
}

impl AfterEnd {
    /// Returns the event that the stream ends with.
    pub(crate) fn last_event(self) -> Option<EncodedEvent> {
        match self {
            Self::Reconnect => None,
            Self::Stop => {
                let id = EventId::new(LastEventId::FINISHED).ok();
                Some(EncodedEvent::from(ssekit_core::Event { id, ..ssekit_core::Event::new() }))
            }
        }
    }
}
