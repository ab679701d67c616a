//! A bounded queue of events between the application and a body.
//!
//! ```text
//! send --> places (free permits) --> queue.events --> taken --> body
//!                                   |<------ at most `capacity` ------>|
//! ```
//!
//! The receiver takes the whole queue under one lock. The places of the taken events become free when all of them have
//! gone out, so the channel never holds more events than its capacity.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use ssekit_core::{BoxError, EncodedEvent, IntoEvent};
use tokio::sync::{Notify, Semaphore, TryAcquireError};

use crate::close::AfterEnd;
use crate::stream_control::StreamControl;
use crate::stream_handle::StreamHandle;

/// The sending half of a channel; made by [`EventBody::channel`](crate::EventBody::channel).
///
/// A clone sends into the same stream. The stream ends when the last sender is dropped.
///
/// | method | the client |
/// |---|---|
/// | [`end`](Self::end), or dropping all senders | may reconnect |
/// | [`finish`](Self::finish) | does not reconnect |
/// | [`fail`](Self::fail) | sees that the response broke off, and may reconnect |
///
/// All three apply after the events that were sent. [`handle`](Self::handle) ends the stream at once.
#[derive(Debug)]
pub struct Sender {
    channel: Arc<Channel>,
    handle: StreamHandle,
}

/// The receiving half of a channel: the stream of the body.
#[derive(Debug)]
pub struct Receiver {
    channel: Arc<Channel>,
    /// The events of the queue when it was last taken.
    taken: VecDeque<EncodedEvent>,
    /// The number of places that the taken events hold.
    held: usize,
}

#[derive(Debug)]
struct Channel {
    /// The permits are the free places. Closed when the channel is.
    places: Semaphore,
    queue: Mutex<Queue>,
    closed: Notify,
}

#[derive(Debug)]
struct Queue {
    events: VecDeque<EncodedEvent>,
    receiver: Option<Waker>,
    senders: usize,
    /// Whether the channel accepts no more events.
    is_closed: bool,
}

/// Creates a channel for the stream of this control.
pub(crate) fn channel(capacity: usize, control: &Arc<StreamControl>) -> (Sender, Receiver) {
    let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
    let queue = Queue { events: VecDeque::new(), receiver: None, senders: 1, is_closed: false };
    let channel =
        Arc::new(Channel { places: Semaphore::new(capacity), queue: Mutex::new(queue), closed: Notify::new() });
    // For a body that is not polled any more, because its client does not read.
    let weak = Arc::downgrade(&channel);
    control.on_close(Box::new(move |_| {
        if let Some(channel) = weak.upgrade() {
            channel.close();
        }
    }));
    let sender = Sender { channel: channel.clone(), handle: StreamHandle(control.clone()) };
    (sender, Receiver { channel, taken: VecDeque::new(), held: 0 })
}

impl Channel {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Accepts no more events. Events that were sent still go out.
    fn close(&self) {
        let receiver = {
            let mut queue = self.queue();
            queue.is_closed = true;
            queue.receiver.take()
        };
        self.places.close();
        self.closed.notify_waiters();
        receiver.into_iter().for_each(Waker::wake);
    }

    /// Adds an event. The caller holds a place for it.
    fn push(&self, event: EncodedEvent) -> Result<(), EncodedEvent> {
        let receiver = {
            let mut queue = self.queue();
            if queue.is_closed {
                return Err(event);
            }
            queue.events.push_back(event);
            queue.receiver.take()
        };
        receiver.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl Sender {
    /// Sends an event, and waits while the channel is full.
    ///
    /// A client that reads slowly thus slows its sender down. Dropping the future before it is ready sends nothing.
    ///
    /// # Errors
    ///
    /// - [`SendError::Closed`], with the event, if the stream is over.
    /// - [`SendError::Event`] if the value cannot be encoded.
    pub async fn send(&self, event: impl IntoEvent) -> Result<(), SendError> {
        // Encoding comes before the first await, so the future does not hold the value.
        self.send_encoded(event.into_event().map_err(SendError::Event)?).await
    }

    async fn send_encoded(&self, event: EncodedEvent) -> Result<(), SendError> {
        let event = match self.try_send_encoded(event) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(event)) => event,
            Err(TrySendError::Closed(event)) => return Err(SendError::Closed(event)),
            Err(TrySendError::Event(error)) => return Err(SendError::Event(error)),
        };
        match self.channel.places.acquire().await {
            Ok(place) => {
                place.forget();
                self.channel.push(event).map_err(SendError::Closed)
            }
            Err(_) => Err(SendError::Closed(event)),
        }
    }

    /// Sends an event if the channel is not full.
    ///
    /// # Errors
    ///
    /// - [`TrySendError::Full`] or [`TrySendError::Closed`], with the event.
    /// - [`TrySendError::Event`] if the value cannot be encoded.
    pub fn try_send(&self, event: impl IntoEvent) -> Result<(), TrySendError> {
        self.try_send_encoded(event.into_event().map_err(TrySendError::Event)?)
    }

    fn try_send_encoded(&self, event: EncodedEvent) -> Result<(), TrySendError> {
        match self.channel.places.try_acquire() {
            Ok(place) => {
                place.forget();
                self.channel.push(event).map_err(TrySendError::Closed)
            }
            Err(TryAcquireError::Closed) => Err(TrySendError::Closed(event)),
            Err(TryAcquireError::NoPermits) => Err(TrySendError::Full(event)),
        }
    }

    /// Ends the stream after all events that were sent, even if there are other senders. The client may reconnect.
    pub fn end(self) {
        self.handle.0.set_after_end(AfterEnd::Reconnect);
        self.channel.close();
    }

    /// Ends the stream like [`end`](Self::end), and tells the client not to reconnect: see [`AfterEnd::Stop`].
    pub fn finish(self) {
        self.handle.0.set_after_end(AfterEnd::Stop);
        self.channel.close();
    }

    /// Fails the stream with `error`, after all events that were sent, even if there are other senders.
    ///
    /// The server then cuts the response short, so the client does not take the stream for complete.
    ///
    /// ```
    /// use futures_util::{FutureExt, StreamExt};
    /// use ssekit_core::Event;
    /// use ssekit_server::{CloseReason, EventBody};
    ///
    /// # async {
    /// let (sender, mut body) = EventBody::channel(16);
    /// let handle = body.handle();
    /// sender.send(Event::data("one")).await?;
    /// sender.fail("the source is gone");
    /// assert_eq!(body.next().await.unwrap()?, ": \n\ndata: one\n\n");
    /// assert_eq!(body.next().await.unwrap().unwrap_err().to_string(), "the source is gone");
    /// assert_eq!(handle.close_reason(), Some(CloseReason::Error));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # };
    /// ```
    pub fn fail(self, error: impl Into<BoxError>) {
        self.handle.0.set_failure(error.into());
        self.channel.close();
    }

    /// Waits until the channel accepts no more events, which is when the stream is over or a sender ended it.
    pub async fn closed(&self) {
        // The future is notified from its creation on, even before it is polled.
        let closed = self.channel.closed.notified();
        if !self.is_closed() {
            closed.await;
        }
    }

    /// Returns whether the channel accepts no more events.
    pub fn is_closed(&self) -> bool {
        self.channel.queue().is_closed
    }

    /// Returns the number of events that can be sent before the client reads one.
    pub fn capacity(&self) -> usize {
        self.channel.places.available_permits()
    }

    /// Returns the handle of the stream, which ends the stream at once and knows why it is over.
    pub fn handle(&self) -> &StreamHandle {
        &self.handle
    }
}

impl Clone for Sender {
    fn clone(&self) -> Self {
        self.channel.queue().senders += 1;
        Self { channel: self.channel.clone(), handle: self.handle.clone() }
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let is_last = {
            let mut queue = self.channel.queue();
            queue.senders -= 1;
            queue.senders == 0
        };
        if is_last {
            self.channel.close();
        }
    }
}

impl Receiver {
    /// Returns the next event if one was sent already.
    pub(crate) fn try_next(&mut self) -> Option<EncodedEvent> {
        let event = self.taken.pop_front();
        event.or_else(|| Self::take(&self.channel.places, &mut self.channel.queue(), &mut self.taken, &mut self.held))
    }

    /// Accepts no more events.
    pub(crate) fn close(&self) {
        self.channel.close();
    }

    /// Takes the whole queue, and returns its first event.
    fn take(
        places: &Semaphore,
        queue: &mut Queue,
        taken: &mut VecDeque<EncodedEvent>,
        held: &mut usize,
    ) -> Option<EncodedEvent> {
        queue.receiver = None;
        // The events taken before have gone out by now, so their places are free.
        let free = mem::take(held);
        mem::swap(taken, &mut queue.events);
        *held = taken.len();
        if free > 0 {
            places.add_permits(free);
        }
        taken.pop_front()
    }
}

impl Stream for Receiver {
    type Item = EncodedEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<EncodedEvent>> {
        let Self { channel, taken, held } = &mut *self;
        if let Some(event) = taken.pop_front() {
            return Poll::Ready(Some(event));
        }
        let mut queue = channel.queue();
        match Self::take(&channel.places, &mut queue, taken, held) {
            Some(event) => Poll::Ready(Some(event)),
            None if queue.is_closed => Poll::Ready(None),
            None => {
                queue.receiver = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.taken.len(), None)
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.channel.close();
        // Senders may outlive the receiver.
        self.channel.queue().events.clear();
    }
}

/// The reason why [`Sender::send`] has not sent an event.
#[derive(Debug)]
#[non_exhaustive]
pub enum SendError {
    /// The stream is over. It returns the event.
    Closed(EncodedEvent),
    /// The value cannot be encoded as an event.
    Event(BoxError),
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("event not sent: the stream is over"),
            Self::Event(error) => write!(f, "event not sent: {error}"),
        }
    }
}

impl std::error::Error for SendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Closed(_) => None,
            // The message holds the error itself.
            Self::Event(error) => error.source(),
        }
    }
}

/// The reason why [`Sender::try_send`] has not sent an event.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrySendError {
    /// The channel is full: the client reads more slowly than events are sent. It returns the event.
    Full(EncodedEvent),
    /// The stream is over. It returns the event.
    Closed(EncodedEvent),
    /// The value cannot be encoded as an event.
    Event(BoxError),
}

impl TrySendError {
    /// Returns the event, unless the value could not be encoded.
    pub fn into_event(self) -> Option<EncodedEvent> {
        match self {
            Self::Full(event) | Self::Closed(event) => Some(event),
            Self::Event(_) => None,
        }
    }
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(_) => f.write_str("event not sent: the channel is full, because the client reads too slowly"),
            Self::Closed(_) => f.write_str("event not sent: the stream is over"),
            Self::Event(error) => write!(f, "event not sent: {error}"),
        }
    }
}

impl std::error::Error for TrySendError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Full(_) | Self::Closed(_) => None,
            Self::Event(error) => error.source(),
        }
    }
}
