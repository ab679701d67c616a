use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;
use std::error;

use http::HeaderMap;

use crate::machine::{Failure, Then};

/// The errors of an application.
pub type BoxError = Box<dyn error::Error + Send + Sync>;

/// Something has gone wrong with an [`EventSource`](crate::EventSource): what, and what follows.
///
/// It is the end only if [`is_final`](Self::is_final) says so.
pub struct Error(Box<Inner>);

struct Inner {
    failure: Failure,
    then: Then,
    attempt: u64,
    headers: Option<HeaderMap>,
    source: Option<BoxError>,
}

impl Error {
    pub(crate) fn new(
        failure: Failure,
        then: Then,
        attempt: u64,
        headers: Option<HeaderMap>,
        source: Option<BoxError>,
    ) -> Self {
        Self(Box::new(Inner { failure, then, attempt, headers, source }))
    }

    /// What has gone wrong.
    pub fn failure(&self) -> &Failure {
        &self.0.failure
    }

    /// The same, to keep it: unlike this it can be cloned.
    pub fn into_failure(self) -> Failure {
        self.0.failure
    }

    /// What follows.
    pub fn then(&self) -> Then {
        self.0.then
    }

    /// Which attempt it was, counted from 1.
    pub fn attempt(&self) -> u64 {
        self.0.attempt
    }

    /// After how long there will be another attempt, if there will be one. What the server has asked for by `Retry-After`, be
    /// there another one or not, says [`retry_after`](crate::retry_after) of its [header fields](Self::headers).
    pub fn retry_after(&self) -> Option<Duration> {
        match self.0.then {
            Then::Retry { after } => Some(after),
            Then::GoOn | Then::End => None,
        }
    }

    /// Whether there will be no further events.
    pub fn is_final(&self) -> bool {
        self.0.then == Then::End
    }

    /// The status that the server has answered with, if it is none that is wanted.
    pub fn status(&self) -> Option<u16> {
        self.0.failure.status()
    }

    /// The start of the response's body, if the response was no event stream: what came of it within 5 seconds, and at most
    /// 8 KiB. Who wants all of an answer that may be no event stream asks for it first, and has the stream from it by
    /// [`with_response`](crate::EventSourceBuilder::with_response).
    pub fn body(&self) -> Option<&[u8]> {
        self.0.failure.body()
    }

    /// The response's header fields, if the response was no event stream, or a redirect that is not followed.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.0.headers.as_ref()
    }
}

/// What `Display` shows of the failure, and the rest.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("failure", &format_args!("{}", self.0.failure))
            .field("then", &self.0.then)
            .field("attempt", &self.0.attempt)
            .field("headers", &self.0.headers)
            .field("source", &self.0.source)
            .finish()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.failure.fmt(f)?;
        // Those of HTTP clients say next to nothing by themselves.
        let mut source = error::Error::source(self);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        match self.0.then {
            Then::GoOn | Then::End => Ok(()),
            Then::Retry { after } => write!(f, "; next attempt in {:.1} s", after.as_secs_f64()),
        }
    }
}

impl error::Error for Error {
    /// The transport's error, or the application's; both are in the text already.
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.source.as_deref().map(|error| error as _)
    }
}
