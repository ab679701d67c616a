//! A client's stream of a hub's events.
//!
//! [`Subscription::poll_next`] goes through these steps. Each either answers the poll or leads to the next:
//!
//! | step | answers with |
//! |---|---|
//! | the stream was asked to end (outside a body, which sees to that itself) | the farewell, then the end |
//! | `head` is there | the head |
//! | `is_waiting`, and the hub has no news | pending |
//! | `history` is there: a page of the history is being read | its events, if any; pending; the end, if it failed |
//! | the hub is [read](super::reading) | see [`Subscription::read_hub`] |
//!
//! The last two steps are repeated up to [`MAX_READS`] times. Then the stream wakes itself and is pending, so that the
//! connection's other work has its turn.

use std::fmt;
use std::mem;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use ssekit_core::EncodedEvent;

use super::inner::Inner;
use super::log::Page;
use super::position::Position;
use super::reading::{Candidate, ReadOutcome, Unfiltered};
use super::registry::Slot;
use super::resume::{ResumeOutcome, position_event};
use super::subscribe::{EventMeta, Filter};
use super::subscribing::Admitted;
use crate::body::EventBody;
use crate::close::CloseReason;
use crate::drain::StreamGroup;
use crate::stream_control::{EndRequest, StreamControl};
use crate::stream_handle::StreamHandle;

/// The number of filtered events after which a client is sent its position.
const MAX_FILTERED: usize = 256;
/// The number of reads without an event for the client after which the stream yields.
const MAX_READS: usize = 4;

/// The answer to a poll.
type Polled = Poll<Option<EncodedEvent>>;

/// The events of a hub for one client: a stream, whose items are one or more whole events each.
///
/// [`into_body`](Self::into_body) and the adapters' `Sse::from` make it a response body. It can also be used as a plain
/// stream, for example within `EventBody::new`. Then it ends when the hub ends it, after the hub's last events, but a
/// drain does not wait for it, and the hub cannot tell that its client has stopped reading.
///
/// The client is registered with the hub until the stream is over or the subscription is dropped.
#[must_use = "a subscriber gets nothing unless its stream is sent"]
pub struct Subscription {
    hub: Arc<Inner>,
    slot: Slot,
    control: Arc<StreamControl>,
    resume: ResumeOutcome,
    /// The bytes before all events. Boxed, like `history_read`, because an idle client has neither.
    head: Option<Box<Bytes>>,
    /// The page of the history that is being read.
    history_read: Option<Box<HistoryRead>>,
    /// Whether the client has caught up. The hub wakes it at the next event.
    is_waiting: bool,
    is_in_body: bool,
    /// Whether the stream, outside a body, has ended.
    is_over: bool,
    /// The number of events in a row that the filter rejected, since the client was last sent an ID.
    filtered: usize,
}

/// A read of the log's history that is under way.
struct HistoryRead {
    /// The offset of its first event.
    from: u64,
    /// Never locked. The lock makes a subscription `Sync`, which warp requires of a body.
    page: Mutex<Page>,
    purpose: ReadPurpose,
}

#[derive(Clone, Copy)]
enum ReadPurpose {
    /// The client needs the events.
    Deliver,
    /// The client's last event ID is ahead of memory, and the event at `from` must exist.
    Verify,
}

impl Subscription {
    pub(super) fn new(hub: &Arc<Inner>, admitted: Admitted, control: Arc<StreamControl>) -> Self {
        let Admitted { slot, resume, head, .. } = admitted;
        // A body is closed, and no longer polled, when its client has stopped reading.
        let of_stream = hub.recent.clone();
        #[cfg(feature = "tracing")]
        let span = tracing::debug_span!("sse_client", id = slot.id, resume = resume.as_str());
        #[cfg(feature = "tracing")]
        tracing::debug!(parent: &span, "subscribed");
        control.on_close(Box::new(move |_reason| {
            // Its filter is the application's, and is dropped without the lock.
            let _client = of_stream.state().unsubscribe(slot);
            #[cfg(feature = "tracing")]
            if let Some(client) = &_client {
                let (events, bytes, gaps) = (client.events, client.bytes, client.gaps);
                tracing::debug!(parent: &span, reason = _reason.as_str(), events, bytes, gaps, "closed");
            }
        }));
        Self {
            hub: Arc::clone(hub),
            slot,
            control,
            resume,
            head: Some(Box::new(head)),
            history_read: None,
            is_waiting: false,
            is_in_body: false,
            is_over: false,
            filtered: 0,
        }
    }

    /// Returns how the client was resumed after its last event ID.
    pub fn resume_outcome(&self) -> ResumeOutcome {
        self.resume
    }

    /// Returns the client's number in the hub: see [`ClientInfo::id`](super::ClientInfo::id).
    pub fn id(&self) -> u64 {
        self.slot.id
    }

    /// Returns a handle that ends the stream from elsewhere.
    pub fn handle(&self) -> StreamHandle {
        StreamHandle(self.control.clone())
    }

    /// Converts it into a response body, which a drain of the hub includes.
    pub fn into_body(mut self) -> EventBody<Self> {
        self.is_in_body = true;
        let (control, streams): (_, StreamGroup) = (self.control.clone(), self.hub.streams.clone());
        EventBody::with_control(self, control).with_pages().with_group(&streams)
    }

    /// Reads events until there is an answer to the poll, or until it has to yield.
    #[inline]
    fn poll_events(&mut self, cx: &mut Context<'_>) -> Polled {
        for _ in 0..MAX_READS {
            if self.history_read.is_some() {
                if let ControlFlow::Break(polled) = self.poll_history(cx) {
                    return polled;
                }
            }
            if let ControlFlow::Break(polled) = self.read_hub(cx) {
                return polled;
            }
        }
        // A body with news would poll again at once. The next poll reads the hub in any case.
        self.control.wakeups.take_new_events();
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Polls the page of the history that is being read, if there is one.
    fn poll_history(&mut self, cx: &mut Context<'_>) -> ControlFlow<Polled> {
        let Some(read) = &mut self.history_read else { return ControlFlow::Continue(()) };
        // The hub is read after the page, so news is no reason to poll again.
        self.control.wakeups.take_new_events();
        let (from, purpose) = (read.from, read.purpose);
        let page = read.page.get_mut().unwrap_or_else(PoisonError::into_inner);
        let page = match page.as_mut().poll(cx) {
            Poll::Ready(Ok(page)) => page,
            Poll::Ready(Err(_)) => return ControlFlow::Break(self.end_for(CloseReason::Error)),
            Poll::Pending => return ControlFlow::Break(self.wait(cx)),
        };
        self.history_read = None;
        if matches!(purpose, ReadPurpose::Verify) {
            self.hub.state().verify_last_event(self.slot, from, &page);
            return ControlFlow::Continue(());
        }
        let selection = self.hub.state().select_history(self.slot, from, &page);
        let Some(selection) = selection else { return ControlFlow::Continue(()) };
        let encoded = selection.encode(&page);
        self.hub.state().delivered(self.slot, encoded.count, encoded.event_bytes);
        encoded.into_bytes().map_or(ControlFlow::Continue(()), item)
    }

    /// Reads the hub's memory. It continues after a page without an event for the client, and after the begin of a read
    /// of the history.
    #[inline]
    fn read_hub(&mut self, cx: &Context<'_>) -> ControlFlow<Polled> {
        let history = self.hub.log.first();
        let outcome = self.hub.state().read(self.slot, history);
        match outcome {
            ReadOutcome::Events { bytes, is_caught_up } => {
                self.is_waiting = is_caught_up;
                item(bytes)
            }
            ReadOutcome::Unfiltered(events) => self.filter(events, cx),
            ReadOutcome::Gap(event) => ControlFlow::Break(Poll::Ready(Some(event))),
            ReadOutcome::CaughtUp => {
                self.is_waiting = true;
                ControlFlow::Break(self.wait(cx))
            }
            ReadOutcome::ReadHistory { from, position } => self.read_history(from, position, ReadPurpose::Deliver),
            ReadOutcome::VerifyLastEvent { offset, position } => {
                self.read_history(offset, position, ReadPurpose::Verify)
            }
            ReadOutcome::End(request) => ControlFlow::Break(self.end(*request)),
            ReadOutcome::TooSlow => ControlFlow::Break(self.end_for(CloseReason::SlowConsumer)),
            ReadOutcome::Unsubscribed => ControlFlow::Break(Poll::Ready(None)),
        }
    }

    /// Begins to read a page of the history.
    fn read_history(&mut self, from: u64, position: Position, purpose: ReadPurpose) -> ControlFlow<Polled> {
        let page = Mutex::new(self.hub.log.clone().read(position));
        self.history_read = Some(Box::new(HistoryRead { from, page, purpose }));
        ControlFlow::Continue(())
    }

    /// Delivers the events that pass the filter. It continues if none does and the client has more to read.
    fn filter(&mut self, events: Unfiltered, cx: &Context<'_>) -> ControlFlow<Polled> {
        let Unfiltered { filter, candidates, bytes, is_caught_up } = events;
        self.is_waiting = is_caught_up;
        let (passed, count) = filter_events(&filter, &candidates, &bytes);
        if count > 0 {
            self.filtered = 0;
            self.hub.state().delivered(self.slot, count, passed.len());
            return item(passed.into());
        }
        let last = candidates.last().map(|event| event.position);
        if let Some(event) = self.count_filtered(candidates.len(), last) {
            return ControlFlow::Break(Poll::Ready(Some(event)));
        }
        if is_caught_up { ControlFlow::Break(self.wait(cx)) } else { ControlFlow::Continue(()) }
    }

    /// Counts events that the filter rejected. After many of them, it returns a block with the position of the last one.
    ///
    /// Without it, the client would resume at an event that is long evicted, and receive a gap event for events that it
    /// has no right to.
    fn count_filtered(&mut self, count: usize, last: Option<Position>) -> Option<EncodedEvent> {
        self.filtered += count;
        let last = last.filter(|_| self.filtered >= MAX_FILTERED)?;
        self.filtered = 0;
        Some(position_event(last))
    }

    /// Leaves the waker for the next event.
    fn wait(&mut self, cx: &Context<'_>) -> Polled {
        // A body leaves its waker itself. A stream that has news already, or must end, is polled again.
        if !self.is_in_body && !self.control.wakeups.register(cx.waker()) {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Ends the stream. A body sends the farewell itself.
    fn end(&mut self, request: EndRequest) -> Polled {
        if self.is_in_body {
            self.control.request_end(request);
            return Poll::Pending;
        }
        self.control.close(request.reason);
        let farewell: Vec<u8> = request.last_events.iter().flat_map(|event| event.as_bytes()).copied().collect();
        let was_over = mem::replace(&mut self.is_over, true);
        Poll::Ready((!was_over && !farewell.is_empty()).then(|| EncodedEvent::__from_whole_events(farewell.into())))
    }

    fn end_for(&mut self, reason: CloseReason) -> Polled {
        self.end(EndRequest { reason, last_events: Vec::new(), is_graceful: false })
    }
}

/// Answers a poll with whole events.
#[inline]
fn item(events: Bytes) -> ControlFlow<Polled> {
    ControlFlow::Break(Poll::Ready(Some(EncodedEvent::__from_whole_events(events))))
}

/// Returns the bytes of the events that pass the filter, and their number.
fn filter_events(filter: &Filter, events: &[Candidate], bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut passed, mut count, mut start) = (Vec::with_capacity(bytes.len()), 0, 0);
    for event in events {
        let part = bytes.get(start..event.end).unwrap_or_default();
        start = event.end;
        let (topic, key, position) = (&*event.topic, event.key.as_deref(), event.position);
        if filter(&EventMeta { topic, key, position }) {
            passed.extend_from_slice(part);
            count += 1;
        }
    }
    (passed, count)
}

impl Stream for Subscription {
    type Item = EncodedEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<EncodedEvent>> {
        let this = &mut *self;
        if let Some(request) = if this.is_in_body { None } else { this.control.end_request() } {
            return this.end(request);
        }
        if let Some(head) = this.head.take() {
            return Poll::Ready(Some(EncodedEvent::__from_whole_events(*head)));
        }
        if this.is_waiting && !this.control.wakeups.take_new_events() {
            return this.wait(cx);
        }
        this.is_waiting = false;
        this.poll_events(cx)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // A body closes its stream itself.
        if !self.is_in_body {
            self.control.close(self.control.reason_of_drop());
        }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("id", &self.slot.id).field("resume", &self.resume).finish_non_exhaustive()
    }
}

impl From<Subscription> for EventBody<Subscription> {
    fn from(subscription: Subscription) -> Self {
        subscription.into_body()
    }
}
