//! The crate `async-sse`. Its events own `String`s, and their data as a `Vec<u8>`.
//!
//! It takes an `AsyncBufRead`, which `futures-util` makes of a stream of chunks without a copy.

use std::io;

use async_sse::Event;
use bytes::Bytes;
use futures_util::{TryStreamExt, stream};

use super::{Decoder, Gives, drain};
use crate::Totals;

pub(super) struct Rival;

impl Decoder for Rival {
    const NAME: &'static str = "async-sse";
    const GIVES: Gives = Gives::Owned;
    const IS_STREAM: bool = true;

    fn count(chunks: &[Bytes]) -> Totals {
        let chunks = stream::iter(chunks.iter().cloned().map(Ok::<_, io::Error>));
        drain(async_sse::decode(chunks.into_async_read()), |totals, event| {
            if let Event::Message(message) = event.expect("the stream is valid") {
                totals.add(message.name(), message.data(), message.id().as_deref().unwrap_or_default());
            }
        })
    }
}
