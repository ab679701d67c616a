//! Events to the chunks of a response body.

use std::cell::Cell;
use std::convert::Infallible;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use ssekit_core::{EncodedEvent, Event, JsonData};
use ssekit_server::{EventBody, IntoEvent};

use crate::Workload;
use crate::encode::Price;
use crate::streams::words;

/// The number of events in a chunk of several.
const BURST: u32 = 16;

pub(crate) const WORKLOADS: [Workload; 9] = [
    workload("body, one event of 5 bytes in a chunk", 1, |rounds| events(1, 5, rounds)),
    workload("body, 16 events of 5 bytes in a chunk", BURST, |rounds| events(BURST, 5, rounds)),
    workload("body, 16 events of 250 bytes in a chunk", BURST, |rounds| events(BURST, 250, rounds)),
    workload("body, 16 fallible events in a chunk", BURST, |rounds| fallible(BURST, 5, rounds)),
    workload("body, one encoded event in a chunk", 1, |rounds| encoded(1, rounds)),
    workload("body, 16 encoded events in a chunk", BURST, |rounds| encoded(BURST, rounds)),
    workload("body, 16 values as JSON in a chunk", BURST, |rounds| run(BURST, rounds, || JsonData(Price::new()))),
    workload("channel, one event in a chunk", 1, |rounds| channel(1, rounds)),
    workload("channel, 16 events in a chunk", BURST, |rounds| channel(BURST, rounds)),
];

const fn workload(name: &'static str, events: u32, run: fn(u32)) -> Workload {
    Workload { name, events, warm_up: 100, measured: 10_000 / events, run }
}

/// A stream with as many events as `left` says.
struct Burst<'a, F> {
    left: &'a Cell<u32>,
    event: F,
}

impl<F: FnMut() -> T + Unpin, T> Stream for Burst<'_, F> {
    type Item = T;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        let Some(left) = self.left.get().checked_sub(1) else {
            return Poll::Pending;
        };
        self.left.set(left);
        Poll::Ready(Some((self.event)()))
    }
}

/// Polls as a server does: until the body is pending.
pub(crate) fn poll_chunks<S: Stream<Item: IntoEvent>>(mut body: Pin<&mut EventBody<S>>) -> u32 {
    let mut context = Context::from_waker(Waker::noop());
    let mut chunks = 0;
    while let Poll::Ready(Some(chunk)) = body.as_mut().poll_next(&mut context) {
        black_box(chunk.ok());
        chunks += 1;
    }
    chunks
}

/// Runs work where tokio's timer exists, which a body with a keep-alive needs.
pub(crate) fn with_timer(work: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime with a timer");
    let _entered = runtime.enter();
    work();
}

fn run<T: IntoEvent>(len: u32, rounds: u32, event: impl FnMut() -> T + Unpin) {
    with_timer(|| {
        let left = Cell::new(0);
        let mut body = pin!(EventBody::new(Burst { left: &left, event }));
        for _ in 0..rounds {
            left.set(len);
            assert!(poll_chunks(body.as_mut()) > 0);
        }
    });
}

fn events(len: u32, data_len: usize, rounds: u32) {
    let data = words(0, data_len);
    run(len, rounds, || Event::data(black_box(&*data)));
}

fn fallible(len: u32, data_len: usize, rounds: u32) {
    let data = words(0, data_len);
    run(len, rounds, || Ok::<_, Infallible>(Event::data(black_box(&*data))));
}

fn encoded(len: u32, rounds: u32) {
    let event = EncodedEvent::from(Event::data(words(0, 5)));
    run(len, rounds, || black_box(&event).clone());
}

fn channel(len: u32, rounds: u32) {
    let event = EncodedEvent::from(Event::data(words(0, 5)));
    with_timer(|| {
        let (sender, body) = EventBody::channel(64);
        let mut body = pin!(body);
        for _ in 0..rounds {
            for _ in 0..len {
                sender.try_send(black_box(&event).clone()).expect("the channel has room");
            }
            assert!(poll_chunks(body.as_mut()) > 0);
        }
    });
}
