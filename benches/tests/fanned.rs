//! Every server sends each of its subscribers exactly what is published, in order. Without that no figure of theirs means
//! anything.

#![forbid(unsafe_code)]

use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use ssekit_benches::fanout::client::Subscribers;
use ssekit_benches::fanout::event::{self, DATA_LEN};
use ssekit_benches::fanout::publisher::{Job, Stamp};
use ssekit_benches::fanout::{CONTESTANTS, Contestant, PATH};
use ssekit_benches::serve::client::Response;
use ssekit_core::Decoder;
use tokio::sync::mpsc;

const TIMEOUT: Duration = Duration::from_secs(20);
const SUBSCRIBERS: usize = 3;
/// The second is fast enough for several to be joined.
const JOBS: [Job; 2] =
    [Job { events: 20, rate: 200.0, stamp: Stamp::Now }, Job { events: 1000, rate: 20_000.0, stamp: Stamp::Due }];

#[test]
fn subscribers_get_what_is_published() {
    for contestant in &CONTESTANTS {
        let (address, jobs) = start(contestant);
        let mut subscribers = Subscribers::connect(address, PATH, SUBSCRIBERS).expect("it answers");
        let decoded = Response::get(address, PATH).expect("it answers");
        for job in JOBS {
            jobs.send(job).expect("it publishes");
            let received = subscribers.receive(job.events, TIMEOUT).expect("all come");
            assert_eq!(received.events, job.events * SUBSCRIBERS as u64, "{}", contestant.name);
            assert!(received.latency.quantile(0.5).is_some(), "{}", contestant.name);
        }
        check(contestant, decoded);
    }
}

/// The events by our own decoder.
fn check(contestant: &Contestant, response: Response) {
    let count = JOBS.iter().map(|job| job.events).sum::<u64>();
    let (mut decoder, mut next) = (Decoder::new(), 0);
    let end = response.read(|mut data| {
        while let Some(event) = decoder.next_event(&mut data).expect("no event is over a limit") {
            let wire = format!("data: {}\n\n", event.data);
            let number = event::parse(wire.as_bytes()).map(|(number, _)| number);
            assert_eq!((number, event.data.len()), (Some(next), DATA_LEN), "{}", contestant.name);
            next += 1;
        }
        next < count
    });
    end.expect("it goes on until all have come");
}

#[test]
fn who_gets_too_few_waits_and_says_so() {
    let (address, jobs) = start(&CONTESTANTS[0]);
    let mut subscribers = Subscribers::connect(address, PATH, 1).expect("it answers");
    jobs.send(JOBS[0]).expect("it publishes");
    let error = subscribers.receive(JOBS[0].events + 1, Duration::from_millis(500)).expect_err("one is missing");
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
}

#[test]
fn who_has_missed_some_is_found_out() {
    let (address, jobs) = start(&CONTESTANTS[0]);
    let mut early = Subscribers::connect(address, PATH, 1).expect("it answers");
    jobs.send(JOBS[0]).expect("it publishes");
    early.receive(JOBS[0].events, TIMEOUT).expect("all come");
    let mut late = Subscribers::connect(address, PATH, 1).expect("it answers");
    jobs.send(JOBS[0]).expect("it publishes");
    let error = late.receive(JOBS[0].events, TIMEOUT).expect_err("what comes is not the first");
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}

/// A server that runs as long as this process.
fn start(contestant: &'static Contestant) -> (SocketAddr, mpsc::UnboundedSender<Job>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
    let address = listener.local_addr().expect("it has an address");
    let (sender, jobs) = mpsc::unbounded_channel();
    thread::spawn(move || (contestant.serve)(listener, jobs));
    (address, sender)
}
