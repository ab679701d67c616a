use std::convert::Infallible;
use std::fmt;

use ssekit_core::{EncodedEvent, EventId};

use crate::last_event_id::LastEventId;

/// Why a stream is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The server dropped the body before its end: the client has gone, or the request was given up.
    ClientGone,
    /// The application's stream has ended by itself.
    StreamEnd,
    /// The application's stream has given an error.
    Error,
    /// The client has not taken what was written for the stall timeout.
    SlowConsumer,
    /// The application had no event for the idle timeout.
    Idle,
    /// The stream has been open for its maximum lifetime.
    MaxLifetime,
    /// It was ended by a [`StreamHandle`](crate::StreamHandle).
    Disconnected,
    /// The server shuts down: the client was told so, and when to come back.
    Draining,
    /// The server shuts down, and the deadline had come.
    Forced,
}

impl CloseReason {
    /// Each of them, for a table of counts.
    pub const ALL: [Self; 9] = [
        Self::ClientGone,
        Self::StreamEnd,
        Self::Error,
        Self::SlowConsumer,
        Self::Idle,
        Self::MaxLifetime,
        Self::Disconnected,
        Self::Draining,
        Self::Forced,
    ];

    /// Its name in lower case, for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientGone => "client_gone",
            Self::StreamEnd => "stream_end",
            Self::Error => "error",
            Self::SlowConsumer => "slow_consumer",
            Self::Idle => "idle",
            Self::MaxLifetime => "max_lifetime",
            Self::Disconnected => "kicked",
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

/// What a client is to do after the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Finish {
    /// Reconnect, which is what an EventSource does by itself.
    #[default]
    Reconnect,
    /// Stop: there is nothing more to come.
    ///
    /// An EventSource cannot be told so by a stream, only by the answer to its reconnection, which has to be 204 (No
    /// Content). So the stream ends with [`LastEventId::DONE`] as last event ID, in a block that dispatches no event; the
    /// client sends it back, and the adapters' extractors of `LastEventId` answer 204. A handler that has no such
    /// extractor starts anew.
    Done,
}

impl Finish {
    /// What is sent at the very end.
    pub(crate) fn frame(self) -> Option<EncodedEvent> {
        match self {
            Self::Reconnect => None,
            Self::Done => {
                let id = EventId::new(LastEventId::DONE).ok();
                Some(EncodedEvent::from(ssekit_core::Event { id, ..ssekit_core::Event::new() }))
            }
        }
    }
}

/// How a callback ends, and the stream with it: `()` or [`Finish`], or a `Result` of one, whose error is the body's.
///
/// With `()` the client is to do what [`Sender::end`](crate::Sender::end) or
/// [`with_finish`](crate::EventBody::with_finish) has said.
pub trait Outcome {
    /// The body's error.
    type Error;

    /// What the client is to do, if the callback has a say in it, or why the stream breaks off.
    ///
    /// # Errors
    ///
    /// The callback's own.
    fn into_finish(self) -> Result<Option<Finish>, Self::Error>;
}

impl Outcome for () {
    type Error = Infallible;

    fn into_finish(self) -> Result<Option<Finish>, Infallible> {
        Ok(None)
    }
}

impl Outcome for Finish {
    type Error = Infallible;

    fn into_finish(self) -> Result<Option<Finish>, Infallible> {
        Ok(Some(self))
    }
}

/// Of a callback that never returns.
impl Outcome for Infallible {
    type Error = Infallible;

    fn into_finish(self) -> Result<Option<Finish>, Infallible> {
        Err(self)
    }
}

impl<T: Outcome<Error = Infallible>, E> Outcome for Result<T, E> {
    type Error = E;

    fn into_finish(self) -> Result<Option<Finish>, E> {
        self.map(|outcome| match outcome.into_finish() {
            Ok(finish) => finish,
            Err(never) => match never {},
        })
    }
}
