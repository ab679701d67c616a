//! A bounded queue of frames between the application and a body.

use std::collections::VecDeque;
use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use ssekit_core::EncodedEvent;
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
    /// Sends an event, waiting for a place if the channel is full: a client that reads slowly slows its sender down.
    ///
    /// Dropping the future before it is ready sends nothing.
    ///
    /// # Errors
    ///
    /// The stream is over. The error has the event.
    pub async fn send(&self, event: impl Into<EncodedEvent>) -> Result<(), SendError> {
        let frame = match self.try_send(event) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(frame)) => return Err(SendError(frame)),
            Err(TrySendError::Full(frame)) => frame,
        };
        match self.channel.places.acquire().await {
            Ok(place) => {
                place.forget();
                self.channel.push(frame).map_err(SendError)
            }
            Err(_) => Err(SendError(frame)),
        }
    }

    /// Sends an event if there is a place.
    ///
    /// # Errors
    ///
    /// The channel is full, or the stream is over. The error has the event.
    pub fn try_send(&self, event: impl Into<EncodedEvent>) -> Result<(), TrySendError> {
        let frame = event.into();
        match self.channel.places.try_acquire() {
            Ok(place) => {
                place.forget();
                self.channel.push(frame).map_err(TrySendError::Closed)
            }
            Err(TryAcquireError::Closed) => Err(TrySendError::Closed(frame)),
            Err(TryAcquireError::NoPermits) => Err(TrySendError::Full(frame)),
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

/// An event could not be sent, since the stream is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendError(pub EncodedEvent);

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("event not sent: the stream is over")
    }
}

impl std::error::Error for SendError {}

/// An event could not be sent at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TrySendError {
    /// The client reads more slowly than events come, and as many as the channel's capacity wait for it.
    Full(EncodedEvent),
    /// The stream is over.
    Closed(EncodedEvent),
}

impl TrySendError {
    /// The event.
    pub fn into_event(self) -> EncodedEvent {
        match self {
            Self::Full(frame) | Self::Closed(frame) => frame,
        }
    }
}

impl fmt::Display for TrySendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "event not sent: the client does not keep up",
            Self::Closed(_) => "event not sent: the stream is over",
        })
    }
}

impl std::error::Error for TrySendError {}
