//! A bounded queue of frames between the application and a body.

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

/// The application's end of a channel, to send events into a stream from anywhere. Made by
/// [`EventBody::channel`](crate::EventBody::channel).
///
/// Clones send into the same stream. It ends when the last of them is dropped, or by [`end`](Self::end).
#[derive(Debug)]
pub struct Sender {
    channel: Arc<Channel>,
    handle: StreamHandle,
}

/// The stream of what is sent, which a body made of a channel has.
#[derive(Debug)]
pub struct Receiver {
    channel: Arc<Channel>,
    /// What was taken from the queue in one go.
    taken: VecDeque<EncodedEvent>,
    /// How many places the frames taken have, which are free again when all of them have gone out.
    held: usize,
}

#[derive(Debug)]
struct Channel {
    /// A permit is a free place. Closed when nothing can be sent any more.
    places: Semaphore,
    queue: Mutex<Queue>,
    closed: Notify,
}

#[derive(Debug)]
struct Queue {
    frames: VecDeque<EncodedEvent>,
    receiver: Option<Waker>,
    senders: usize,
    /// Nothing more goes in.
    is_closed: bool,
}

/// A channel for the stream of this control.
pub(crate) fn channel(capacity: usize, control: &Arc<StreamControl>) -> (Sender, Receiver) {
    let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
    let queue = Queue { frames: VecDeque::new(), receiver: None, senders: 1, is_closed: false };
    let channel =
        Arc::new(Channel { places: Semaphore::new(capacity), queue: Mutex::new(queue), closed: Notify::new() });
    // Also when the body is not polled any more, being that of a client which does not read.
    let of_stream = Arc::downgrade(&channel);
    control.on_close(Box::new(move |_| {
        if let Some(channel) = of_stream.upgrade() {
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

    /// Nothing more can be sent; what was, still arrives.
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

    /// Into a place that is free.
    fn push(&self, frame: EncodedEvent) -> Result<(), EncodedEvent> {
        let receiver = {
            let mut queue = self.queue();
            if queue.is_closed {
                return Err(frame);
            }
            queue.frames.push_back(frame);
            queue.receiver.take()
        };
        receiver.into_iter().for_each(Waker::wake);
        Ok(())
    }
}

impl Sender {
    /// Sends an event, and waits while the channel is full: a client that reads slowly slows its sender down.
    ///
    /// Dropping the future before it is ready sends nothing.
    ///
    /// # Errors
    ///
    /// [`SendError::Closed`] when the stream is over, with the event; [`SendError::Event`] when the value cannot be
    /// encoded.
    pub async fn send(&self, event: impl IntoEvent) -> Result<(), SendError> {
        // Encoded before the first await, so that the future does not hold the value.
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
    /// [`TrySendError::Full`] and [`TrySendError::Closed`], with the event; [`TrySendError::Event`] when the value
    /// cannot be encoded.
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

    /// Waits until the stream is over: the client has gone, was too slow or was told to go, or [`end`](Self::end) was
    /// called.
    pub async fn closed(&self) {
        // One that exists already is told, even if it was not waited for yet.
        let closed = self.channel.closed.notified();
        if !self.is_closed() {
            closed.await;
        }
    }

    /// Whether the stream is over.
    pub fn is_closed(&self) -> bool {
        self.channel.queue().is_closed
    }

    /// How many events can be sent before the client takes one.
    pub fn capacity(&self) -> usize {
        self.channel.places.available_permits()
    }

    /// The stream, to end it at once, or to know why it is over.
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
    /// What has been sent already.
    pub(crate) fn try_next(&mut self) -> Option<EncodedEvent> {
        let frame = self.taken.pop_front();
        frame.or_else(|| Self::take(&self.channel.places, &mut self.channel.queue(), &mut self.taken, &mut self.held))
    }

    /// Nothing more can be sent.
    pub(crate) fn close(&self) {
        self.channel.close();
    }

    /// All of the queue at once, under one lock.
    fn take(
        places: &Semaphore,
        queue: &mut Queue,
        taken: &mut VecDeque<EncodedEvent>,
        held: &mut usize,
    ) -> Option<EncodedEvent> {
        queue.receiver = None;
        // Only now, so that the channel never holds more than its capacity.
        let free = mem::take(held);
        mem::swap(taken, &mut queue.frames);
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
        if let Some(frame) = taken.pop_front() {
            return Poll::Ready(Some(frame));
        }
        let mut queue = channel.queue();
        match Self::take(&channel.places, &mut queue, taken, held) {
            Some(frame) => Poll::Ready(Some(frame)),
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
        // The senders may live on.
        self.channel.queue().frames.clear();
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
            // The message has the error itself.
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
            Self::Full(_) => f.write_str("event not sent: the channel is full, since its client reads too slowly"),
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
