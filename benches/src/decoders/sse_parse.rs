//! The crate `sse-parse`. Its events own three `String`s.

use bytes::Bytes;
use sse_parse::{Event, EventStream, SseParser};

use super::{Decoder, Gives, drain, stream_of};
use crate::Totals;

fn add(totals: &mut Totals, event: Event) {
    totals.add(&event.event, event.data, &event.id);
}

pub(super) struct Parse;

impl Decoder for Parse {
    const NAME: &'static str = "sse-parse";
    const GIVES: Gives = Gives::Owned;
    const IS_STREAM: bool = false;

    fn count(chunks: &[Bytes]) -> Totals {
        let mut totals = Totals::default();
        let mut parser = SseParser::new();
        for chunk in chunks {
            parser.feed(chunk);
            while let Some(event) = parser.next_event() {
                add(&mut totals, event);
            }
        }
        totals
    }
}

pub(super) struct AsStream;

impl Decoder for AsStream {
    const NAME: &'static str = "sse-parse-stream";
    const GIVES: Gives = Gives::Owned;
    const IS_STREAM: bool = true;

    fn count(chunks: &[Bytes]) -> Totals {
        drain(EventStream::new(stream_of(chunks)), |totals, event| {
            add(totals, event.expect("the stream is valid"));
        })
    }
}
