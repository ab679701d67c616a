//! The encoders of ssekit.

use bytes::BytesMut;
use ssekit_core::{EncodedEvent, Event, EventId, EventType};

use super::{Encoder, Sink};
use crate::Kind;
use crate::workloads::{Message, Workload};

fn head(message: &Message) -> Event<'_> {
    Event {
        event_type: message.event_type.map(|event_type| EventType::new(event_type).expect("it is one line")),
        id: message.id.as_deref().map(|id| EventId::new(id).expect("it is one line")),
        ..Event::new()
    }
}

fn event(message: &Message) -> Event<'_> {
    head(message).with_data(&message.data)
}

/// Encodes every event into the same slice.
pub(super) struct IntoSlice(Vec<u8>);

impl Default for IntoSlice {
    fn default() -> Self {
        Self(vec![0; 128 * 1024])
    }
}

impl Encoder for IntoSlice {
    const NAME: &'static str = "ssekit-slice";
    const KIND: Kind = Kind::Ours;

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        for message in &*workload.messages {
            let len = event(message).encode_to_slice(&mut self.0).expect("the slice is long enough");
            sink(&self.0[..len]);
        }
    }
}

/// Encodes every event into the same `BytesMut`, which is cleared after each event.
#[derive(Default)]
pub(super) struct IntoBytesMut(BytesMut);

impl Encoder for IntoBytesMut {
    const NAME: &'static str = "ssekit-bytes-mut";
    const KIND: Kind = Kind::Ours;

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        for message in &*workload.messages {
            event(message).encode(&mut self.0).expect("a `BytesMut` grows");
            sink(&self.0);
            self.0.clear();
        }
    }
}

/// Encodes every event into its own `EncodedEvent`.
#[derive(Default)]
pub(super) struct IntoEvent;

impl Encoder for IntoEvent {
    const NAME: &'static str = "ssekit-frame";
    const KIND: Kind = Kind::Ours;

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        for message in &*workload.messages {
            sink(EncodedEvent::from(event(message)).as_bytes());
        }
    }
}

/// Encodes every value into its own `EncodedEvent`.
#[derive(Default)]
pub(super) struct JsonFrame;

impl Encoder for JsonFrame {
    const NAME: &'static str = "ssekit-frame-json";
    const KIND: Kind = Kind::Ours;

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        for message in &*workload.messages {
            let frame = EncodedEvent::json(&head(message), &message.json).expect("the value is plain");
            sink(frame.as_bytes());
        }
    }
}
