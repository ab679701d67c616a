//! Events to bytes.

use std::hint::black_box;

use bytes::BytesMut;
use serde::Serialize;
use ssekit_core::{EncodedEvent, Event, EventId, EventType};

use crate::Workload;
use crate::streams::words;

pub(crate) const WORKLOADS: [Workload; 14] = [
    workload("encode, 5 bytes", |rounds| encode(Event::data(words(0, 5)), rounds)),
    workload("encode, 250 bytes", |rounds| encode(Event::data(words(0, 250)), rounds)),
    workload("encode, 250 bytes with type and ID", |rounds| encode(typed(&words(0, 250), "seven-and-six"), rounds)),
    workload("encode, 8 lines", |rounds| encode(Event::data(lines()), rounds)),
    workload("build and encode, 5 bytes", |rounds| build(5, rounds)),
    workload("build and encode, 250 bytes", |rounds| build(250, rounds)),
    workload("build and encode, String of 250 bytes", build_string),
    workload("build and encode, 5 bytes, type and text ID", |rounds| build_typed(5, rounds)),
    workload("build and encode, 5 bytes, integer ID", build_numbered),
    workload("build and encode into a BytesMut, 250 bytes", build_into_bytes_mut),
    workload("share, 5 bytes", |rounds| share(5, rounds)),
    workload("share, 250 bytes", |rounds| share(250, rounds)),
    workload("share, 250 bytes, type and text ID", share_typed),
    workload("share JSON of three fields", share_json),
];

const fn workload(name: &'static str, run: fn(u32)) -> Workload {
    Workload { name, events: 1, warm_up: 10, measured: 10_000, run }
}

fn lines() -> String {
    (0..8).map(|n| words(n, 60)).collect::<Vec<_>>().join("\n")
}

fn typed<'a>(data: &'a str, id: &'a str) -> Event<'a> {
    let event_type = EventType::new("log").expect("the type is one line");
    let id = EventId::new(id).expect("the ID is one line");
    Event::data(data).with_event_type(event_type).with_id(id)
}

/// An event that exists already.
fn encode(event: Event<'_>, rounds: u32) {
    let mut slice = [0; 1024];
    for _ in 0..rounds {
        black_box(black_box(&event).encode_to_slice(&mut slice).expect("the slice is long enough"));
        black_box(&mut slice);
    }
}

fn build(len: usize, rounds: u32) {
    let data = words(0, len);
    let mut slice = [0; 1024];
    for _ in 0..rounds {
        let event = Event::data(black_box(&*data));
        black_box(event.encode_to_slice(&mut slice).expect("the slice is long enough"));
        black_box(&mut slice);
    }
}

fn build_string(rounds: u32) {
    let data = words(0, 250);
    let mut slice = [0; 1024];
    for _ in 0..rounds {
        let data = String::from(black_box(&*data));
        let event = Event::data(data);
        black_box(event.encode_to_slice(&mut slice).expect("the slice is long enough"));
        black_box(&mut slice);
    }
}

fn build_typed(len: usize, rounds: u32) {
    let data = words(0, len);
    let mut slice = [0; 1024];
    for _ in 0..rounds {
        let event = typed(black_box(&*data), black_box("seven-and-six"));
        black_box(event.encode_to_slice(&mut slice).expect("the slice is long enough"));
        black_box(&mut slice);
    }
}

fn build_numbered(rounds: u32) {
    let data = words(0, 5);
    let mut slice = [0; 1024];
    for n in 0..u64::from(rounds) {
        let event = Event::data(black_box(&*data))
            .with_event_type(EventType::new("log").expect("the type is one line"))
            .with_id(black_box(1_790_000_000_000 + n));
        black_box(event.encode_to_slice(&mut slice).expect("the slice is long enough"));
        black_box(&mut slice);
    }
}

fn build_into_bytes_mut(rounds: u32) {
    let data = words(0, 250);
    let mut bytes = BytesMut::new();
    for _ in 0..rounds {
        Event::data(black_box(&*data)).encode(&mut bytes).expect("a `BytesMut` grows");
        black_box(&mut bytes).clear();
    }
}

fn share(len: usize, rounds: u32) {
    let data = words(0, len);
    for _ in 0..rounds {
        drop(black_box(EncodedEvent::from(Event::data(black_box(&*data)))));
    }
}

fn share_typed(rounds: u32) {
    let data = words(0, 250);
    for _ in 0..rounds {
        drop(black_box(EncodedEvent::from(typed(black_box(&*data), black_box("seven-and-six")))));
    }
}

#[derive(Serialize)]
pub(crate) struct Price {
    symbol: &'static str,
    cents: u32,
    volume: u64,
}

impl Price {
    pub(crate) fn new() -> Self {
        Self { symbol: black_box("ACME"), cents: black_box(12_345), volume: black_box(6_000_000) }
    }
}

fn share_json(rounds: u32) {
    for _ in 0..rounds {
        let price = Price::new();
        drop(black_box(EncodedEvent::json(&Event::EMPTY, &price).expect("a price can be serialised")));
    }
}
