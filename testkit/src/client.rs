//! A naive model of an event source, and the comparison of the client's machine with it.
//!
//! A script says what a server does at each attempt. From the script alone, and by the reference decoder, the model computes
//! the events, the last event ID and the next step of each attempt. Then the machine is driven through the script.

use std::ops::RangeInclusive;
use std::time::Duration;

use ssekit_client::machine::{Action, ClientMachine, EndReason, Failure, NextStep, ResponseHead};
use ssekit_client::{ReadyState, RetryPolicy};

use crate::cut;
use crate::reference::{self, Dispatched, Item, ReferenceLimits};

/// The server's behaviour at an attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The head of its answer.
    pub answer: Answer,
    /// The body of its answer.
    pub stream: Vec<u8>,
    /// The sizes of the chunks of the body.
    pub sizes: Vec<u8>,
    /// The time from the head to the end, in seconds.
    pub open_for: u8,
    /// The end of the connection.
    pub ending: Ending,
}

/// The head of a server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An event stream.
    Stream,
    /// Nothing: the connection fails.
    Nothing,
    /// Nothing within the response timeout.
    Late,
    /// A status, with or without `Retry-After` in seconds.
    Status(u16, Option<u8>),
    /// Status 200, and another content type.
    Page,
}

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The body ends.
    End,
    /// The connection breaks.
    Broken,
    /// The server stays silent.
    Silence,
    /// The application restarts the client.
    Restart,
}

/// The settings of a client, and the behaviour of its server.
#[derive(Clone, Debug)]
pub struct Script {
    /// Whether the client receives a single response.
    pub is_single_response: bool,
    /// Whether the single response must end with `[DONE]`.
    pub must_be_done: bool,
    /// The policy's limit of retries in a row.
    pub max_retries: Option<u8>,
    /// The server's behaviour at each attempt.
    pub attempts: Vec<Attempt>,
}

const RESPONSE_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
const RECONNECTION_TIME: Duration = Duration::from_secs(3);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(8);
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
const MIN_DELAY: Duration = Duration::from_secs(2);
const MAX_SERVER_DELAY: Duration = Duration::from_secs(100);

/// The expected result of an attempt.
#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Dispatched>,
    last_event_id: String,
    next: Next,
}

/// The expected next step after an attempt.
#[derive(Debug, PartialEq)]
enum Next {
    /// The client closes without a failure.
    Close(EndReason),
    /// The client closes after a failure.
    Fail,
    /// The client reports a failure, and retries after a delay in this range.
    Retry(RangeInclusive<Duration>),
    /// The client makes another attempt at once, without a failure.
    Restart,
}

/// The state of the model between two attempts.
struct Model<'s> {
    script: &'s Script,
    last_event_id: String,
    /// The server's last `retry` field.
    retry_field: Option<Duration>,
    failures: u32,
}

impl Model<'_> {
    fn attempt(&mut self, attempt: &Attempt) -> Outcome {
        // HTTP cannot transmit control characters.
        if self.last_event_id.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return self.outcome(Vec::new(), Next::Fail);
        }
        let next = match attempt.answer {
            Answer::Stream => return self.stream(attempt),
            Answer::Nothing | Answer::Late => self.failed(true, Duration::ZERO),
            Answer::Status(204, _) => Next::Close(EndReason::NoContent),
            Answer::Status(status, retry_after) => {
                let is_transient = [408, 425, 429, 500, 502, 503, 504].contains(&status);
                self.failed(is_transient, Duration::from_secs(retry_after.unwrap_or(0).into()))
            }
            Answer::Page => self.failed(false, Duration::ZERO),
        };
        self.outcome(Vec::new(), next)
    }

    fn stream(&mut self, attempt: &Attempt) -> Outcome {
        let stream = attempt.stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&attempt.stream);
        // Starts the stream with the last event ID of the attempt before.
        let seeded = [b"id: ", self.last_event_id.as_bytes(), b"\n\n", stream].concat();
        let decoded = reference::decode(&seeded, ReferenceLimits::NONE);
        let mut events = Vec::new();
        for item in decoded.items {
            let Item::Event(event) = item else { panic!("there is no limit") };
            if self.script.is_single_response && event.data == "[DONE]" {
                self.last_event_id = event.last_event_id;
                return self.outcome(events, Next::Close(EndReason::Done));
            }
            events.push(event);
        }
        self.last_event_id = decoded.last_event_id;
        if let Some(time) = decoded.reconnection_time {
            self.retry_field = Some(Duration::from_millis(time));
        }
        let is_complete = !reference::has_unfinished_event(&attempt.stream);
        let next = self.end(attempt, !events.is_empty(), is_complete);
        self.outcome(events, next)
    }

    /// Returns the next step after the end of a stream without an end marker.
    fn end(&mut self, attempt: &Attempt, has_events: bool, is_complete: bool) -> Next {
        let is_single = self.script.is_single_response;
        match attempt.ending {
            Ending::Restart => Next::Restart,
            Ending::End if is_single && !self.script.must_be_done && is_complete => Next::Close(EndReason::StreamEnd),
            _ if is_single => Next::Fail,
            Ending::End if has_events && is_complete => {
                self.failures = 0;
                let backoff = if self.retry_field.is_some() { Duration::ZERO } else { FIRST_BACKOFF };
                if self.script.max_retries == Some(0) { Next::Fail } else { self.retry(Duration::ZERO, backoff) }
            }
            _ => {
                // The silence at the end does not count.
                if Duration::from_secs(attempt.open_for.into()) >= HEALTHY_AFTER {
                    self.failures = 0;
                }
                self.failed(true, Duration::ZERO)
            }
        }
    }

    fn failed(&mut self, is_transient: bool, retry_after: Duration) -> Next {
        self.failures += 1;
        let is_last = self.script.max_retries.is_some_and(|max| self.failures > max.into());
        if !is_transient || is_last {
            return Next::Fail;
        }
        let bound = (1..self.failures).fold(FIRST_BACKOFF, |bound, _| (bound * 2).min(MAX_BACKOFF));
        self.retry(retry_after, bound)
    }

    fn retry(&self, retry_after: Duration, max_backoff: Duration) -> Next {
        if retry_after.max(self.retry_field.unwrap_or_default()) > MAX_SERVER_DELAY {
            return Next::Fail;
        }
        let least = self.retry_field.unwrap_or(RECONNECTION_TIME).max(retry_after).max(MIN_DELAY);
        Next::Retry(least..=least + max_backoff)
    }

    fn outcome(&self, events: Vec<Dispatched>, next: Next) -> Outcome {
        Outcome { events, last_event_id: self.last_event_id.clone(), next }
    }
}

/// Creates the machine that the script describes.
fn machine(script: &Script) -> ClientMachine {
    let policy = RetryPolicy::new()
        .with_retry_if(Failure::is_transient)
        .with_reconnection_time(RECONNECTION_TIME)
        .with_backoff(FIRST_BACKOFF, MAX_BACKOFF)
        .with_healthy_after(HEALTHY_AFTER)
        .with_min_delay(MIN_DELAY)
        .with_max_server_delay(MAX_SERVER_DELAY);
    let policy = match script.max_retries {
        Some(retries) => policy.with_max_retries(retries.into()),
        None => policy,
    };
    let machine = ClientMachine::new("http://localhost/", 7)
        .expect("the URL is valid")
        .with_response_timeout(RESPONSE_TIMEOUT)
        .with_idle_timeout(IDLE_TIMEOUT)
        .with_retry_policy(policy);
    match (script.is_single_response, script.must_be_done) {
        (false, _) => machine,
        (true, false) => machine.with_single_response(),
        (true, true) => machine.with_single_response_until(|event| event.data == "[DONE]"),
    }
}

/// Drives a machine through the script, and panics if it differs from the model.
pub fn check(script: &Script) {
    let mut machine = machine(script);
    let mut model = Model { script, last_event_id: String::new(), retry_field: None, failures: 0 };
    let mut now = Duration::ZERO;
    for (n, attempt) in script.attempts.iter().enumerate() {
        let sent_id = model.last_event_id.clone();
        let expected = model.attempt(attempt);
        let (events, action) = drive(&mut machine, &mut now, attempt, &sent_id);
        assert_eq!((n, &events), (n, &expected.events));
        assert_eq!((n, machine.last_event_id()), (n, &*expected.last_event_id));
        match (&expected.next, action) {
            (Next::Restart, None) => {}
            (Next::Close(reason), Some(action)) => {
                assert_eq!((n, action), (n, Action::Close(*reason)));
                return;
            }
            (Next::Fail, Some(Action::ReportFailure(_, NextStep::End))) => {
                assert_eq!(machine.next_action(now), Action::Close(EndReason::Failed));
                machine.restart();
                assert_eq!(machine.next_action(Duration::MAX), Action::Close(EndReason::Failed), "closed for ever");
                return;
            }
            (Next::Retry(range), Some(Action::ReportFailure(_, NextStep::Retry { delay }))) => {
                assert!(range.contains(&delay), "attempt {n}: {delay:?} is not within {range:?}");
                let until = now.saturating_add(delay);
                if !delay.is_zero() && until > now {
                    assert_eq!(machine.next_action(now), Action::Wait { until });
                }
                now = until;
            }
            (next, action) => panic!("attempt {n}: {action:?} instead of {next:?}"),
        }
    }
}

/// Drives the machine through an attempt. Returns the events and the next action; no action after a restart.
fn drive(
    machine: &mut ClientMachine,
    now: &mut Duration,
    attempt: &Attempt,
    sent_id: &str,
) -> (Vec<Dispatched>, Option<Action>) {
    match machine.next_action(*now) {
        Action::SendRequest => {}
        action => return (Vec::new(), Some(action)),
    }
    let sent: Vec<_> = machine.request().headers().filter(|(name, _)| *name == "last-event-id").collect();
    // HTTP does not transmit white space around a value.
    match sent_id.trim_matches([' ', '\t']) {
        "" => assert_eq!(sent, []),
        id => assert_eq!(sent, [("last-event-id", id.as_bytes())]),
    }
    let until = now.saturating_add(RESPONSE_TIMEOUT);
    assert_eq!(machine.next_action(*now), Action::AwaitHead { until: Some(until) });
    match head(attempt.answer) {
        Some(head) => assert_eq!(machine.receive_head(*now, head), attempt.answer == Answer::Stream),
        None => {
            match attempt.answer {
                Answer::Late => *now = until,
                _ => machine.fail(*now, Failure::NoResponse),
            }
            return (Vec::new(), Some(machine.next_action(*now)));
        }
    }
    let events = receive_body(machine, attempt);
    *now = now.saturating_add(Duration::from_secs(attempt.open_for.into()));
    (events, end_body(machine, now, attempt))
}

/// Returns the head of the answer, if there is one in time.
fn head(answer: Answer) -> Option<ResponseHead<'static>> {
    match answer {
        Answer::Nothing | Answer::Late => None,
        Answer::Stream => Some(ResponseHead::new(200).with_content_type(b"text/event-stream")),
        Answer::Page => Some(ResponseHead::new(200).with_content_type(b"text/html")),
        Answer::Status(status, retry_after) => {
            let head = ResponseHead::new(status);
            Some(retry_after.map_or(head, |time| head.with_retry_after(Duration::from_secs(time.into()))))
        }
    }
}

/// Passes the body to the machine in chunks. Returns its events.
fn receive_body(machine: &mut ClientMachine, attempt: &Attempt) -> Vec<Dispatched> {
    let mut events = Vec::new();
    for mut chunk in cut::by_sizes(&attempt.stream, &attempt.sizes) {
        machine.receive_chunk(chunk);
        while let Some(event) = machine.next_event(&mut chunk).expect("the event is within the limits") {
            events.push(Dispatched {
                event_type: event.event_type.to_owned(),
                data: event.data.to_owned(),
                last_event_id: event.last_event_id.to_owned(),
            });
        }
        assert_eq!(chunk, b"", "the chunk is used up");
    }
    events
}

/// Ends the connection. Returns the next action; `None` after a restart.
fn end_body(machine: &mut ClientMachine, now: &mut Duration, attempt: &Attempt) -> Option<Action> {
    match attempt.ending {
        Ending::End => machine.receive_end(*now),
        Ending::Broken => machine.fail(*now, Failure::Interrupted),
        Ending::Silence => match machine.next_action(*now) {
            Action::ReadBody { until: Some(until) } => *now = until,
            action => return Some(action),
        },
        Ending::Restart if attempt.answer == Answer::Stream => {
            machine.restart();
            if machine.ready_state() == ReadyState::Connecting {
                return None;
            }
        }
        Ending::Restart => machine.receive_end(*now),
    }
    Some(machine.next_action(*now))
}

/// Converts the bytes of a fuzzer to a script.
///
/// After a byte of flags, 0xFF separates the attempts. An attempt has a byte each for its answer, its ending, the size of its
/// chunks and its duration, and then its body.
pub fn script(input: &[u8]) -> Script {
    let (&flags, rest) = input.split_first().unwrap_or((&0, &[]));
    let mut attempts = Vec::new();
    for part in rest.split(|byte| *byte == 0xFF).take(32) {
        let (head, stream) = part.split_at(part.len().min(4));
        let [kind, ending, size, open_for] = std::array::from_fn(|n| head.get(n).copied().unwrap_or_default());
        attempts.push(Attempt {
            answer: match kind % 16 {
                0 => Answer::Nothing,
                1 => Answer::Late,
                2 => Answer::Page,
                3 => Answer::Status([204, 301, 304, 400, 401, 404, 408, 500][usize::from(kind / 16) % 8], None),
                4 => Answer::Status(429, Some(ending)),
                5 => Answer::Status(503, None),
                _ => Answer::Stream,
            },
            stream: stream.to_vec(),
            sizes: vec![size % 16],
            open_for,
            ending: [Ending::End, Ending::Broken, Ending::Silence, Ending::Restart][usize::from(ending) % 4],
        });
    }
    let (is_single_response, must_be_done) = (flags & 1 == 1, flags & 4 == 4);
    Script { is_single_response, must_be_done, max_retries: (flags & 2 == 2).then_some(flags / 64), attempts }
}

/// Checks the script in the bytes of a fuzzer.
pub fn check_bytes(input: &[u8]) {
    check(&script(input));
}
