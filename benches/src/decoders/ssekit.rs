//! Ours.

use bytes::Bytes;

use super::{Decoder, drain, stream_of};
use crate::Totals;

/// Events that borrow.
pub(super) struct NextEvent;

impl Decoder for NextEvent {
    const NAME: &'static str = "ssekit-next-event";

    fn count(chunks: &[Bytes]) -> Totals {
        let mut totals = Totals::default();
        let mut decoder = ssekit_core::Decoder::new();
        for chunk in chunks {
            let mut chunk = &chunk[..];
            while let Some(event) = decoder.next_event(&mut chunk).expect("no event is over a limit") {
                totals.add(event.event_type, event.data, event.last_event_id);
            }
        }
        totals
    }
}

/// Events that share their chunk.
pub(super) struct EventStream;

impl Decoder for EventStream {
    const NAME: &'static str = "ssekit-event-stream";

    fn count(chunks: &[Bytes]) -> Totals {
        drain(ssekit_core::EventStream::new(stream_of(chunks)), |totals, event| {
            let event = event.expect("no event is over a limit");
            totals.add(&event.event_type, &event.data, &event.last_event_id);
        })
    }
}
