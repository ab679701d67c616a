//! The crate `russe`. Its events own `ByteString`s.
//!
//! It is a codec of `tokio-util`, called as its own bench does it: on a buffer that every chunk is copied into. Under a
//! `FramedRead`, as in its documentation, it would take a copy more.

use bytes::{Bytes, BytesMut};
use russe::Event;
use tokio_util::codec::Decoder as _;

use super::{Decoder, Gives, Ids};
use crate::Totals;

pub(super) struct Rival;

impl Decoder for Rival {
    const NAME: &'static str = "russe";
    const GIVES: Gives = Gives::Shared;
    const IS_STREAM: bool = false;
    const IDS: Ids = Ids::OwnOnly;

    fn count(chunks: &[Bytes]) -> Totals {
        let mut totals = Totals::default();
        let mut decoder = russe::Decoder::default();
        let mut buffer = BytesMut::new();
        for chunk in chunks {
            buffer.extend_from_slice(chunk);
            while let Some(event) = decoder.decode(&mut buffer).expect("the stream is valid") {
                if let Event::Message(message) = event {
                    let [event_type, id] = [&message.event, &message.id].map(Option::as_deref);
                    totals.add(event_type.unwrap_or("message"), &*message.data, id.unwrap_or_default());
                }
            }
        }
        totals
    }
}
