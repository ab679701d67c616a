//! The crate `eventsrc`. Its events are three `Bytes`.

use bytes::Bytes;
use eventsrc::EventStream;

use super::{Decoder, Gives, drain, stream_of};
use crate::Totals;

pub(super) struct Rival;

impl Decoder for Rival {
    const NAME: &'static str = "eventsrc";
    const GIVES: Gives = Gives::Shared;
    const IS_STREAM: bool = true;

    fn count(chunks: &[Bytes]) -> Totals {
        drain(EventStream::new(stream_of(chunks)), |totals, event| {
            let event = event.expect("the stream is valid");
            totals.add(event.event(), event.data(), event.id());
        })
    }
}
