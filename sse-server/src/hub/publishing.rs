//! The outcome of a publish: at once in memory, later elsewhere.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::options::MAX_NAME_LEN;
use super::position::Position;

type Outcome = Result<Position, PublishError>;

/// An event that is being published: a future of its [`Position`].
///
/// - `.await?` works with every log. In memory it is ready when it is first polled, and needs no runtime.
/// - [`.now()?`](Self::now) works with a log in memory, in code that is not async.
///
/// The event is on its way even if this value is dropped, unless the [log](super::Log) says otherwise.
///
/// ```
/// use futures_util::FutureExt;
/// use ssekit_core::Event;
/// use ssekit_server::hub::Hub;
///
/// let hub = Hub::default();
/// let first = hub.publish("news", Event::data("one")).now()?;
/// let second = hub.publish("news", Event::data("two")).now_or_never().expect("memory answers at once")?;
/// assert_eq!(second.offset, first.offset + 1);
/// # Ok::<(), ssekit_server::hub::PublishError>(())
/// ```
///
/// Cost: the outcome of a log in memory is not boxed, and `.await` costs about 50 instructions more than `.now()`.
#[must_use = "only this tells whether the event was published: use `.await?`, or `.now()?` with a log in memory"]
pub struct Publishing(Stage);

enum Stage {
    /// The outcome, until it is taken.
    Done(Option<Outcome>),
    Waiting(Pin<Box<dyn Future<Output = Outcome> + Send>>),
}

impl Publishing {
    /// Returns the outcome without waiting.
    ///
    /// A log in memory always has it. A log on a server does not have it yet: the event is on its way, and this returns
    /// [`Unanswered`](PublishError::Unanswered). Code for both kinds of logs uses `.await`.
    ///
    /// # Errors
    ///
    /// See [`PublishError`].
    #[inline]
    pub fn now(self) -> Result<Position, PublishError> {
        match self.0 {
            Stage::Done(Some(outcome)) => outcome,
            Stage::Done(None) | Stage::Waiting(_) => Err(PublishError::Unanswered),
        }
    }

    /// Creates the answer of a [`Log`](super::Log) that knows the outcome already.
    #[inline]
    pub fn done(outcome: Result<Position, PublishError>) -> Self {
        Self(Stage::Done(Some(outcome)))
    }

    /// Creates the answer of a [`Log`](super::Log) that has to wait for the outcome.
    ///
    /// Hand the event to the server before this call where possible: a caller may drop the future without polling it.
    pub fn waiting(outcome: impl Future<Output = Result<Position, PublishError>> + Send + 'static) -> Self {
        Self(Stage::Waiting(Box::pin(outcome)))
    }
}

impl Future for Publishing {
    type Output = Result<Position, PublishError>;

    /// Polled again after it was ready, it returns [`PublishError::Unanswered`].
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match &mut self.0 {
            Stage::Done(outcome) => return Poll::Ready(outcome.take().unwrap_or(Err(PublishError::Unanswered))),
            Stage::Waiting(future) => future.as_mut().poll(cx),
        };
        if outcome.is_ready() {
            self.0 = Stage::Done(None);
        }
        outcome
    }
}

impl fmt::Debug for Publishing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Stage::Done(outcome) => f.debug_tuple("Publishing").field(outcome).finish(),
            Stage::Waiting(_) => f.write_str("Publishing(Waiting)"),
        }
    }
}

/// The reason an event was not published, or is not known to be published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PublishError {
    /// The topic's name or the key has more than [`MAX_NAME_LEN`] bytes.
    NameTooLong {
        /// The length of the name in bytes.
        len: usize,
    },
    /// The event has an ID. The hub assigns the ID: publish the event without one.
    HasId,
    /// The event is larger than the log allows.
    TooLarge {
        /// The size of the event in bytes, with its ID.
        len: usize,
        /// The maximum size in bytes.
        max: usize,
    },
    /// The value could not be turned into an event. This is the error of its conversion.
    Event(Arc<dyn Error + Send + Sync>),
    /// The bytes are not one event. Returned to [`NewEvent::from_block`](super::NewEvent::from_block).
    NotAnEvent,
    /// A log appended an event at a position that is in the past, or in another epoch.
    Passed {
        /// The position.
        position: Position,
        /// The next position of the log.
        next: Position,
    },
    /// The topic is [finished](super::Hub::finish_topic).
    Finished,
    /// The log was [sealed](super::MemoryLog::seal). Another process has it: publish there.
    Sealed,
    /// Too many events wait to be published. This one was not added to them.
    Overloaded {
        /// The number of events that wait.
        queued: usize,
    },
    /// The log's server could not be reached in time. The event was not published.
    Unavailable(Arc<dyn Error + Send + Sync>),
    /// The log's server refused the event, for example because it has no memory left. The event was not published.
    Refused(Arc<dyn Error + Send + Sync>),
    /// The log has the event, but has not said what became of it. It may be published or not.
    Unanswered,
}

impl PublishError {
    /// Returns whether the same event can be published later, with the same hub.
    ///
    /// After [`Unanswered`](Self::Unanswered) the event may then be in the log twice.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Sealed | Self::Overloaded { .. } | Self::Unavailable(_) | Self::Refused(_) | Self::Unanswered
        )
    }

    /// Returns the HTTP status for the request that published the event.
    ///
    /// | status | errors |
    /// |--:|---|
    /// | 400 | the name or the event is at fault |
    /// | 410 | the topic is finished |
    /// | 500 | the log appended an event at a wrong position |
    /// | 503 | the log is sealed, overloaded, unavailable, or refused the event |
    /// | 504 | the log has not answered |
    pub fn status(&self) -> u16 {
        match self {
            Self::NameTooLong { .. } | Self::HasId | Self::TooLarge { .. } | Self::Event(_) | Self::NotAnEvent => 400,
            Self::Finished => 410,
            Self::Passed { .. } => 500,
            Self::Sealed | Self::Overloaded { .. } | Self::Unavailable(_) | Self::Refused(_) => 503,
            Self::Unanswered => 504,
        }
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTooLong { len } => {
                write!(f, "name of {len} bytes: a topic or key has at most {MAX_NAME_LEN} bytes")
            }
            Self::HasId => f.write_str("event has an id: the hub assigns the id, so publish the event without one"),
            Self::TooLarge { len, max } => write!(f, "event of {len} bytes: the log keeps events of at most {max} bytes"),
            Self::Event(error) => write!(f, "value cannot be sent as an event: {error}"),
            Self::NotAnEvent => f.write_str("bytes are not one event that ends with a blank line and has no id"),
            Self::Passed { position, next } => {
                write!(f, "event at {position}: the next position of the log is {next}")
            }
            Self::Finished => f.write_str("topic is finished: no more events are published to it"),
            Self::Sealed => f.write_str("log is sealed: another process has it, so publish there"),
            Self::Overloaded { queued } => {
                write!(f, "event not published: {queued} events wait already, so wait for them or publish less")
            }
            Self::Unavailable(error) => write!(f, "event not published, and can be tried again: {error}"),
            Self::Refused(error) => write!(f, "event not published, because the log refused it: {error}"),
            Self::Unanswered => f.write_str(
                "event may be published or not, because the log has not answered: publish it again if a duplicate does no harm",
            ),
        }
    }
}

impl Error for PublishError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Event(error) | Self::Unavailable(error) | Self::Refused(error) => Some(&**error),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    const AT: Position = Position { epoch: 7, offset: 1 };

    #[test]
    fn outcome_of_memory_is_not_larger_than_its_result() {
        assert!(size_of::<Publishing>() <= 40, "{} bytes", size_of::<Publishing>());
    }

    #[test]
    fn known_outcome_is_ready_once() {
        let mut publishing = Publishing::done(Ok(AT));
        let mut poll = || Pin::new(&mut publishing).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll(), Poll::Ready(Ok(AT))));
        assert!(matches!(poll(), Poll::Ready(Err(PublishError::Unanswered))));
    }

    #[test]
    fn outcome_that_waits_is_unanswered_now_and_known_later() {
        assert!(matches!(Publishing::waiting(async { Ok(AT) }).now(), Err(PublishError::Unanswered)));
        let mut publishing = Publishing::waiting(async { Ok(AT) });
        let mut poll = || Pin::new(&mut publishing).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(poll(), Poll::Ready(Ok(AT))));
        assert!(matches!(poll(), Poll::Ready(Err(PublishError::Unanswered))));
    }

    #[test]
    fn errors_name_the_value_and_are_temporary_or_not() {
        let source: Arc<dyn Error + Send + Sync> = Arc::from(Box::<dyn Error + Send + Sync>::from("no route"));
        for (error, status, is_temporary, text) in [
            (PublishError::NameTooLong { len: 300 }, 400, false, "300"),
            (PublishError::TooLarge { len: 9, max: 8 }, 400, false, "9"),
            (PublishError::Event(source.clone()), 400, false, "no route"),
            (PublishError::Passed { position: AT, next: AT }, 500, false, "7-1"),
            (PublishError::Finished, 410, false, "finished"),
            (PublishError::Sealed, 503, true, "sealed"),
            (PublishError::Overloaded { queued: 5 }, 503, true, "5"),
            (PublishError::Unavailable(source.clone()), 503, true, "no route"),
            (PublishError::Refused(source), 503, true, "no route"),
            (PublishError::Unanswered, 504, true, "duplicate"),
        ] {
            assert_eq!((error.status(), error.is_temporary()), (status, is_temporary), "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
