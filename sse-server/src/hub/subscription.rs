//! A subscriber's stream.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_core::Stream;
use ssekit_core::EncodedEvent;

use super::log::{History, LoggedEvent, ReadHistory};
use super::position::Position;
use super::publication::NewEvent;
use super::reading::{Candidate, Read, Sorted};
use super::registry::Slot;
use super::resume::{Gap, ResumeOutcome, position_frame};
use super::subscribe::{EventMeta, Filter};
use super::subscribing::Admitted;
use super::tail::RecentEvents;
use crate::body::EventBody;
use crate::close::CloseReason;
use crate::drain::StreamGroup;
use crate::stream_control::{EndRequest, StreamControl};
use crate::stream_handle::StreamHandle;

/// After how many events that its filter is false for a subscriber is told how far the log is.
const DENIED: usize = 256;
/// How many pages with nothing for the subscriber are read at once.
const PAGES: usize = 4;

/// The events of a hub for one subscriber: a stream, whose items are one or more whole events each.
///
/// It is made a body by [`into_body`](Self::into_body), or by the adapters' `Sse::from`. Used as a stream by itself, also
/// in a body of another kind as by `EventBody::new`, it ends when the hub ends it, with what the hub tells it then; but it
/// takes no part in a drain, and the hub does not see that its client reads nothing.
///
/// The subscriber is one of the hub's as long as this is there, and its stream is not over.
#[must_use = "a subscriber gets nothing unless its stream is sent"]
pub struct Subscription {
    tail: RecentEvents,
    slot: Slot,
    control: Arc<StreamControl>,
    resume: ResumeOutcome,
    /// What it gets before all events. In a box, like what is read, since an idle one has neither.
    head: Option<Box<Bytes>>,
    history: Arc<dyn History>,
    /// What is read of it.
    reading: Option<Box<Reading>>,
    /// It has all there is, and is wakes when there is more.
    is_waiting: bool,
    is_in_body: bool,
    /// By itself, it has ended.
    is_over: bool,
    /// How many events its filter was false for since it last had an ID.
    denied: usize,
}

/// A page of the history, from this offset on.
struct Reading {
    from: u64,
    page: ReadHistory,
    /// It is read only to see whether there is one there.
    is_proof: bool,
}

impl Subscription {
    pub(super) fn new(
        tail: &RecentEvents,
        history: Arc<dyn History>,
        admitted: Admitted,
        control: Arc<StreamControl>,
    ) -> Self {
        let Admitted { slot, resume, head, .. } = admitted;
        // Also when the body is not polled any more, being that of a client which does not read.
        let of_stream = tail.clone();
        #[cfg(feature = "tracing")]
        let span = tracing::debug_span!("sse_client", id = slot.id, resume = resume.as_str());
        #[cfg(feature = "tracing")]
        tracing::debug!(parent: &span, "subscribed");
        control.on_close(Box::new(move |_reason| {
            // What it has held goes outside the lock.
            let _client = of_stream.state().unsubscribe(slot);
            #[cfg(feature = "tracing")]
            if let Some(client) = &_client {
                let (events, bytes, gaps) = (client.events, client.bytes, client.gaps);
                tracing::debug!(parent: &span, reason = _reason.as_str(), events, bytes, gaps, "closed");
            }
        }));
        Self {
            tail: tail.clone(),
            slot,
            control,
            resume,
            head: Some(Box::new(head)),
            history,
            reading: None,
            is_waiting: false,
            is_in_body: false,
            is_over: false,
            denied: 0,
        }
    }

    /// Where the client stands.
    pub fn resume(&self) -> ResumeOutcome {
        self.resume
    }

    /// The client's number among the hub's.
    pub fn id(&self) -> u64 {
        self.slot.id
    }

    /// A handle to end the stream from elsewhere.
    pub fn handle(&self) -> StreamHandle {
        StreamHandle(self.control.clone())
    }

    /// The body with these events, which is drained with the hub.
    pub fn into_body(mut self) -> EventBody<Self> {
        self.is_in_body = true;
        let (control, streams): (_, StreamGroup) = (self.control.clone(), self.tail.0.streams.clone());
        EventBody::with_control(self, control).with_group(&streams)
    }

    /// The old events of a page that are for the subscriber, and what is missing among them.
    fn take_old(&self, from: u64, page: &[LoggedEvent]) -> Bytes {
        let (mut bytes, mut count, mut size) = (BytesMut::new(), 0, 0);
        // Where it stands has to change before it is known what passes its filter, or it could miss that an epoch begins.
        let Some(sorted) = self.tail.state().sort_old(self.slot, from, page) else { return Bytes::new() };
        let Sorted { skipped, events, gap, filter } = sorted;
        let tell = |gap: Option<Gap>, bytes: &mut BytesMut| {
            gap.into_iter().for_each(|gap| bytes.extend_from_slice(gap.into_event(gap.to).as_bytes()));
        };
        for (event, (gap, is_wanted)) in page.iter().skip(skipped).zip(events) {
            tell(gap, &mut bytes);
            let (topic, key, position) = (&*event.topic, event.key.as_deref(), event.position);
            let is_right = |filter: &Filter| filter(&EventMeta { topic, key, position });
            let Some(frame) = event.frame.clone() else { continue };
            let publication = NewEvent { topic, key, frame };
            // One that is no event of a hub's would take its ID from the client.
            let Ok(block) = publication.block() else { continue };
            if is_wanted && filter.as_ref().is_none_or(is_right) {
                let start = bytes.len();
                bytes.extend_from_slice(format!("id: {position}\n").as_bytes());
                bytes.extend_from_slice(block);
                (count, size) = (count + 1, size + bytes.len() - start);
            }
        }
        tell(gap, &mut bytes);
        self.tail.state().delivered(self.slot, count, size);
        bytes.freeze()
    }

    /// There is nothing for now.
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Option<EncodedEvent>> {
        // A body leaves its waker by itself, and asks again if it has to.
        if self.is_in_body || self.control.wakeups.register(cx.waker()) {
            Poll::Pending
        } else {
            // It has news, or has to end.
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }

    /// The stream ends.
    fn end(&mut self, ending: EndRequest) -> Poll<Option<EncodedEvent>> {
        if self.is_in_body {
            self.control.request_end(ending);
            return Poll::Pending;
        }
        self.control.close(ending.reason);
        let tail: Vec<u8> = ending.last_events.iter().flat_map(|frame| frame.as_bytes()).copied().collect();
        let has_told = mem::replace(&mut self.is_over, true) || tail.is_empty();
        Poll::Ready((!has_told).then(|| EncodedEvent::__from_whole_events(tail.into())))
    }

    fn end_for(&mut self, reason: CloseReason) -> Poll<Option<EncodedEvent>> {
        self.end(EndRequest { reason, last_events: Vec::new(), is_graceful: false })
    }

    /// Its filter was false for the last events, so many of them. Now and then it is to know how far the log is, or it
    /// would come back to where those are gone that it had no right to, and be told of a gap.
    fn deny(&mut self, count: usize, last: Option<Position>) -> Option<EncodedEvent> {
        self.denied += count;
        let last = last.filter(|_| self.denied >= DENIED)?;
        self.denied = 0;
        Some(position_frame(last))
    }
}

/// Asks the filter about a page of events. Those that it is false for are cut out.
fn choose(filter: &Filter, events: &[Candidate], bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut chosen, mut count, mut start) = (Vec::with_capacity(bytes.len()), 0, 0);
    for event in events {
        let part = bytes.get(start..event.end).unwrap_or_default();
        start = event.end;
        let (topic, key, position) = (&*event.topic, event.key.as_deref(), event.position);
        if filter(&EventMeta { topic, key, position }) {
            chosen.extend_from_slice(part);
            count += 1;
        }
    }
    (chosen, count)
}

impl Stream for Subscription {
    type Item = EncodedEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<EncodedEvent>> {
        let this = &mut *self;
        if let Some(ending) = if this.is_in_body { None } else { this.control.end_request() } {
            return this.end(ending);
        }
        if let Some(head) = this.head.take() {
            return Poll::Ready(Some(EncodedEvent::__from_whole_events(*head)));
        }
        if this.is_waiting && !this.control.wakeups.take_new_events() {
            return this.wait(cx);
        }
        this.is_waiting = false;
        for _ in 0..PAGES {
            if let Some(reading) = &mut this.reading {
                // It is asked for what is new when it is through with this.
                this.control.wakeups.take_new_events();
                let (is_proof, from, page) = match reading.page.as_mut().poll(cx) {
                    Poll::Ready(Ok(page)) => (reading.is_proof, reading.from, page),
                    Poll::Ready(Err(_)) => return this.end_for(CloseReason::Error),
                    Poll::Pending => return this.wait(cx),
                };
                this.reading = None;
                if is_proof {
                    this.tail.state().prove(this.slot, from, &page);
                    continue;
                }
                let bytes = this.take_old(from, &page);
                if !bytes.is_empty() {
                    return Poll::Ready(Some(EncodedEvent::__from_whole_events(bytes)));
                }
            }
            let history = this.history.first();
            let read = this.tail.state().read(this.slot, history);
            match read {
                Read::Events { bytes, is_last } => {
                    this.is_waiting = is_last;
                    return Poll::Ready(Some(EncodedEvent::__from_whole_events(bytes)));
                }
                Read::Candidates { filter, events, bytes, is_last } => {
                    this.is_waiting = is_last;
                    let (chosen, count) = choose(&filter, &events, &bytes);
                    if count > 0 {
                        this.denied = 0;
                        this.tail.state().delivered(this.slot, count, chosen.len());
                        return Poll::Ready(Some(EncodedEvent::__from_whole_events(chosen.into())));
                    }
                    if let Some(frame) = this.deny(events.len(), events.last().map(|event| event.position)) {
                        return Poll::Ready(Some(frame));
                    }
                    if is_last {
                        return this.wait(cx);
                    }
                }
                Read::Gap(frame) => return Poll::Ready(Some(frame)),
                Read::Waiting => {
                    this.is_waiting = true;
                    return this.wait(cx);
                }
                Read::Old { from, position, is_proof } => {
                    let page = this.history.read(position);
                    this.reading = Some(Box::new(Reading { from, page, is_proof }));
                }
                Read::Behind => return this.end_for(CloseReason::SlowConsumer),
                Read::Gone => return Poll::Ready(None),
            }
        }
        // A body that has news does not give way, and these are seen when it is asked again in any case.
        this.control.wakeups.take_new_events();
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // A body closes its stream by itself.
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
