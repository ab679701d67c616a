//! Every server sends the right events, exactly so many, to whoever asks. Without that no figure of theirs means anything.

#![forbid(unsafe_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use ssekit_benches::serve::client::Response;
use ssekit_benches::serve::feed::{Feed, text};
use ssekit_benches::serve::{CONTESTANTS, Contestant, Setup, measure};
use ssekit_core::Decoder;

#[test]
fn servers_send_all_and_no_more() {
    for contestant in &CONTESTANTS {
        let address = start(contestant, Setup::default());
        // One that does not fill a chunk, some that fill several.
        for count in [0, 1, 1000] {
            measure::load(address, contestant, 1, count).expect("each connection gets all");
            let mut body = Vec::new();
            let response = Response::get(address, &Feed::Events(count).path()).expect("it answers");
            let end = response.read(|data| {
                body.extend_from_slice(data);
                true
            });
            end.expect("the body has an end");
            check(contestant, &body, count);
        }
        measure::load(address, contestant, 4, 100).expect("each connection gets all");
    }
}

#[test]
fn servers_tick() {
    for contestant in &CONTESTANTS {
        let address = start(contestant, Setup::default());
        let times = measure::ticks(address, 2, 5).expect("there are ticks");
        assert!(!times.is_empty(), "{}", contestant.name);
    }
}

#[test]
fn servers_are_idle_however_they_are_set_up() {
    for contestant in &CONTESTANTS {
        for (_, setup) in measure::SETUPS {
            let address = start(contestant, setup);
            Response::get(address, &Feed::Idle.path()).expect("the head comes at once");
        }
    }
}

#[test]
fn a_wrong_count_is_seen() {
    let event = |n| format!("data: {}\n\n", text(n));
    let load = |body: String| measure::load(answer(body), &CONTESTANTS[0], 1, 2);
    load(event(0) + &event(1)).expect("it is right");
    for body in [event(0), event(0) + &event(1) + &event(2), event(0) + ": \n\n" + &event(1)] {
        load(body).expect_err("it is wrong");
    }
}

/// A server that answers once.
fn answer(body: String) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody connects");
        stream.read_exact(&mut [0; 16]).expect("it asks");
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
        write!(stream, "{head}\r\n{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).expect("it reads");
        // What it has asked is not all read, for which it would be told off before it has read the answer.
        stream.read_to_end(&mut Vec::new())
    });
    address
}

/// A server that runs as long as this process.
fn start(contestant: &'static Contestant, setup: Setup) -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("there is a port");
    let address = listener.local_addr().expect("it has an address");
    thread::spawn(move || (contestant.serve)(listener, setup));
    address
}

fn check(contestant: &Contestant, mut body: &[u8], count: u64) {
    let mut decoder = Decoder::new();
    for n in 0..count {
        let event = decoder.next_event(&mut body).expect("no event is over a limit");
        let found = event.map(|event| (event.event_type, event.data));
        assert_eq!(found, Some(("message", text(n))), "{}, event {n} of {count}", contestant.name);
    }
    assert_eq!(decoder.next_event(&mut body), Ok(None), "{} sent more than {count}", contestant.name);
}
