//! A stream that an async function writes.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;
use ssekit_core::{BoxError, EncodedEvent};

use crate::channel::{Receiver, SendError};

/// The number of events that a function can send before it waits for the body to take them.
pub(crate) const CAPACITY: usize = 64;

pin_project! {
    /// The stream of a body that an async function writes: see [`EventBody::from_fn`](crate::EventBody::from_fn).
    pub struct FromFn<F> {
        #[pin]
        function: Option<F>,
        receiver: Receiver,
        // The error of the function. The stream fails with it after the events that were sent.
        error: Option<BoxError>,
    }
}

impl<F: Future<Output = Result<(), BoxError>>> FromFn<F> {
    pub(crate) fn new(function: F, receiver: Receiver) -> Self {
        Self { function: Some(function), receiver, error: None }
    }
}

impl<F: Future<Output = Result<(), BoxError>>> Stream for FromFn<F> {
    type Item = Result<EncodedEvent, BoxError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if let Some(event) = this.receiver.try_next() {
            return Poll::Ready(Some(Ok(event)));
        }
        // The function is polled before the receiver, so that its events do not wake the task in which it runs.
        if let Some(Poll::Ready(result)) = this.function.as_mut().as_pin_mut().map(|function| function.poll(cx)) {
            this.function.set(None);
            *this.error = result.err().filter(is_failure);
            this.receiver.close();
        }
        match Pin::new(this.receiver).poll_next(cx) {
            Poll::Ready(Some(event)) => Poll::Ready(Some(Ok(event))),
            Poll::Ready(None) => Poll::Ready(this.error.take().map(Err)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// Returns whether the error of a function fails its stream. `SendError::Closed` does not: the stream is over already.
fn is_failure(error: &BoxError) -> bool {
    !matches!(error.downcast_ref(), Some(SendError::Closed(_)))
}

impl<F> fmt::Debug for FromFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").field("is_running", &self.function.is_some()).finish_non_exhaustive()
    }
}
