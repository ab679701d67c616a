//! The crate `sseer`. Its events share the chunk, or a buffer of the stream's.

use bytes::Bytes;

use super::{Decoder, Gives, drain, stream_of};
use crate::Totals;

pub(super) struct Rival;

impl Decoder for Rival {
    const NAME: &'static str = "sseer";
    const GIVES: Gives = Gives::Shared;
    const IS_STREAM: bool = true;

    fn count(chunks: &[Bytes]) -> Totals {
        drain(sseer::EventStream::new(stream_of(chunks)), |totals, event| {
            let event = event.expect("the stream is valid");
            totals.add(&event.event, &*event.data, &event.id);
        })
    }
}
