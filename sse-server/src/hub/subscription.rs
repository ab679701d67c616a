//! A subscriber's stream.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use ssekit_core::Frame;

use super::read::{Candidate, Read};
use super::registry::Slot;
use super::resume::Resume;
use super::subscribe::{EventInfo, Filter};
use super::tail::Tail;
use crate::body::EventBody;
use crate::close::CloseReason;
use crate::control::{Control, Ending, StreamHandle};
use crate::drain::Streams;

/// How many pages with nothing for the subscriber are read at once.
const PAGES: usize = 4;

/// The events of a hub for one subscriber: a stream, whose items are one or more whole events each.
///
/// It is made a body by [`into_body`](Self::into_body), or by the adapters' `Sse::from`. Used as a stream by itself, it
/// ends when the hub ends it, and takes no part in a drain.
///
/// The subscriber is one of the hub's as long as this is there, and its stream is not over.
#[must_use = "a subscriber gets nothing unless its stream is sent"]
pub struct Subscription {
    tail: Tail,
    slot: Slot,
    control: Arc<Control>,
    resume: Resume,
    filter: Option<Filter>,
    head: Bytes,
    /// It has all there is, and is called when there is more.
    is_waiting: bool,
    is_in_body: bool,
}

impl Subscription {
    pub(super) fn new(
        tail: &Tail,
        slot: Slot,
        control: Arc<Control>,
        resume: Resume,
        filter: Option<Filter>,
        head: Bytes,
    ) -> Self {
        // Also when the body is not polled any more, being that of a client which does not read.
        let of_stream = tail.clone();
        #[cfg(feature = "tracing")]
        let span = tracing::debug_span!("sse_client", id = slot.id, resume = resume.as_str());
        #[cfg(feature = "tracing")]
        tracing::debug!(parent: &span, "subscribed");
        control.on_close(Box::new(move |_reason| {
            // What it has held goes outside the lock.
            let _client = of_stream.state().leave(slot);
            #[cfg(feature = "tracing")]
            if let Some(client) = &_client {
                let (events, bytes, gaps) = (client.events, client.bytes, client.gaps);
                tracing::debug!(parent: &span, reason = _reason.as_str(), events, bytes, gaps, "closed");
            }
        }));
        Self { tail: tail.clone(), slot, control, resume, filter, head, is_waiting: false, is_in_body: false }
    }

    /// Where the client stands.
    pub fn resume(&self) -> Resume {
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
        let (control, streams): (_, Streams) = (self.control.clone(), self.tail.0.streams.clone());
        EventBody::with_control(self, control).with_streams(&streams)
    }

    /// Asks the filter about a page of events. Those that it is false for are cut out.
    fn choose(&self, filter: &Filter, events: &[Candidate], bytes: &[u8]) -> (Vec<u8>, usize) {
        let (mut chosen, mut count, mut start) = (Vec::with_capacity(bytes.len()), 0, 0);
        for event in events {
            let part = bytes.get(start..event.end).unwrap_or_default();
            start = event.end;
            let (topic, key, position) = (&*event.topic, event.key.as_deref(), event.position);
            if filter(&EventInfo { topic, key, position }) {
                chosen.extend_from_slice(part);
                count += 1;
            }
        }
        (chosen, count)
    }

    /// There is nothing for now.
    fn wait(&mut self, cx: &Context<'_>) -> Poll<Option<Frame>> {
        if self.control.wait(cx.waker()) || self.is_in_body {
            // A body asks again by itself if it has to.
            Poll::Pending
        } else if self.control.ending().is_some() {
            Poll::Ready(None)
        } else {
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }

    /// The stream ends for this reason.
    fn end(&mut self, reason: CloseReason) -> Poll<Option<Frame>> {
        self.control.end(Ending { reason, tail: Vec::new(), is_graceful: false });
        if self.is_in_body { Poll::Pending } else { Poll::Ready(None) }
    }
}

impl Stream for Subscription {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let this = &mut *self;
        if !this.head.is_empty() {
            return Poll::Ready(Some(Frame::__from_whole_events(std::mem::take(&mut this.head))));
        }
        if this.is_waiting && !this.control.take_news() {
            return this.wait(cx);
        }
        for _ in 0..PAGES {
            let read = this.tail.state().read(this.slot);
            match read {
                Read::Events { bytes, is_last } => {
                    this.is_waiting = is_last;
                    return Poll::Ready(Some(Frame::__from_whole_events(bytes)));
                }
                Read::Candidates { events, bytes, is_last } => {
                    this.is_waiting = is_last;
                    let Some(filter) = &this.filter else { continue };
                    let (chosen, count) = this.choose(filter, &events, &bytes);
                    if count > 0 {
                        this.tail.state().delivered(this.slot, count, chosen.len());
                        return Poll::Ready(Some(Frame::__from_whole_events(chosen.into())));
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
                Read::Behind => return this.end(CloseReason::SlowConsumer),
                Read::Gone => return Poll::Ready(None),
            }
        }
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
