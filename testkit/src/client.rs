//! A naive model of an event source, and the client's machine held against it.
//!
//! A script says what a server does at each attempt. The model says, from the script alone and by the reference decoder, what
//! the machine has to ask for, what it has to give, and when it has to come back; the machine is then driven through the
//! script with each stream cut anyhow.

use std::ops::RangeInclusive;
use std::time::Duration;

use ssekit_client::RetryPolicy;
use ssekit_client::machine::{Action, ClientMachine, EndReason, Failure, NextStep, ResponseHead};

use crate::cut;
use crate::reference::{self, Dispatched, Item, ReferenceLimits};

/// What the server does at an attempt.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// What it answers.
    pub answer: Answer,
    /// The body.
    pub stream: Vec<u8>,
    /// The sizes of the chunks that the body comes in.
    pub sizes: Vec<u8>,
    /// For how many seconds the stream is open before it ends.
    pub open_for: u8,
    /// How it ends.
    pub ending: Ending,
}

/// What a server answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An event stream.
    Stream,
    /// Nothing: the connection fails.
    Nothing,
    /// Nothing in time.
    Late,
    /// A status, and perhaps when to come back, in seconds.
    Status(u16, Option<u8>),
    /// Status 200, and something else than a stream.
    Page,
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// In order.
    End,
    /// It breaks off.
    Broken,
    /// Nothing comes any more.
    Silence,
    /// The program restarts it.
    Restart,
}

/// All that happens.
#[derive(Clone, Debug)]
pub struct Script {
    /// Whether the stream is had once, until `[DONE]`.
    pub is_single_response: bool,
    /// Whether that must come.
    pub must_be_done: bool,
    /// How many attempts in a row may fail.
    pub max_retries: Option<u8>,
    /// What the server does.
    pub attempts: Vec<Attempt>,
}

const CONNECT: Duration = Duration::from_secs(10);
const IDLE: Duration = Duration::from_secs(20);
const RECONNECTION: Duration = Duration::from_secs(3);
const BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(8);
const HEALTHY: Duration = Duration::from_secs(60);
const MIN_WAIT: Duration = Duration::from_secs(2);
const MAX_WAIT: Duration = Duration::from_secs(100);

/// What has to come of an attempt.
#[derive(Debug, PartialEq)]
struct Outcome {
    events: Vec<Dispatched>,
    last_event_id: String,
    then: Next,
}

#[derive(Debug, PartialEq)]
enum Next {
    Closed(EndReason),
    Failed,
    /// Within these times.
    Retry(RangeInclusive<Duration>),
    /// At once, and nobody is told.
    Again,
}

/// What the model knows.
struct Model<'s> {
    script: &'s Script,
    last_event_id: String,
    /// As the server has said.
    reconnection_time: Option<Duration>,
    failures: u32,
}

impl Model<'_> {
    fn attempt(&mut self, attempt: &Attempt) -> Outcome {
        // HTTP cannot carry them.
        if self.last_event_id.chars().any(|c| c.is_ascii_control() && c != '\t') {
            return self.outcome(Vec::new(), Next::Failed);
        }
        match attempt.answer {
            Answer::Stream => self.stream(attempt),
            Answer::Nothing | Answer::Late => {
                let next = self.failed(true, Duration::ZERO);
                self.outcome(Vec::new(), next)
            }
            Answer::Status(204, _) => self.outcome(Vec::new(), Next::Closed(EndReason::NoContent)),
            Answer::Status(status, retry_after) => {
                let asked = Duration::from_secs(retry_after.unwrap_or(0).into());
                let next = self.failed([408, 425, 429, 500, 502, 503, 504].contains(&status), asked);
                self.outcome(Vec::new(), next)
            }
            Answer::Page => {
                let next = self.failed(false, Duration::ZERO);
                self.outcome(Vec::new(), next)
            }
        }
    }

    fn stream(&mut self, attempt: &Attempt) -> Outcome {
        let stream = attempt.stream.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&attempt.stream);
        // As if the ID had come in the stream.
        let seeded = [b"id: ", self.last_event_id.as_bytes(), b"\n\n", stream].concat();
        let decoded = reference::decode(&seeded, ReferenceLimits::NONE);
        let mut events = Vec::new();
        for item in decoded.items {
            let Item::Event(event) = item else { panic!("there is no limit") };
            if self.script.is_single_response && event.data == "[DONE]" {
                self.last_event_id = event.last_event_id;
                return self.outcome(events, Next::Closed(EndReason::Done));
            }
            events.push(event);
        }
        self.last_event_id = decoded.last_event_id;
        if let Some(time) = decoded.reconnection_time {
            self.reconnection_time = Some(Duration::from_millis(time));
        }
        let is_whole = reference::is_between_events(&attempt.stream);
        let next = match attempt.ending {
            Ending::Restart => Next::Again,
            Ending::End if self.script.is_single_response && !self.script.must_be_done && is_whole => {
                Next::Closed(EndReason::StreamEnd)
            }
            _ if self.script.is_single_response => Next::Failed,
            Ending::End if !events.is_empty() && is_whole => {
                self.failures = 0;
                let backoff = if self.reconnection_time.is_some() { Duration::ZERO } else { BACKOFF };
                if self.script.max_retries == Some(0) { Next::Failed } else { self.retry(Duration::ZERO, backoff) }
            }
            // The silence at its end is not counted.
            _ => {
                if Duration::from_secs(attempt.open_for.into()) >= HEALTHY {
                    self.failures = 0;
                }
                self.failed(true, Duration::ZERO)
            }
        };
        self.outcome(events, next)
    }

    fn failed(&mut self, is_transient: bool, asked: Duration) -> Next {
        self.failures += 1;
        let is_last = self.script.max_retries.is_some_and(|max| self.failures > max.into());
        if !is_transient || is_last {
            return Next::Failed;
        }
        let most = (1..self.failures).fold(BACKOFF, |most, _| (most * 2).min(MAX_BACKOFF));
        self.retry(asked, most)
    }

    fn retry(&self, asked: Duration, backoff: Duration) -> Next {
        if asked.max(self.reconnection_time.unwrap_or_default()) > MAX_WAIT {
            return Next::Failed;
        }
        let from = self.reconnection_time.unwrap_or(RECONNECTION).max(asked).max(MIN_WAIT);
        Next::Retry(from..=from + backoff)
    }

    fn outcome(&self, events: Vec<Dispatched>, then: Next) -> Outcome {
        Outcome { events, last_event_id: self.last_event_id.clone(), then }
    }
}

/// Drives a machine through the script, and panics where it does something else than the model.
pub fn check(script: &Script) {
    let policy = RetryPolicy::new()
        .with_retry_if(Failure::is_transient)
        .with_reconnection_time(RECONNECTION)
        .with_backoff(BACKOFF, MAX_BACKOFF)
        .with_healthy_after(HEALTHY)
        .with_min_delay(MIN_WAIT)
        .with_max_server_delay(MAX_WAIT);
    let policy = match script.max_retries {
        Some(retries) => policy.with_max_retries(retries.into()),
        None => policy,
    };
    let mut machine = ClientMachine::new("http://localhost/", 7)
        .expect("it is a url")
        .with_response_timeout(CONNECT)
        .with_idle_timeout(IDLE)
        .with_retry_policy(policy);
    machine = match (script.is_single_response, script.must_be_done) {
        (false, _) => machine,
        (true, false) => machine.with_single_response(),
        (true, true) => machine.with_single_response_until(|event| event.data == "[DONE]"),
    };
    let mut model = Model { script, last_event_id: String::new(), reconnection_time: None, failures: 0 };
    let mut now = Duration::ZERO;
    for (n, attempt) in script.attempts.iter().enumerate() {
        let before = model.last_event_id.clone();
        let expected = model.attempt(attempt);
        let (events, step) = drive(&mut machine, &mut now, attempt, &before);
        assert_eq!((n, &events), (n, &expected.events));
        assert_eq!((n, machine.last_event_id()), (n, &*expected.last_event_id));
        match (&expected.then, step) {
            (Next::Again, None) => {}
            (Next::Closed(end), Some(step)) => {
                assert_eq!((n, step), (n, Action::Close(*end)));
                return;
            }
            (Next::Failed, Some(Action::ReportFailure(_, NextStep::End))) => {
                assert_eq!(machine.next_action(now), Action::Close(EndReason::Failed));
                machine.restart();
                assert_eq!(machine.next_action(Duration::MAX), Action::Close(EndReason::Failed), "closed is for good");
                return;
            }
            (Next::Retry(within), Some(Action::ReportFailure(_, NextStep::Retry { delay }))) => {
                assert!(within.contains(&delay), "attempt {n}: {delay:?} is not within {within:?}");
                let until = now.saturating_add(delay);
                if !delay.is_zero() && until > now {
                    assert_eq!(machine.next_action(now), Action::Wait { until });
                }
                now = until;
            }
            (then, step) => panic!("attempt {n}: {step:?}, and not {then:?}"),
        }
    }
}

/// Does what the script says; the events, and the step behind them.
fn drive(
    machine: &mut ClientMachine,
    now: &mut Duration,
    attempt: &Attempt,
    id: &str,
) -> (Vec<Dispatched>, Option<Action>) {
    let mut events = Vec::new();
    match machine.next_action(*now) {
        Action::SendRequest => {}
        step => return (events, Some(step)),
    }
    let sent: Vec<_> = machine.request().headers().filter(|(name, _)| *name == "last-event-id").collect();
    // HTTP does not carry the white space around a value.
    match id.trim_matches([' ', '\t']) {
        "" => assert_eq!(sent, []),
        id => assert_eq!(sent, [("last-event-id", id.as_bytes())]),
    }
    let until = now.saturating_add(CONNECT);
    assert_eq!(machine.next_action(*now), Action::AwaitHead { until: Some(until) });
    let head = match attempt.answer {
        Answer::Nothing => {
            machine.fail(*now, Failure::NoResponse);
            return (events, Some(machine.next_action(*now)));
        }
        Answer::Late => {
            *now = until;
            return (events, Some(machine.next_action(*now)));
        }
        Answer::Stream => ResponseHead::new(200).with_content_type(b"text/event-stream"),
        Answer::Page => ResponseHead::new(200).with_content_type(b"text/html"),
        Answer::Status(status, retry_after) => {
            let head = ResponseHead::new(status);
            retry_after.map_or(head, |time| head.with_retry_after(Duration::from_secs(time.into())))
        }
    };
    assert_eq!(machine.receive_head(*now, head), attempt.answer == Answer::Stream);
    for mut chunk in cut::by_sizes(&attempt.stream, &attempt.sizes) {
        machine.receive_chunk(chunk);
        while let Some(event) = machine.next_event(&mut chunk).expect("it is within the limits") {
            events.push(Dispatched {
                event_type: event.event_type.to_owned(),
                data: event.data.to_owned(),
                last_event_id: event.last_event_id.to_owned(),
            });
        }
        assert_eq!(chunk, b"", "all of a chunk is taken");
    }
    *now = now.saturating_add(Duration::from_secs(attempt.open_for.into()));
    match attempt.ending {
        Ending::End => machine.receive_end(*now),
        Ending::Broken => machine.fail(*now, Failure::Interrupted),
        Ending::Silence => match machine.next_action(*now) {
            Action::ReadBody { until: Some(until) } => *now = until,
            step => return (events, Some(step)),
        },
        Ending::Restart if attempt.answer == Answer::Stream => {
            machine.restart();
            if machine.ready_state() == ssekit_client::ReadyState::Connecting {
                return (events, None);
            }
        }
        Ending::Restart => machine.receive_end(*now),
    }
    (events, Some(machine.next_action(*now)))
}

/// A script out of a fuzzer's bytes: for each attempt what is answered, how it ends, how it is cut, and the body up to a
/// byte that UTF-8 does not have.
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

/// [`check`] for a fuzzer.
pub fn keeps_the_rules(input: &[u8]) {
    check(&script(input));
}
