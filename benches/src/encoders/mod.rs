//! Event encoders, each behind [`Encoder`], and the floors under them.

use ssekit_core::Decoder;

use crate::Kind;
use crate::workloads::Workload;

mod actix_web_lab;
mod axum;
mod floors;
mod russe;
mod sse_codec;
mod sse_stream;
mod ssekit;

/// Everyone that encodes data which is text, ours first.
pub const ENCODERS: [Contestant; 9] = [
    Contestant::new::<ssekit::IntoSlice>(),
    Contestant::new::<ssekit::IntoBytesMut>(),
    Contestant::new::<ssekit::IntoEvent>(),
    Contestant::new::<axum::Data>(),
    Contestant::new::<actix_web_lab::Data>(),
    Contestant::new::<russe::Rival>(),
    Contestant::new::<sse_codec::Rival>(),
    Contestant::new::<sse_stream::Rival>(),
    Contestant::new::<floors::Copy>(),
];

/// Everyone that encodes data which is to become JSON.
pub const JSON_ENCODERS: [Contestant; 6] = [
    Contestant::new::<ssekit::JsonFrame>(),
    Contestant::new::<axum::JsonData>(),
    Contestant::new::<actix_web_lab::JsonData>(),
    Contestant::new::<floors::ToVec>(),
    Contestant::new::<floors::ToWriter>(),
    Contestant::new::<floors::Copy>(),
];

/// Takes an event's bytes, which go away after it.
type Sink<'a> = &'a mut dyn FnMut(&[u8]);

/// From the fields as they are, the checks of type and ID included, to the bytes of each event. What is used again for
/// the next event or stream is in `Self`.
trait Encoder: Default {
    const NAME: &'static str;
    const KIND: Kind = Kind::Rival;
    /// Whether what it writes is data without the fields around it.
    const IS_DATA_ALONE: bool = false;

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>);
}

/// Encodes all of a workload.
pub type Encode = Box<dyn FnMut(&Workload, Sink<'_>)>;

/// An [`Encoder`] as a value.
pub struct Contestant {
    pub name: &'static str,
    pub kind: Kind,
    /// An encoder with what it will use again.
    pub new_encoder: fn() -> Encode,
    is_data_alone: bool,
}

impl Contestant {
    const fn new<E: Encoder + 'static>() -> Self {
        let new_encoder = || -> Encode {
            let mut encoder = E::default();
            Box::new(move |workload, sink| encoder.encode(workload, sink))
        };
        Self { name: E::NAME, kind: E::KIND, new_encoder, is_data_alone: E::IS_DATA_ALONE }
    }

    /// Panics unless what is written decodes to the workload's messages, also by an encoder that has been used before.
    pub fn check(&self, workload: &Workload) {
        let mut encode = (self.new_encoder)();
        for _ in 0..2 {
            let mut events = Vec::new();
            encode(workload, &mut |event| events.push(event.to_vec()));
            if self.is_data_alone {
                let data: Vec<_> = workload.messages.iter().map(|message| message.data.as_bytes()).collect();
                assert_eq!(events, data, "{} on {}", self.name, workload.name);
            } else {
                self.check_stream(workload, &events.concat());
            }
        }
    }

    fn check_stream(&self, workload: &Workload, mut rest: &[u8]) {
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
