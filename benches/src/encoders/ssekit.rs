//! Ours.

use std::sync::Arc;

use bytes::BytesMut;
use ssekit_core::{Event, EventId, EventType, Frame};

use super::{Encoder, Sink};
use crate::workloads::Message;

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

/// Every event into the same slice.
pub(super) struct IntoSlice;

impl Encoder for IntoSlice {
    const NAME: &'static str = "ssekit-slice";

    fn encode(messages: &Arc<[Message]>, sink: Sink<'_>) {
        let mut buffer = [0; 4096];
        for message in &**messages {
            let len = event(message).encode_to_slice(&mut buffer).expect("the slice is long enough");
            sink(&buffer[..len]);
        }
    }
}

/// Every event into the same `BytesMut`, emptied behind it.
pub(super) struct IntoBytesMut;

impl Encoder for IntoBytesMut {
    const NAME: &'static str = "ssekit-bytes-mut";

    fn encode(messages: &Arc<[Message]>, sink: Sink<'_>) {
        let mut buffer = BytesMut::new();
        for message in &**messages {
            event(message).encode(&mut buffer).expect("a `BytesMut` grows");
            sink(&buffer);
            buffer.clear();
        }
    }
}

/// Every event into a `Frame` of its own.
pub(super) struct IntoFrame;

impl Encoder for IntoFrame {
    const NAME: &'static str = "ssekit-frame";

    fn encode(messages: &Arc<[Message]>, sink: Sink<'_>) {
        for message in &**messages {
            sink(Frame::from(event(message)).as_bytes());
        }
    }
}

/// Every value into a `Frame` of its own.
pub(super) struct JsonFrame;

impl Encoder for JsonFrame {
    const NAME: &'static str = "ssekit-frame-json";

    fn encode(messages: &Arc<[Message]>, sink: Sink<'_>) {
        for message in &**messages {
            let frame = Frame::json(head(message), &message.json).expect("the value is plain");
            sink(frame.as_bytes());
        }
    }
}
