//! The rules of an EventSource as a state machine: it does no I/O, has no clock, and needs no std.
//!
//! A driver asks it what to do next ([`Machine::step`]), does that by whatever transport it has, and tells it what has
//! happened and what time it is. Time is a [`Duration`] since any moment that the driver likes, and never goes back.
//!
//! | [`Step`] | what the driver does | what it says then |
//! |---|---|---|
//! | [`Connect`](Step::Connect) | sends the request that [`Machine::request`] describes, and follows no redirects | |
//! | [`Respond`](Step::Respond) | waits for the head of the response | [`respond`](Machine::respond), or [`fail`](Machine::fail) |
//! | [`Read`](Step::Read) | reads from the body | [`receive`](Machine::receive), and [`next_event`](Machine::next_event) until there is none; [`end`](Machine::end); or [`fail`](Machine::fail) |
//! | [`Wait`](Step::Wait) | drops the connection, if there is one, and waits | |
//! | [`Failed`](Step::Failed) | drops the connection, and tells its user | |
//! | [`Closed`](Step::Closed) | drops the connection, and ends | |
//!
//! When nothing has happened until the time that a step names, it just asks for the next step.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//! use ssekit_client::machine::{Failure, Machine, Response, Step, Then};
//!
//! let mut machine = Machine::new("http://localhost/events", 7)?;
//! let now = Duration::ZERO;
//! assert!(matches!(machine.step(now), Step::Connect));
//! assert_eq!(machine.request().url, "http://localhost/events");
//!
//! let head = Response { status: 200, content_type: Some(b"text/event-stream"), ..Response::default() };
//! assert!(machine.respond(now, head), "it is open");
//! assert!(matches!(machine.step(now), Step::Read { .. }));
//!
//! let mut chunk = &b"retry: 3000\nid: 41\ndata: hello\n\n"[..];
//! machine.receive(chunk);
//! while let Some(event) = machine.next_event(&mut chunk)? {
//!     assert_eq!(event.data, "hello");
//! }
//! machine.end(now);
//! let Step::Failed(failure, Then::Retry { after }) = machine.step(now) else { panic!() };
//! assert_eq!((failure, after), (Failure::StreamEnd, Duration::from_secs(3)));
//!
//! assert!(matches!(machine.step(now), Step::Wait { until } if until == after));
//! assert!(matches!(machine.step(after), Step::Connect));
//! assert!(machine.request().headers().any(|header| header == ("last-event-id", b"41")));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub(crate) mod exchange;
mod failure;
mod invalid;
mod retry;
mod target;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use ssekit_core::{DecodeError, Decoder, EventId, Limits, MessageEvent};
use url::Url;

pub use exchange::{Request, Response};
use exchange::{is_event_stream, is_identity, unsendable};
use failure::excerpt;
pub use failure::{End, Failure, RedirectError, Then};
pub use invalid::{InvalidId, InvalidUrl};
pub use retry::RetryPolicy;
use target::Targets;

/// How much is kept of the body of a response that is none that is wanted.
const MAX_BODY: usize = 8 << 10;

/// How long that is waited for.
const BODY_TIME: Duration = Duration::from_secs(5);

/// What a driver does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Send the request that [`Machine::request`] describes, by a connection that there may be or a new one.
    Connect,
    /// Wait for the head of the response.
    Respond {
        /// Not longer than until then, if there is a limit.
        until: Option<Duration>,
    },
    /// Read from the body.
    Read {
        /// Not longer than until then, if there is a limit.
        until: Option<Duration>,
    },
    /// Wait.
    Wait {
        /// Until then.
        until: Duration,
    },
    /// Something has gone wrong, which is said once.
    Failed(Failure, Then),
    /// There is nothing more to do.
    Closed(End),
}

/// The standard's `readyState`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyState {
    /// "The connection has not yet been established, or it was closed and the user agent is reconnecting."
    Connecting,
    /// "The user agent has an open connection and is dispatching events as it receives them."
    Open,
    /// "The connection is not open, and the user agent is not trying to reconnect."
    Closed,
}

/// An event source, but for its transport and its clock. See the [module](self).
pub struct Machine {
    targets: Targets,
    decoder: Decoder,
    retry: RetryPolicy,
    connect_timeout: Option<Duration>,
    idle_timeout: Option<Duration>,
    max_redirects: u32,
    one_shot: Option<OneShot>,
    rng: fastrand::Rng,
    state: State,
    attempt: u64,
    /// In a row.
    failures: u32,
    /// When this connection's stream was opened.
    opened_at: Option<Duration>,
    /// It has had an event.
    had_event: bool,
}

/// Which event of a one-shot stream says that it is done.
pub(crate) enum OneShot {
    /// `[DONE]`, as most language models have it. Without it the end of the stream is the end.
    Done,
    /// One that must come.
    Until(Box<dyn Fn(&MessageEvent<'_>) -> bool + Send + Sync>),
}

impl OneShot {
    fn is_done(&self, event: &MessageEvent<'_>) -> bool {
        match self {
            Self::Done => event.data == "[DONE]",
            Self::Until(is_done) => is_done(event),
        }
    }
}

enum State {
    /// Until the next attempt.
    Waiting { until: Duration },
    /// The server has said where else to ask.
    Redirected { deadline: Option<Duration> },
    /// The request was, or is being, sent.
    Connecting { deadline: Option<Duration> },
    /// The response is an event stream, whose body is being read: since then with nothing to read, as far as is known.
    Open { idle_since: Option<Duration> },
    /// The response is none, and the start of its body is being read.
    Refused { failure: Failure, retry_after: Option<Duration>, deadline: Duration },
    /// Nobody was told yet.
    Failed { failure: Failure, then: Then, at: Duration },
    /// For good.
    Closed(End),
}

/// Neither the URL's query nor events are shown.
impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("ready_state", &self.ready_state())
            .field("request", &self.request())
            .field("failures", &self.failures)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}

impl Machine {
    /// One for this URL, of `http` or `https`. Credentials in it are left out: they are for the driver to send as a header
    /// field. `seed` is for the backoff: a random number, so that not all clients come back at the same time.
    ///
    /// # Errors
    ///
    /// [`InvalidUrl`] when it is no such URL.
    pub fn new(url: &str, seed: u64) -> Result<Self, InvalidUrl> {
        let url = Url::parse(url).map_err(|error| InvalidUrl(Some(error)))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(InvalidUrl(None));
        }
        Ok(Self {
            targets: Targets::new(url),
            decoder: Decoder::new(),
            retry: RetryPolicy::new(),
            connect_timeout: None,
            idle_timeout: None,
            max_redirects: 20,
            one_shot: None,
            rng: fastrand::Rng::with_seed(seed),
            state: State::Waiting { until: Duration::ZERO },
            attempt: 0,
            failures: 0,
            opened_at: None,
            had_event: false,
        })
    }

    /// The same, with another method than `GET`, with or without a body.
    #[must_use]
    pub fn with_method(mut self, method: &str, has_body: bool) -> Self {
        self.targets.set_method(method, has_body);
        self
    }

    /// The same, with another policy of trying again than [`RetryPolicy::new`].
    #[must_use]
    pub fn with_retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// The same, with a limit to how long an attempt may take until there is the head of a response, redirects included. 0 is
    /// none.
    #[must_use]
    pub fn with_connect_timeout(mut self, limit: Duration) -> Self {
        self.connect_timeout = Some(limit).filter(|limit| !limit.is_zero());
        self
    }

    /// The same, with a limit to how long nothing may come while the stream is open. Any byte counts. 0 is none.
    #[must_use]
    pub fn with_idle_timeout(mut self, limit: Duration) -> Self {
        self.idle_timeout = Some(limit).filter(|limit| !limit.is_zero());
        self
    }

    /// The same, with at most so many redirects followed in an attempt, instead of 20.
    #[must_use]
    pub fn with_max_redirects(mut self, limit: u32) -> Self {
        self.max_redirects = limit;
        self
    }

    /// The same, with other limits to events, and no last event ID.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.decoder = Decoder::with_limits(limits);
        self
    }

    /// The same, for a stream that is had once, such as a language model's answer: once it was open, there is no other attempt.
    /// An event whose data is `[DONE]` is not given, but is the [end](End::Done), and so is the
    /// [end of the stream](End::StreamEnd), unless that is amid an event.
    #[must_use]
    pub fn with_one_shot(self) -> Self {
        self.set_one_shot(OneShot::Done)
    }

    /// The same, where an event that `is_done` is true for is the end, and must come: the end of the stream before it is the
    /// failure that it is of other streams, [`Failure::StreamEnd`].
    #[must_use]
    pub fn with_one_shot_until(self, is_done: impl Fn(&MessageEvent<'_>) -> bool + Send + Sync + 'static) -> Self {
        self.set_one_shot(OneShot::Until(Box::new(is_done)))
    }

    pub(crate) fn set_one_shot(mut self, one_shot: OneShot) -> Self {
        self.one_shot = Some(one_shot);
        self
    }

    /// Sets the last event ID, to go on where another program has stopped.
    ///
    /// # Errors
    ///
    /// [`InvalidId`] when no event could have had it, or it cannot be sent. The last event ID is then what it was.
    pub fn set_last_event_id(&mut self, id: &str) -> Result<(), InvalidId> {
        let id = EventId::new(id).map_err(InvalidId::Value)?;
        if let Some((byte, position)) = unsendable(id.as_str()) {
            return Err(InvalidId::Unsendable { byte, position });
        }
        self.decoder.set_last_event_id(id).map_err(InvalidId::Limit)
    }

    /// What to do next, when nothing else has happened by now.
    pub fn step(&mut self, now: Duration) -> Step {
        let is_over = |deadline: Option<Duration>| deadline.is_some_and(|deadline| now >= deadline);
        // A state that was left is left for one that does not get here again.
        loop {
            match &mut self.state {
                State::Waiting { until } if now < *until => return Step::Wait { until: *until },
                State::Waiting { .. } => {
                    self.targets.start();
                    self.decoder.reconnect();
                    self.attempt = self.attempt.saturating_add(1);
                    (self.opened_at, self.had_event) = (None, false);
                    let deadline = self.connect_timeout.map(|limit| now.saturating_add(limit));
                    self.state = State::Connecting { deadline };
                    match unsendable(self.decoder.last_event_id()) {
                        None => return Step::Connect,
                        Some((byte, position)) => self.fail(now, Failure::LastEventId { byte, position }),
                    }
                }
                State::Redirected { deadline } => {
                    self.state = State::Connecting { deadline: *deadline };
                    return Step::Connect;
                }
                State::Connecting { deadline } if !is_over(*deadline) => return Step::Respond { until: *deadline },
                State::Connecting { .. } => {
                    let limit = self.connect_timeout.unwrap_or_default();
                    self.fail(now, Failure::ConnectTimeout { limit });
                }
                State::Open { idle_since } => {
                    // From when it is waited for: what comes while nobody asks for it is there when somebody does.
                    let since = *idle_since.get_or_insert(now);
                    let until = self.idle_timeout.map(|limit| since.saturating_add(limit));
                    if !is_over(until) {
                        return Step::Read { until };
                    }
                    let limit = self.idle_timeout.unwrap_or_default();
                    self.fail(now, Failure::IdleTimeout { limit });
                }
                State::Refused { deadline, .. } if now < *deadline => return Step::Read { until: Some(*deadline) },
                State::Refused { .. } => self.refuse(now),
                State::Failed { failure, then, at } => {
                    let failure = core::mem::replace(failure, Failure::StreamEnd);
                    let then = *then;
                    self.state = match then {
                        Then::Retry { after } => State::Waiting { until: at.saturating_add(after) },
                        Then::GoOn | Then::End => State::Closed(End::Failed),
                    };
                    return Step::Failed(failure, then);
                }
                State::Closed(end) => return Step::Closed(*end),
            }
        }
    }

    /// The response's head is here. Whether the stream is open by that, which is what the standard calls "announce the
    /// connection".
    ///
    /// Source: WHATWG HTML, section 9.2.2, step 16 of the constructor ("if res's status is not 200, or if res's
    /// `Content-Type` is not `text/event-stream`, then fail the connection").
    pub fn respond(&mut self, now: Duration, response: Response<'_>) -> bool {
        let State::Connecting { deadline } = self.state else { return false };
        let Response { status, content_type, location, content_encoding, retry_after } = response;
        let failure = match status {
            200 if content_type.is_some_and(is_event_stream) => {
                if let Some(encoding) = content_encoding.filter(|encoding| !is_identity(encoding)) {
                    self.fail(now, Failure::ContentEncoding { content_encoding: excerpt(encoding) });
                    return false;
                }
                self.opened_at = Some(now);
                self.state = State::Open { idle_since: None };
                return true;
            }
            200 => Failure::ContentType { content_type: content_type.map(excerpt), body: Vec::new() },
            // "Clients will reconnect if the connection is closed; a client can be told to stop reconnecting using the HTTP
            // 204 No Content response code."
            204 => {
                self.state = State::Closed(End::NoContent);
                return false;
            }
            301 | 302 | 303 | 307 | 308 => {
                match self.targets.follow(status, location, self.max_redirects) {
                    Ok(()) => self.state = State::Redirected { deadline },
                    Err(error) => self.fail(now, Failure::Redirect(error)),
                }
                return false;
            }
            _ => Failure::Status { status, body: Vec::new() },
        };
        let deadline = now.saturating_add(BODY_TIME);
        self.state = State::Refused { failure, retry_after, deadline };
        false
    }

    /// Part of the body is here. What is in it is then asked for by [`next_event`](Self::next_event).
    pub fn receive(&mut self, chunk: &[u8]) {
        match &mut self.state {
            State::Open { idle_since } => *idle_since = None,
            State::Refused {
                failure: Failure::Status { body, .. } | Failure::ContentType { body, .. },
                deadline,
                ..
            } => {
                let room = MAX_BODY - body.len();
                body.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
                if body.len() == MAX_BODY {
                    // No more of it is waited for.
                    *deadline = Duration::ZERO;
                }
            }
            _ => {}
        }
    }

    /// The next event in `chunk`, which is moved past it; `Ok(None)` when the chunk is used up, or the stream done.
    ///
    /// It is the decoder's [`next_event`](ssekit_core::BufferedDecoder::next_event), and borrows as that does.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when an event is over a limit. It is dropped, and the next call goes on behind it.
    #[inline]
    pub fn next_event<'a, 'c: 'a>(&'a mut self, chunk: &mut &'c [u8]) -> Result<Option<MessageEvent<'a>>, DecodeError> {
        if !matches!(self.state, State::Open { .. }) {
            *chunk = &[];
            return Ok(None);
        }
        let event = self.decoder.next_event(chunk)?;
        if let (Some(event), Some(one_shot)) = (&event, &self.one_shot) {
            if one_shot.is_done(event) {
                self.state = State::Closed(End::Done);
                *chunk = &[];
                return Ok(None);
            }
        }
        self.had_event |= event.is_some();
        Ok(event)
    }

    /// The body has come to its end. Amid an event it has broken off, whatever the transport thinks of it.
    pub fn end(&mut self, now: Duration) {
        self.fail(now, if self.decoder.is_between_events() { Failure::StreamEnd } else { Failure::Broken });
    }

    /// Something has gone wrong: [`Failure::NoResponse`], say, or [`Failure::Broken`].
    pub fn fail(&mut self, now: Duration, failure: Failure) {
        match self.state {
            State::Connecting { .. } | State::Open { .. } => self.settle(now, failure, None),
            // Why is known already.
            State::Refused { .. } => self.refuse(now),
            // There will be no request either.
            State::Waiting { .. } | State::Redirected { .. } if failure.is_futile() => self.settle(now, failure, None),
            State::Waiting { .. } | State::Redirected { .. } | State::Failed { .. } | State::Closed(_) => {}
        }
    }

    /// Connects anew at once, whatever is under way, unless it is closed. The last event ID is kept, and what was not told
    /// is not told any more. A one-shot stream is asked for a second time.
    pub fn restart(&mut self) {
        if self.ready_state() != ReadyState::Closed {
            self.state = State::Waiting { until: Duration::ZERO };
        }
    }

    /// The request to send.
    pub fn request(&self) -> Request<'_> {
        let target = self.targets.current();
        Request {
            url: target.url.as_str(),
            method: &target.method,
            has_body: target.has_body,
            is_cross_origin: target.is_cross_origin,
            attempt: self.attempt,
            last_event_id: self.decoder.last_event_id(),
        }
    }

    /// The standard's `readyState`.
    pub fn ready_state(&self) -> ReadyState {
        match self.state {
            State::Open { .. } => ReadyState::Open,
            State::Closed(_) | State::Failed { then: Then::End, .. } => ReadyState::Closed,
            _ => ReadyState::Connecting,
        }
    }

    /// Whether it wants to have the body of the response at hand, and not be rid of it.
    pub fn is_reading(&self) -> bool {
        match self.state {
            State::Open { .. } => true,
            // With no time left it has what it wants.
            State::Refused { deadline, .. } => !deadline.is_zero(),
            _ => false,
        }
    }

    /// The last event ID, or empty.
    pub fn last_event_id(&self) -> &str {
        self.decoder.last_event_id()
    }

    /// The reconnection time: what the server has asked for by `retry`, or the policy's.
    pub fn reconnection_time(&self) -> Duration {
        self.decoder.reconnection_time().unwrap_or(self.retry.reconnection_time())
    }

    /// The limits in force.
    pub fn limits(&self) -> Limits {
        self.decoder.limits()
    }

    /// As much of the body as is wanted is here, or will not come.
    fn refuse(&mut self, now: Duration) {
        let State::Refused { failure, retry_after, .. } = &mut self.state else { return };
        let (failure, retry_after) = (core::mem::replace(failure, Failure::StreamEnd), *retry_after);
        self.settle(now, failure, retry_after);
    }

    /// What follows from a failure.
    fn settle(&mut self, now: Duration, failure: Failure, retry_after: Option<Duration>) {
        if self.opened_at.is_none() {
            // Unless nobody was asked.
            if !matches!(failure, Failure::Headers | Failure::LastEventId { .. } | Failure::Request) {
                self.targets.forget();
            }
        } else if let Some(one_shot) = &self.one_shot {
            self.state = match (failure, one_shot) {
                (Failure::StreamEnd, OneShot::Done) => State::Closed(End::StreamEnd),
                (failure, _) => State::Failed { failure, then: Then::End, at: now },
            };
            return;
        }
        let was_meant = failure == Failure::StreamEnd && self.had_event;
        // What has timed out was dead since then, for all that is known, however late that is noticed.
        let alive_until = match (&failure, &self.state) {
            (Failure::IdleTimeout { .. }, State::Open { idle_since: Some(since) }) => *since,
            _ => now,
        };
        if was_meant || self.opened_at.is_some_and(|at| self.retry.is_healthy_after(alive_until.saturating_sub(at))) {
            self.failures = 0;
        }
        let said = self.decoder.reconnection_time();
        let mut n = 1;
        let mut backoff = Duration::ZERO;
        if !was_meant {
            self.failures = self.failures.saturating_add(1);
            n = self.failures;
        }
        if !was_meant || said.is_none() {
            backoff = self.retry.backoff(n, &mut self.rng);
        }
        let asked = said.unwrap_or_default().max(retry_after.unwrap_or_default());
        let then = if self.retry.retries(&failure, n, asked) {
            let least = self.reconnection_time().max(asked).max(self.retry.min_wait());
            Then::Retry { after: least.saturating_add(backoff) }
        } else {
            Then::End
        };
        self.state = State::Failed { failure, then, at: now };
    }
}
