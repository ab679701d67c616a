//! The state machine of a body.
//!
//! ```text
//!        first poll             end of the stream        last chunk handed over
//! New ---------------> Open ---------------------> Ended ----------------------> closed, `None`
//!  |                                                ^ |
//!  '-- group drains, or keep-alive is invalid ------' '-- with an error --> Failing --> closed, `Some(Err)`
//! ```
//!
//! | from | event | to | reason | last events |
//! |---|---|---|---|---|
//! | `New` | first poll | `Open` | | |
//! | `New` | first poll, the group is drained | `Ended` | `Draining` | the drain's `retry` line |
//! | `New` | first poll, the keep-alive could not be encoded | `Ended` | `Error` | |
//! | `Open` | an item is an error | `Ended` | `Error` | |
//! | `Open` | the stream returns `None` | `Ended` | `StreamEnd` | the ID of a finished stream |
//! | `Open` | the stream returns `None`, its sender failed | `Ended` | `Error` | |
//! | `Open` | an end request that is not graceful | `Ended` | its own | its own |
//! | `Open` | a graceful end request, no event is ready | `Ended` | its own | its own |
//! | `Open` | the clock: idle timeout or maximum lifetime | `Ended` | `Idle`, `MaxLifetime` | |
//! | `Ended` | all chunks are handed over | closed | | |
//! | `Ended` | all chunks are handed over, there is an error | `Failing` | | |
//! | `Failing` | the next poll | closed | `Error` | |
//!
//! The stream is dropped when the state becomes `Ended`, so `Open` is the only state in which it is polled. The
//! [`StreamControl`](crate::stream_control) holds the reason of a closed stream.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_core::Stream;
use ssekit_core::{BoxError, EncodedEvent, Event, EventChunk, IntoEvent};
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep_until};

use super::{EventBody, Extras, Projection, State};
use crate::body_error::BodyError;
use crate::close::CloseReason;
use crate::schedule::Due;

impl<S: Stream<Item: IntoEvent>> Stream for EventBody<S> {
    type Item = Result<Bytes, BodyError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        this.guard.control.stall_clock.server_polled();
        if *this.state == State::New {
            this.open();
        }
        loop {
            let items = this.gather(cx);
            if let Some(chunk) = this.batch.take() {
                this.hand_over(items, chunk.len());
                return Poll::Ready(Some(Ok(chunk)));
            }
            if let Some(end) = this.poll_end(cx) {
                return end;
            }
            // If an end was requested or new events came in the meantime, the loop runs again.
            if this.guard.control.wakeups.register(cx.waker()) {
                ready!(this.poll_clock());
            }
        }
    }
}

impl<S: Stream<Item: IntoEvent>> http_body::Body for EventBody<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, BodyError>>> {
        self.poll_next(cx).map_ok(http_body::Frame::data)
    }
}

impl<S: Stream<Item: IntoEvent>> Projection<'_, S> {
    /// Adds the preamble, or the answer of a group that is drained.
    fn open(&mut self) {
        let now = Instant::now();
        *self.state = State::Open;
        self.schedule.start(now);
        let extras = self.extras.take().map(|extras| *extras).unwrap_or_default();
        let Extras { reconnection_time, group, drain_policy, keep_alive, keep_alive_error, .. } = extras;
        if keep_alive.is_some() {
            *self.extras = Some(Box::new(Extras { keep_alive, ..Extras::default() }));
        }
        let control = &self.guard.control;
        if let Some(answer) = group.as_ref().and_then(|group| group.enter(control, drain_policy).err()) {
            self.end(CloseReason::Draining, answer);
            return;
        }
        self.meter.open(group.as_ref(), control, now);
        self.batch.push(EncodedEvent::from(Event { reconnection_time, ..Event::comment("") }));
        if let Some(error) = keep_alive_error {
            self.fail(error.into());
        }
    }

    /// Fills the batch with the events that are ready, and applies an end request. Returns the number of items added.
    fn gather(&mut self, cx: &mut Context<'_>) -> u32 {
        let mut request = if *self.state == State::Open { self.guard.control.end_request() } else { None };
        if let Some(request) = request.take_if(|request| !request.is_graceful) {
            self.end(request.reason, request.last_events);
        }
        let mut items = 0;
        while let Some(stream) = self.stream.as_mut().as_pin_mut().filter(|_| !self.batch.is_full()) {
            match stream.poll_next(cx).map(|item| item.map(|item| item.encode_into(&mut EventChunk::new(self.batch)))) {
                Poll::Ready(Some(Ok(()))) => items += 1,
                Poll::Ready(Some(Err(error))) => self.fail(error),
                Poll::Ready(None) => self.stream_ended(),
                Poll::Pending => match request.take() {
                    Some(request) => self.end(request.reason, request.last_events),
                    None => break,
                },
            }
        }
        self.push_last_events();
        items
    }

    fn stream_ended(&mut self) {
        match self.guard.control.take_outcome() {
            Ok(after_end) => self.end(CloseReason::StreamEnd, after_end.last_event().into_iter().collect()),
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, error: BoxError) {
        *self.error = Some(error);
        self.end(CloseReason::Error, Vec::new());
    }

    /// Ends the stream. The events in the batch and then `last_events` still go out.
    fn end(&mut self, reason: CloseReason, last_events: Vec<EncodedEvent>) {
        self.stream.set(None);
        *self.state = State::Ended(reason);
        if !last_events.is_empty() {
            self.extras.get_or_insert_default().last_events = last_events;
        }
    }

    fn push_last_events(&mut self) {
        if let Some(extras) = self.extras.as_mut().filter(|_| self.stream.is_none()) {
            while !self.batch.is_full() && !extras.last_events.is_empty() {
                self.batch.push(extras.last_events.remove(0));
            }
        }
    }

    /// Notes that a chunk with this number of items goes to the server.
    fn hand_over(&mut self, items: u32, bytes: usize) {
        let now = Instant::now();
        // The schedule knows what the timer is set to, so an event need not read the timer elsewhere in memory.
        let timer = self.schedule.wrote(now, items > 0);
        self.guard.control.stall_clock.chunk_written(now);
        self.meter.chunk_written(items, bytes, &self.guard.control, now);
        // A stream that always has an event ready never polls the timer.
        if *self.state == State::Open && self.schedule.has_lived(now) {
            self.end(CloseReason::MaxLifetime, Vec::new());
        }
        match timer {
            Some(at) if Handle::try_current().is_ok() => {
                let _ = self.set_timer(at);
            }
            // Without a runtime, the timer is set when the server polls again.
            Some(_) => self.guard.control.wakeups.set_timer_fired(),
            None => {}
        }
    }

    /// Closes a stream that has ended, after its last chunk. Returns `None` while the stream is open.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Option<Poll<Option<Result<Bytes, BodyError>>>> {
        match *self.state {
            State::New | State::Open => None,
            State::Ended(_) if self.error.is_some() => {
                // A server drops the chunks that it has not flushed when a body fails. The pause lets it flush them.
                *self.state = State::Failing;
                cx.waker().wake_by_ref();
                Some(Poll::Pending)
            }
            State::Ended(reason) => {
                self.guard.control.close(reason);
                Some(Poll::Ready(None))
            }
            State::Failing => {
                self.guard.control.close(CloseReason::Error);
                Some(Poll::Ready(self.error.take().map(|error| Err(BodyError::new(error)))))
            }
        }
    }

    /// Waits for the clock. Then adds a keep-alive, or ends the stream.
    fn poll_clock(&mut self) -> Poll<()> {
        match ready!(self.poll_timer()) {
            Due::KeepAlive => {
                let keep_alive = self.extras.as_ref().and_then(|extras| extras.keep_alive.clone());
                self.batch.push(keep_alive.unwrap_or_else(|| EncodedEvent::from(Event::comment(""))));
            }
            Due::Idle => self.end(CloseReason::Idle, Vec::new()),
            Due::MaxLifetime => self.end(CloseReason::MaxLifetime, Vec::new()),
        }
        Poll::Ready(())
    }

    /// Waits until the schedule has something due.
    ///
    /// A write does not reset the timer. When the timer fires, the schedule knows whether it must be set again.
    fn poll_timer(&mut self) -> Poll<Due> {
        if let Some(timer) = self.timer.as_mut() {
            // The timer was polled when it was set, so it sets this flag when it fires. Most polls come earlier.
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
