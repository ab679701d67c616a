//! The crate `sse-core`, which has nothing to do with the folder of ours that is called so. Its events own their data,
//! and share their ID.

use bytes::Bytes;
use rival_sse_core::{SseDecoder, SseEvent, SseStream};

use super::{Decoder, Gives, drain, stream_of};
use crate::Totals;

fn add(totals: &mut Totals, event: SseEvent) {
    if let SseEvent::Message(event) = event {
        totals.add(&event.event, event.data, event.last_event_id.as_deref().unwrap_or_default());
    }
}

pub(super) struct Decode;

impl Decoder for Decode {
    const NAME: &'static str = "sse-core";
    const GIVES: Gives = Gives::Owned;
    const IS_STREAM: bool = false;

    fn count(chunks: &[Bytes]) -> Totals {
        let mut totals = Totals::default();
        let mut decoder = SseDecoder::new();
        for chunk in chunks {
            let mut chunk = &chunk[..];
            while let Some(event) = decoder.next(&mut chunk) {
                add(&mut totals, event.expect("no event is over its limit"));
            }
        }
        totals
    }
}

pub(super) struct AsStream;

impl Decoder for AsStream {
    const NAME: &'static str = "sse-core-stream";
    const GIVES: Gives = Gives::Owned;
    const IS_STREAM: bool = true;

    fn count(chunks: &[Bytes]) -> Totals {
        drain(SseStream::new(stream_of(chunks)), |totals, event| {
            add(totals, event.expect("no event is over its limit"));
        })
    }
}
