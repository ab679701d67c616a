//! The crate `russe`. Its events own `ByteString`s, so the strings are copied into them first.

use bytes::BytesMut;
use bytestring::ByteString;
use russe::{Event, Message};
use tokio_util::codec::Encoder as _;

use super::{Encoder, Sink};
use crate::workloads::Workload;

/// Every event into the same `BytesMut`, emptied behind it.
#[derive(Default)]
pub(super) struct Rival(BytesMut);

impl Encoder for Rival {
    const NAME: &'static str = "russe";

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        let mut encoder = russe::Encoder::default();
        for message in &*workload.messages {
            let event = Event::Message(Message {
                data: message.data.as_str().into(),
                event: message.event_type.map(ByteString::from_static),
                retry: None,
                id: message.id.as_deref().map(ByteString::from),
            });
            encoder.encode(event, &mut self.0).expect("type and ID are one line each");
            sink(&self.0);
            self.0.clear();
        }
    }
}
