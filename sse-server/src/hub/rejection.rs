//! Rejected subscribers, and how to answer them.

use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use ssekit_core::{EncodedEvent, Event};

use super::options::{MAX_NAME_LEN, MAX_NAMES};
use crate::body::EventBody;

/// A rejected subscriber, and how to answer it.
///
/// An EventSource stops for good at any status but 200. So a client that may try again later is answered with a stream
/// that contains a `retry` line and ends: [`into_body`](Self::into_body). Answer other clients with
/// [`status`](Self::status). [`Hub::respond`](super::Hub::respond) chooses between both.
///
/// ```
/// use futures_util::{FutureExt, StreamExt};
/// use ssekit_server::hub::{Hub, HubOptions, RejectionReason, Subscribe};
///
/// # async {
/// let hub = Hub::new(HubOptions::new().with_max_clients(0));
/// let rejection = hub.subscribe(Subscribe::topic("news")).unwrap_err();
/// assert_eq!((rejection.reason(), rejection.status()), (RejectionReason::Full { max: 0 }, 503));
///
/// let mut body = rejection.into_body();
/// let chunk = body.next().await.unwrap().unwrap();
/// assert!(chunk.starts_with(b": \n\nretry: "));
/// assert!(body.next().await.is_none());
/// # }.now_or_never().unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Rejection {
    reason: RejectionReason,
    retry_after: Duration,
    /// The error of a first event.
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// The reason a subscriber was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionReason {
    /// The hub has the maximum number of clients.
    Full {
        /// The maximum number of clients of the hub.
        max: usize,
    },
    /// One of the keys has the maximum number of clients.
    KeyFull {
        /// The maximum number of clients of a key.
        max: usize,
    },
    /// One of the topics or prefixes has the maximum number of clients.
    TopicFull {
        /// The maximum number of clients of a topic or prefix.
        max: usize,
    },
    /// The log was [sealed](super::MemoryLog::seal), and the client was already connected to the process that has it now.
    Sealed,
    /// The session has a stream already, and [rejects](super::SessionPolicy::RejectNew) another one.
    SessionTaken,
    /// The request has more than [`MAX_NAMES`] topics, prefixes and keys.
    TooManyNames {
        /// The number of names.
        count: usize,
    },
    /// A topic, prefix or key has more than [`MAX_NAME_LEN`] bytes.
    NameTooLong {
        /// The length in bytes.
        len: usize,
    },
    /// A [first event](super::Subscribe::with_first_event) could not be encoded. The rejection's source is the error.
    FirstEvent,
}

impl Rejection {
    pub(super) fn new(
        reason: RejectionReason,
        retry_after: Duration,
        first_event_error: Option<Arc<dyn Error + Send + Sync>>,
    ) -> Self {
        let source = first_event_error.filter(|_| reason == RejectionReason::FirstEvent);
        Self { reason, retry_after, source }
    }

    /// Returns the reason why the subscriber was rejected.
    pub fn reason(&self) -> RejectionReason {
        self.reason
    }

    /// Returns how long the client should wait before it tries again.
    pub fn retry_after(&self) -> Duration {
        self.retry_after
    }

    /// Returns whether the same request can be accepted later. If not, the request is at fault.
    pub fn is_temporary(&self) -> bool {
        use RejectionReason::{FirstEvent, NameTooLong, TooManyNames};

        !matches!(self.reason, TooManyNames { .. } | NameTooLong { .. } | FirstEvent)
    }

    /// Returns the HTTP status for a client that is not an EventSource.
    ///
    /// | status | reasons |
    /// |--:|---|
    /// | 400 | `TooManyNames`, `NameTooLong` |
    /// | 409 | `SessionTaken` |
    /// | 429 | `KeyFull` |
    /// | 500 | `FirstEvent` |
    /// | 503 | `Full`, `TopicFull`, `Sealed` |
    pub fn status(&self) -> u16 {
        match self.reason {
            RejectionReason::Full { .. } | RejectionReason::TopicFull { .. } | RejectionReason::Sealed => 503,
            RejectionReason::KeyFull { .. } => 429,
            RejectionReason::SessionTaken => 409,
            RejectionReason::TooManyNames { .. } | RejectionReason::NameTooLong { .. } => 400,
            RejectionReason::FirstEvent => 500,
        }
    }

    /// Converts the rejection into a stream that sets an EventSource's reconnection time, and ends.
    pub fn into_body(self) -> EventBody<RetryStream> {
        EventBody::new(RetryStream(Some(self.retry_after)))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|error| &**error as &(dyn Error + 'static))
    }
}

impl fmt::Display for RejectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { max } => write!(f, "hub has {max} clients, the maximum"),
            Self::KeyFull { max } => write!(f, "key has {max} clients, the maximum"),
            Self::TopicFull { max } => write!(f, "topic has {max} clients, the maximum"),
            Self::Sealed => f.write_str("log is sealed: another process has it now"),
            Self::SessionTaken => f.write_str("session has a stream already"),
            Self::TooManyNames { count } => {
                write!(f, "{count} topics and keys: a subscriber has at most {MAX_NAMES} names")
            }
            Self::NameTooLong { len } => {
                write!(f, "name of {len} bytes: a topic or key has at most {MAX_NAME_LEN} bytes")
            }
            Self::FirstEvent => f.write_str("first event cannot be encoded"),
        }
    }
}

/// The stream for a rejected client: one `retry` line.
#[derive(Debug)]
pub struct RetryStream(Option<Duration>);

impl Stream for RetryStream {
    type Item = EncodedEvent;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<EncodedEvent>> {
        let retry = self.0.take().map(|time| Event::new().with_reconnection_time(time));
        Poll::Ready(retry.map(EncodedEvent::from))
    }
}
