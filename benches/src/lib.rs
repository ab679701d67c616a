//! Contestants and workloads for the benches of ssekit.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;

pub mod decoders;
pub mod encoders;
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
    pub fn add(&mut self, event_type: &str, data: &str, id: &str) {
        // Lengths alone would let the compiler leave out what makes the strings, for a contestant that it sees through.
        let (event_type, data, id) = black_box((event_type, data, id));
        self.events += 1;
        self.data_bytes += data.len();
        self.type_bytes += event_type.len();
        self.id_bytes += id.len();
    }
}

/// Short times, so that a run of everything takes minutes.
pub fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20)
        .nresamples(10_000)
        .without_plots()
}
