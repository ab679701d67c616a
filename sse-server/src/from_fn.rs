//! A stream that is written by a callback.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;
use ssekit_core::EncodedEvent;

use crate::channel::Receiver;
use crate::close::Outcome;
use crate::stream_control::StreamControl;

/// How many events a callback can send before it waits for the body to take them.
pub(crate) const CAPACITY: usize = 64;

pin_project! {
    /// The stream of a body that a callback writes; see [`EventBody::from_fn`](crate::EventBody::from_fn).
    pub struct FromFn<F: Future>
    where
        F::Output: Outcome,
    {
        #[pin]
        callback: Option<F>,
        receiver: Receiver,
        control: Arc<StreamControl>,
        error: Option<<F::Output as Outcome>::Error>,
    }
}

impl<F: Future> FromFn<F>
where
    F::Output: Outcome,
{
    pub(crate) fn new(callback: F, receiver: Receiver, control: Arc<StreamControl>) -> Self {
        Self { callback: Some(callback), receiver, control, error: None }
    }
}

impl<F: Future> Stream for FromFn<F>
where
    F::Output: Outcome,
{
    type Item = Result<EncodedEvent, <F::Output as Outcome>::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if let Some(frame) = this.receiver.try_next() {
            return Poll::Ready(Some(Ok(frame)));
        }
        // Before the receiver's own poll, so that what the callback sends does not wake the task it runs in.
        if let Some(Poll::Ready(outcome)) = this.callback.as_mut().as_pin_mut().map(|callback| callback.poll(cx)) {
            this.callback.set(None);
            match outcome.into_after_end() {
                Ok(after_end) => after_end.into_iter().for_each(|after_end| this.control.set_after_end(after_end)),
                Err(error) => *this.error = Some(error),
            }
            this.receiver.close();
        }
        match Pin::new(this.receiver).poll_next(cx) {
            Poll::Ready(Some(frame)) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(None) => Poll::Ready(this.error.take().map(Err)),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<F: Future> fmt::Debug for FromFn<F>
where
    F::Output: Outcome,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FromFn").field("is_running", &self.callback.is_some()).finish_non_exhaustive()
    }
}
