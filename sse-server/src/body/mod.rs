//! The response body: a stream of events as chunks for a connection.

mod poll;
mod settings;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use futures_core::Stream;
use pin_project_lite::pin_project;
use ssekit_core::{BoxError, EncodedEvent, IntoEvent};
use tokio::time::Sleep;

use crate::batch::Batch;
use crate::channel::{Receiver, Sender, channel};
use crate::close::CloseReason;
use crate::drain::{DrainPolicy, StreamGroup};
use crate::from_fn::{CAPACITY, FromFn};
use crate::keep_alive::{EventError, KeepAlive};
use crate::meter::Meter;
use crate::schedule::Schedule;
use crate::stream_control::{CloseOnDrop, StreamControl};
use crate::stream_handle::StreamHandle;

/// The most bytes of a chunk that holds several events: 16 KiB.
pub const DEFAULT_MAX_CHUNK: usize = 16 * 1024;

/// How long a client may read nothing before its stream is closed: 10 seconds.
pub const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(10);

pin_project! {
    /// A response body that sends a stream of events.
    ///
    /// It is an [`http_body::Body`], and a [`Stream`] of `Bytes`.
    ///
    /// - **Flush**: all events that are ready go out at once, as one chunk.
    /// - **Preamble**: the first chunk goes out at once, with an empty comment and the reconnection time if there is one.
    ///   Clients then see that the stream is open, and proxies pass the head on.
    /// - **Keep-alive**: an idle stream sends an empty comment every 15 seconds by default.
    /// - **Disconnect**: the server drops the body when the client has gone, and the stream with it.
    /// - **Backpressure**: nothing is read ahead for a client that does not read. After [`DEFAULT_STALL_TIMEOUT`] the
    ///   stream is closed.
    /// - **End**: the stream ends by itself, by a [timeout](Self::with_max_lifetime), by a [handle](Self::handle) or by a
    ///   [drain](StreamGroup::drain). [`on_close`](Self::on_close) reports the reason.
    ///
    /// # Errors
    ///
    /// An item that cannot be sent, such as an `Err`, fails the body after all events before it. The server then cuts the
    /// response short, so the client does not take the stream for complete. An EventSource reconnects and resumes after
    /// its last event ID.
    ///
    /// # Panics
    ///
    /// tokio's timer panics when a body is polled outside of a tokio runtime with a timer. A body without keep-alive and
    /// without any timeout needs no runtime.
    #[must_use = "a body does nothing unless a server sends it"]
    #[project = Projection]
    pub struct EventBody<S> {
        // `None` as soon as the stream has ended.
        #[pin]
        stream: Option<S>,
        state: State,
        batch: Batch,
        // The error that ended the stream. The body fails with it after the last chunk.
        error: Option<BoxError>,
        extras: Option<Box<Extras>>,
        schedule: Schedule,
        // Boxed, so that a body can be moved if its stream can.
        timer: Option<Pin<Box<Sleep>>>,
        // Wakes through the control.
        waker: Waker,
        meter: Meter,
        // The last field, so that the stream is dropped before the callbacks run.
        guard: CloseOnDrop,
    }
}

/// The fields that most idle streams do not need.
#[derive(Default)]
struct Extras {
    reconnection_time: Option<Duration>,
    group: Option<StreamGroup>,
    drain_policy: DrainPolicy,
    /// `None` for an empty comment.
    keep_alive: Option<EncodedEvent>,
    /// Why the keep-alive could not be encoded. The body fails with it when it is first polled.
    keep_alive_error: Option<EventError>,
    /// The events that go out after the last one of the stream.
    last_events: Vec<EncodedEvent>,
}

/// The state of a body. [`poll`] has the table of its transitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    New,
    Open,
    Ended(CloseReason),
    Failing,
}

impl<S> EventBody<S> {
    /// Creates a body that sends the events of `stream`.
    pub fn new(stream: S) -> Self
    where
        S: Stream<Item: IntoEvent>,
    {
        Self::with_control(stream, StreamControl::new(DEFAULT_STALL_TIMEOUT))
    }

    /// Creates the body of a stream that shares its control.
    pub(crate) fn with_control(stream: S, control: Arc<StreamControl>) -> Self {
        let keep_alive = KeepAlive::default().interval();
        Self {
            stream: Some(stream),
            state: State::New,
            batch: Batch::new(DEFAULT_MAX_CHUNK),
            error: None,
            extras: None,
            schedule: Schedule::new(keep_alive, DEFAULT_STALL_TIMEOUT),
            timer: None,
            waker: Waker::from(control.clone()),
            meter: Meter::default(),
            guard: CloseOnDrop { control },
        }
    }

    /// Marks the items of the stream as pages of a hub, with any number of events.
    #[cfg(feature = "hub")]
    pub(crate) fn with_pages(mut self) -> Self {
        self.meter.set_has_pages();
        self
    }

    /// Returns a handle that ends the stream from elsewhere.
    pub fn handle(&self) -> StreamHandle {
        StreamHandle(self.guard.control.clone())
    }

    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }
}

impl EventBody<Receiver> {
    /// Creates a body and a [`Sender`] of its events. At most `capacity` events wait for the client (at least 1).
    ///
    /// ```
    /// use futures_util::{FutureExt, StreamExt};
    /// use ssekit_core::Event;
    /// use ssekit_server::EventBody;
    ///
    /// # async {
    /// let (sender, mut body) = EventBody::channel(16);
    /// sender.send(Event::data("one")).await?;
    /// sender.try_send(Event::data("two"))?;
    /// assert_eq!(body.next().await.unwrap()?, ": \n\ndata: one\n\ndata: two\n\n");
    ///
    /// drop(body);
    /// sender.closed().await;
    /// assert!(sender.send(Event::data("three")).await.is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }.now_or_never().unwrap().unwrap();
    /// ```
    pub fn channel(capacity: usize) -> (Sender, Self) {
        let control = StreamControl::new(DEFAULT_STALL_TIMEOUT);
        let (sender, receiver) = channel(capacity, &control);
        (sender, Self::with_control(receiver, control))
    }
}

impl<F: Future<Output = Result<(), BoxError>>> EventBody<FromFn<F>> {
    /// Creates a body whose events an async function sends, with the [`Sender`] that it receives.
    ///
    /// - The stream ends when the function returns `Ok(())`.
    /// - The stream fails with the error of the function. [`SendError::Closed`](crate::SendError::Closed) does not
    ///   count as a failure, because the stream is over already.
    /// - The body itself polls the function. It drops the function when the client disconnects.
    /// - At most 64 events wait for the client.
    ///
    /// ```
    /// use futures_util::{FutureExt, StreamExt};
    /// use ssekit_core::Event;
    /// use ssekit_server::EventBody;
    ///
    /// # async {
    /// let mut body = std::pin::pin!(EventBody::from_fn(async |events| {
    ///     for n in 1..=3 {
    ///         events.send(Event::data(n.to_string())).await?;
    ///     }
    ///     Ok(())
    /// }));
    /// assert_eq!(body.next().await.unwrap()?, ": \n\ndata: 1\n\ndata: 2\n\ndata: 3\n\n");
    /// assert!(body.next().await.is_none());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }.now_or_never().unwrap().unwrap();
    /// ```
    pub fn from_fn(function: impl FnOnce(Sender) -> F) -> Self {
        let control = StreamControl::new(DEFAULT_STALL_TIMEOUT);
        let (sender, receiver) = channel(CAPACITY, &control);
        Self::with_control(FromFn::new(function(sender), receiver), control)
    }
}

impl<S> fmt::Debug for EventBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = f.debug_struct("EventBody");
        body.field("state", &self.state).field("batch", &self.batch).finish_non_exhaustive()
    }
}
