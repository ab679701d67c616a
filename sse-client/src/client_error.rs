//! The errors of an event source.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;
use std::error;

use http::HeaderMap;

use crate::machine::{Failure, NextStep};

/// Any error of the application or the transport.
pub type BoxError = Box<dyn error::Error + Send + Sync>;

/// A failure of an [`EventSource`](crate::EventSource), together with its next step.
///
/// Only an error that [`is_final`](Self::is_final) ends the source. After all others it continues by itself.
///
/// The text is the failure, its causes and the next attempt: `no response from the server: connection refused; next attempt
/// in 1.4 s`.
pub struct ClientError(Box<Inner>);

struct Inner {
    failure: Failure,
    next_step: NextStep,
    attempt: u64,
    context: FailureContext,
}

/// The facts about a failure that the machine does not know.
#[derive(Default)]
pub(crate) struct FailureContext {
    /// The header fields of a response that is not an event stream.
    pub(crate) headers: Option<HeaderMap>,
    /// The error of the transport or of the application.
    pub(crate) source: Option<BoxError>,
}

impl ClientError {
    pub(crate) fn new(failure: Failure, next_step: NextStep, attempt: u64, context: FailureContext) -> Self {
        Self(Box::new(Inner { failure, next_step, attempt, context }))
    }

    /// Returns the failure.
    pub fn failure(&self) -> &Failure {
        &self.0.failure
    }

    /// Returns the failure, to keep it. Unlike the error it can be cloned.
    pub fn into_failure(self) -> Failure {
        self.0.failure
    }

    /// Returns the source's next step after the failure.
    pub fn next_step(&self) -> NextStep {
        self.0.next_step
    }

    /// Returns the number of the attempt that failed, counted from 1.
    pub fn attempt(&self) -> u64 {
        self.0.attempt
    }

    /// Returns the time until the next attempt, if there is one.
    ///
    /// For the server's `Retry-After`, call [`parse_retry_after`](crate::parse_retry_after) with the
    /// [header fields](Self::headers).
    pub fn retry_delay(&self) -> Option<Duration> {
        self.0.next_step.retry_delay()
    }

    /// Whether the source is closed after this error, without further events.
    pub fn is_final(&self) -> bool {
        self.0.next_step == NextStep::End
    }

    /// Returns the status of the response, if it is the failure.
    pub fn status(&self) -> Option<u16> {
        self.0.failure.status()
    }

    /// Returns the start of the body of a response that is not an event stream.
    ///
    /// It has at most 8 KiB, which were received within 5 seconds. For a whole body, send the request yourself, and use
    /// [`with_response`](crate::EventSourceBuilder::with_response) if the response is an event stream.
    pub fn body(&self) -> Option<&[u8]> {
        self.0.failure.body()
    }

    /// Returns the header fields of a response that is not an event stream, or of a redirect that is not followed.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.0.context.headers.as_ref()
    }
}

/// Shows the failure by its text, and does not show header fields that may be secret.
impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientError")
            .field("failure", &format_args!("{}", self.0.failure))
            .field("next_step", &self.0.next_step)
            .field("attempt", &self.0.attempt)
            .field("headers", &self.0.context.headers)
            .field("source", &self.0.context.source)
            .finish()
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.failure.fmt(f)?;
        // The outermost error of an HTTP client rarely names the cause.
        let mut source = error::Error::source(self);
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        match self.0.next_step {
            NextStep::Continue | NextStep::End => Ok(()),
            retry @ NextStep::Retry { .. } => write!(f, "; {retry}"),
        }
    }
}

impl error::Error for ClientError {
    /// Returns the error of the transport or of the application. Its text is part of this error's text.
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.0.context.source.as_deref().map(|error| error as _)
    }
}
