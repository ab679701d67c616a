use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use pin_project_lite::pin_project;
use ssekit_core::{BoxError, EncodedEvent, Event, EventChunk, IntoEvent};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::batch::Batch;
use crate::body_error::BodyError;
use crate::channel::{Receiver, Sender, channel};
use crate::close::{AfterEnd, CloseReason};
use crate::drain::{DrainPolicy, StreamGroup, jitter as random};
use crate::from_fn::{CAPACITY, FromFn};
use crate::keep_alive::KeepAlive;
use crate::schedule::{Due, Schedule};
use crate::stream_control::{CloseOnDrop, EndRequest, StreamControl};
use crate::stream_handle::StreamHandle;

/// The bytes that a chunk has at the most, unless one event has more.
pub const DEFAULT_MAX_CHUNK: usize = 16 * 1024;

/// How long a client may leave what was written to it untaken.
pub const DEFAULT_STALL_TIMEOUT: Duration = Duration::from_secs(10);

pin_project! {
    /// A response body: a stream of events as chunks for the connection.
    ///
    /// - **Immediate flush**: it takes from the stream whatever is ready and hands it over as one chunk. A lone event
    ///   goes out at once, a burst costs one write.
    /// - **Preamble**: its first chunk comes at once, with a comment and, if asked for, the reconnection time, so that
    ///   clients see the stream open and proxies pass it on.
    /// - **Keep-alive**: every 15 seconds unless told otherwise.
    /// - **Disconnect**: the server drops the body when the client has gone, and the stream with it.
    /// - **Stall**: nothing is read ahead for a client that does not read. When the server has been stuck with a chunk
    ///   for [`DEFAULT_STALL_TIMEOUT`], the stream is over.
    /// - **Ends**: by itself, by a [timeout](Self::with_max_lifetime), by a [handle](Self::handle), by a
    ///   [drain](StreamGroup::drain). [`on_close`](Self::on_close) tells which.
    ///
    /// An item that is an error ends the body with that error, behind all events before it. A server then cuts the
    /// response short, so that a client can tell it from an end, and an EventSource reconnects. What the connection has
    /// not taken by then is lost to the client; it asks for it again by its last event ID.
    ///
    /// It is an [`http_body::Body`], and a [`Stream`] of `Bytes` for servers that want one.
    ///
    /// # Panics
    ///
    /// Polled outside a tokio runtime with its timer enabled, unless it has neither keep-alive nor any timeout: by
    /// tokio's own timer.
    #[must_use = "a body does nothing unless a server sends it"]
    #[project = Projection]
    pub struct EventBody<S> {
        // Gone as soon as it has ended.
        #[pin]
        stream: Option<S>,
        state: State,
        batch: Batch,
        // What ended the stream, to be told behind the last chunk.
        error: Option<BoxError>,
        // What most streams do without.
        extras: Option<Box<Extras>>,
        schedule: Schedule,
        // Boxed, so that a body can be moved if its stream can.
        timer: Option<Pin<Box<Sleep>>>,
        // The control as a waker.
        waker: Waker,
        // The last, so that the stream is gone when the callbacks are called.
        guard: CloseOnDrop,
    }
}

/// What an idle stream need not hold, mostly.
#[derive(Default)]
struct Extras {
    reconnection_time: Option<Duration>,
    streams: Option<StreamGroup>,
    policy: DrainPolicy,
    /// Instead of an empty comment.
    keep_alive: Option<EncodedEvent>,
    /// What goes out behind the last event.
    tail: Vec<EncodedEvent>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The preamble has yet to be sent.
    New,
    Open,
    /// The stream has ended; what is gathered has yet to be sent.
    Ended(CloseReason),
    /// All has been sent but the error.
    Failing,
}

impl<S> EventBody<S> {
    /// A body with the events of `stream`.
    pub fn new(stream: S) -> Self {
        Self::with_control(stream, StreamControl::new(DEFAULT_STALL_TIMEOUT))
    }

    /// The body of a stream that shares its control.
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
            guard: CloseOnDrop { control },
        }
    }

    /// The same body with this keep-alive.
    pub fn with_keep_alive(mut self, keep_alive: KeepAlive) -> Self {
        self.schedule.set_keep_alive(Some(keep_alive.interval()));
        self.extras().keep_alive = keep_alive.into_event();
        self
    }

    /// The same body with no keep-alive. A client that goes from an idle stream may then never be noticed.
    pub fn without_keep_alive(mut self) -> Self {
        self.schedule.set_keep_alive(None);
        self
    }

    /// The same body, with a `retry` in its preamble: how long a client waits before it reconnects.
    #[doc(alias = "retry")]
    pub fn with_reconnection_time(mut self, time: Duration) -> Self {
        self.extras().reconnection_time = Some(time);
        self
    }

    /// The same body with chunks of at most so many bytes, instead of [`DEFAULT_MAX_CHUNK`]. An event with more is a chunk
    /// of its own; with 0 every event is one. More than 16 MiB count as that.
    pub fn with_max_chunk(mut self, bytes: usize) -> Self {
        self.batch.set_max(bytes);
        self
    }

    /// The same body, which ends after `max`, or up to `jitter` earlier, at random, so that streams that were opened
    /// together do not end together. An EventSource reconnects at once: to a server that has been added since, say, or
    /// with fresh credentials.
    pub fn with_max_lifetime(mut self, max: Duration, jitter: Duration) -> Self {
        self.schedule.set_lifetime(random(max.saturating_sub(jitter), jitter.min(max)));
        self
    }

    /// The same body, which ends when the application has had no event for so long.
    pub fn with_idle_timeout(mut self, timeout: Duration) -> Self {
        self.schedule.set_idle(timeout);
        self
    }

    /// The same body, whose client may leave what was written untaken for so long, instead of
    /// [`DEFAULT_STALL_TIMEOUT`]. The stream is then over as [`CloseReason::SlowConsumer`]: the callbacks are called, and
    /// the senders of a channel are told.
    ///
    /// It counts from when the server has taken a chunk with an event and asks for no other, since what it and the kernel
    /// hold for the connection is full. (One that is stuck with a preamble or a keep-alive is noticed at the next
    /// keep-alive.) The connection itself is the server's, and the application's stream goes with it: the socket
    /// option `TCP_USER_TIMEOUT` bounds it in time.
    pub fn with_stall_timeout(mut self, timeout: Duration) -> Self {
        self.schedule.set_stall(Some(timeout));
        self.guard.control.set_stall_timeout(Some(timeout));
        self
    }

    /// The same body, whose client may take as long as it likes.
    pub fn without_stall_timeout(mut self) -> Self {
        self.schedule.set_stall(None);
        self.guard.control.set_stall_timeout(None);
        self
    }

    /// Sets what the client does after the stream has ended by itself (it reconnects by default).
    pub fn with_after_end(self, after_end: AfterEnd) -> Self {
        self.guard.control.set_after_end(after_end);
        self
    }

    /// The same body as one of `streams`, so that it is counted, and ends when they are drained. If they are being drained
    /// when it is first polled, it ends at once, and its client is told to come back later.
    pub fn with_group(mut self, streams: &StreamGroup) -> Self {
        self.extras().streams = Some(streams.clone());
        self
    }

    /// The same body, and what becomes of it in a drain.
    pub fn with_drain_policy(mut self, policy: DrainPolicy) -> Self {
        self.extras().policy = policy;
        self
    }

    /// The same body, with `callback` to be called once, when the stream is over, for whatever reason. There may be several.
    ///
    /// It is called by whatever ends the stream, mostly the task of the connection: it must not block. If
    /// it panics, nothing else comes of it.
    pub fn on_close(self, callback: impl FnOnce(CloseReason) + Send + 'static) -> Self {
        self.guard.control.on_close(Box::new(callback));
        self
    }

    /// A handle to end the stream from elsewhere.
    pub fn handle(&self) -> StreamHandle {
        StreamHandle(self.guard.control.clone())
    }

    fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }
}

impl EventBody<Receiver> {
    /// A body, and a [`Sender`] for its events, of which at most `capacity` wait for the client (at least 1).
    ///
    /// ```
    /// use futures_util::{FutureExt, StreamExt};
    /// use ssekit_core::Event;
    /// use ssekit_server::{EventBody, AfterEnd};
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
    /// Makes a body that an async function writes, with the [`Sender`] it receives.
    ///
    /// The stream ends when the function returns `Ok(())`. It fails with the function's error, but for
    /// [`SendError::Closed`](crate::SendError::Closed): the stream is over already then. The body itself polls the
    /// function, and drops it when the client disconnects, wherever it waits.
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

impl<S: Stream<Item: IntoEvent>> Stream for EventBody<S> {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        this.guard.control.stall_clock.server_polled();
        if *this.state == State::New {
            this.open();
        }
        loop {
            let had_event = this.gather(cx);
            if let Some(chunk) = this.batch.take() {
                this.hand_over(had_event);
                return Poll::Ready(Some(Ok(chunk)));
            }
            match *this.state {
                // Servers drop what they have not flushed yet when a body fails; a pause lets them flush the last events.
                State::Ended(_) if this.error.is_some() => {
                    *this.state = State::Failing;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                State::Ended(reason) => {
                    this.guard.control.close(reason);
                    return Poll::Ready(None);
                }
                State::Failing => {
                    this.guard.control.close(CloseReason::Error);
                    return Poll::Ready(this.error.take().map(|error| Err(BodyError::new(error))));
                }
                State::New | State::Open => {}
            }
            if !this.guard.control.wakeups.register(cx.waker()) {
                // It was asked to end meanwhile.
                continue;
            }
            let reason = match ready!(this.poll_timer()) {
                Due::KeepAlive => {
                    let frame = this.extras.as_ref().and_then(|extras| extras.keep_alive.clone());
                    this.batch.push(frame.unwrap_or_else(|| EncodedEvent::from(Event::comment(""))));
                    continue;
                }
                Due::Idle => CloseReason::Idle,
                Due::MaxLifetime => CloseReason::MaxLifetime,
            };
            this.end(reason, Vec::new());
        }
    }
}

impl<S: Stream<Item: IntoEvent>> Projection<'_, S> {
    /// The preamble, or what a server that is being drained answers.
    fn open(&mut self) {
        *self.state = State::Open;
        self.schedule.start(Instant::now());
        let Extras { reconnection_time, streams, policy, keep_alive, .. } =
            self.extras.take().map(|extras| *extras).unwrap_or_default();
        if keep_alive.is_some() {
            *self.extras = Some(Box::new(Extras { keep_alive, ..Extras::default() }));
        }
        if let Some(answer) = streams.and_then(|streams| streams.enter(&self.guard.control, policy).err()) {
            self.end(CloseReason::Draining, answer);
            return;
        }
        let preamble = Event { reconnection_time, ..Event::comment("") };
        self.batch.push(EncodedEvent::from(preamble));
    }

    /// Fills the batch with what is ready, and sees whether the stream has to end. Whether there was an event.
    fn gather(&mut self, cx: &mut Context<'_>) -> bool {
        let ending = if *self.state == State::Open { self.guard.control.end_request() } else { None };
        if let Some(EndRequest { reason, last_events: tail, .. }) = ending.as_ref().filter(|ending| !ending.is_graceful)
        {
            self.end(*reason, tail.clone());
        }
        let mut had_event = false;
        while let Some(stream) = self.stream.as_mut().as_pin_mut().filter(|_| !self.batch.is_full()) {
            match stream.poll_next(cx).map(|item| item.map(|item| item.encode_into(&mut EventChunk::new(self.batch)))) {
                Poll::Ready(Some(Ok(()))) => had_event = true,
                Poll::Ready(Some(Err(error))) => {
                    *self.error = Some(error);
                    self.end(CloseReason::Error, Vec::new());
                }
                Poll::Ready(None) => {
                    let tail = self.guard.control.after_end().last_event().into_iter().collect();
                    self.end(CloseReason::StreamEnd, tail);
                }
                Poll::Pending => match ending {
                    Some(EndRequest { reason, last_events: ref tail, .. }) => self.end(reason, tail.clone()),
                    None => break,
                },
            }
        }
        if let Some(extras) = self.extras.as_mut().filter(|_| self.stream.is_none()) {
            while !self.batch.is_full() && !extras.tail.is_empty() {
                self.batch.push(extras.tail.remove(0));
            }
        }
        had_event
    }

    /// No more events, but for those that are gathered, and then this.
    fn end(&mut self, reason: CloseReason, tail: Vec<EncodedEvent>) {
        self.stream.set(None);
        *self.state = State::Ended(reason);
        if !tail.is_empty() {
            self.extras.get_or_insert_default().tail = tail;
        }
    }

    /// A chunk goes to the server.
    fn hand_over(&mut self, had_event: bool) {
        let now = Instant::now();
        // The schedule knows what the timer is set to, so that no event has to look at that, elsewhere in memory.
        let timer = self.schedule.wrote(now, had_event);
        self.guard.control.stall_clock.chunk_written(now);
        // A stream that always has something ready never gets to the timer.
        if *self.state == State::Open && self.schedule.has_lived(now) {
            self.end(CloseReason::MaxLifetime, Vec::new());
        }
        match timer {
            Some(at) if Handle::try_current().is_ok() => {
                let _ = self.set_timer(at);
            }
            // One that has run out is asked when the server asks for more.
            Some(_) => self.guard.control.wakeups.set_timer_fired(),
            None => {}
        }
    }

    /// What there is to do by the clock.
    ///
    /// A write does not touch the timer, it only moves what the timer finds when it has run out.
    fn poll_timer(&mut self) -> Poll<Due> {
        if let Some(timer) = self.timer.as_mut() {
            // It was asked when it was set, and says so when it runs out: most polls come before, and are not its.
            if !self.guard.control.wakeups.take_timer_fired() {
                return Poll::Pending;
            }
            ready!(timer.as_mut().poll(&mut Context::from_waker(self.waker)));
        }
        loop {
            let now = Instant::now();
            if let Some(due) = self.schedule.due(now) {
                return Poll::Ready(due);
            }
            let Some(at) = self.schedule.timer_again(now) else {
                *self.timer = None;
                self.schedule.unset_timer();
                return Poll::Pending;
            };
            ready!(self.set_timer(at));
        }
    }

    fn set_timer(&mut self, at: Instant) -> Poll<()> {
        self.schedule.set_timer(at);
        match self.timer {
            Some(timer) => timer.as_mut().reset(at),
            None => *self.timer = Some(Box::pin(sleep_until(at))),
        }
        let mut cx = Context::from_waker(self.waker);
        let poll = self.timer.as_mut().map_or(Poll::Pending, |timer| timer.as_mut().poll(&mut cx));
        if poll.is_ready() {
            self.guard.control.wakeups.set_timer_fired();
        }
        poll
    }
}

impl<S: Stream<Item: IntoEvent>> http_body::Body for EventBody<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        self.poll_next(cx).map_ok(http_body::Frame::data)
    }
}
