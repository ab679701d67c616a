//! The crate `eventsource-stream`. Its events own three `String`s.

use bytes::Bytes;

use super::{Decoder, Gives, drain, stream_of};
use crate::Totals;
use crate::workloads::WHOLE;

pub(super) struct Rival;

impl Decoder for Rival {
    const NAME: &'static str = "eventsource-stream";
    const GIVES: Gives = Gives::Owned;
    const IS_STREAM: bool = true;

    fn count(chunks: &[Bytes]) -> Totals {
        drain(eventsource_stream::EventStream::new(stream_of(chunks)), |totals, event| {
            let event = event.expect("the stream is valid");
            totals.add(&event.event, event.data, &event.id);
        })
    }

    /// It copies what is left of a chunk behind every line, so its time grows with the square of the chunk: to seconds,
    /// with lines as short as these.
    fn is_hopeless(workload: &str, chunk_size: usize) -> bool {
        chunk_size == WHOLE && ["ticks", "heartbeats"].contains(&workload)
    }
}
