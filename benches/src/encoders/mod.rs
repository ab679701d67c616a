//! Event encoders, each behind [`Encoder`].

use std::sync::Arc;

use ssekit_core::Decoder;

use crate::workloads::{Message, Workload};

mod axum;
mod ssekit;

/// Everyone that encodes data which is text.
pub const ENCODERS: [Contestant; 4] = [
    Contestant::new::<ssekit::IntoSlice>(),
    Contestant::new::<ssekit::IntoBytesMut>(),
    Contestant::new::<ssekit::IntoFrame>(),
    Contestant::new::<axum::Data>(),
];

/// Everyone that encodes data which is to become JSON.
pub const JSON_ENCODERS: [Contestant; 2] =
    [Contestant::new::<ssekit::JsonFrame>(), Contestant::new::<axum::JsonData>()];

/// Takes an event's bytes, which go away after it.
type Sink<'a> = &'a mut dyn FnMut(&[u8]);

/// From the fields as they are, the checks of type and ID included, to the bytes of each event.
trait Encoder {
    const NAME: &'static str;

    fn encode(messages: &Arc<[Message]>, sink: Sink<'_>);
}

/// An [`Encoder`] as a value.
pub struct Contestant {
    pub name: &'static str,
    pub encode: fn(&Arc<[Message]>, Sink<'_>),
}

impl Contestant {
    const fn new<E: Encoder>() -> Self {
        Self { name: E::NAME, encode: E::encode }
    }

    /// Panics unless what is written decodes to the workload's messages.
    pub fn check(&self, workload: &Workload) {
        let mut stream = Vec::new();
        (self.encode)(&workload.messages, &mut |event| stream.extend_from_slice(event));
        let mut rest = &stream[..];
        let mut decoder = Decoder::new();
        let mut last_event_id = "";
        for message in &*workload.messages {
            last_event_id = message.id.as_deref().unwrap_or(last_event_id);
            let event = decoder.next_event(&mut rest).expect("no event is over a limit");
            let found = event.map(|event| (event.event_type, event.data, event.last_event_id));
            let expected = (message.event_type.unwrap_or("message"), &*message.data, last_event_id);
            assert_eq!(found, Some(expected), "{} on {}", self.name, workload.name);
        }
        assert!(rest.is_empty(), "{} on {} wrote more than there is", self.name, workload.name);
    }
}
