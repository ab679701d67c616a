//! A client for tests of handlers. It reads events from a response without a network.
//!
//! With the paused clock of tokio, such a test takes no time.
//!
//! ```
//! use std::time::Duration;
//! use futures_util::{StreamExt, stream};
//! use ssekit_core::{Event, EncodedEvent};
//! use ssekit_server::test::TestClient;
//! use ssekit_server::{CloseReason, EventBody};
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?;
//! // In a test: `#[tokio::test(start_paused = true)]`.
//! # runtime.block_on(async {
//! let events = stream::iter([Event::data("one"), Event::data("two")]).chain(stream::pending());
//! let body = EventBody::new(events);
//! let handle = body.handle();
//!
//! let mut client = TestClient::new(http::Response::new(body));
//! assert_eq!(client.status(), 200);
//! let events = client.events(2).await?;
//! assert_eq!(events[1].data, "two");
//! assert_eq!(client.next_chunk().await.unwrap()?, ": \n\n", "the keep-alive, 15 seconds later");
//!
//! client.disconnect();
//! assert_eq!(handle.close_reason(), Some(CloseReason::ClientGone));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body::Body;
use ssekit_core::{DecodeError, Decoder, ReceivedEvent};
use tokio::time::{sleep, timeout};

type BoxError = Box<dyn Error>;
type Next = Box<dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, BoxError>>>>;

/// The default of [`TestClient::with_patience`].
const PATIENCE: Duration = Duration::from_secs(60);

/// A client that reads the events of one response. See the [module](self).
pub struct TestClient {
    status: StatusCode,
    headers: HeaderMap,
    next: Next,
    decoder: Decoder,
    events: VecDeque<ReceivedEvent>,
    patience: Duration,
}

impl TestClient {
    /// Creates a client that reads this response.
    pub fn new<B>(response: Response<B>) -> Self
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + 'static,
    {
        let (parts, body) = response.into_parts();
        let mut body = Box::pin(body);
        Self::from_parts(parts.status, parts.headers, move |cx| {
            loop {
                return match ready!(body.as_mut().poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => Poll::Ready(Some(Ok(data))),
                        // The frame holds trailers.
                        Err(_) => continue,
                    },
                    Some(Err(error)) => Poll::Ready(Some(Err(error.into()))),
                    None => Poll::Ready(None),
                };
            }
        })
    }

    /// Creates a client from the parts of any framework's response. `next` polls for the next chunk of the body.
    pub fn from_parts(
        status: StatusCode,
        headers: HeaderMap,
        next: impl FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, Box<dyn Error>>>> + 'static,
    ) -> Self {
        let (decoder, events) = (Decoder::new(), VecDeque::new());
        Self { status, headers, next: Box::new(next), decoder, events, patience: PATIENCE }
    }

    /// Sets how long the client waits for an event or a chunk (a minute by default).
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Returns the status of the response.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// Returns a header field, or `None` if it is absent or not ASCII.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Returns the next chunk that the server writes, or `None` at the end.
    ///
    /// A chunk is the preamble, a keep-alive or events. [`next_event`](Self::next_event) still returns those events.
    ///
    /// # Errors
    ///
    /// Fails when the body fails, when an event exceeds a limit, or when no chunk comes in time.
    pub async fn next_chunk(&mut self) -> Option<Result<Bytes, TestError>> {
        let next = poll_fn(|cx| (self.next)(cx));
        let chunk = match timeout(self.patience, next).await {
            Ok(None) => return None,
            Ok(Some(Ok(chunk))) => chunk,
            Ok(Some(Err(error))) => return Some(Err(TestError::Body(error))),
            Err(_) => return Some(Err(TestError::NoneInTime)),
        };
        let mut rest = &chunk[..];
        loop {
            match self.decoder.next_event(&mut rest) {
                Ok(Some(event)) => self.events.push_back(event.into()),
                Ok(None) => return Some(Ok(chunk)),
                Err(error) => return Some(Err(TestError::Decode(error))),
            }
        }
    }

    /// Returns the next event, or `None` at the end.
    ///
    /// # Errors
    ///
    /// Fails when the body fails, when an event exceeds a limit, or when no event comes in time.
    pub async fn next_event(&mut self) -> Option<Result<ReceivedEvent, TestError>> {
        let patience = self.patience;
        let next = async {
            loop {
                if let Some(event) = self.events.pop_front() {
                    return Some(Ok(event));
                }
                if let Err(error) = self.next_chunk().await? {
                    return Some(Err(error));
                }
            }
        };
        timeout(patience, next).await.unwrap_or(Some(Err(TestError::NoneInTime)))
    }

    /// Returns the next `count` events.
    ///
    /// # Errors
    ///
    /// Fails like [`next_event`](Self::next_event), or when the response ends before `count` events.
    pub async fn events(&mut self, count: usize) -> Result<Vec<ReceivedEvent>, TestError> {
        let mut events = Vec::new();
        while events.len() < count {
            let Some(event) = self.next_event().await else {
                return Err(TestError::Ended { events });
            };
            events.push(event?);
        }
        Ok(events)
    }

    /// Returns the last event ID, with which a client would reconnect. Empty if the server sent none.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// Returns the reconnection time that the server sent.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.decoder.reconnection_time()
    }

    /// Reads nothing for this time, like a client whose network is stuck.
    pub async fn stall(&mut self, time: Duration) {
        sleep(time).await;
    }

    /// Drops the response, like a client that closes its connection.
    pub fn disconnect(self) {}
}

impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut client = f.debug_struct("TestClient");
        client.field("status", &self.status).field("headers", &self.headers).finish_non_exhaustive()
    }
}

/// The reason why a [`TestClient`] has no event.
#[derive(Debug)]
#[non_exhaustive]
pub enum TestError {
    /// No event or chunk came in time; see [`TestClient::with_patience`].
    NoneInTime,
    /// The response ended before the requested number of events.
    Ended {
        /// The events before the end.
        events: Vec<ReceivedEvent>,
    },
    /// The body failed with this error.
    Body(Box<dyn Error>),
    /// An event exceeds a limit of the decoder.
    Decode(DecodeError),
}

impl fmt::Display for TestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoneInTime => f.write_str("no event in time"),
            Self::Ended { events } => write!(f, "the response ended after {} events", events.len()),
            Self::Body(error) => write!(f, "the body failed: {error}"),
            Self::Decode(error) => error.fmt(f),
        }
    }
}

// The text holds the inner error already, so there is no `source`.
impl Error for TestError {}
