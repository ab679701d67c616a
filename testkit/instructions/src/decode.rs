//! Bytes to events.

use std::convert::Infallible;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use ssekit_client::machine::{ClientMachine, ResponseHead};
use ssekit_core::{Decoder, EventStream};

use crate::Workload;
use crate::streams::{EVENTS, anthropic, chunks, multi_line, openai, tick};

pub(crate) const WORKLOADS: [Workload; 10] = [
    workload("decode, openai", |rounds| next_event(openai, rounds)),
    workload("decode, anthropic", |rounds| next_event(anthropic, rounds)),
    workload("decode, ticks", |rounds| next_event(tick, rounds)),
    workload("decode, multi-line", |rounds| next_event(multi_line, rounds)),
    workload("decode by EventStream, openai", |rounds| event_stream(openai, rounds)),
    workload("decode by EventStream, anthropic", |rounds| event_stream(anthropic, rounds)),
    workload("decode by EventStream, ticks", |rounds| event_stream(tick, rounds)),
    workload("decode by EventStream, multi-line", |rounds| event_stream(multi_line, rounds)),
    workload("client machine, openai", |rounds| client_machine(openai, rounds)),
    workload("client machine, ticks", |rounds| client_machine(tick, rounds)),
];

const fn workload(name: &'static str, run: fn(u32)) -> Workload {
    Workload { name, events: EVENTS, warm_up: 1, measured: 4, run }
}

fn next_event(event: fn(u32) -> String, rounds: u32) {
    let chunks = chunks(event);
    let mut decoder = Decoder::new();
    for _ in 0..rounds {
        for chunk in black_box(&chunks) {
            let mut chunk = &chunk[..];
            while let Some(event) = decoder.next_event(&mut chunk).expect("no event is over a limit") {
                black_box((event.event_type, event.data, event.last_event_id));
            }
        }
    }
}

/// All chunks, many times.
struct Chunks<'a> {
    chunks: &'a [Bytes],
    next: usize,
    end: usize,
}

impl Stream for Chunks<'_> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.next == self.end {
            return Poll::Ready(None);
        }
        let chunk = self.chunks[self.next % self.chunks.len()].clone();
        self.next += 1;
        Poll::Ready(Some(Ok(chunk)))
    }
}

fn event_stream(event: fn(u32) -> String, rounds: u32) {
    let chunks = chunks(event);
    let end = chunks.len() * rounds as usize;
    let mut events = pin!(EventStream::new(Chunks { chunks: &chunks, next: 0, end }));
    let mut context = Context::from_waker(Waker::noop());
    while let Poll::Ready(Some(event)) = events.as_mut().poll_next(&mut context) {
        black_box(&event);
    }
}

fn client_machine(event: fn(u32) -> String, rounds: u32) {
    let chunks = chunks(event);
    let mut machine = ClientMachine::new("http://localhost/", 1).expect("the URL is valid");
    let now = Duration::ZERO;
    machine.next_action(now);
    let head = ResponseHead::new(200).with_content_type(b"text/event-stream");
    assert!(machine.receive_head(now, head));
    for _ in 0..rounds {
        for chunk in black_box(&chunks) {
            let mut chunk = &chunk[..];
            machine.next_action(now);
            machine.receive_chunk(chunk);
            while let Some(event) = machine.next_event(&mut chunk).expect("no event is over a limit") {
                black_box((event.event_type, event.data, event.last_event_id));
            }
        }
    }
}
