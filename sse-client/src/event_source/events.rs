//! The stream of events without openings, comments and retries.

use core::future::Future;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use futures_core::{FusedStream, Stream};
use ssekit_core::ReceivedEvent;

use super::EventSource;
use crate::client_error::ClientError;

/// A `Stream` of the events of an [`EventSource`], made by [`into_events`](EventSource::into_events).
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct Events(EventSource);

impl Events {
    pub(super) fn new(source: EventSource) -> Self {
        Self(source)
    }

    /// Returns the event source, for its last event ID or the reason why it has ended.
    pub fn get_ref(&self) -> &EventSource {
        &self.0
    }

    /// Returns the event source, to restart it.
    pub fn get_mut(&mut self) -> &mut EventSource {
        &mut self.0
    }
}

impl Stream for Events {
    type Item = Result<ReceivedEvent, ClientError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        // The future holds no state of its own, so each poll can use a new one.
        pin!(self.get_mut().0.next_event()).poll(cx).map(Result::transpose)
    }
}

impl FusedStream for Events {
    fn is_terminated(&self) -> bool {
        self.0.is_terminated()
    }
}
