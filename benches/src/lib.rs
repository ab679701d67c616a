//! Contestants and workloads for the benches of ssekit, and the report that is made of them.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;

pub mod client;
pub mod decoders;
pub mod encoders;
pub mod fanout;
pub mod process;
pub mod redis;
pub mod report;
pub mod serve;
pub mod workloads;

/// What a stream holds, in all its events together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    pub events: usize,
    pub data_bytes: usize,
    pub type_bytes: usize,
    pub id_bytes: usize,
}

impl Totals {
    /// Counts an event.
    #[inline]
    pub fn add(&mut self, event_type: &str, data: impl AsRef<[u8]>, id: &str) {
        // Lengths alone would let the compiler leave out what makes the strings, for a contestant that it sees through.
        // One by one: a tuple would be read in other units than it has been written in, for which a CPU waits.
        let (event_type, data, id) = (black_box(event_type), black_box(data.as_ref()), black_box(id));
        self.events += 1;
        self.data_bytes += data.len();
        self.type_bytes += event_type.len();
        self.id_bytes += id.len();
    }
}

/// Who stands in a table, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Ours,
    Rival,
    /// Less than the work: what it takes at least to touch the bytes.
    Floor,
}

/// Short times, since the report is made of several runs.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300))
        .sample_size(10)
        .nresamples(2000)
        .without_plots()
}
