//! The crate `sse-codec`. Its events own `String`s.
//!
//! It is a codec of `futures_codec`, called on a buffer that every chunk is copied into. Its `decode_stream` does the
//! same, with one copy more.

use bytes::{Bytes, BytesMut};
use futures_codec::Decoder as _;
use sse_codec::{Event, SSECodec};

use super::{Decoder, Gives};
use crate::Totals;

pub(super) struct Rival;

impl Decoder for Rival {
    const NAME: &'static str = "sse-codec";
    const GIVES: Gives = Gives::Owned;
    const IS_STREAM: bool = false;

    fn count(chunks: &[Bytes]) -> Totals {
        let mut totals = Totals::default();
        let mut codec = SSECodec::default();
        let mut buffer = BytesMut::new();
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(event) = codec.decode(&mut buffer).expect("the stream is valid") {
                if let Event::Message { id, event, data } = event {
                    totals.add(&event, data, id.as_deref().unwrap_or_default());
                }
            }
        }
        totals
    }
}
