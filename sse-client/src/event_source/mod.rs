//! The event source on reqwest: a driver for the [`ClientMachine`].

mod chunk;
mod comments;
mod connection;
mod driver;
mod events;
mod timing;

use core::fmt;
use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use futures_core::{FusedStream, Stream};
use ssekit_core::ReceivedEvent;
use tokio::task::yield_now;

use crate::client_error::{ClientError, FailureContext};
use crate::machine::{ClientMachine, EndReason, ReadyState};
use crate::request::Requests;
use crate::source_item::{Opened, SourceItem};
use chunk::ReceivedChunk;
use connection::Connection;
use driver::MAX_STEPS;
pub use events::Events;
use timing::{Clock, ServerDeadline, Timer};

/// A client for an event stream that reconnects: the `EventSource` of browsers, for programs.
///
/// It is a `Stream` of [`SourceItem`]s and [`ClientError`]s. Only a [final](ClientError::is_final) error ends it; after all
/// others it reconnects or continues by itself. It also ends when the server answers 204, and when a
/// [single response](crate::EventSourceBuilder::with_single_response) is complete. [`end_reason`](Self::end_reason) says
/// which of these happened.
///
/// The source works only while a task polls it. It reads nothing ahead, so a slow reader slows the server down. To cancel it,
/// drop it.
///
/// Poll it in a tokio runtime with I/O and time enabled. Without a runtime the error is
/// [`Failure::Request`](crate::Failure::Request); without I/O or time, tokio panics.
///
/// ```no_run
/// use ssekit_client::{EventSource, SourceItem};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let mut source = EventSource::get("https://example.com/events").with_header("authorization", "Bearer x").build()?;
/// while let Some(item) = source.next().await {
///     match item {
///         Ok(SourceItem::Opened(opened)) => println!("connected to {}", opened.url),
///         Ok(SourceItem::Event(event)) => println!("{}: {}", event.event_type, event.data),
///         Ok(_) => {}
///         Err(error) if error.is_final() => return Err(error.into()),
///         // For example: stream ended; next attempt in 1.0 s
///         Err(error) => eprintln!("{error}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[must_use = "a stream does nothing unless it is polled"]
pub struct EventSource {
    machine: ClientMachine,
    requests: Requests,
    connection: Connection,
    chunk: ReceivedChunk,
    /// The facts about the failure that the machine reports next.
    failure_context: FailureContext,
    clock: Clock,
    deadline: ServerDeadline,
    timer: Timer,
    /// The task that waits for an item, to be woken by [`restart`](Self::restart).
    waker: Option<Waker>,
    /// The reason for the end. When it is set, there are no more items.
    end_reason: Option<EndReason>,
}

impl EventSource {
    pub(crate) fn new(machine: ClientMachine, requests: Requests, has_comments: bool) -> Self {
        let max_comment = has_comments.then(|| machine.limits().data);
        Self {
            machine,
            requests,
            connection: Connection::None,
            chunk: ReceivedChunk::new(max_comment),
            failure_context: FailureContext::default(),
            clock: Clock::default(),
            deadline: ServerDeadline::default(),
            timer: Timer::default(),
            waker: None,
            end_reason: None,
        }
    }

    /// Waits until the stream is open, and returns the head of the response.
    ///
    /// Failures that are retried are not returned. Returns `None` if the stream is open already, or if the source has ended, for
    /// example because the server answered 204. [`end_reason`](Self::end_reason) returns `Some` in the second case.
    ///
    /// Use it to see a refusal before the first event: the error contains the status. Dropping the future loses nothing.
    ///
    /// # Errors
    ///
    /// The [final](ClientError::is_final) error, such as a status that is not retried.
    ///
    /// ```no_run
    /// use ssekit_client::EventSource;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut answer = EventSource::post("https://example.com/answer").with_single_response().build()?;
    /// match answer.open().await {
    ///     Ok(opened) => println!("request id: {:?}", opened.map(|opened| opened.headers.get("x-request-id").cloned())),
    ///     Err(error) => return Err(format!("refused with {:?}", error.status()).into()),
    /// }
    /// while let Some(event) = answer.next_event().await? {
    ///     print!("{}", event.data);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn open(&mut self) -> Result<Option<Opened>, ClientError> {
        while self.ready_state() != ReadyState::Open {
            match self.next().await {
                Some(Ok(SourceItem::Opened(opened))) => return Ok(Some(*opened)),
                Some(Err(error)) if error.is_final() => return Err(error),
                // Failures in a row, without a delay between them, must not keep other tasks from running.
                Some(_) => yield_now().await,
                None => break,
            }
        }
        Ok(None)
    }

    /// Returns the next item; `None` when the source has ended.
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Result<SourceItem, ClientError>> {
        poll_fn(|cx| self.poll_item(cx)).await
    }

    /// Returns the next event; `None` when the source has ended.
    ///
    /// It skips openings, comments, and failures that another attempt follows. Dropping the future loses nothing. For an event
    /// that lies within one chunk nothing is copied or allocated.
    ///
    /// # Errors
    ///
    /// The [final](ClientError::is_final) error, and errors for an event or comment that was dropped. The stream continues
    /// after the latter.
    pub async fn next_event(&mut self) -> Result<Option<ReceivedEvent>, ClientError> {
        loop {
            for _ in 0..MAX_STEPS {
                match self.next().await {
                    Some(Ok(SourceItem::Event(event))) => return Ok(Some(event)),
                    Some(Err(error)) if error.retry_delay().is_none() => return Err(error),
                    Some(Err(_)) => break,
                    Some(Ok(_)) => {}
                    None => return Ok(None),
                }
            }
            // Many failures or comments in a row must not keep other tasks from running.
            yield_now().await;
        }
    }

    /// Returns a `Stream` of the events and errors of [`next_event`](Self::next_event).
    ///
    /// ```no_run
    /// use futures_util::StreamExt;
    /// use futures_util::stream::SelectAll;
    /// use ssekit_client::EventSource;
    ///
    /// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut all = SelectAll::new();
    /// for url in ["https://example.com/a", "https://example.com/b"] {
    ///     all.push(EventSource::get(url).build()?.into_events().map(move |event| (url, event)));
    /// }
    /// while let Some((url, event)) = all.next().await {
    ///     println!("{url}: {}", event?.data);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_events(self) -> Events {
        Events::new(self)
    }

    /// Drops the connection, if there is one, and reconnects at once after the last event that was returned.
    ///
    /// A wait for the next attempt is over too. Events that were received and not returned are dropped; the server sends them
    /// again if it supports event IDs. A single response is requested a second time. A source that is
    /// [closed](ReadyState::Closed) stays closed.
    pub fn restart(&mut self) {
        if !self.connection.is_none() {
            // The attempt that is cut short was not refused.
            self.requests.last_status = None;
        }
        self.machine.restart();
        self.disconnect();
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Returns the standard's `readyState`.
    pub fn ready_state(&self) -> ReadyState {
        self.machine.ready_state()
    }

    /// Returns the last event ID, or an empty text.
    ///
    /// Store this to [continue](crate::EventSourceBuilder::with_last_event_id) in another event source. It can differ from the
    /// ID of the last event, because a server can change it by a block without data.
    pub fn last_event_id(&self) -> &str {
        self.machine.last_event_id()
    }

    /// Returns the reconnection time: the server's last `retry` field, or else the policy's time.
    pub fn reconnection_time(&self) -> Duration {
        self.machine.reconnection_time()
    }

    /// Returns the reason why the source has ended; `None` while it has not.
    ///
    /// It is set when an error was final, or the stream returned `None`.
    pub fn end_reason(&self) -> Option<EndReason> {
        self.end_reason
    }
}

impl Stream for EventSource {
    type Item = Result<SourceItem, ClientError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_item(cx)
    }
}

impl FusedStream for EventSource {
    fn is_terminated(&self) -> bool {
        self.end_reason.is_some()
    }
}

/// Shows neither the query of the URL, nor header fields, nor events.
impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventSource").field("machine", &self.machine).finish_non_exhaustive()
    }
}
