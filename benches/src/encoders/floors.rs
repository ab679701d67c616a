//! What any encoder has to do at least.

use super::{Encoder, Sink};
use crate::Kind;
use crate::workloads::Workload;

/// Every event's bytes, as they come out, into the same buffer.
#[derive(Default)]
pub(super) struct Copy(Vec<u8>);

impl Encoder for Copy {
    const NAME: &'static str = "memcpy";
    const KIND: Kind = Kind::Floor;

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        for event in workload.events() {
            self.0.clear();
            self.0.extend_from_slice(event);
            sink(&self.0);
        }
    }
}

/// Every value into a `Vec` of its own.
#[derive(Default)]
pub(super) struct ToVec;

impl Encoder for ToVec {
    const NAME: &'static str = "serde-json-to-vec";
    const KIND: Kind = Kind::Floor;
    const IS_DATA_ALONE: bool = true;

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        for message in &*workload.messages {
            sink(&serde_json::to_vec(&message.json).expect("the value is plain"));
        }
    }
}

/// Every value into the same `Vec`, emptied behind it.
#[derive(Default)]
pub(super) struct ToWriter(Vec<u8>);

impl Encoder for ToWriter {
    const NAME: &'static str = "serde-json-to-writer";
    const KIND: Kind = Kind::Floor;
    const IS_DATA_ALONE: bool = true;

    fn encode(&mut self, workload: &Workload, sink: Sink<'_>) {
        for message in &*workload.messages {
            serde_json::to_writer(&mut self.0, &message.json).expect("the value is plain");
            sink(&self.0);
            self.0.clear();
        }
    }
}
