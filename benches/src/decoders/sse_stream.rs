//! The crate `sse-stream`. Its events own a `String` for each field that they have.

use std::convert::Infallible;
use std::pin::pin;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, stream};

use super::{Decoder, Ids};
use crate::Totals;

pub(super) struct Rival;

impl Decoder for Rival {
    const NAME: &'static str = "sse-stream";
    const IDS: Ids = Ids::OwnOnly;

    fn count(chunks: &[Bytes]) -> Totals {
        let chunks = stream::iter(chunks.iter().cloned().map(Ok::<_, Infallible>));
        // The faster of its two forms: the other goes through an HTTP body.
        let mut events = pin!(sse_stream::SseByteStream::new(chunks));
        let count = async {
            let mut totals = Totals::default();
            while let Some(event) = events.next().await {
                let event = event.expect("the stream is valid");
                // It hands out blocks without data too, which are no events. No workload has one, so if there is one
                // here, it is to be counted, and found to be too many.
                let data = event.data.as_deref().unwrap_or_default();
                totals.add(event.event.as_deref().unwrap_or("message"), data, event.id.as_deref().unwrap_or_default());
            }
            totals
        };
        count.now_or_never().expect("all chunks are there")
    }
}
