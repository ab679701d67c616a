//! The machine, action by action, in virtual time.

use std::time::Duration;

use ssekit_client::machine::{Action, ClientMachine, EndReason, Failure, NextStep, ResponseHead};
use ssekit_client::{ReadyState, RetryPolicy};

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u32) -> Duration {
    seconds * SECOND
}

fn machine() -> ClientMachine {
    ClientMachine::new("http://localhost/events", 7).unwrap()
}

/// Retries after 3 seconds, without a backoff.
fn steady() -> RetryPolicy {
    RetryPolicy::new().with_reconnection_time(at(3)).with_backoff(Duration::ZERO, Duration::ZERO)
}

fn stream() -> ResponseHead<'static> {
    ResponseHead::new(200).with_content_type(b"text/event-stream")
}

/// Opens the stream at `now`.
fn open(machine: &mut ClientMachine, now: Duration) {
    assert_eq!(machine.next_action(now), Action::SendRequest);
    assert!(machine.receive_head(now, stream()));
}

/// Returns the data of the events in the chunk.
fn data(machine: &mut ClientMachine, mut chunk: &[u8]) -> Vec<String> {
    machine.receive_chunk(chunk);
    let mut events = Vec::new();
    while let Some(event) = machine.next_event(&mut chunk).unwrap() {
        events.push(event.data.to_owned());
    }
    events
}

/// Returns the failure that the machine reports now.
fn reported(machine: &mut ClientMachine, now: Duration) -> (Failure, NextStep) {
    match machine.next_action(now) {
        Action::ReportFailure(failure, then) => (failure, then),
        step => panic!("{step:?}"),
    }
}

#[test]
fn response_timeout_includes_redirects() {
    let mut machine = machine().with_response_timeout(at(10));
    assert_eq!(machine.next_action(at(5)), Action::SendRequest);
    assert_eq!(machine.next_action(at(5)), Action::AwaitHead { until: Some(at(15)) });
    let redirect = ResponseHead::new(302).with_location(b"/b");
    assert!(!machine.receive_head(at(14), redirect));
    assert_eq!(machine.next_action(at(14)), Action::SendRequest);
    assert_eq!((machine.request().url, machine.request().attempt), ("http://localhost/b", 1));
    assert_eq!(machine.next_action(at(14)), Action::AwaitHead { until: Some(at(15)) });
    assert_eq!(reported(&mut machine, at(15)).0, Failure::ResponseTimeout { limit: at(10) });
    // The head is too late.
    assert!(!machine.receive_head(at(15), stream()));
    assert_eq!(machine.ready_state(), ReadyState::Connecting);
    let Action::Wait { until } = machine.next_action(at(15)) else { panic!("no wait") };
    assert_eq!(machine.next_action(until), Action::SendRequest);
    assert_eq!((machine.request().url, machine.request().attempt), ("http://localhost/events", 2));
}

#[test]
fn any_byte_restarts_the_idle_timeout() {
    let mut machine = machine().with_idle_timeout(at(20)).with_retry_policy(steady());
    open(&mut machine, at(0));
    assert_eq!(machine.next_action(at(0)), Action::ReadBody { until: Some(at(20)) });
    for now in [at(19), at(38), at(57)] {
        assert_eq!(data(&mut machine, b":"), [""; 0]);
        assert_eq!(machine.next_action(now), Action::ReadBody { until: Some(now + at(20)) });
    }
    // A call without new bytes changes nothing.
    assert_eq!(machine.next_action(at(60)), Action::ReadBody { until: Some(at(77)) });
    let expected = (Failure::IdleTimeout { limit: at(20) }, NextStep::Retry { delay: at(3) });
    assert_eq!(reported(&mut machine, at(77)), expected);
    assert_eq!(machine.next_action(at(77)), Action::Wait { until: at(80) });
}

#[test]
fn timeout_of_zero_means_no_limit() {
    let mut machine = machine().with_response_timeout(Duration::ZERO).with_idle_timeout(Duration::ZERO);
    assert_eq!(machine.next_action(at(0)), Action::SendRequest);
    assert_eq!(machine.next_action(at(0)), Action::AwaitHead { until: None });
    assert!(machine.receive_head(at(0), stream()));
    assert_eq!(machine.next_action(at(0)), Action::ReadBody { until: None });
}

/// Bytes that were received meanwhile are there when the driver reads.
#[test]
fn idle_timeout_starts_when_the_driver_waits() {
    let mut machine = machine().with_idle_timeout(at(20));
    open(&mut machine, at(0));
    assert_eq!(data(&mut machine, b"data: a\n\n"), ["a"]);
    // The program was busy with something else.
    assert_eq!(machine.next_action(at(100)), Action::ReadBody { until: Some(at(120)) });
}

#[test]
fn healthy_connection_ends_the_row_of_failures() {
    let policy =
        RetryPolicy::new().with_reconnection_time(Duration::ZERO).with_max_retries(1).with_healthy_after(at(10));
    let fail_after = |open_for: u32| {
        let mut machine = machine().with_retry_policy(policy.clone());
        assert_eq!(machine.next_action(at(0)), Action::SendRequest);
        machine.fail(at(0), Failure::NoResponse);
        let (_, NextStep::Retry { delay }) = reported(&mut machine, at(0)) else { panic!("no retry") };
        open(&mut machine, delay);
        machine.fail(delay + at(open_for), Failure::Interrupted);
        reported(&mut machine, delay + at(open_for)).1
    };
    assert_eq!(fail_after(9), NextStep::End);
    assert!(matches!(fail_after(10), NextStep::Retry { .. }));
}

/// A server that accepts connections and hangs must not cause retries for ever.
#[test]
fn silence_before_the_idle_timeout_does_not_count_as_healthy() {
    let policy = RetryPolicy::new().with_max_retries(1).with_healthy_after(at(10));
    let silent_after = |alive_for: u32, late: u32| {
        let mut machine = machine().with_retry_policy(policy.clone()).with_idle_timeout(at(30));
        assert_eq!(machine.next_action(at(0)), Action::SendRequest);
        machine.fail(at(0), Failure::NoResponse);
        let (_, NextStep::Retry { delay }) = reported(&mut machine, at(0)) else { panic!("no retry") };
        open(&mut machine, delay);
        data(&mut machine, b":");
        assert_eq!(
            machine.next_action(delay + at(alive_for)),
            Action::ReadBody { until: Some(delay + at(alive_for + 30)) }
        );
        reported(&mut machine, delay + at(alive_for + 30 + late)).1
    };
    // A late driver does not change that.
    for late in [0, 1000] {
        assert_eq!(silent_after(9, late), NextStep::End);
        assert!(matches!(silent_after(10, late), NextStep::Retry { .. }));
    }
}

/// A response that is cut off is never taken for a complete one.
#[test]
fn body_end_of_a_single_response_is_a_complete_response_or_a_failure() {
    let closed = |machine: ClientMachine, body: &[u8]| {
        let mut machine = machine.with_retry_policy(steady());
        open(&mut machine, at(0));
        data(&mut machine, body);
        machine.receive_end(at(0));
        machine.next_action(at(0))
    };
    let until = || machine().with_single_response_until(|event| event.event_type == "bye");
    for (body, by_default, until_bye) in [
        ("data: a\n\n", Action::Close(EndReason::StreamEnd), Action::ReportFailure(Failure::StreamEnd, NextStep::End)),
        ("", Action::Close(EndReason::StreamEnd), Action::ReportFailure(Failure::StreamEnd, NextStep::End)),
        (
            "data: a\n\nda",
            Action::ReportFailure(Failure::Interrupted, NextStep::End),
            Action::ReportFailure(Failure::Interrupted, NextStep::End),
        ),
        (
            "data: [DONE]\n",
            Action::ReportFailure(Failure::Interrupted, NextStep::End),
            Action::ReportFailure(Failure::Interrupted, NextStep::End),
        ),
        (
            "data: [DONE]\n\nda",
            Action::Close(EndReason::Done),
            Action::ReportFailure(Failure::Interrupted, NextStep::End),
        ),
        ("data: [DONE]\n\n", Action::Close(EndReason::Done), Action::ReportFailure(Failure::StreamEnd, NextStep::End)),
        (
            "event: bye\ndata:\n\nda",
            Action::ReportFailure(Failure::Interrupted, NextStep::End),
            Action::Close(EndReason::Done),
        ),
    ] {
        assert_eq!(closed(machine().with_single_response(), body.as_bytes()), by_default, "{body:?}");
        assert_eq!(closed(until(), body.as_bytes()), until_bye, "{body:?}");
    }
}

/// Some servers work with short streams.
#[test]
fn end_between_two_events_does_not_count_as_a_failure() {
    let mut machine = machine().with_retry_policy(RetryPolicy::new().with_max_retries(1));
    let mut now = at(0);
    for _ in 0..100 {
        open(&mut machine, now);
        data(&mut machine, b"retry: 500\ndata: a\n\n:bye\n");
        machine.receive_end(now);
        assert_eq!(
            reported(&mut machine, now),
            (Failure::StreamEnd, NextStep::Retry { delay: Duration::from_millis(500) })
        );
        now += Duration::from_millis(500);
    }
    // A stream that is cut off counts as a failure, and so does an empty one.
    for (body, expected, then) in
        [(&b"data: a\n\ndata: unfin"[..], Failure::Interrupted, true), (b"", Failure::StreamEnd, false)]
    {
        open(&mut machine, now);
        data(&mut machine, body);
        machine.receive_end(now);
        let (failure, retry) = reported(&mut machine, now);
        assert_eq!((failure, matches!(retry, NextStep::Retry { .. })), (expected, then));
        now += at(2);
    }
    assert_eq!(machine.next_action(now), Action::Close(EndReason::Failed));
}

#[test]
fn delay_is_the_longest_that_server_or_policy_ask_for() {
    let policy = steady().with_retry_if(Failure::is_transient);
    for (retry_after, expected) in [(None, 3), (Some(1), 3), (Some(60), 60)] {
        let mut machine = machine().with_retry_policy(policy.clone());
        assert_eq!(machine.next_action(at(0)), Action::SendRequest);
        let head = ResponseHead::new(503);
        machine.receive_head(at(0), retry_after.map_or(head, |time| head.with_retry_after(at(time))));
        machine.receive_end(at(0));
        assert_eq!(reported(&mut machine, at(0)).1, NextStep::Retry { delay: at(expected) });
    }
}

/// Clients that lose their server together must not return together.
#[test]
fn reconnections_are_spread_unless_the_server_sends_retry() {
    let wait = |seed, body: &str| {
        let mut machine = ClientMachine::new("http://localhost/", seed).unwrap();
        open(&mut machine, at(0));
        data(&mut machine, body.as_bytes());
        machine.receive_end(at(0));
        let (_, NextStep::Retry { delay }) = reported(&mut machine, at(0)) else { panic!("no retry") };
        delay
    };
    let spread: std::collections::BTreeSet<_> = (0..100).map(|seed| wait(seed, "data: a\n\n")).collect();
    assert!(spread.len() > 90 && spread.iter().all(|wait| (at(1)..=at(2)).contains(wait)));
    let said: std::collections::BTreeSet<_> = (0..100).map(|seed| wait(seed, "retry: 7000\ndata: a\n\n")).collect();
    assert_eq!(said, [at(7)].into());
}

#[test]
fn retry_of_zero_still_has_the_least_delay() {
    let mut machine = machine();
    open(&mut machine, at(0));
    data(&mut machine, b"retry: 0\ndata: a\n\n");
    machine.receive_end(at(0));
    assert_eq!(reported(&mut machine, at(0)).1, NextStep::Retry { delay: Duration::from_millis(100) });
    assert_eq!(machine.reconnection_time(), Duration::ZERO);
}

#[test]
fn server_delay_over_the_limit_is_a_final_failure() {
    let policy = steady().with_retry_if(Failure::is_transient).with_max_server_delay(at(60));
    for (retry_after, is_tried) in [(60, true), (61, false)] {
        let mut machine = machine().with_retry_policy(policy.clone());
        assert_eq!(machine.next_action(at(0)), Action::SendRequest);
        machine.receive_head(at(0), ResponseHead::new(503).with_retry_after(at(retry_after)));
        machine.receive_end(at(0));
        assert_eq!(reported(&mut machine, at(0)).1 != NextStep::End, is_tried);
    }
    for (retry, is_tried) in [("retry: 60000\n\n", true), ("retry: 60001\n\n", false)] {
        let mut machine = machine().with_retry_policy(policy.clone());
        open(&mut machine, at(0));
        data(&mut machine, retry.as_bytes());
        machine.receive_end(at(0));
        assert_eq!(reported(&mut machine, at(0)).1 != NextStep::End, is_tried);
    }
    // The limit does not apply to the policy's own reconnection time.
    let mut machine = machine().with_retry_policy(steady().with_max_server_delay(at(1)));
    open(&mut machine, at(0));
    machine.receive_end(at(0));
    assert_eq!(reported(&mut machine, at(0)).1, NextStep::Retry { delay: at(3) });
}

#[test]
fn body_of_a_refusal_has_a_time_and_a_size_limit() {
    let refused = || {
        let mut machine = machine();
        assert_eq!(machine.next_action(at(0)), Action::SendRequest);
        assert!(!machine.receive_head(at(0), ResponseHead::new(400)));
        assert_eq!(machine.next_action(at(4)), Action::ReadBody { until: Some(at(5)) });
        machine.receive_chunk(b"why");
        machine
    };
    let whole = |body: &[u8]| (Failure::Status { status: 400, body: body.to_vec() }, NextStep::End);
    let mut machine = refused();
    // Bytes do not extend the time.
    assert_eq!(machine.next_action(at(4)), Action::ReadBody { until: Some(at(5)) });
    assert_eq!(reported(&mut machine, at(5)), whole(b"why"));
    assert_eq!(machine.next_action(at(5)), Action::Close(EndReason::Failed));

    let mut machine = refused();
    machine.receive_end(at(4));
    assert_eq!(reported(&mut machine, at(4)), whole(b"why"));
    // A refusal is reported even if its body is cut off.
    let mut machine = refused();
    machine.fail(at(4), Failure::Interrupted);
    assert_eq!(reported(&mut machine, at(4)), whole(b"why"));
    let mut machine = refused();
    machine.receive_chunk(&[b'x'; 8188]);
    assert!(machine.wants_body());
    // The body is long enough.
    machine.receive_chunk(&[b'x'; 10_000]);
    assert!(!machine.wants_body());
    let (Failure::Status { body, .. }, _) = reported(&mut machine, at(4)) else { panic!("no status") };
    assert_eq!(body.len(), 8192);
    // The body of a refusal has no events.
    let mut machine = refused();
    assert_eq!(data(&mut machine, b"data: a\n\n"), [""; 0]);
}

#[test]
fn encoded_body_is_a_final_failure() {
    for (encoding, is_open) in [("br", false), ("gzip, br", false), ("identity", true), (" Identity", true), ("", true)]
    {
        let mut machine = machine();
        assert_eq!(machine.next_action(at(0)), Action::SendRequest);
        let response = stream().with_content_encoding(encoding.as_bytes());
        assert_eq!(machine.receive_head(at(0), response), is_open, "{encoding}");
        if !is_open {
            let content_encoding = encoding.to_owned();
            assert_eq!(reported(&mut machine, at(0)), (Failure::ContentEncoding { content_encoding }, NextStep::End));
        }
    }
}

#[test]
fn invalid_last_event_id_changes_nothing() {
    let mut machine = machine();
    machine.set_last_event_id("7").unwrap();
    for id in ["a\nb", "\u{1}", &"x".repeat(10_000)] {
        assert!(machine.set_last_event_id(id).is_err());
    }
    assert_eq!(machine.last_event_id(), "7");
}

/// The machine is closed before the final failure is reported.
#[test]
fn restart_after_a_final_failure_does_nothing() {
    let mut machine = machine().with_retry_policy(RetryPolicy::never());
    open(&mut machine, at(0));
    machine.receive_end(at(0));
    assert_eq!(machine.ready_state(), ReadyState::Closed);
    machine.restart();
    assert_eq!(reported(&mut machine, at(0)), (Failure::StreamEnd, NextStep::End));
    machine.restart();
    assert_eq!(machine.next_action(at(0)), Action::Close(EndReason::Failed));
}

/// For example, the driver lost its runtime.
#[test]
fn permanent_failure_ends_a_wait() {
    let mut machine = machine();
    open(&mut machine, at(0));
    machine.receive_end(at(0));
    reported(&mut machine, at(0));
    machine.fail(at(0), Failure::Interrupted);
    assert!(matches!(machine.next_action(at(0)), Action::Wait { .. }));
    machine.fail(at(0), Failure::Request);
    assert_eq!(reported(&mut machine, at(0)), (Failure::Request, NextStep::End));
}

#[test]
fn debug_shows_no_secrets() {
    let machine = ClientMachine::new("http://user:password@localhost/a?secret=1", 7).unwrap();
    let shown = format!("{machine:?} {:?}", machine.request());
    assert!(!["password", "user", "secret"].iter().any(|word| shown.contains(word)), "{shown}");
    assert_eq!(shown.matches("http://localhost/a").count(), 2, "{shown}");
    assert_eq!(machine.request().url, "http://localhost/a?secret=1");
}

#[test]
fn input_that_does_not_fit_the_state_is_ignored() {
    let mut machine = machine().with_retry_policy(steady());
    machine.receive_end(at(0));
    machine.fail(at(0), Failure::Interrupted);
    machine.receive_chunk(b"data: a\n\n");
    assert!(!machine.receive_head(at(0), stream()));
    assert_eq!(data(&mut machine, b"data: a\n\n"), [""; 0]);
    open(&mut machine, at(0));
    assert!(!machine.receive_head(at(0), stream()), "the stream is open already");
    assert_eq!(data(&mut machine, b"data: a\n\n"), ["a"]);
    machine.fail(at(0), Failure::Interrupted);
    machine.receive_end(at(0));
    assert_eq!(reported(&mut machine, at(0)).0, Failure::Interrupted);
    // A chunk after the failure is ignored too.
    assert_eq!(data(&mut machine, b"data: b\n\n"), [""; 0]);
    assert_eq!(machine.next_action(at(0)), Action::Wait { until: at(3) });
}

#[test]
fn wants_body_is_true_while_the_body_has_a_use() {
    let answered = |response| {
        let mut machine = machine().with_single_response();
        assert_eq!(machine.next_action(at(0)), Action::SendRequest);
        assert!(!machine.wants_body());
        machine.receive_head(at(0), response);
        machine
    };
    let mut refused = answered(ResponseHead::new(500));
    assert!(refused.wants_body());
    refused.receive_end(at(0));
    assert!(!refused.wants_body());
    assert!(!answered(ResponseHead::new(204)).wants_body());
    assert!(!answered(ResponseHead::new(307).with_location(b"/")).wants_body());
    let mut done = answered(stream());
    assert!(done.wants_body());
    assert_eq!(data(&mut done, b"data: [DONE]\n\ndata: a\n\n"), [""; 0]);
    assert!(!done.wants_body());
}

#[test]
fn ready_state_follows_the_standard() {
    let mut machine = machine().with_retry_policy(steady());
    assert_eq!(machine.ready_state(), ReadyState::Connecting);
    open(&mut machine, at(0));
    assert_eq!(machine.ready_state(), ReadyState::Open);
    machine.receive_end(at(0));
    assert_eq!(machine.ready_state(), ReadyState::Connecting);
    reported(&mut machine, at(0));
    assert_eq!(machine.ready_state(), ReadyState::Connecting);
    assert_eq!(machine.next_action(at(3)), Action::SendRequest);
    machine.receive_head(at(3), ResponseHead::new(404));
    machine.receive_end(at(3));
    assert_eq!(machine.ready_state(), ReadyState::Closed);
    reported(&mut machine, at(3));
    assert_eq!(machine.ready_state(), ReadyState::Closed);
}

/// An event that was returned is never requested again.
#[test]
fn restart_keeps_the_id_and_drops_an_unfinished_event() {
    let mut machine = machine().with_retry_policy(steady());
    open(&mut machine, at(0));
    assert_eq!(data(&mut machine, b"id: 1\ndata: a\n\nid: 2\ndata: unfin"), ["a"]);
    machine.restart();
    open(&mut machine, at(0));
    assert_eq!(machine.last_event_id(), "1");
    assert_eq!(data(&mut machine, b"ished\n\ndata: b\n\n"), ["b"]);
    // A restart also ends a wait, and drops a failure that was not reported.
    machine.receive_end(at(0));
    machine.restart();
    open(&mut machine, at(0));
    machine.receive_end(at(0));
    reported(&mut machine, at(0));
    machine.restart();
    assert_eq!(machine.next_action(at(0)), Action::SendRequest);
}

#[test]
fn different_seeds_lead_to_different_delays() {
    let first_next_step = |seed| {
        let mut machine = ClientMachine::new("http://localhost/", seed).unwrap();
        assert_eq!(machine.next_action(at(0)), Action::SendRequest);
        machine.fail(at(0), Failure::NoResponse);
        reported(&mut machine, at(0)).1
    };
    assert_eq!(first_next_step(1), first_next_step(1));
    assert_ne!(first_next_step(1), first_next_step(2));
}
