//! The metrics of streams.
//!
//! The handles of a group's metrics are registered once and shared by its streams, so that an event looks nothing up. A
//! stream without a group registers its own handles when it opens.

use std::sync::Arc;
use std::time::Duration;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

use super::{
    STREAM_BYTES, STREAM_DURATION, STREAM_EVENTS, STREAM_FIRST_EVENT, STREAMS_CLOSED, STREAMS_OPEN, STREAMS_REJECTED,
};
use crate::close::CloseReason;

/// The metrics of the streams of one group.
pub(crate) struct StreamMetrics {
    group: Arc<str>,
    open: Gauge,
    rejected: Counter,
    duration: Histogram,
    first_event: Histogram,
    events: Counter,
    bytes: Counter,
}

impl StreamMetrics {
    pub(crate) fn new(group: impl Into<Arc<str>>) -> Self {
        let group = group.into();
        Self {
            open: gauge!(STREAMS_OPEN.name, "group" => group.clone()),
            rejected: counter!(STREAMS_REJECTED.name, "group" => group.clone()),
            duration: histogram!(STREAM_DURATION.name, "group" => group.clone()),
            first_event: histogram!(STREAM_FIRST_EVENT.name, "group" => group.clone()),
            events: counter!(STREAM_EVENTS.name, "group" => group.clone()),
            bytes: counter!(STREAM_BYTES.name, "group" => group.clone()),
            group,
        }
    }

    pub(crate) fn opened(&self) {
        self.open.increment(1);
    }

    pub(crate) fn closed(&self, reason: CloseReason, duration: Duration) {
        self.open.decrement(1);
        self.duration.record(duration);
        counter!(STREAMS_CLOSED.name, "group" => self.group.clone(), "reason" => reason.as_str()).increment(1);
    }

    /// Counts events and bytes that were handed to the server.
    #[inline]
    pub(crate) fn sent(&self, events: u64, bytes: u64) {
        self.events.increment(events);
        self.bytes.increment(bytes);
    }

    pub(crate) fn first_event(&self, since_opening: Duration) {
        self.first_event.record(since_opening);
    }

    pub(crate) fn rejected(&self) {
        self.rejected.increment(1);
    }
}
