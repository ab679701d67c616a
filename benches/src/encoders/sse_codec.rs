//! The crate `sse-codec`. Its events own `String`s, so the strings are copied into them first.

use bytes::BytesMut;
use futures_codec::Encoder as _;
use sse_codec::{Event, SSECodec};

use super::{Encoder, Sink};
use crate::workloads::Workload;

/// Every event into the same `BytesMut`, emptied behind it.
#[derive(Default)]
pub(super) struct Rival(BytesMut);

impl Encoder for Rival {
    const NAME: &'static str = "sse-codec";

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        let mut codec = SSECodec::default();
        for message in &*workload.messages {
            let event = Event::message(message.event_type.unwrap_or("message"), &message.data, message.id.as_deref());
            codec.encode(event, &mut self.0).expect("a `BytesMut` grows");
            sink(&self.0);
            self.0.clear();
        }
    }
}
