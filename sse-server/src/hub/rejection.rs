//! Those who are not taken.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::Stream;
use ssekit_core::{EncodedEvent, Event};

use super::options::{MAX_NAME_LEN, MAX_NAMES};
use crate::body::EventBody;

/// A subscriber that is not taken, and how to tell it.
///
/// An EventSource gives up for good at any status but 200. So one that may come back is answered by a stream that says
/// when, and ends: [`into_body`](Self::into_body). Other clients know better what to make of a [`status`](Self::status).
/// The adapters' `SseRejection` is a response of either kind.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejection {
    reason: RejectionReason,
    retry: Duration,
}

/// Why a subscriber is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RejectionReason {
    /// The hub has as many as it may have.
    Full {
        /// How many.
        max: usize,
    },
    /// There are as many with one of its keys as there may be.
    KeyFull {
        /// How many.
        max: usize,
    },
    /// One of the topics or prefixes has as many as it may have.
    TopicFull {
        /// How many.
        max: usize,
    },
    /// The log was [sealed](super::MemoryLog::seal), and the client comes from the process that has it now. It is to go there.
    Sealed,
    /// The session has a stream already, and [rejects](super::SessionPolicy::RejectNew) others.
    SessionTaken,
    /// It names too much: see [`MAX_NAMES`].
    TooManyNames {
        /// How many topics, prefixes and keys.
        count: usize,
    },
    /// A name is too long: see [`MAX_NAME_LEN`].
    NameTooLong {
        /// How many bytes it has.
        len: usize,
    },
}

impl Rejection {
    pub(super) fn new(reason: RejectionReason, retry: Duration) -> Self {
        Self { reason, retry }
    }

    /// Why.
    pub fn reason(&self) -> RejectionReason {
        self.reason
    }

    /// When the client is to come back.
    pub fn retry(&self) -> Duration {
        self.retry
    }

    /// Whether it is worth the client's while to come back. If not, the request itself is wrong.
    pub fn is_temporary(&self) -> bool {
        !matches!(self.reason, RejectionReason::TooManyNames { .. } | RejectionReason::NameTooLong { .. })
    }

    /// The status for a client that is no EventSource: 503 (Service Unavailable), 429 (Too Many Requests), 409 (Conflict) or
    /// 400 (Bad Request).
    pub fn status(&self) -> u16 {
        match self.reason {
            RejectionReason::Full { .. } | RejectionReason::TopicFull { .. } | RejectionReason::Sealed => 503,
            RejectionReason::KeyFull { .. } => 429,
            RejectionReason::SessionTaken => 409,
            RejectionReason::TooManyNames { .. } | RejectionReason::NameTooLong { .. } => 400,
        }
    }

    /// The stream that tells an EventSource when to come back.
    pub fn into_body(self) -> EventBody<RetryStream> {
        EventBody::new(RetryStream(Some(self.retry)))
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reason.fmt(f)
    }
}

impl std::error::Error for Rejection {}

impl fmt::Display for RejectionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { max } => write!(f, "there are {max} clients, the most there may be"),
            Self::KeyFull { max } => write!(f, "there are {max} clients with this key, the most there may be"),
            Self::TopicFull { max } => write!(f, "there are {max} clients of this topic, the most there may be"),
            Self::Sealed => f.write_str("the log is another process's by now"),
            Self::SessionTaken => f.write_str("the session has a stream already"),
            Self::TooManyNames { count } => write!(f, "{count} topics and keys are named, of {MAX_NAMES} at the most"),
            Self::NameTooLong { len } => write!(f, "a name has {len} bytes, of {MAX_NAME_LEN} at the most"),
        }
    }
}

/// The stream of a client that is rejected.
#[derive(Debug)]
pub struct RetryStream(Option<Duration>);

impl Stream for RetryStream {
    type Item = EncodedEvent;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<EncodedEvent>> {
        Poll::Ready(self.0.take().map(|retry| EncodedEvent::from(Event::new().with_reconnection_time(retry))))
    }
}
