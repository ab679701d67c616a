//! Every client finds what it is sent, exactly that, however it is written. Without that no figure of theirs means anything.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use ssekit_benches::client::feed::{self, Feed, WORKLOADS, Writes};
use ssekit_benches::client::job::{FIGURES, Job};
use ssekit_benches::client::{CONTESTANTS, Gives};
use ssekit_benches::report::Figures;

#[test]
fn clients_find_all_and_no_more() {
    let address = start();
    for contestant in &CONTESTANTS {
        for writes in [Writes::Large, Writes::Each] {
            for workload in WORKLOADS {
                // The second time over begins where the first has ended.
                let feed = Feed { workload, writes, times: 2 };
                (contestant.run)(address, Job::Once(feed), not_counted).expect("it finds all");
            }
        }
    }
}

#[test]
fn clients_are_measured() {
    let address = start();
    let feed = Feed { workload: "openai", writes: Writes::Lone, times: 1 };
    for contestant in &CONTESTANTS {
        let figures = (contestant.run)(address, Job::Read(feed, Duration::from_millis(1)), not_counted);
        let names = figures.expect("it finds all").into_keys();
        let [cpu, allocations, waits, idle] = FIGURES;
        assert_eq!(names.collect::<Vec<_>>(), [allocations, cpu, waits], "{}", contestant.name);
        let figures = (contestant.run)(address, Job::Idle(3), not_counted).expect("each has an event");
        assert_eq!(figures.into_keys().collect::<Vec<_>>(), [idle], "{}", contestant.name);
    }
}

#[test]
fn a_wrong_count_is_seen() {
    let feed = Feed { workload: "ticks", writes: Writes::Large, times: 1 };
    let events = feed.totals(Gives::Owned).events;
    // Not the data of the workload, which is 1000 to 9999 in the IDs.
    let body = |count| (0..count).map(|n| format!("id: {}\ndata: 42\n\n", 1000 + n % 9000)).collect::<String>();
    for contestant in &CONTESTANTS {
        let run = |body| (contestant.run)(answer(body), Job::Once(feed), not_counted);
        run(body(events)).expect("it is right");
        for count in [0, events - 1, events + 1] {
            run(body(count)).expect_err(contestant.name);
        }
    }
}

#[test]
fn a_body_that_breaks_off_is_no_end() {
    let feed = Feed { workload: "ticks", writes: Writes::Large, times: 1 };
    for contestant in &CONTESTANTS {
        let address = respond(format!("{HEAD}\r\n5\r\nid: 1").into());
        (contestant.run)(address, Job::Once(feed), not_counted).expect_err(contestant.name);
    }
}

#[test]
fn counts_are_those_of_the_counter() {
    let feed = Feed { workload: "long-lines", writes: Writes::Large, times: 1 };
    let job = Job::Read(feed, Duration::from_millis(1));
    let count = |work: &mut dyn FnMut()| {
        work();
        7_000_000
    };
    let figures: Figures = (CONTESTANTS[0].run)(start(), job, count).expect("it finds all");
    assert!(figures["allocations"] > 1000.0, "{figures:?}");
}

fn not_counted(work: &mut dyn FnMut()) -> u64 {
    work();
    0
}

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n";

/// The server, which runs as long as this process.
fn start() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || feed::serve(listener));
    address
}

/// One that answers once, with this body.
fn answer(body: String) -> SocketAddr {
    let chunk = if body.is_empty() { body } else { format!("{:x}\r\n{body}\r\n", body.len()) };
    respond(format!("{HEAD}\r\n{chunk}0\r\n\r\n").into())
}

fn respond(bytes: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("it asks");
            request.push(byte[0]);
        }
        // A client that has seen that something is wrong is gone.
        let _ = stream.write_all(&bytes);
    });
    address
}
