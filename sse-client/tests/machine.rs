//! The machine, step by step, in virtual time.

use std::time::Duration;

use ssekit_client::machine::{End, Failure, Machine, Response, Step, Then};
use ssekit_client::{ReadyState, RetryPolicy};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u32) -> Duration {
    seconds * SECOND
}

fn machine() -> Machine {
    Machine::new("http://localhost/events", 7).unwrap()
}

/// With no backoff, it comes back after 3 seconds.
fn steady() -> RetryPolicy {
    RetryPolicy::new().with_reconnection_time(at(3)).with_backoff(Duration::ZERO, Duration::ZERO)
}

fn stream() -> Response<'static> {
    Response { status: 200, content_type: Some(b"text/event-stream"), ..Response::default() }
}

/// Open since `now`.
fn open(machine: &mut Machine, now: Duration) {
    assert_eq!(machine.step(now), Step::Connect);
    assert!(machine.respond(now, stream()));
}

fn data(machine: &mut Machine, mut chunk: &[u8]) -> Vec<String> {
    machine.receive(chunk);
    let mut events = Vec::new();
    while let Some(event) = machine.next_event(&mut chunk).unwrap() {
        events.push(event.data.to_owned());
    }
    events
}

fn failed(machine: &mut Machine, now: Duration) -> (Failure, Then) {
    match machine.step(now) {
        Step::Failed(failure, then) => (failure, then),
        step => panic!("{step:?}"),
    }
}

#[test]
fn an_attempt_has_its_time_with_all_redirects() {
    let mut machine = machine().with_connect_timeout(at(10));
    assert_eq!(machine.step(at(5)), Step::Connect);
    assert_eq!(machine.step(at(5)), Step::Respond { until: Some(at(15)) });
    let redirect = Response { status: 302, location: Some(b"/b"), ..Response::default() };
    assert!(!machine.respond(at(14), redirect));
    assert_eq!(machine.step(at(14)), Step::Connect);
    assert_eq!((machine.request().url, machine.request().attempt), ("http://localhost/b", 1));
    assert_eq!(machine.step(at(14)), Step::Respond { until: Some(at(15)) });
    assert_eq!(failed(&mut machine, at(15)).0, Failure::ConnectTimeout { limit: at(10) });
    // Too late.
    assert!(!machine.respond(at(15), stream()));
    assert_eq!(machine.ready_state(), ReadyState::Connecting);
    let Step::Wait { until } = machine.step(at(15)) else { panic!("it waits") };
    assert_eq!(machine.step(until), Step::Connect);
    assert_eq!((machine.request().url, machine.request().attempt), ("http://localhost/events", 2));
}

#[test]
fn any_byte_is_a_sign_of_life() {
    let mut machine = machine().with_idle_timeout(at(20)).with_retry(steady());
    open(&mut machine, at(0));
    assert_eq!(machine.step(at(0)), Step::Read { until: Some(at(20)) });
    for now in [at(19), at(38), at(57)] {
        assert_eq!(data(&mut machine, b":"), [""; 0]);
        assert_eq!(machine.step(now), Step::Read { until: Some(now + at(20)) });
    }
    // Asking changes nothing.
    assert_eq!(machine.step(at(60)), Step::Read { until: Some(at(77)) });
    let expected = (Failure::IdleTimeout { limit: at(20) }, Then::Retry { after: at(3) });
    assert_eq!(failed(&mut machine, at(77)), expected);
    assert_eq!(machine.step(at(77)), Step::Wait { until: at(80) });
}

#[test]
fn a_time_of_zero_is_no_limit() {
    let mut machine = machine().with_connect_timeout(Duration::ZERO).with_idle_timeout(Duration::ZERO);
    assert_eq!(machine.step(at(0)), Step::Connect);
    assert_eq!(machine.step(at(0)), Step::Respond { until: None });
    assert!(machine.respond(at(0), stream()));
    assert_eq!(machine.step(at(0)), Step::Read { until: None });
}

/// What has come meanwhile is there when it is asked for.
#[test]
fn silence_is_only_what_is_waited_for() {
    let mut machine = machine().with_idle_timeout(at(20));
    open(&mut machine, at(0));
    assert_eq!(data(&mut machine, b"data: a\n\n"), ["a"]);
    // The program had something else to do.
    assert_eq!(machine.step(at(100)), Step::Read { until: Some(at(120)) });
}

#[test]
fn a_healthy_while_ends_the_row_of_failures() {
    let policy =
        RetryPolicy::new().with_reconnection_time(Duration::ZERO).with_max_retries(1).with_healthy_after(at(10));
    let fail_after = |open_for: u32| {
        let mut machine = machine().with_retry(policy.clone());
        assert_eq!(machine.step(at(0)), Step::Connect);
        machine.fail(at(0), Failure::NoResponse);
        let (_, Then::Retry { after }) = failed(&mut machine, at(0)) else { panic!("it is the first") };
        open(&mut machine, after);
        machine.fail(after + at(open_for), Failure::Broken);
        failed(&mut machine, after + at(open_for)).1
    };
    assert_eq!(fail_after(9), Then::End);
    assert!(matches!(fail_after(10), Then::Retry { .. }));
}

/// A server that accepts connections, and hangs, must not have them tried for ever.
#[test]
fn silence_at_the_end_is_no_healthy_while() {
    let policy = RetryPolicy::new().with_max_retries(1).with_healthy_after(at(10));
    let fall_silent_after = |alive_for: u32, late: u32| {
        let mut machine = machine().with_retry(policy.clone()).with_idle_timeout(at(30));
        assert_eq!(machine.step(at(0)), Step::Connect);
        machine.fail(at(0), Failure::NoResponse);
        let (_, Then::Retry { after }) = failed(&mut machine, at(0)) else { panic!("it is the first") };
        open(&mut machine, after);
        data(&mut machine, b":");
        assert_eq!(machine.step(after + at(alive_for)), Step::Read { until: Some(after + at(alive_for + 30)) });
        failed(&mut machine, after + at(alive_for + 30 + late)).1
    };
    // Nor is it when the program comes late.
    for late in [0, 1000] {
        assert_eq!(fall_silent_after(9, late), Then::End);
        assert!(matches!(fall_silent_after(10, late), Then::Retry { .. }));
    }
}

/// An answer that is cut is not taken for a whole one.
#[test]
fn a_one_shot_stream_that_is_closed_is_whole_or_an_error() {
    let closed = |machine: Machine, body: &[u8]| {
        let mut machine = machine.with_retry(steady());
        open(&mut machine, at(0));
        data(&mut machine, body);
        machine.end(at(0));
        machine.step(at(0))
    };
    let until = || machine().with_one_shot_until(|event| event.event_type == "bye");
    for (body, by_default, until_bye) in [
        ("data: a\n\n", Step::Closed(End::StreamEnd), Step::Failed(Failure::StreamEnd, Then::End)),
        ("", Step::Closed(End::StreamEnd), Step::Failed(Failure::StreamEnd, Then::End)),
        ("data: a\n\nda", Step::Failed(Failure::Broken, Then::End), Step::Failed(Failure::Broken, Then::End)),
        ("data: [DONE]\n", Step::Failed(Failure::Broken, Then::End), Step::Failed(Failure::Broken, Then::End)),
        ("data: [DONE]\n\nda", Step::Closed(End::Done), Step::Failed(Failure::Broken, Then::End)),
        ("data: [DONE]\n\n", Step::Closed(End::Done), Step::Failed(Failure::StreamEnd, Then::End)),
        ("event: bye\ndata:\n\nda", Step::Failed(Failure::Broken, Then::End), Step::Closed(End::Done)),
    ] {
        assert_eq!(closed(machine().with_one_shot(), body.as_bytes()), by_default, "{body:?}");
        assert_eq!(closed(until(), body.as_bytes()), until_bye, "{body:?}");
    }
}

/// It is how a server of short streams works.
#[test]
fn a_stream_that_had_events_and_was_ended_in_order_is_no_failure() {
    let mut machine = machine().with_retry(RetryPolicy::new().with_max_retries(1));
    let mut now = at(0);
    for _ in 0..100 {
        open(&mut machine, now);
        data(&mut machine, b"retry: 500\ndata: a\n\n:bye\n");
        machine.end(now);
        assert_eq!(failed(&mut machine, now), (Failure::StreamEnd, Then::Retry { after: Duration::from_millis(500) }));
        now += Duration::from_millis(500);
    }
    // One that was cut is, and one with nothing in it.
    for (body, expected, then) in
        [(&b"data: a\n\ndata: unfin"[..], Failure::Broken, true), (b"", Failure::StreamEnd, false)]
    {
        open(&mut machine, now);
        data(&mut machine, body);
        machine.end(now);
        let (failure, retry) = failed(&mut machine, now);
        assert_eq!((failure, matches!(retry, Then::Retry { .. })), (expected, then));
        now += at(2);
    }
    assert_eq!(machine.step(now), Step::Closed(End::Failed));
}

#[test]
fn a_wait_is_as_long_as_the_longest_of_those_that_ask_for_one() {
    let policy = steady().with_retry_if(Failure::is_transient);
    for (retry_after, expected) in [(None, 3), (Some(1), 3), (Some(60), 60)] {
        let mut machine = machine().with_retry(policy.clone());
        assert_eq!(machine.step(at(0)), Step::Connect);
        machine.respond(at(0), Response { status: 503, retry_after: retry_after.map(at), ..Response::default() });
        machine.end(at(0));
        assert_eq!(failed(&mut machine, at(0)).1, Then::Retry { after: at(expected) });
    }
}

/// Those who have lost their server together would come back together.
#[test]
fn without_a_word_of_the_server_all_ends_are_spread() {
    let wait = |seed, body: &str| {
        let mut machine = Machine::new("http://localhost/", seed).unwrap();
        open(&mut machine, at(0));
        data(&mut machine, body.as_bytes());
        machine.end(at(0));
        let (_, Then::Retry { after }) = failed(&mut machine, at(0)) else { panic!("it comes back") };
        after
    };
    let spread: std::collections::BTreeSet<_> = (0..100).map(|seed| wait(seed, "data: a\n\n")).collect();
    assert!(spread.len() > 90 && spread.iter().all(|wait| (at(1)..=at(2)).contains(wait)));
    let said: std::collections::BTreeSet<_> = (0..100).map(|seed| wait(seed, "retry: 7000\ndata: a\n\n")).collect();
    assert_eq!(said, [at(7)].into());
}

#[test]
fn no_server_can_have_a_client_run_in_a_circle() {
    let mut machine = machine();
    open(&mut machine, at(0));
    data(&mut machine, b"retry: 0\ndata: a\n\n");
    machine.end(at(0));
    assert_eq!(failed(&mut machine, at(0)).1, Then::Retry { after: Duration::from_millis(100) });
    assert_eq!(machine.reconnection_time(), Duration::ZERO);
}

#[test]
fn a_wait_may_be_too_long() {
    let policy = steady().with_retry_if(Failure::is_transient).with_max_wait(at(60));
    for (retry_after, is_tried) in [(60, true), (61, false)] {
        let mut machine = machine().with_retry(policy.clone());
        assert_eq!(machine.step(at(0)), Step::Connect);
        machine.respond(at(0), Response { status: 503, retry_after: Some(at(retry_after)), ..Response::default() });
        machine.end(at(0));
        assert_eq!(failed(&mut machine, at(0)).1 != Then::End, is_tried);
    }
    for (retry, is_tried) in [("retry: 60000\n\n", true), ("retry: 60001\n\n", false)] {
        let mut machine = machine().with_retry(policy.clone());
        open(&mut machine, at(0));
        data(&mut machine, retry.as_bytes());
        machine.end(at(0));
        assert_eq!(failed(&mut machine, at(0)).1 != Then::End, is_tried);
    }
    // What the policy itself asks for is not the server's word.
    let mut machine = machine().with_retry(steady().with_max_wait(at(1)));
    open(&mut machine, at(0));
    machine.end(at(0));
    assert_eq!(failed(&mut machine, at(0)).1, Then::Retry { after: at(3) });
}

#[test]
fn the_body_of_a_refusal_has_its_time_and_its_bound() {
    let refused = || {
        let mut machine = machine();
        assert_eq!(machine.step(at(0)), Step::Connect);
        assert!(!machine.respond(at(0), Response { status: 400, ..Response::default() }));
        assert_eq!(machine.step(at(4)), Step::Read { until: Some(at(5)) });
        machine.receive(b"why");
        machine
    };
    let whole = |body: &[u8]| (Failure::Status { status: 400, body: body.to_vec() }, Then::End);
    let mut machine = refused();
    // It does not end, and bytes gain it no time.
    assert_eq!(machine.step(at(4)), Step::Read { until: Some(at(5)) });
    assert_eq!(failed(&mut machine, at(5)), whole(b"why"));
    assert_eq!(machine.step(at(5)), Step::Closed(End::Failed));

    let mut machine = refused();
    machine.end(at(4));
    assert_eq!(failed(&mut machine, at(4)), whole(b"why"));
    // That it breaks off is not the news.
    let mut machine = refused();
    machine.fail(at(4), Failure::Broken);
    assert_eq!(failed(&mut machine, at(4)), whole(b"why"));
    let mut machine = refused();
    machine.receive(&[b'x'; 8188]);
    assert!(machine.is_reading());
    // No more is wanted, be there ever so much.
    machine.receive(&[b'x'; 10_000]);
    assert!(!machine.is_reading());
    let (Failure::Status { body, .. }, _) = failed(&mut machine, at(4)) else { panic!("it is a status") };
    assert_eq!(body.len(), 8192);
    // And none of it is taken for events.
    let mut machine = refused();
    assert_eq!(data(&mut machine, b"data: a\n\n"), [""; 0]);
}

#[test]
fn what_is_compressed_and_comes_as_it_is_fails_for_good() {
    for (encoding, is_open) in [("br", false), ("gzip, br", false), ("identity", true), (" Identity", true), ("", true)]
    {
        let mut machine = machine();
        assert_eq!(machine.step(at(0)), Step::Connect);
        let response = Response { content_encoding: Some(encoding.as_bytes()), ..stream() };
        assert_eq!(machine.respond(at(0), response), is_open, "{encoding}");
        if !is_open {
            let content_encoding = encoding.to_owned();
            assert_eq!(failed(&mut machine, at(0)), (Failure::ContentEncoding { content_encoding }, Then::End));
        }
    }
}

#[test]
fn an_id_that_is_refused_changes_nothing() {
    let mut machine = machine();
    machine.set_last_event_id("7").unwrap();
    for id in ["a\nb", "\u{1}", &"x".repeat(10_000)] {
        assert!(machine.set_last_event_id(id).is_err());
    }
    assert_eq!(machine.last_event_id(), "7");
}

/// The end is said before it is over.
#[test]
fn what_has_failed_for_good_is_not_restarted() {
    let mut machine = machine().with_retry(RetryPolicy::never());
    open(&mut machine, at(0));
    machine.end(at(0));
    assert_eq!(machine.ready_state(), ReadyState::Closed);
    machine.restart();
    assert_eq!(failed(&mut machine, at(0)), (Failure::StreamEnd, Then::End));
    machine.restart();
    assert_eq!(machine.step(at(0)), Step::Closed(End::Failed));
}

/// There may be no one to send the next request.
#[test]
fn what_is_futile_ends_even_a_wait() {
    let mut machine = machine();
    open(&mut machine, at(0));
    machine.end(at(0));
    failed(&mut machine, at(0));
    machine.fail(at(0), Failure::Broken);
    assert!(matches!(machine.step(at(0)), Step::Wait { .. }));
    machine.fail(at(0), Failure::Request);
    assert_eq!(failed(&mut machine, at(0)), (Failure::Request, Then::End));
}

#[test]
fn secrets_are_not_shown() {
    let machine = Machine::new("http://user:password@localhost/a?secret=1", 7).unwrap();
    let shown = format!("{machine:?} {:?}", machine.request());
    assert!(!["password", "user", "secret"].iter().any(|word| shown.contains(word)), "{shown}");
    assert_eq!(shown.matches("http://localhost/a").count(), 2, "{shown}");
    assert_eq!(machine.request().url, "http://localhost/a?secret=1");
}

#[test]
fn what_happens_out_of_turn_is_nothing() {
    let mut machine = machine().with_retry(steady());
    machine.end(at(0));
    machine.fail(at(0), Failure::Broken);
    machine.receive(b"data: a\n\n");
    assert!(!machine.respond(at(0), stream()));
    assert_eq!(data(&mut machine, b"data: a\n\n"), [""; 0]);
    open(&mut machine, at(0));
    assert!(!machine.respond(at(0), stream()), "it is open already");
    assert_eq!(data(&mut machine, b"data: a\n\n"), ["a"]);
    machine.fail(at(0), Failure::Broken);
    machine.end(at(0));
    assert_eq!(failed(&mut machine, at(0)).0, Failure::Broken);
    // A driver that is late with a chunk.
    assert_eq!(data(&mut machine, b"data: b\n\n"), [""; 0]);
    assert_eq!(machine.step(at(0)), Step::Wait { until: at(3) });
}

#[test]
fn a_body_is_read_for_as_long_as_anything_is_wanted_of_it() {
    let answered = |response| {
        let mut machine = machine().with_one_shot();
        assert_eq!(machine.step(at(0)), Step::Connect);
        assert!(!machine.is_reading());
        machine.respond(at(0), response);
        machine
    };
    let mut refused = answered(Response { status: 500, ..Response::default() });
    assert!(refused.is_reading());
    refused.end(at(0));
    assert!(!refused.is_reading());
    assert!(!answered(Response { status: 204, ..Response::default() }).is_reading());
    assert!(!answered(Response { status: 307, location: Some(b"/"), ..Response::default() }).is_reading());
    let mut done = answered(stream());
    assert!(done.is_reading());
    assert_eq!(data(&mut done, b"data: [DONE]\n\ndata: a\n\n"), [""; 0]);
    assert!(!done.is_reading());
}

#[test]
fn the_state_is_the_standards() {
    let mut machine = machine().with_retry(steady());
    assert_eq!(machine.ready_state(), ReadyState::Connecting);
    open(&mut machine, at(0));
    assert_eq!(machine.ready_state(), ReadyState::Open);
    machine.end(at(0));
    assert_eq!(machine.ready_state(), ReadyState::Connecting);
    failed(&mut machine, at(0));
    assert_eq!(machine.ready_state(), ReadyState::Connecting);
    assert_eq!(machine.step(at(3)), Step::Connect);
    machine.respond(at(3), Response { status: 404, ..Response::default() });
    machine.end(at(3));
    assert_eq!(machine.ready_state(), ReadyState::Closed);
    failed(&mut machine, at(3));
    assert_eq!(machine.ready_state(), ReadyState::Closed);
}

/// Reading an event is never the one that a restart loses.
#[test]
fn a_restart_keeps_the_id_and_drops_what_is_unfinished() {
    let mut machine = machine().with_retry(steady());
    open(&mut machine, at(0));
    assert_eq!(data(&mut machine, b"id: 1\ndata: a\n\nid: 2\ndata: unfin"), ["a"]);
    machine.restart();
    open(&mut machine, at(0));
    assert_eq!(machine.last_event_id(), "1");
    assert_eq!(data(&mut machine, b"ished\n\ndata: b\n\n"), ["b"]);
    // It also ends a wait, and a failure that nobody was told.
    machine.end(at(0));
    machine.restart();
    open(&mut machine, at(0));
    machine.end(at(0));
    failed(&mut machine, at(0));
    machine.restart();
    assert_eq!(machine.step(at(0)), Step::Connect);
}

#[test]
fn seeds_are_what_tells_machines_apart() {
    let first_wait = |seed| {
        let mut machine = Machine::new("http://localhost/", seed).unwrap();
        assert_eq!(machine.step(at(0)), Step::Connect);
        machine.fail(at(0), Failure::NoResponse);
        failed(&mut machine, at(0)).1
    };
    assert_eq!(first_wait(1), first_wait(1));
    assert_ne!(first_wait(1), first_wait(2));
}
