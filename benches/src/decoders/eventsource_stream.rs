//! The crate `eventsource-stream`. Its events own three `String`s.

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use super::Decoder;
use crate::Totals;
use crate::workloads::WHOLE;

pub(super) struct Rival;

impl Decoder for Rival {
    const NAME: &'static str = "eventsource-stream";

    fn count(chunks: &[Bytes]) -> Totals {
        let chunks = stream::iter(chunks.iter().cloned().map(Ok::<_, Infallible>));
        let mut events = eventsource_stream::EventStream::new(chunks);
        let count = async {
            let mut totals = Totals::default();
            while let Some(event) = events.next().await {
                let event = event.expect("the stream is valid");
                totals.add(&event.event, &event.data, &event.id);
            }
            totals
        };
        count.now_or_never().expect("all chunks are there")
    }

    /// It copies what is left of a chunk behind every line, and starts again with an unfinished line at every chunk:
    /// its time grows with the square of the chunk's length, and with that of the line's.
    fn is_hopeless(workload: &str, chunk_size: usize) -> bool {
        chunk_size == WHOLE || workload == "long-lines" && chunk_size == 64
    }
}
