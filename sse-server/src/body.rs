use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use ssekit_core::{Event, Frame};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::batch::Batch;
use crate::into_frame::IntoFrame;
use crate::keep_alive::KeepAlive;

/// The bytes that a chunk has at the most, unless one event has more.
pub const DEFAULT_MAX_CHUNK: usize = 16 * 1024;

pin_project! {
    /// A response body: a stream of events as chunks for the connection.
    ///
    /// - **Immediate flush**: it takes from the stream whatever is ready and hands it over as one chunk. A lone event
    ///   goes out at once, a burst costs one write.
    /// - **Preamble**: its first chunk comes at once, with a comment and, if asked for, the reconnection time, so that
    ///   clients see the stream open and proxies pass it on.
    /// - **Keep-alive**: every 15 seconds unless told otherwise.
    /// - **Disconnect**: the server drops the body when the client has gone, and the stream with it.
    ///
    /// An item that is an error ends the body with that error, behind all events before it. A server then cuts the
    /// response short, so that a client can tell it from an end, and an EventSource reconnects. What the connection has
    /// not taken by then is lost to the client; it asks for it again by its last event ID.
    ///
    /// It is an [`http_body::Body`], and a [`Stream`] of `Bytes` for servers that want one.
    ///
    /// # Panics
    ///
    /// Polled outside a tokio runtime with its timer enabled, unless it has no keep-alive: by tokio's own timer.
    #[must_use = "a body does nothing unless a server sends it"]
    pub struct EventBody<S: Stream>
    where
        S::Item: IntoFrame,
    {
        // Gone as soon as it has ended.
        #[pin]
        stream: Option<S>,
        state: State,
        reconnection_time: Option<Duration>,
        batch: Batch,
        // What ended the stream, to be told behind the last chunk.
        error: Option<<S::Item as IntoFrame>::Error>,
        keep_alive: Option<KeepAlive>,
        last_write: Option<Instant>,
        // Boxed, so that a body can be moved if its stream can.
        timer: Option<Pin<Box<Sleep>>>,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The preamble has yet to be sent.
    New,
    Open,
    /// The stream has ended; what is gathered has yet to be sent.
    Ended,
    /// All has been sent but the error.
    Failing,
}

impl<S: Stream> EventBody<S>
where
    S::Item: IntoFrame,
{
    /// A body with the events of `stream`.
    pub fn new(stream: S) -> Self {
        Self {
            stream: Some(stream),
            state: State::New,
            reconnection_time: None,
            batch: Batch::new(DEFAULT_MAX_CHUNK),
            error: None,
            keep_alive: Some(KeepAlive::default()),
            last_write: None,
            timer: None,
        }
    }

    /// The same body with this keep-alive.
    pub fn with_keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.keep_alive = Some(keep_alive);
        self
    }

    /// The same body with no keep-alive. A client that goes from an idle stream may then never be noticed.
    pub fn without_keep_alive(mut self) -> Self {
        self.keep_alive = None;
        self
    }

    /// The same body, with a `retry` in its preamble: how long a client waits before it reconnects.
    #[doc(alias = "retry")]
    pub fn with_reconnection_time(mut self, time: Duration) -> Self {
        self.reconnection_time = Some(time);
        self
    }

    /// The same body with chunks of at most so many bytes, instead of [`DEFAULT_MAX_CHUNK`]. An event with more is a chunk
    /// of its own; with 0 every event is one.
    pub fn with_max_chunk(mut self, bytes: usize) -> Self {
        self.batch.set_max(bytes);
        self
    }
}

impl<S: Stream> fmt::Debug for EventBody<S>
where
    S::Item: IntoFrame,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut body = f.debug_struct("EventBody");
        body.field("state", &self.state).field("batch", &self.batch).finish_non_exhaustive()
    }
}

impl<S: Stream> Stream for EventBody<S>
where
    S::Item: IntoFrame,
{
    type Item = Result<Bytes, <S::Item as IntoFrame>::Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if *this.state == State::New {
            *this.state = State::Open;
            let preamble = Event { reconnection_time: *this.reconnection_time, ..Event::comment("") };
            this.batch.push(Frame::from(preamble).into_bytes());
        }
        while let Some(stream) = this.stream.as_mut().as_pin_mut().filter(|_| !this.batch.is_full()) {
            match stream.poll_next(cx).map(|item| item.map(IntoFrame::into_frame)) {
                Poll::Ready(Some(Ok(frame))) => this.batch.push(frame.into_bytes()),
                Poll::Ready(end) => {
                    *this.error = end.and_then(Result::err);
                    *this.state = State::Ended;
                    this.stream.set(None);
                }
                Poll::Pending => break,
            }
        }
        if let Some(chunk) = this.batch.take() {
            *this.last_write = this.keep_alive.is_some().then(Instant::now);
            return Poll::Ready(Some(Ok(chunk)));
        }
        match *this.state {
            // Servers drop what they have not flushed yet when a body fails; a pause lets them flush the last events.
            State::Ended if this.error.is_some() => {
                *this.state = State::Failing;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            State::Ended | State::Failing => return Poll::Ready(this.error.take().map(Err)),
            State::New | State::Open => {}
        }
        let Some(keep_alive) = this.keep_alive else { return Poll::Pending };
        let last_write = this.last_write.get_or_insert_with(Instant::now);
        // A write does not touch the timer: it only moves what the timer finds when it has run out.
        let due = keep_alive.due(*last_write);
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(due)));
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= due {
                *last_write = Instant::now();
                timer.as_mut().reset(keep_alive.due(*last_write));
                return Poll::Ready(Some(Ok(keep_alive.frame().into_bytes())));
            }
            timer.as_mut().reset(due);
        }
        Poll::Pending
    }
}

impl<S: Stream> http_body::Body for EventBody<S>
where
    S::Item: IntoFrame,
{
    type Data = Bytes;
    type Error = <S::Item as IntoFrame>::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.poll_next(cx).map_ok(http_body::Frame::data)
    }
}
