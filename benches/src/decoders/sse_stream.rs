//! The crate `sse-stream`. Its events own a `String` for each field that they have.

use bytes::Bytes;

use super::{Decoder, Gives, Ids, drain, stream_of};
use crate::Totals;

pub(super) struct Rival;

impl Decoder for Rival {
    const NAME: &'static str = "sse-stream";
    const GIVES: Gives = Gives::Owned;
    const IS_STREAM: bool = true;
    const IDS: Ids = Ids::OwnOnly;

    fn count(chunks: &[Bytes]) -> Totals {
        // What its documentation prefers for bytes; its other form goes through an HTTP body.
        drain(sse_stream::SseByteStream::new(stream_of(chunks)), |totals, event| {
            let event = event.expect("the stream is valid");
            let [event_type, data, id] = [&event.event, &event.data, &event.id].map(Option::as_deref);
            // It hands out blocks without data too, which are no events. No workload has one; if it found one, it
            // should be counted, and be one too many.
            totals.add(event_type.unwrap_or("message"), data.unwrap_or_default(), id.unwrap_or_default());
        })
    }
}
