//! The error of a body.

use std::error::Error;
use std::{fmt, io};

use ssekit_core::BoxError;

/// The reason why a stream failed: the error of its application, or of an event that could not be encoded.
///
/// A server that gets it from a body cuts the response short, so that the client does not take the stream for complete.
/// It converts into an [`io::Error`](std::io::Error) with `From`. `on_close` reports only that a stream failed: log the
/// error in the stream itself, for example with `inspect_err`.
///
/// ```
/// use std::io;
/// use futures_util::{StreamExt, stream};
/// use ssekit_core::Event;
/// use ssekit_server::EventBody;
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
/// # runtime.block_on(async {
/// let mut body = EventBody::new(stream::iter([Ok(Event::data("one")), Err("the source is gone")]));
/// assert_eq!(body.next().await.unwrap()?, ": \n\ndata: one\n\n");
/// let error = body.next().await.unwrap().unwrap_err();
/// assert_eq!(error.to_string(), "the source is gone");
/// assert_eq!(io::Error::from(error).kind(), io::ErrorKind::Other);
/// # Ok::<(), ssekit_server::BodyError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct BodyError(BoxError);

impl BodyError {
    pub(crate) fn new(error: BoxError) -> Self {
        Self(error)
    }

    /// Returns the error of the application, to be downcast.
    pub fn into_inner(self) -> BoxError {
        self.0
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        // The message is the inner error's own.
        self.0.source()
    }
}

/// Returns the application's error if it is an `io::Error`, and otherwise wraps it in one.
impl From<BodyError> for io::Error {
    fn from(error: BodyError) -> Self {
        match error.0.downcast::<Self>() {
            Ok(error) => *error,
            Err(error) => Self::other(error),
        }
    }
}
